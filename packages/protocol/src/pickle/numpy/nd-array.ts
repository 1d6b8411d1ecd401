import { checkOptions, type OptionNames } from '../../common/check-options.js';
import { UsageError } from '../../common/errors.js';
import { type Dtype, dtypeOfName, nameOfTypedArray, type TypedArray } from './dtype.js';

/** What the elements of an {@link NdArray} are held in. */
export type NdData = TypedArray | readonly string[] | readonly Uint8Array[] | readonly unknown[];

/** Options of an {@link NdArray}. */
export interface NdArrayOptions {
  /** Length along each axis; by default one axis with all elements. */
  readonly shape?: readonly number[];
  /** As numpy names it, such as `bool` for a Uint8Array or `datetime64[ns]` for a BigInt64Array; else that of `data`. */
  readonly dtype?: string;
  /** Whether the first axis varies fastest, as in Fortran; false by default, the last one as in C. */
  readonly fortranOrder?: boolean;
}

const MAX_AXES = 32;
const OPTIONS: OptionNames<NdArrayOptions> = { shape: true, dtype: true, fortranOrder: true };

/**
 * A numpy array. `data` is the typed array of exactly its type, in the machine's byte order: `BigInt64Array` for
 * `int64`, `datetime64` and `timedelta64`, `Uint8Array` for `bool`, pairs of numbers for complex types, `Float32Array`
 * for `float16`; texts (`U5`), bytes (`S5`) and objects are plain arrays. It may share memory with a message. Iterating it
 * gives what is along its first axis: elements, or arrays in arrays.
 */
export class NdArray<Data extends NdData = NdData> implements Iterable<unknown> {
  readonly data: Data;
  readonly shape: readonly number[];
  /** As numpy names it: `float64`, `int32`, `bool`, `datetime64[ns]`, `U5`, `object`. */
  readonly dtype: string;
  readonly fortranOrder: boolean;

  /** @throws UsageError when type, shape and data do not fit each other */
  constructor(data: Data, options: NdArrayOptions = {}) {
    checkOptions(options, OPTIONS, 'NdArray');
    const name = options.dtype ?? nameOfTypedArray(data) ?? 'object';
    const dtype = dtypeOfName(name);
    if (dtype === undefined)
      throw new UsageError(`${JSON.stringify(name)} is no dtype that can be sent to numpy`);
    checkData(dtype, data);
    const count = data.length / perElement(dtype);
    const shape = options.shape ?? [count];
    if (shape.length > MAX_AXES || !shape.every((length) => Number.isSafeInteger(length) && length >= 0)) {
      throw new UsageError(`${JSON.stringify(shape)} is no shape of an array`);
    }
    if (sizeOf(shape) !== count) {
      throw new UsageError(
        `an array of shape (${shape.join(', ')}) has ${sizeOf(shape)} elements, not ${count}`,
      );
    }
    this.data = data;
    this.shape = Object.freeze([...shape]);
    this.dtype = dtype.name;
    this.fortranOrder = options.fortranOrder ?? false;
  }

  /** The number of elements. */
  get size(): number {
    return sizeOf(this.shape);
  }

  /** The element at these indices, one for each axis; negative ones count from the end. A pair for complex types. */
  at(...indices: readonly number[]): unknown {
    if (indices.length !== this.shape.length) {
      throw new UsageError(
        `an array of ${this.shape.length} axes takes as many indices, not ${indices.length}`,
      );
    }
    let place = 0;
    const steps = stepsOf(this.shape, this.fortranOrder);
    for (const [axis, given] of indices.entries()) {
      const length = this.shape[axis] ?? 0;
      const index = given < 0 ? given + length : given;
      if (!Number.isInteger(index) || index < 0 || index >= length) {
        throw new UsageError(`index ${given} is out of bounds for axis ${axis} of length ${length}`);
      }
      place += index * (steps[axis] ?? 0);
    }
    return this.#element(place);
  }

  /** Along the first axis, as `toNested` has it; an array without axes gives its one element. */
  *[Symbol.iterator](): Generator<unknown, void, undefined> {
    const [length] = this.shape;
    // No error: what only compares or prints values iterates whatever can be.
    if (length === undefined) {
      yield this.#element(0);
      return;
    }
    const steps = stepsOf(this.shape, this.fortranOrder);
    for (let i = 0; i < length; i++) yield this.#nest(steps, 1, i * (steps[0] ?? 0));
  }

  /** All elements, the last axis fastest whatever the order of `data`. */
  elements(): unknown[] {
    return [this.toNested()].flat(this.shape.length);
  }

  #element(place: number): unknown {
    const width = perElement(requireDtype(this.dtype));
    if (width === 2) return [this.data[2 * place], this.data[2 * place + 1]];
    const value: unknown = this.data[place];
    return this.dtype === 'bool' ? value !== 0 : value;
  }

  /** The same as arrays in arrays; a single element without axes. Mirrors numpy `tolist`. */
  toNested(): unknown {
    return this.#nest(stepsOf(this.shape, this.fortranOrder), 0, 0);
  }

  #nest(steps: readonly number[], axis: number, start: number): unknown {
    const length = this.shape[axis];
    if (length === undefined) return this.#element(start);
    return Array.from({ length }, (_, i) => this.#nest(steps, axis + 1, start + i * (steps[axis] ?? 0)));
  }
}

/** How far apart in `data` neighbours along each axis are. */
function stepsOf(shape: readonly number[], fortranOrder: boolean): number[] {
  const steps = shape.map(() => 1);
  let step = 1;
  for (let i = 0; i < shape.length; i += 1) {
    const axis = fortranOrder ? i : shape.length - 1 - i;
    steps[axis] = step;
    step *= shape[axis] ?? 1;
  }
  return steps;
}

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((size, length) => size * length, 1);
}

/** Elements of `data` for one of the array. */
export function perElement(dtype: Dtype): number {
  return dtype.storage.kind === 'numbers' ? dtype.storage.perElement : 1;
}

export function requireDtype(name: string): Dtype {
  const dtype = dtypeOfName(name);
  if (dtype === undefined)
    throw new UsageError(`${JSON.stringify(name)} is no dtype that can be sent to numpy`);
  return dtype;
}

function checkData(dtype: Dtype, data: NdData): void {
  const { storage } = dtype;
  const wanted = wantedClass(dtype);
  const fits =
    storage.kind === 'numbers' || storage.kind === 'half'
      ? nameOfTypedArray(data) === nameOfTypedArray(new wanted(0)) && data.length % perElement(dtype) === 0
      : Array.isArray(data) && data.every((element) => fitsElement(storage.kind, element));
  if (fits) return;
  const holder =
    storage.kind === 'text'
      ? 'an array of strings'
      : storage.kind === 'bytes'
        ? 'an array of Uint8Arrays'
        : storage.kind === 'object'
          ? 'an array'
          : `a ${wanted.name}`;
  throw new UsageError(`the data of dtype ${dtype.name} is ${holder}`);
}

function wantedClass({ storage }: Dtype): { readonly name: string; new (length: number): TypedArray } {
  return storage.kind === 'numbers'
    ? (storage.array as unknown as { readonly name: string; new (length: number): TypedArray })
    : Float32Array;
}

function fitsElement(kind: string, element: unknown): boolean {
  if (kind === 'text') return typeof element === 'string';
  return kind === 'bytes' ? element instanceof Uint8Array : true;
}
