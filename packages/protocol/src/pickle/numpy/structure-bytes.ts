import { type Budget, MEMORY_COSTS } from '../pickle-limits.js';
import type { Dtype } from './dtype.js';
import { decodeElements, encodeElements } from './element-bytes.js';
import { NdArray, requireDtype, sizeOf } from './nd-array.js';
import { type FieldData, StructuredArray } from './structured-array.js';

// numpy stores records one after another, each with all its fields. StructuredArray has one array per field instead.

/** A type with its byte order. */
export interface OrderedDtype {
  readonly dtype: Dtype;
  readonly bigEndian: boolean;
}

/** The layout of a record. */
export interface Structure {
  readonly fields: readonly Field[];
  readonly itemSize: number;
}

/** A field: its type, its own axes, and its byte offset in the record. */
export interface Field {
  readonly name: string;
  readonly type: OrderedDtype | Structure;
  readonly shape: readonly number[];
  readonly offset: number;
}

export function itemSizeOf(type: OrderedDtype | Structure): number {
  return 'fields' in type ? type.itemSize : type.dtype.itemSize;
}

/** Decodes records to one array per field; undefined if a field does not fit the record or holds objects. */
export function decodeRecords(
  bytes: Uint8Array,
  structure: Structure,
  shape: readonly number[],
  budget: Budget,
): StructuredArray | undefined {
  const count = sizeOf(shape);
  if (bytes.length !== count * structure.itemSize) return undefined;
  const fields = new Map<string, FieldData>();
  budget.spend(2 * MEMORY_COSTS.container);
  for (const { name, type, shape: fieldShape, offset } of structure.fields) {
    const size = itemSizeOf(type) * sizeOf(fieldShape);
    if (fields.has(name) || offset < 0 || offset + size > structure.itemSize) return undefined;
    budget.spend(MEMORY_COSTS.bytes + MEMORY_COSTS.entry + 3 * MEMORY_COSTS.container + 3 * size * count);
    budget.countSteps(count);
    const values = gather(bytes, structure.itemSize, offset, size, count);
    const data = decodeField(values, type, [...shape, ...fieldShape], budget);
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
  if (dtype.storage.kind === 'text' || dtype.storage.kind === 'bytes')
    budget.spend(MEMORY_COSTS.container * count);
  const data = decodeElements(bytes, dtype, count, bigEndian);
  return data === undefined ? undefined : new NdArray(data, { shape, dtype: dtype.name });
}

/** Copies the bytes of one field from every record. */
function gather(bytes: Uint8Array, step: number, offset: number, size: number, count: number): Uint8Array {
  const values = new Uint8Array(size * count);
  for (let record = 0; record < count; record += 1) {
    const from = record * step + offset;
    for (let i = 0; i < size; i += 1) values[record * size + i] = bytes[from + i] ?? 0;
  }
  return values;
}

/** A field in the form that numpy's `dtype` accepts. */
export interface FieldDescription {
  readonly name: string;
  readonly code: string | readonly FieldDescription[];
  readonly shape: readonly number[];
}

/** Encodes records in numpy's layout without gaps; undefined if a field holds objects. */
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
