import { type Budget, COST } from '../pickle-limits.js';
import type { Dtype } from './dtype.js';
import { decodeElements, encodeElements } from './element-bytes.js';
import { NdArray, requireDtype, sizeOf } from './nd-array.js';
import { type FieldData, StructuredArray } from './structured-array.js';

// Records lie behind one another in memory, and the fields of each within it; here every field has an array of its own.

/** A type with the order of its bytes. */
export interface OrderedDtype {
  readonly dtype: Dtype;
  readonly bigEndian: boolean;
}

/** Where the fields of a record are. */
export interface Structure {
  readonly fields: readonly Field[];
  readonly itemSize: number;
}

/** One field: what it is, how many of it along which axes, and at which byte of the record it begins. */
export interface Field {
  readonly name: string;
  readonly type: OrderedDtype | Structure;
  readonly shape: readonly number[];
  readonly offset: number;
}

export function itemSizeOf(type: OrderedDtype | Structure): number {
  return 'fields' in type ? type.itemSize : type.dtype.itemSize;
}

/** The fields of so many records; undefined where one does not fit, or is of objects. */
export function decodeRecords(
  bytes: Uint8Array,
  structure: Structure,
  shape: readonly number[],
  budget: Budget,
): StructuredArray | undefined {
  const count = sizeOf(shape);
  if (bytes.length !== count * structure.itemSize) return undefined;
  const fields = new Map<string, FieldData>();
  budget.spend(2 * COST.container);
  for (const { name, type, shape: own, offset } of structure.fields) {
    const size = itemSizeOf(type) * sizeOf(own);
    if (fields.has(name) || offset < 0 || offset + size > structure.itemSize) return undefined;
    budget.spend(COST.bytes + COST.entry + 3 * COST.container + 3 * size * count);
    budget.step(count);
    const values = gather(bytes, structure.itemSize, offset, size, count);
    const data = decodeField(values, type, [...shape, ...own], budget);
    if (data === undefined) return undefined;
    fields.set(name, data);
  }
  return new StructuredArray(fields, { shape });
}

function decodeField(
  bytes: Uint8Array,
  type: OrderedDtype | Structure,
  shape: readonly number[],
  budget: Budget,
): FieldData | undefined {
  if ('fields' in type) return decodeRecords(bytes, type, shape, budget);
  const { dtype, bigEndian } = type;
  const count = sizeOf(shape);
  if (dtype.storage.kind === 'text' || dtype.storage.kind === 'bytes') budget.spend(COST.container * count);
  const data = decodeElements(bytes, dtype, count, bigEndian);
  return data === undefined ? undefined : new NdArray(data, { shape, dtype: dtype.name });
}

/** What lies at one place of every record, put together. */
function gather(bytes: Uint8Array, step: number, offset: number, size: number, count: number): Uint8Array {
  const values = new Uint8Array(size * count);
  for (let record = 0; record < count; record += 1) {
    const from = record * step + offset;
    for (let i = 0; i < size; i += 1) values[record * size + i] = bytes[from + i] ?? 0;
  }
  return values;
}

/** A field as numpy's `dtype` takes it. */
export interface FieldDescription {
  readonly name: string;
  readonly code: string | readonly FieldDescription[];
  readonly shape: readonly number[];
}

/** Records as numpy has them, without gaps; undefined where a field is of objects. */
export function encodeRecords(
  array: StructuredArray,
): { readonly bytes: Uint8Array; readonly fields: readonly FieldDescription[] } | undefined {
  const count = array.size;
  const parts: { readonly bytes: Uint8Array; readonly size: number; readonly field: FieldDescription }[] = [];
  for (const [name, data] of array.fields) {
    const encoded = encodeField(data);
    if (encoded === undefined) return undefined;
    const { bytes, code } = encoded;
    const size = count === 0 ? 0 : bytes.length / count;
    parts.push({ bytes, size, field: { name, code, shape: data.shape.slice(array.shape.length) } });
  }
  const step = parts.reduce((sum, { size }) => sum + size, 0);
  const all = new Uint8Array(step * count);
  let offset = 0;
  for (const { bytes, size } of parts) {
    for (let record = 0; record < count; record += 1) {
      all.set(bytes.subarray(record * size, (record + 1) * size), record * step + offset);
    }
    offset += size;
  }
  return { bytes: all, fields: parts.map(({ field }) => field) };
}

function encodeField(
  data: FieldData,
): { readonly bytes: Uint8Array; readonly code: string | readonly FieldDescription[] } | undefined {
  if (data instanceof NdArray) {
    const dtype = requireDtype(data.dtype);
    return dtype.storage.kind === 'object' ? undefined : encodeElements(data.data, dtype);
  }
  const records = encodeRecords(data);
  return records === undefined ? undefined : { bytes: records.bytes, code: records.fields };
}
