import { checkOptions, type OptionNames } from '../../common/check-options.js';
import { describe } from '../../common/describe.js';
import { UsageError } from '../../common/errors.js';
import { type Dtype, dtypeOfName, nameOfTypedArray, type TypedArray } from './dtype.js';

/** Storage of the elements of an {@link NdArray}. */
export type NdData = TypedArray | readonly string[] | readonly Uint8Array[] | readonly unknown[];

/** Options of an {@link NdArray}. */
export interface NdArrayOptions {
  /** Length of each axis; one axis with all elements by default. */
  readonly shape?: readonly number[];
  /**
   * numpy's name of the type, such as `bool` for a Uint8Array or `datetime64[ns]` for a BigInt64Array; the type of `data`
   * by default.
   */
  readonly dtype?: string;
  /** Whether the first axis varies fastest in `data`, as in Fortran; by default the last axis does, as in C. */
  readonly fortranOrder?: boolean;
}

const MAX_AXES = 32;
const OPTIONS: OptionNames<NdArrayOptions> = { shape: true, dtype: true, fortranOrder: true };

/**
 * A numpy array. `data` is the typed array that matches the dtype, in native byte order: `BigInt64Array` for `int64`,
 * `datetime64` and `timedelta64`, `Uint8Array` for `bool`, pairs of numbers for complex types, `Float32Array` for
 * `float16`; strings (`U5`), bytes (`S5`) and objects are plain arrays. `data` may share memory with a message. Iteration
 * yields the items along the first axis: elements or nested arrays.
 */
export class NdArray<Data extends NdData = NdData> implements Iterable<unknown> {
  readonly data: Data;
  readonly shape: readonly number[];
  /** numpy's name of the type: `float64`, `int32`, `bool`, `datetime64[ns]`, `U5`, `object`. */
  readonly dtype: string;
  readonly fortranOrder: boolean;

  /** @throws {UsageError} when dtype, shape and data do not match */
  constructor(data: Data, options: NdArrayOptions = {}) {
    checkOptions(options, OPTIONS, 'NdArray');
    const name = options.dtype ?? nameOfTypedArray(data) ?? 'object';
    const dtype = requireDtype(name);
    checkData(dtype, data);
    const count = data.length / perElement(dtype);
    const shape = options.shape ?? [count];
    if (shape.length > MAX_AXES || !shape.every((length) => Number.isSafeInteger(length) && length >= 0)) {
      throw new UsageError(
        `shape must have at most ${MAX_AXES} integers >= 0, got [${shape.map(describe).join(', ')}]`,
      );
    }
    if (sizeOf(shape) !== count) {
      throw new UsageError(
        `data for shape (${shape.join(', ')}) must have ${sizeOf(shape)} elements, got ${count}`,
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

  /**
   * The element at the indices, one per axis; negative indices count from the end. Complex elements are pairs.
   * @throws {UsageError} when the number of indices is wrong or an index is out of bounds
   */
  at(...indices: readonly number[]): unknown {
    if (indices.length !== this.shape.length) {
      throw new UsageError(`at() expects one index per axis, ${this.shape.length}, got ${indices.length}`);
    }
    let position = 0;
    const steps = stepsOf(this.shape, this.fortranOrder);
    for (const [axis, signedIndex] of indices.entries()) {
      const length = this.shape[axis] ?? 0;
      const index = signedIndex < 0 ? signedIndex + length : signedIndex;
      if (!Number.isInteger(index) || index < 0 || index >= length) {
        throw new UsageError(`index ${signedIndex} is out of bounds for axis ${axis} of length ${length}`);
      }
      position += index * (steps[axis] ?? 0);
    }
    return this.#element(position);
  }

  /** Yields the items along the first axis, as in `toNested`; an array without axes yields its one element. */
  *[Symbol.iterator](): Generator<unknown, void, undefined> {
    const [length] = this.shape;
    // Does not throw, because comparing and printing tools iterate any iterable.
    if (length === undefined) {
      yield this.#element(0);
      return;
    }
    const steps = stepsOf(this.shape, this.fortranOrder);
    for (let i = 0; i < length; i++) yield this.#nestedValues(steps, 1, i * (steps[0] ?? 0));
  }

  /** All elements in C order (last axis fastest), independent of the order of `data`. */
  elements(): unknown[] {
    return [this.toNested()].flat(this.shape.length);
  }

  #element(position: number): unknown {
    const width = perElement(requireDtype(this.dtype));
    if (width === 2) return [this.data[2 * position], this.data[2 * position + 1]];
    const value: unknown = this.data[position];
    return this.dtype === 'bool' ? value !== 0 : value;
  }

  /** The elements as nested arrays; the single element if there are no axes. Mirrors `tolist` of numpy. */
  toNested(): unknown {
    return this.#nestedValues(stepsOf(this.shape, this.fortranOrder), 0, 0);
  }

  #nestedValues(steps: readonly number[], axis: number, start: number): unknown {
    const length = this.shape[axis];
    if (length === undefined) return this.#element(start);
    return Array.from({ length }, (_, i) =>
      this.#nestedValues(steps, axis + 1, start + i * (steps[axis] ?? 0)),
    );
  }
}

/** Distance in `data` between neighbours along each axis, in elements. */
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

/** Number of items in `data` per array element. */
export function perElement(dtype: Dtype): number {
  return dtype.storage.kind === 'numbers' ? dtype.storage.perElement : 1;
}

export function requireDtype(name: string): Dtype {
  const dtype = dtypeOfName(name);
  if (dtype === undefined) {
    throw new UsageError(`dtype must be a supported numpy type such as float64, got ${describe(name)}`);
  }
  return dtype;
}

function checkData(dtype: Dtype, data: NdData): void {
  const { storage } = dtype;
  const arrayClass = arrayClassOf(dtype);
  const fits =
    storage.kind === 'numbers' || storage.kind === 'half'
      ? nameOfTypedArray(data) === nameOfTypedArray(new arrayClass(0)) &&
        data.length % perElement(dtype) === 0
      : Array.isArray(data) && data.every((element) => fitsElement(storage.kind, element));
  if (fits) return;
  const required =
    storage.kind === 'text'
      ? 'an array of strings'
      : storage.kind === 'bytes'
        ? 'an array of Uint8Arrays'
        : storage.kind === 'object'
          ? 'an array'
          : `an instance of ${arrayClass.name}${perElement(dtype) === 1 ? '' : ` with ${perElement(dtype)} numbers per element`}`;
  throw new UsageError(`the data for dtype ${dtype.name} must be ${required}`);
}

function arrayClassOf({ storage }: Dtype): { readonly name: string; new (length: number): TypedArray } {
  return storage.kind === 'numbers'
    ? (storage.array as unknown as { readonly name: string; new (length: number): TypedArray })
    : Float32Array;
}

function fitsElement(kind: string, element: unknown): boolean {
  if (kind === 'text') return typeof element === 'string';
  return kind === 'bytes' ? element instanceof Uint8Array : true;
}
