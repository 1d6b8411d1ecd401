import { getOwn, isDict } from '../../common/dict.js';
import { asInteger } from '../numbers.js';
import { OpaqueValue } from '../opaque-value.js';
import { type Budget, MEMORY_COSTS } from '../pickle-limits.js';
import { Complex } from '../values/complex.js';
import { dtypeOfCode } from './dtype.js';
import { decodeElements } from './element-bytes.js';
import { NdArray, type NdData, sizeOf } from './nd-array.js';
import {
  decodeRecords,
  type Field,
  itemSizeOf,
  type OrderedDtype,
  type Structure,
} from './structure-bytes.js';
import type { StructuredArray } from './structured-array.js';

// Converts numpy's pickles, whose parts are already values, to arrays and scalars.

const MAX_AXES = 32;
const MAX_CODE_LENGTH = 32;
/** Maximum nesting of records in records. */
const MAX_NESTED = 8;
/** The other axes of an empty array still cost time to walk, so their product is limited. */
const MAX_EMPTY_SIZE = 1 << 20;

/** Reads a dtype from text such as `<f8`, a pickled dtype or a list of fields; undefined if it is not supported. */
function readType(value: unknown, budget: Budget, depth = 0): OrderedDtype | Structure | undefined {
  if (depth > MAX_NESTED) return undefined;
  if (typeof value === 'string') return parseTypeText(value);
  if (Array.isArray(value)) return readFieldList(value, budget, depth);
  if (!(value instanceof OpaqueValue) || value.qualname !== 'dtype') return undefined;
  const [code] = value.args;
  if (value.state === null && typeof code === 'string') return parseTypeText(code);
  if (value.state === null && Array.isArray(code)) return readFieldList(code, budget, depth);
  if (!Array.isArray(value.state)) return undefined;
  const [, order, subarray, names, fields, itemSize, , , metadata] = value.state;
  if (subarray !== null) return undefined;
  if (names !== null) return readFields(names, fields, itemSize, budget, depth);
  return typeof code === 'string' ? orderedDtype(code + unitOf(code, metadata), order) : undefined;
}

/** Reads ordered names and `{name: (type, offset)}`. */
function readFields(
  names: unknown,
  fieldsByName: unknown,
  itemSize: unknown,
  budget: Budget,
  depth: number,
): Structure | undefined {
  if (!Array.isArray(names) || !isDict(fieldsByName)) return undefined;
  if (typeof itemSize !== 'number' || !Number.isSafeInteger(itemSize) || itemSize < 0) return undefined;
  const fields: Field[] = [];
  budget.spend(MEMORY_COSTS.container * names.length);
  for (const name of names) {
    budget.countSteps();
    const entry = typeof name === 'string' ? getOwn(fieldsByName, name) : undefined;
    if (!Array.isArray(entry)) return undefined;
    const [type, offset] = entry;
    const field = fieldOf(name, type, offset, budget, depth);
    if (field === undefined) return undefined;
    fields.push(field);
  }
  return { fields, itemSize };
}

function fieldOf(
  name: string,
  type: unknown,
  offset: unknown,
  budget: Budget,
  depth: number,
): Field | undefined {
  if (typeof offset !== 'number' || !Number.isSafeInteger(offset)) return undefined;
  const parts = type instanceof OpaqueValue && Array.isArray(type.state) ? type.state[2] : null;
  // A subarray field has `(type, shape)` in its state.
  const [element, axes] = Array.isArray(parts) ? parts : [type, []];
  const shape = readShape(axes);
  const fieldType = readType(element, budget, depth + 1);
  return shape === undefined || fieldType === undefined
    ? undefined
    : { name, type: fieldType, shape, offset };
}

