import { type TaskResult, UsageError } from '@ipyparallel-js/protocol';
import { checkOptions, type OptionNames } from '@ipyparallel-js/protocol/internal';
import type { Distribution } from './partition.js';

/** The type of a function's result after it was sent back. */
export type OneResult<R> = TaskResult<R>;

/** Options of `map`. */
export interface MapOptions {
  /** The number of elements per task; 1 by default. For load-balanced views only; direct views submit one task per engine. */
  readonly chunksize?: number;
  /** How elements are distributed to engines; `block` by default. For direct views only. */
  readonly dist?: Distribution;
  /** Whether iterating the result yields elements in order, not as their tasks end; true by default. */
  readonly ordered?: boolean;
  /** Returns errors in place of the elements that failed, instead of throwing; false by default. */
  readonly returnExceptions?: boolean;
  /** A label that replaces the view's. */
  readonly label?: string;
}

export const MAP_OPTIONS: OptionNames<MapOptions> = {
  chunksize: true,
  ordered: true,
  returnExceptions: true,
  label: true,
  dist: true,
};

/** Sequences, optionally followed by options. */
export type MapArguments<O = MapOptions, Async extends boolean = false> =
  | readonly Sequence<Async>[]
  | readonly [...Sequence<Async>[], O];

type Sequence<Async extends boolean> =
  | Iterable<unknown>
  | (Async extends true ? AsyncIterable<unknown> : never);

/** Separates sequences from options: the last argument is the options if it is not iterable. @throws {UsageError} for other values */
export function readMapArguments<O extends object>(
  args: readonly unknown[],
  names: OptionNames<O>,
  what: string,
): { readonly sequences: readonly Iterable<unknown>[]; readonly options: O } {
  const last = args.at(-1);
  const hasOptions = args.length > 1 && (last === undefined || !isSequence(last));
  const sequences = hasOptions ? args.slice(0, -1) : args;
  if (sequences.length === 0)
    throw new UsageError('a map must have at least one sequence after its function');
  for (const [i, sequence] of sequences.entries()) {
    if (!isSequence(sequence)) {
      throw new UsageError(
        `argument ${i + 1} after the function of a map must be iterable, got ${kindOf(sequence)}`,
      );
    }
  }
  if (hasOptions && last !== undefined && (typeof last !== 'object' || last === null)) {
    throw new UsageError(`the options of a map must be an object, got ${kindOf(last)}`);
  }
  const options = hasOptions && last !== undefined ? (last as O) : ({} as O);
  checkOptions(options, names, what);
  return { sequences: sequences as readonly Iterable<unknown>[], options };
}

/** @throws {UsageError} unless the value is an integer >= `least` */
export function checkCount(value: number, least: number, what: string): number {
  if (Number.isInteger(value) && value >= least) return value;
  throw new UsageError(`${what} must be an integer >= ${least}, got ${String(value)}`);
}

function isSequence(value: unknown): boolean {
  if (typeof value === 'string') return true;
  return (
    typeof value === 'object' && value !== null && (Symbol.iterator in value || Symbol.asyncIterator in value)
  );
}

function kindOf(value: unknown): string {
  return value === null ? 'null' : typeof value;
}
