import { asInteger } from '../numbers.js';
import { OpaqueValue } from '../opaque-value.js';
import { type Budget, COST } from '../pickle-limits.js';
import { Complex } from '../values/complex.js';
import { type Dtype, dtypeOfCode } from './dtype.js';
import { decodeElements } from './element-bytes.js';
import { NdArray, type NdData, sizeOf } from './nd-array.js';

// What numpy pickles, once its parts are values: arrays, single elements and the types of both.

const MAX_AXES = 32;
const LONGEST_CODE = 32;
/** Axes of an array without elements still make work for who walks them. */
const MAX_EMPTY_SIZE = 1 << 20;

interface ReadDtype {
  readonly dtype: Dtype;
  readonly bigEndian: boolean;
}

/** A dtype as its text, `<f8`, or as its pickle; undefined for structures and what else has no counterpart. */
function readDtype(value: unknown): ReadDtype | undefined {
  if (typeof value === 'string') return ofText(value);
  if (!(value instanceof OpaqueValue) || value.qualname !== 'dtype') return undefined;
  const [code] = value.args;
  if (value.state === null && typeof code === 'string') return ofText(code);
  if (!Array.isArray(value.state)) return undefined;
  const [, order, subarray, names, , , , , metadata] = value.state;
  if (typeof code !== 'string' || subarray !== null || names !== null) return undefined;
  return withOrder(code + unitOf(code, metadata), order);
}

function ofText(text: string): ReadDtype | undefined {
  if (text.length > LONGEST_CODE) return undefined;
  const [, order, code = ''] = /^([<>|=]?)(.*)$/.exec(text) ?? [];
  return withOrder(code, order);
}

function withOrder(code: string, order: unknown): ReadDtype | undefined {
  const dtype = code.length <= LONGEST_CODE ? dtypeOfCode(code) : undefined;
  return dtype === undefined ? undefined : { dtype, bigEndian: order === '>' };
}

/** The unit of a time stands apart: `(metadata, (b'ns', 1, 1, 1))`. */
function unitOf(code: string, metadata: unknown): string {
  if (!/^[Mm]8$/.test(code) || !Array.isArray(metadata) || !Array.isArray(metadata[1])) return '';
  const [unit, multiple] = metadata[1];
  const name =
    unit instanceof Uint8Array ? Buffer.from(unit.subarray(0, LONGEST_CODE + 1)).toString('latin1') : unit;
  if (name === 'generic') return '';
  if (typeof name !== 'string' || name.length > LONGEST_CODE || typeof multiple !== 'number') return '[?]';
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

/** The array of these parts, as its pickle or its can has them; undefined where they are not as expected. */
export function readArray(
  parts: {
    readonly shape: unknown;
    readonly dtype: unknown;
    readonly data: unknown;
    readonly fortranOrder: unknown;
  },
  budget: Budget,
): NdArray | undefined {
  const type = readDtype(parts.dtype);
  const shape = readShape(parts.shape);
  if (type === undefined || shape === undefined) return undefined;
  const data = readData(type, sizeOf(shape), parts.data, budget);
  if (data === undefined) return undefined;
  budget.spend(2 * COST.container + COST.element * shape.length);
  // Objects are listed with the last axis fastest, however they lay in memory.
  const fortranOrder = parts.fortranOrder === true && type.dtype.storage.kind !== 'object';
  return new NdArray(data, { shape, dtype: type.dtype.name, fortranOrder });
}

function readData(
  { dtype, bigEndian }: ReadDtype,
  count: number,
  data: unknown,
  budget: Budget,
): NdData | undefined {
  if (dtype.storage.kind === 'object') {
    if (!Array.isArray(data) || data.length !== count) return undefined;
    budget.step(count);
    return data;
  }
  if (!(data instanceof Uint8Array) || data.length !== count * dtype.itemSize) return undefined;
  const { kind } = dtype.storage;
  if (kind === 'text' || kind === 'bytes') budget.spend(COST.container * count);
  budget.spend(kind === 'numbers' && !bigEndian && data.byteOffset % 8 === 0 ? 0 : 2 * data.length);
  return decodeElements(data, dtype, count, bigEndian);
}

/** An `ndarray` by its state, or by the call that protocol 5 has. */
export function upgradeArray(value: OpaqueValue, budget: Budget): NdArray | undefined {
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

/** `ndarray(shape, dtype, buffer, 0, None, order)`, as the writer here has it. */
function readCall(value: OpaqueValue, budget: Budget): NdArray | undefined {
  const [shape, dtype, data, offset, strides, order] = value.args;
  if (Array.isArray(value.state)) {
    const [, finalShape, finalDtype, fortranOrder, elements] = value.state;
    return readArray({ shape: finalShape, dtype: finalDtype, fortranOrder, data: elements }, budget);
  }
  if (offset !== 0 || strides !== null) return undefined;
  return readArray({ shape, dtype, data, fortranOrder: order === 'F' }, budget);
}

/** One element by itself: a number, bigint, boolean, Complex, text or bytes; an array without axes for a time. */
export function upgradeScalar(value: OpaqueValue, budget: Budget): unknown {
  const [type, bytes] = value.args;
  const array = readArray({ shape: [], dtype: type, data: bytes, fortranOrder: false }, budget);
  if (array === undefined || array.dtype === 'object' || /^(?:datetime|timedelta)/.test(array.dtype))
    return array;
  const element = array.at();
  if (Array.isArray(element)) return new Complex(element[0], element[1]);
  return typeof element === 'bigint' ? asInteger(element) : element;
}

/** The array that a `CannedArray` has; its type is a text, or a list for a structure, which stays opaque. */
export function readCannedArray(
  shape: unknown,
  dtype: unknown,
  data: Uint8Array,
  budget: Budget,
): NdArray | OpaqueValue {
  const array = readArray({ shape, dtype, data, fortranOrder: false }, budget);
  return array ?? new OpaqueValue('instance', 'numpy', 'ndarray', { state: { shape, dtype, data } });
}