/** Reads `[(name, type), (name, type, shape), …]`, in which an entry without a name is a gap. */
function readFieldList(list: readonly unknown[], budget: Budget, depth: number): Structure | undefined {
  const fields: Field[] = [];
  let offset = 0;
  budget.spend(MEMORY_COSTS.container * list.length);
  for (const entry of list) {
    budget.countSteps();
    if (!Array.isArray(entry)) return undefined;
    const [title, element, axes = []] = entry;
    const name: unknown = Array.isArray(title) ? title[1] : title;
    const gap = name === '' && typeof element === 'string' ? /^[|]V(\d{1,6})$/.exec(element) : null;
    if (gap !== null) {
      offset += Number(gap[1]);
      continue;
    }
    const shape = readShape(axes);
    const type = readType(element, budget, depth + 1);
    if (typeof name !== 'string' || shape === undefined || type === undefined) return undefined;
    fields.push({ name, type, shape, offset });
    offset += itemSizeOf(type) * sizeOf(shape);
  }
  return { fields, itemSize: offset };
}

function parseTypeText(text: string): OrderedDtype | undefined {
  if (text.length > MAX_CODE_LENGTH) return undefined;
  const [, order, code = ''] = /^([<>|=]?)(.*)$/.exec(text) ?? [];
  return orderedDtype(code, order);
}

function orderedDtype(code: string, order: unknown): OrderedDtype | undefined {
  const dtype = code.length <= MAX_CODE_LENGTH ? dtypeOfCode(code) : undefined;
  return dtype === undefined ? undefined : { dtype, bigEndian: order === '>' };
}

/** The unit of a time type, from the dtype's metadata `(metadata, (b'ns', 1, 1, 1))`. */
function unitOf(code: string, metadata: unknown): string {
  if (!/^[Mm]8$/.test(code) || !Array.isArray(metadata) || !Array.isArray(metadata[1])) return '';
  const [unit, multiple] = metadata[1];
  const name =
    unit instanceof Uint8Array ? Buffer.from(unit.subarray(0, MAX_CODE_LENGTH + 1)).toString('latin1') : unit;
  if (name === 'generic') return '';
  if (typeof name !== 'string' || name.length > MAX_CODE_LENGTH || typeof multiple !== 'number') return '[?]';
  return `[${multiple === 1 ? '' : multiple}${name}]`;
}

function readShape(value: unknown): number[] | undefined {
  if (!Array.isArray(value) || value.length > MAX_AXES) return undefined;
  if (!value.every((length): length is number => Number.isSafeInteger(length) && length >= 0))
    return undefined;
  const size = sizeOf(value);
  if (!Number.isSafeInteger(size)) return undefined;
  return size === 0 && sizeOf(value.filter((length) => length > 0)) > MAX_EMPTY_SIZE ? undefined : value;
}

/** Makes an array from the parts of its pickle or canned object; undefined for unexpected parts. */
function readArray(
  parts: {
    readonly shape: unknown;
    readonly dtype: unknown;
    readonly data: unknown;
    readonly fortranOrder: unknown;
  },
  budget: Budget,
): NdArray | StructuredArray | undefined {
  const type = readType(parts.dtype, budget);
  const shape = readShape(parts.shape);
  if (type === undefined || shape === undefined) return undefined;
  if ('fields' in type) {
    // Records in Fortran order would have to be reordered, which is not supported.
    if (!(parts.data instanceof Uint8Array) || (parts.fortranOrder === true && shape.length > 1))
      return undefined;
    return decodeRecords(parts.data, type, shape, budget);
  }
  const data = readData(type, sizeOf(shape), parts.data, budget);
  if (data === undefined) return undefined;
  budget.spend(2 * MEMORY_COSTS.container + MEMORY_COSTS.element * shape.length);
  // Objects are always pickled in C order.
  const fortranOrder = parts.fortranOrder === true && type.dtype.storage.kind !== 'object';
  return new NdArray(data, { shape, dtype: type.dtype.name, fortranOrder });
}

