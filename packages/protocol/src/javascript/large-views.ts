import { getOwn, isDict } from '../common/dict.js';
import { MalformedMessageError } from '../common/errors.js';

// Large binary data travels in buffers of its own beside the packed values, so that it is not copied through them.

/** What is smaller is quicker packed with the rest, in bytes. */
const LARGE = 65_536;

type Bytes = ArrayBufferView | ArrayBuffer;

/** Where a buffer belongs: the keys and positions that lead there, and what it is there. */
interface Place {
  readonly path: readonly (string | number)[];
  readonly kind: string;
  /** Which of the buffers. */
  readonly buffer: number;
}

/** A value without its large binary data. */
export interface DetachedValue {
  /** To be packed in the value's stead. */
  readonly packed: { readonly value: unknown; readonly places: readonly Place[] };
  readonly buffers: readonly Buffer[];
}

/** Whether something is binary data that travels beside the packed values. */
export function isLarge(value: unknown): value is Bytes {
  return (
    (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) &&
    value.byteLength >= LARGE &&
    kindOf(value) !== undefined
  );
}

/**
 * Takes the large binary data out of lists, plain objects and the values of Maps, which are copied where they hold some.
 * The buffers are views of the data, not copies.
 */
export function detachLarge(root: unknown): DetachedValue {
  const copies = new Map<object, unknown>();
  const buffers: Buffer[] = [];
  const indexes = new Map<Bytes, number>();
  const places: Place[] = [];
  const path: (string | number)[] = [];

  const at = (step: string | number, item: unknown): unknown => {
    if (typeof item !== 'object' || item === null) return item;
    path.push(step);
    const copied = copy(item);
    path.pop();
    return copied;
  };
  const copy = (value: object): unknown => {
    if (isLarge(value)) {
      const known = indexes.get(value);
      const buffer = known ?? buffers.push(bytesOf(value)) - 1;
      indexes.set(value, buffer);
      places.push({ path: [...path], kind: kindOf(value) ?? '', buffer });
      return null;
    }
    const there = copies.get(value);
    if (there !== undefined) return there;
    if (Array.isArray(value)) {
      const list: unknown[] = [];
      copies.set(value, list);
      for (const [i, item] of value.entries()) list.push(at(i, item));
      return list;
    }
    if (value instanceof Map) {
      const map = new Map<unknown, unknown>();
      copies.set(value, map);
      let i = 0;
      for (const [key, item] of value) map.set(key, at(i++, item));
      return map;
    }
    if (!isDict(value)) return value;
    const dict = {};
    copies.set(value, dict);
    for (const key of Object.keys(value)) put(dict, key, at(key, value[key]));
    return dict;
  };
  return {
    packed: { value: typeof root === 'object' && root !== null ? copy(root) : root, places },
    buffers,
  };
}

/** Puts large binary data back where it belongs; without a copy where its alignment allows. @throws MalformedMessageError */
export function attachLarge(packed: unknown, buffers: readonly Uint8Array[]): unknown {
  const places = isDict(packed) ? getOwn(packed, 'places') : undefined;
  if (!isDict(packed) || !Array.isArray(places)) throw new MalformedMessageError('a buffer belongs nowhere');
  const views = new Map<string, Bytes>();
  const used = new Set<number>();
  const whole = { value: getOwn(packed, 'value') };
  for (const place of places) {
    const { path, kind, buffer } = readPlace(place);
    const bytes = buffers[buffer];
    if (bytes === undefined) throw new MalformedMessageError('a place names a buffer that is not there');
    used.add(buffer);
    const key = `${kind} ${buffer}`;
    const view = views.get(key) ?? viewOf(kind, bytes);
    views.set(key, view);
    const steps = ['value', ...path];
    const last = steps.pop() ?? 'value';
    replace(steps.reduce<unknown>(inside, whole), last, view);
  }
  if (used.size !== buffers.length) throw new MalformedMessageError('a buffer belongs nowhere');
  return whole.value;
}

function readPlace(place: unknown): Place {
  if (isDict(place)) {
    const path = getOwn(place, 'path');
    const kind = getOwn(place, 'kind');
    const buffer = getOwn(place, 'buffer');
    const steps =
      Array.isArray(path) && path.every((step) => typeof step === 'string' || typeof step === 'number');
    if (steps && typeof kind === 'string' && typeof buffer === 'number') return { path, kind, buffer };
  }
  throw new MalformedMessageError('a place of a buffer is none');
}

function inside(container: unknown, step: string | number): unknown {
  if (Array.isArray(container) && typeof step === 'number') return container[step];
  if (container instanceof Map && typeof step === 'number') return [...container.values()][step];
  return isDict(container) && typeof step === 'string' ? getOwn(container, step) : undefined;
}

function replace(container: unknown, step: string | number, view: Bytes): void {
  if (Array.isArray(container) && typeof step === 'number' && step < container.length) container[step] = view;
  else if (container instanceof Map && typeof step === 'number')
    container.set([...container.keys()][step], view);
  else if (isDict(container) && typeof step === 'string' && Object.hasOwn(container, step))
    put(container, step, view);
  else throw new MalformedMessageError('a place of a buffer is not in the value');
}

/** Also for `__proto__`, which is a key like any other. */
function put(dict: object, key: string, value: unknown): void {
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
  if (kind === 'ArrayBuffer') return ownMemory(bytes);
  const type = ARRAYS.find(({ name }) => name === kind);
  const size = type?.BYTES_PER_ELEMENT ?? 1;
  if (type === undefined || byteLength % size !== 0)
    throw new MalformedMessageError(`a buffer is no ${kind.slice(0, 40)}`);
  return byteOffset % size === 0
    ? new type(buffer as ArrayBuffer, byteOffset, byteLength / size)
    : new type(ownMemory(bytes));
}

function ownMemory(bytes: Uint8Array): ArrayBuffer {
  const memory = new ArrayBuffer(bytes.byteLength);
  new Uint8Array(memory).set(bytes);
  return memory;
}
