import { endianness } from 'node:os';
import type { Dtype, TypedArray } from './dtype.js';
import { halfToNumber, numberToHalf } from './half.js';
import type { NdData } from './nd-array.js';

const littleEndian = endianness() === 'LE';
const MAX_CODE_POINT = 0x10ffff;
/** Maximum number of arguments of one call. */
const MAX_ARGUMENTS = 4096;

/** Decodes the elements of an array, without a copy if alignment and byte order allow; undefined for invalid bytes. */
export function decodeElements(
  bytes: Uint8Array,
  dtype: Dtype,
  count: number,
  bigEndian: boolean,
): Exclude<NdData, readonly unknown[]> | string[] | Uint8Array[] | undefined {
  if (bytes.length !== count * dtype.itemSize) return undefined;
  const { storage, itemSize } = dtype;
  switch (storage.kind) {
    case 'numbers':
      return viewOf(storage.array, toNativeOrder(bytes, storage.array.BYTES_PER_ELEMENT, bigEndian));
    case 'half': {
      const bits = viewOf(Uint16Array, toNativeOrder(bytes, 2, bigEndian));
      return Float32Array.from(bits as Uint16Array, halfToNumber);
    }
    case 'text': {
      const codes = viewOf(Uint32Array, toNativeOrder(bytes, 4, bigEndian)) as Uint32Array;
      if (codes.some((code) => code > MAX_CODE_POINT)) return undefined;
      const length = itemSize / 4;
      return Array.from({ length: count }, (_, i) => textOf(codes.subarray(i * length, (i + 1) * length)));
    }
    case 'bytes': {
      const copy = new Uint8Array(bytes);
      return Array.from({ length: count }, (_, i) =>
        trimNulls(copy.subarray(i * itemSize, (i + 1) * itemSize)),
      );
    }
    default:
      return undefined;
  }
}

/** Encodes elements as little-endian bytes with their numpy code. Shares the memory of `data` if no conversion is needed. */
export function encodeElements(
  data: NdData,
  dtype: Dtype,
): { readonly bytes: Uint8Array; readonly code: string } {
  switch (dtype.storage.kind) {
    case 'half': {
      const bits = Uint16Array.from(data as Float32Array, numberToHalf);
      return { bytes: littleEndianBytes(bits), code: '<f2' };
    }
    case 'text':
      return encodeTexts(data as readonly string[], dtype.itemSize / 4);
    case 'bytes':
      return encodeByteStrings(data as readonly Uint8Array[], dtype.itemSize);
    default:
      return { bytes: littleEndianBytes(data as TypedArray), code: `<${dtype.code}` };
  }
}

type ViewClass = {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): TypedArray;
};

/** A typed array on the bytes, or on a copy if they are not aligned to the element size. */
function viewOf(array: ViewClass, bytes: Uint8Array): TypedArray {
  const size = array.BYTES_PER_ELEMENT;
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  return new array(aligned.buffer, aligned.byteOffset, aligned.length / size);
}

function toNativeOrder(bytes: Uint8Array, size: number, bigEndian: boolean): Uint8Array {
  return size === 1 || bigEndian !== littleEndian ? bytes : swapBytes(bytes, size);
}

function swapBytes(bytes: Uint8Array, size: number): Uint8Array {
  const copy = Buffer.from(bytes);
  if (size === 2) copy.swap16();
  else if (size === 4) copy.swap32();
  else copy.swap64();
  return copy;
}

function littleEndianBytes(data: TypedArray): Uint8Array {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return littleEndian || data.BYTES_PER_ELEMENT === 1 ? bytes : swapBytes(bytes, data.BYTES_PER_ELEMENT);
}

/** Decodes a fixed-length string without its padding NULs, as numpy does. */
function textOf(codes: Uint32Array): string {
  let { length } = codes;
  while (length > 0 && codes[length - 1] === 0) length -= 1;
  let text = '';
  for (let start = 0; start < length; start += MAX_ARGUMENTS) {
    text += String.fromCodePoint(...codes.subarray(start, Math.min(start + MAX_ARGUMENTS, length)));
  }
  return text;
}

function trimNulls(bytes: Uint8Array): Uint8Array {
  let { length } = bytes;
  while (length > 0 && bytes[length - 1] === 0) length -= 1;
  return length === bytes.length ? bytes : bytes.subarray(0, length);
}

function encodeTexts(texts: readonly string[], declared: number): { bytes: Uint8Array; code: string } {
  const characters = texts.map((text) => Array.from(text, (character) => character.codePointAt(0) ?? 0));
  const length = characters.reduce((most, { length: count }) => Math.max(most, count), Math.max(declared, 1));
  const codes = new Uint32Array(length * texts.length);
  characters.forEach((codePoints, i) => {
    codes.set(codePoints, i * length);
  });
  return { bytes: littleEndianBytes(codes), code: `<U${length}` };
}

function encodeByteStrings(
  items: readonly Uint8Array[],
  declared: number,
): { bytes: Uint8Array; code: string } {
  const length = items.reduce((most, { length: count }) => Math.max(most, count), Math.max(declared, 1));
  const bytes = new Uint8Array(length * items.length);
  items.forEach((item, i) => {
    bytes.set(item, i * length);
  });
  return { bytes, code: `|S${length}` };
}
