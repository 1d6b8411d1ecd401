/** A typed array that holds the elements of a numpy array. */
export type TypedArray =
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array
  | Float32Array
  | Float64Array;

interface TypedArrayClass {
  readonly BYTES_PER_ELEMENT: number;
  new (length: number): TypedArray;
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): TypedArray;
}

/** Storage of the elements of a type. `f2` is widened to Float32Array, because Node 20 has no Float16Array. */
export type Storage =
  | { readonly kind: 'numbers'; readonly array: TypedArrayClass; readonly perElement: number }
  | { readonly kind: 'half' | 'text' | 'bytes' | 'object' };

/** The type of the elements of an array. */
export interface Dtype {
  /** numpy's name: `float64`, `datetime64[ns]`; `U5` and `S5` for strings and bytes of fixed length. */
  readonly name: string;
  /** The code of numpy's array interface without byte order: `f8`, `M8[ns]`, `U5`. */
  readonly code: string;
  /** Bytes of one element. */
  readonly itemSize: number;
  readonly storage: Storage;
}

const MAX_FIXED_LENGTH = 1 << 24;

function numbers(array: TypedArrayClass, perElement = 1): Storage {
  return { kind: 'numbers', array, perElement };
}

const FIXED_DTYPES: readonly Dtype[] = [
  { name: 'bool', code: 'b1', itemSize: 1, storage: numbers(Uint8Array) },
  { name: 'int8', code: 'i1', itemSize: 1, storage: numbers(Int8Array) },
  { name: 'int16', code: 'i2', itemSize: 2, storage: numbers(Int16Array) },
  { name: 'int32', code: 'i4', itemSize: 4, storage: numbers(Int32Array) },
  { name: 'int64', code: 'i8', itemSize: 8, storage: numbers(BigInt64Array) },
  { name: 'uint8', code: 'u1', itemSize: 1, storage: numbers(Uint8Array) },
  { name: 'uint16', code: 'u2', itemSize: 2, storage: numbers(Uint16Array) },
  { name: 'uint32', code: 'u4', itemSize: 4, storage: numbers(Uint32Array) },
  { name: 'uint64', code: 'u8', itemSize: 8, storage: numbers(BigUint64Array) },
  { name: 'float16', code: 'f2', itemSize: 2, storage: { kind: 'half' } },
  { name: 'float32', code: 'f4', itemSize: 4, storage: numbers(Float32Array) },
  { name: 'float64', code: 'f8', itemSize: 8, storage: numbers(Float64Array) },
  { name: 'complex64', code: 'c8', itemSize: 8, storage: numbers(Float32Array, 2) },
  { name: 'complex128', code: 'c16', itemSize: 16, storage: numbers(Float64Array, 2) },
  { name: 'object', code: 'O', itemSize: 8, storage: { kind: 'object' } },
];

const DTYPES_BY_NAME = new Map(FIXED_DTYPES.map((dtype) => [dtype.name, dtype]));
const DTYPES_BY_CODE = new Map([...FIXED_DTYPES.map((dtype): [string, Dtype] => [dtype.code, dtype])]);

/** numpy's time units, years to attoseconds, with an optional multiple: `ns`, `25s`. */
const UNIT = String.raw`(?:\d{1,9})?(?:Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)`;
const TIME_NAME = new RegExp(String.raw`^(datetime|timedelta)64(?:\[(${UNIT})\])?$`);
const TIME_CODE = new RegExp(String.raw`^([Mm])8(?:\[(${UNIT})\])?$`);
const FIXED_CODE = /^([US])(\d{1,8})$/;

function timeDtype(kind: 'M' | 'm', unit: string | undefined): Dtype {
  const suffix = unit === undefined ? '' : `[${unit}]`;
  const name = `${kind === 'M' ? 'datetime' : 'timedelta'}64${suffix}`;
  return { name, code: `${kind}8${suffix}`, itemSize: 8, storage: numbers(BigInt64Array) };
}

function fixedDtype(kind: 'U' | 'S', length: number): Dtype | undefined {
  if (length > MAX_FIXED_LENGTH) return undefined;
  const name = `${kind}${length}`;
  const itemSize = kind === 'U' ? 4 * length : length;
  return { name, code: name, itemSize, storage: { kind: kind === 'U' ? 'text' : 'bytes' } };
}

/** The type for a numpy code without byte order; undefined if it is not supported. */
export function dtypeOfCode(code: string): Dtype | undefined {
  const known = DTYPES_BY_CODE.get(code === 'O8' || code === 'O4' ? 'O' : code);
  if (known !== undefined) return known;
  const time = TIME_CODE.exec(code);
  if (time !== null) return timeDtype(time[1] as 'M' | 'm', time[2]);
  const fixed = FIXED_CODE.exec(code);
  return fixed === null ? undefined : fixedDtype(fixed[1] as 'U' | 'S', Number(fixed[2]));
}

/** The type for a numpy name such as `float64`; undefined if it is not supported. */
export function dtypeOfName(name: string): Dtype | undefined {
  const known = DTYPES_BY_NAME.get(name);
  if (known !== undefined) return known;
  const time = TIME_NAME.exec(name);
  if (time !== null) return timeDtype(time[1] === 'datetime' ? 'M' : 'm', time[2]);
  return FIXED_CODE.test(name) ? dtypeOfCode(name) : undefined;
}

const NAMES: ReadonlyMap<string, string> = new Map([
  ['Int8Array', 'int8'],
  ['Uint8Array', 'uint8'],
  ['Uint8ClampedArray', 'uint8'],
  ['Buffer', 'uint8'],
  ['Int16Array', 'int16'],
  ['Uint16Array', 'uint16'],
  ['Int32Array', 'int32'],
  ['Uint32Array', 'uint32'],
  ['BigInt64Array', 'int64'],
  ['BigUint64Array', 'uint64'],
  ['Float32Array', 'float32'],
  ['Float64Array', 'float64'],
]);

/** numpy's name for the elements of a typed array; undefined for any other value. */
export function nameOfTypedArray(data: unknown): string | undefined {
  if (!ArrayBuffer.isView(data)) return undefined;
  return NAMES.get((data as { [Symbol.toStringTag]?: string })[Symbol.toStringTag] ?? '');
}
