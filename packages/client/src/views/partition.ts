import { NdArray, UsageError } from '@ipyparallel-js/protocol';
import { describe } from '@ipyparallel-js/protocol/internal';

/**
 * How a sequence is distributed: `block` gives each part consecutive elements (with a remainder, the first parts are longer
 * by one), `roundRobin` gives element `i` to part `i % parts`. Mirrors `dist` of ipyparallel, `b` and `r`.
 */
export type Distribution = 'block' | 'roundRobin';

/** A sequence that can be divided. */
export interface Sliceable {
  readonly length: number;
  /** The elements from `low` to before `high`; arrays share their memory. */
  between(low: number, high: number): unknown;
  /** Every `step`th element, beginning at `from`. */
  everyNth(from: number, step: number): unknown;
  /** One element. */
  at(index: number): unknown;
}

/** A part of a sequence. */
export interface Part {
  readonly value: unknown;
  readonly length: number;
  /** The index of its first element in the sequence. */
  readonly first: number;
}

/** Makes a sequence divisible: numpy arrays along their first axis; other iterables than arrays are copied to a list. */
export function toSliceable(sequence: Iterable<unknown>): Sliceable {
  if (sequence instanceof NdArray) return new NumpySlices(sequence);
  if (ArrayBuffer.isView(sequence) && 'subarray' in sequence) {
    const array = sequence as unknown as Uint8Array;
    return {
      length: array.length,
      between: (low, high) => array.subarray(low, high),
      everyNth: (from, step) => array.filter((_, i) => i % step === from),
      at: (index) => array[index],
    };
  }
  if (typeof sequence !== 'string' && (typeof sequence !== 'object' || sequence === null)) {
    throw new UsageError(
      `a sequence to distribute must be a list, a typed array or another iterable, got ${typeof sequence}`,
    );
  }
  const list: readonly unknown[] = Array.isArray(sequence) ? sequence : [...sequence];
  return {
    length: list.length,
    between: (low, high) => list.slice(low, high),
    everyNth: (from, step) => list.filter((_, i) => i % step === from),
    at: (index) => list[index],
  };
}

class NumpySlices implements Sliceable {
  readonly #array: NdArray;
  readonly length: number;
  /** The shape of one element along the first axis. */
  readonly #shape: readonly number[];
  readonly #width: number;

  constructor(array: NdArray) {
    const [length] = array.shape;
    if (length === undefined)
      throw new UsageError(
        'a numpy array without axes holds one value and cannot be distributed; pass an array with at least one axis',
      );
    if (array.fortranOrder && array.shape.length > 1) {
      throw new UsageError('an array in Fortran order cannot be distributed; convert it to C order');
    }
    this.#array = array;
    this.length = length;
    this.#shape = array.shape.slice(1);
    this.#width = length === 0 ? 0 : array.data.length / length;
  }

  between(low: number, high: number): NdArray {
    const { data, dtype } = this.#array;
    const [from, to] = [low * this.#width, high * this.#width];
    const cut = 'subarray' in data ? data.subarray(from, to) : data.slice(from, to);
    return new NdArray(cut as NdArray['data'], { dtype, shape: [high - low, ...this.#shape] });
  }

  everyNth(from: number, step: number): NdArray {
    const { data, dtype } = this.#array;
    const isInPart = (index: number): boolean => Math.floor(index / this.#width) % step === from;
    const cut = (data as readonly unknown[]).filter((_, index) => isInPart(index));
    const length = Math.max(0, Math.ceil((this.length - from) / step));
    return new NdArray(cut as NdArray['data'], { dtype, shape: [length, ...this.#shape] });
  }

  at(index: number): unknown {
    if (this.#shape.length === 0) return this.#array.at(index);
    const { data, dtype } = this.between(index, index + 1);
    return new NdArray(data, { dtype, shape: this.#shape });
  }
}

/** Returns part `index` of `parts`. */
export function part(sequence: Sliceable, index: number, parts: number, distribution: Distribution): Part {
  const { length } = sequence;
  if (distribution === 'roundRobin') {
    return {
      value: sequence.everyNth(index, parts),
      length: Math.max(0, Math.ceil((length - index) / parts)),
      first: index,
    };
  }
  const rest = length % parts;
  const size = Math.floor(length / parts) + (index < rest ? 1 : 0);
  const low = index * Math.floor(length / parts) + Math.min(index, rest);
  return { value: sequence.between(low, low + size), length: size, first: low };
}

/** @throws {UsageError} for another value */
export function checkDistribution(distribution: unknown): Distribution {
  if (distribution === 'block' || distribution === 'roundRobin') return distribution;
  throw new UsageError(`dist must be 'block' or 'roundRobin', got ${describe(distribution)}`);
}

/**
 * Makes sequences divisible. For a map they are cut to the shortest; otherwise they must have the same length.
 * @throws {UsageError} when their lengths differ
 */
export function toSliceables(
  sequences: readonly Iterable<unknown>[],
  mapping: boolean,
): { readonly sliceables: readonly Sliceable[]; readonly length: number } {
  const sliceables = sequences.map(toSliceable);
  const lengths = sliceables.map((sliceable) => sliceable.length);
  const length = Math.min(...lengths);
  if (!mapping && lengths.some((each) => each !== length)) {
    throw new UsageError(`the sequences must have the same length, got ${lengths.join(', ')}`);
  }
  return {
    sliceables: sliceables.map((sliceable) =>
      sliceable.length === length
        ? sliceable
        : toSliceable(sliceable.between(0, length) as Iterable<unknown>),
    ),
    length,
  };
}
