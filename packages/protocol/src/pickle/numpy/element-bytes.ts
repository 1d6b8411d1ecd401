import { endianness } from 'node:os';
import type { Dtype, TypedArray } from './dtype.js';
import { halfToNumber, numberToHalf } from './half.js';
import type { NdData } from './nd-array.js';

const littleEndian = endianness() === 'LE';
const HIGHEST_CHARACTER = 0x10ffff;
/** Of one call. */
const MOST_ARGUMENTS = 4096;

/** The elements of an array from its bytes, without a copy where their place and order allow; undefined if they cannot be. */
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
      return viewOf(storage.array, inMachineOrder(bytes, storage.array.BYTES_PER_ELEMENT, bigEndian));
    case 'half': {
      const bits = viewOf(Uint16Array, inMachineOrder(bytes, 2, bigEndian));
      return Float32Array.from(bits as Uint16Array, halfToNumber);
    }
    case 'text': {
      const codes = viewOf(Uint32Array, inMachineOrder(bytes, 4, bigEndian)) as Uint32Array;
      if (codes.some((code) => code > HIGHEST_CHARACTER)) return undefined;
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

/** What numpy has as the array's bytes, least significant first; the same memory where nothing has to be changed. */
export function encodeElements(
  data: NdData,
  dtype: Dtype,
): { readonly bytes: Uint8Array; readonly code: string } {
  switch (dtype.storage.kind) {
    case 'half': {
      const bits = Uint16Array.from(data as Float32Array, numberToHalf);
      return { bytes: littleBytes(bits), code: '<f2' };
    }
    case 'text':
      return encodeTexts(data as readonly string[], dtype.itemSize / 4);
    case 'bytes':
      return encodeByteStrings(data as readonly Uint8Array[], dtype.itemSize);
    default:
      return { bytes: littleBytes(data as TypedArray), code: `<${dtype.code}` };
  }
}

type ViewClass = {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): TypedArray;
};

/** A view where the bytes begin at a multiple of the element's size, else of a copy. */
function viewOf(array: ViewClass, bytes: Uint8Array): TypedArray {
  const size = array.BYTES_PER_ELEMENT;
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  return new array(aligned.buffer, aligned.byteOffset, aligned.length / size);
}

function inMachineOrder(bytes: Uint8Array, size: number, bigEndian: boolean): Uint8Array {
  return size === 1 || bigEndian !== littleEndian ? bytes : swapped(bytes, size);
}

function swapped(bytes: Uint8Array, size: number): Uint8Array {
  const copy = Buffer.from(bytes);
  if (size === 2) copy.swap16();
  else if (size === 4) copy.swap32();
  else copy.swap64();
  return copy;
}

function littleBytes(data: TypedArray): Uint8Array {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return littleEndian || data.BYTES_PER_ELEMENT === 1 ? bytes : swapped(bytes, data.BYTES_PER_ELEMENT);
}

/** Without the NULs that fill it up, as numpy reads it. */
function textOf(codes: Uint32Array): string {
  let { length } = codes;
  while (length > 0 && codes[length - 1] === 0) length -= 1;
  let text = '';
  for (let start = 0; start < length; start += MOST_ARGUMENTS) {
    text += String.fromCodePoint(...codes.subarray(start, Math.min(start + MOST_ARGUMENTS, length)));
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
  const length = characters.reduce((most, { length: own }) => Math.max(most, own), Math.max(declared, 1));
  const codes = new Uint32Array(length * texts.length);
  characters.forEach((own, i) => {
    codes.set(own, i * length);
  });
  return { bytes: littleBytes(codes), code: `<U${length}` };
}

function encodeByteStrings(
  items: readonly Uint8Array[],
  declared: number,
): { bytes: Uint8Array; code: string } {
  const length = items.reduce((most, { length: own }) => Math.max(most, own), Math.max(declared, 1));
  const bytes = new Uint8Array(length * items.length);
  items.forEach((item, i) => {
    bytes.set(item, i * length);
  });
  return { bytes, code: `|S${length}` };
}