function readData(
  { dtype, bigEndian }: OrderedDtype,
  count: number,
  data: unknown,
  budget: Budget,
): NdData | undefined {
  if (dtype.storage.kind === 'object') {
    if (!Array.isArray(data) || data.length !== count) return undefined;
    budget.countSteps(count);
    return data;
  }
  if (!(data instanceof Uint8Array) || data.length !== count * dtype.itemSize) return undefined;
  const { kind } = dtype.storage;
  if (kind === 'text' || kind === 'bytes') budget.spend(MEMORY_COSTS.container * count);
  budget.spend(kind === 'numbers' && !bigEndian && data.byteOffset % 8 === 0 ? 0 : 2 * data.length);
  return decodeElements(data, dtype, count, bigEndian);
}

/** Type codes by the format numbers of `array.array`; the text formats are not supported. */
const MACHINE_FORMATS = [
  '|u1',
  '|i1',
  '<u2',
  '>u2',
  '<i2',
  '>i2',
  '<u4',
  '>u4',
  '<i4',
  '>i4',
  '<u8',
  '>u8',
].concat(['<i8', '>i8', '<f4', '>f4', '<f8', '>f8']);

/** Reads an `array.array`: `(class, code, format, bytes)`. */
export function upgradeMachineArray({ args }: OpaqueValue, budget: Budget): NdArray | undefined {
  const [, , format, data] = args;
  const code = typeof format === 'number' ? MACHINE_FORMATS[format] : undefined;
  const type = code === undefined ? undefined : parseTypeText(code);
  if (type === undefined || !(data instanceof Uint8Array)) return undefined;
  const shape = [Math.floor(data.length / type.dtype.itemSize)];
  const array = readArray({ data, dtype: code, shape, fortranOrder: false }, budget);
  return array instanceof NdArray ? array : undefined;
}

/** Reads an `ndarray` from its state, or from the call that protocol 5 writes. */
export function upgradeArray(value: OpaqueValue, budget: Budget): NdArray | StructuredArray | undefined {
  const callee = value.callee?.qualname;
  if (callee === '_frombuffer') {
    const [data, dtype, shape, order] = value.args;
    return readArray({ data, dtype, shape, fortranOrder: order === 'F' }, budget);
  }
  if (callee === '_reconstruct' && Array.isArray(value.state)) {
    const [, shape, dtype, fortranOrder, data] = value.state;
    return readArray({ data, dtype, shape, fortranOrder }, budget);
  }
  return callee === 'ndarray' ? readCall(value, budget) : undefined;
}

/** Reads `ndarray(shape, dtype, buffer, 0, None, order)`, the form that `ValueWriter` writes. */
function readCall(value: OpaqueValue, budget: Budget): NdArray | StructuredArray | undefined {
  const [shape, dtype, data, offset, strides, order] = value.args;
  if (Array.isArray(value.state)) {
    const [, finalShape, finalDtype, fortranOrder, elements] = value.state;
    return readArray({ shape: finalShape, dtype: finalDtype, fortranOrder, data: elements }, budget);
  }
  if (offset !== 0 || strides !== null) return undefined;
  return readArray({ shape, dtype, data, fortranOrder: order === 'F' }, budget);
}

/** Reads a scalar: a number, bigint, boolean, Complex, string or bytes; an array without axes for a time. */
export function upgradeScalar(value: OpaqueValue, budget: Budget): unknown {
  const [type, bytes] = value.args;
  const array = readArray({ shape: [], dtype: type, data: bytes, fortranOrder: false }, budget);
  if (!(array instanceof NdArray) || array.dtype === 'object' || /^(?:datetime|timedelta)/.test(array.dtype))
    return array;
  const element = array.at();
  if (Array.isArray(element)) return new Complex(element[0], element[1]);
  return typeof element === 'bigint' ? asInteger(element) : element;
}

/** Reads the array of a `CannedArray`, whose dtype is text or a list of fields. */
export function readCannedArray(
  shape: unknown,
  dtype: unknown,
  data: Uint8Array,
  budget: Budget,
): NdArray | StructuredArray | OpaqueValue {
  const array = readArray({ shape, dtype, data, fortranOrder: false }, budget);
  return array ?? new OpaqueValue('instance', 'numpy', 'ndarray', { state: { shape, dtype, data } });
}
