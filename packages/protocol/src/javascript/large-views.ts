import { getOwn, isDict } from '../common/dict.js';
import { MalformedMessageError } from '../common/errors.js';

// Large binary data is sent in separate buffers after the packed values, so that packing does not copy it.

/** Minimum size in bytes; smaller data is packed faster with the other values. */
const MIN_LARGE_SIZE = 65_536;

type Bytes = ArrayBufferView | ArrayBuffer;

/** The location of a buffer in the value. */
interface BufferLocation {
  /** Keys and indexes from the root. */
  readonly path: readonly (string | number)[];
  /** Class of the data at this location. */
  readonly kind: string;
  /** Index of the buffer. */
  readonly buffer: number;
}

/** A value separated from its large binary data. */
export interface DetachedValue {
  /** The value without its large data, and the locations of that data. It is packed instead of the value. */
  readonly packed: { readonly value: unknown; readonly places: readonly BufferLocation[] };
  readonly buffers: readonly Buffer[];
}

/** Whether a value is binary data that is sent in a separate buffer. */
export function isLarge(value: unknown): value is Bytes {
  return (
    (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) &&
    value.byteLength >= MIN_LARGE_SIZE &&
    kindOf(value) !== undefined
  );
}

/**
 * Separates large binary data from arrays, plain objects and the values of Maps. Containers are copied; the buffers are
 * views of the data.
 */
export function detachLarge(root: unknown): DetachedValue {
  const copies = new Map<object, unknown>();
  const buffers: Buffer[] = [];
  const indexes = new Map<Bytes, number>();
  const places: BufferLocation[] = [];
  const path: (string | number)[] = [];

  const detachChild = (step: string | number, item: unknown): unknown => {
    if (typeof item !== 'object' || item === null) return item;
    path.push(step);
    const detached = detach(item);
    path.pop();
    return detached;
  };
  const detach = (value: object): unknown => {
    if (isLarge(value)) {
      const buffer = indexes.get(value) ?? buffers.push(bytesOf(value)) - 1;
      indexes.set(value, buffer);
      places.push({ path: [...path], kind: kindOf(value) ?? '', buffer });
      return null;
    }
    const known = copies.get(value);
    if (known !== undefined) return known;
    if (Array.isArray(value)) {
      const list: unknown[] = [];
      copies.set(value, list);
      for (const [i, item] of value.entries()) list.push(detachChild(i, item));
      return list;
    }
    if (value instanceof Map) {
      const map = new Map<unknown, unknown>();
      copies.set(value, map);
      let i = 0;
      for (const [key, item] of value) map.set(key, detachChild(i++, item));
      return map;
    }
    if (!isDict(value)) return value;
    const dict = {};
    copies.set(value, dict);
    for (const key of Object.keys(value)) defineKey(dict, key, detachChild(key, value[key]));
    return dict;
  };
  return {
    packed: { value: typeof root === 'object' && root !== null ? detach(root) : root, places },
    buffers,
  };
}

/**
 * Restores large binary data in the unpacked value, without a copy if it is aligned.
 * @throws {MalformedMessageError} when locations and buffers do not match the value
 */
export function attachLarge(packed: unknown, buffers: readonly Uint8Array[]): unknown {
  const places = isDict(packed) ? getOwn(packed, 'places') : undefined;
  if (!isDict(packed) || !Array.isArray(places))
    throw new MalformedMessageError('a buffer has no location in the value');
  const views = new Map<string, Bytes>();
  const used = new Set<number>();
  const root = { value: getOwn(packed, 'value') };
  for (const wire of places) {
    const { path, kind, buffer } = readLocation(wire);
    const bytes = buffers[buffer];
    if (bytes === undefined) throw new MalformedMessageError(`buffer ${buffer} of the value is missing`);
    used.add(buffer);
    const key = `${kind} ${buffer}`;
    const view = views.get(key) ?? viewOf(kind, bytes);
    views.set(key, view);
    const steps = ['value', ...path];
    const last = steps.pop() ?? 'value';
    replaceChild(steps.reduce<unknown>(childOf, root), last, view);
  }
  if (used.size !== buffers.length) throw new MalformedMessageError('a buffer has no location in the value');
  return root.value;
}

function readLocation(wire: unknown): BufferLocation {
  if (isDict(wire)) {
    const path = getOwn(wire, 'path');
    const kind = getOwn(wire, 'kind');
    const buffer = getOwn(wire, 'buffer');
    const steps =
      Array.isArray(path) && path.every((step) => typeof step === 'string' || typeof step === 'number');
    if (steps && typeof kind === 'string' && typeof buffer === 'number') return { path, kind, buffer };
  }
  throw new MalformedMessageError('the location of a buffer must have a path, a kind and a buffer');
}

function childOf(container: unknown, step: string | number): unknown {
  if (Array.isArray(container) && typeof step === 'number') return container[step];
  if (container instanceof Map && typeof step === 'number') return [...container.values()][step];
  return isDict(container) && typeof step === 'string' ? getOwn(container, step) : undefined;
}

function replaceChild(container: unknown, step: string | number, view: Bytes): void {
  if (Array.isArray(container) && typeof step === 'number' && step < container.length) container[step] = view;
  else if (container instanceof Map && typeof step === 'number')
    container.set([...container.keys()][step], view);
  else if (isDict(container) && typeof step === 'string' && Object.hasOwn(container, step))
    defineKey(container, step, view);
  else throw new MalformedMessageError('the location of a buffer does not exist in the value');
}

/** Sets a key of any name; assignment to `__proto__` would change the prototype. */
function defineKey(dict: object, key: string, value: unknown): void {
  Object.defineProperty(dict, key, { value, enumerable: true, writable: true, configurable: true });
}

const ARRAYS = [
  Uint8Array,
  Int8Array,
  Uint8ClampedArray,
  Uint16Array,
  Int16Array,
  Uint32Array,
  Int32Array,
  Float32Array,
  Float64Array,
  BigUint64Array,
  BigInt64Array,
];

function kindOf(value: Bytes): string | undefined {
  if (Buffer.isBuffer(value)) return 'Buffer';
  if (value instanceof ArrayBuffer) return 'ArrayBuffer';
  if (value instanceof DataView) return 'DataView';
  return ARRAYS.find((type) => value instanceof type)?.name;
}

function bytesOf(value: Bytes): Buffer {
  return value instanceof ArrayBuffer
    ? Buffer.from(value)
    : Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}

function viewOf(kind: string, bytes: Uint8Array): Bytes {
  const { buffer, byteOffset, byteLength } = bytes;
  if (kind === 'Buffer') return Buffer.from(buffer, byteOffset, byteLength);
  if (kind === 'DataView') return new DataView(buffer, byteOffset, byteLength);
  if (kind === 'ArrayBuffer') return copyToArrayBuffer(bytes);
  const type = ARRAYS.find(({ name }) => name === kind);
  const size = type?.BYTES_PER_ELEMENT ?? 1;
  if (type === undefined || byteLength % size !== 0)
    throw new MalformedMessageError(`a buffer of ${byteLength} bytes cannot be a ${kind.slice(0, 40)}`);
  return byteOffset % size === 0
    ? new type(buffer as ArrayBuffer, byteOffset, byteLength / size)
    : new type(copyToArrayBuffer(bytes));
}

function copyToArrayBuffer(bytes: Uint8Array): ArrayBuffer {
  const memory = new ArrayBuffer(bytes.byteLength);
  new Uint8Array(memory).set(bytes);
  return memory;
}
