import { type TaskResult, UsageError } from '@ipyparallel-js/protocol';
import { checkOptions, type OptionNames } from '@ipyparallel-js/protocol/internal';
import type { Distribution } from './partition.js';

/** What a function's result is once it has come back. */
export type OneResult<R> = TaskResult<R>;

/** Options of `map`. */
export interface MapOptions {
  /** How many elements make a task, 1 by default; on load-balanced views only, direct ones have a task per engine. */
  readonly chunksize?: number;
  /** How elements are spread over engines; `block` by default. On direct views only. */
  readonly dist?: Distribution;
  /** Whether iterating the result gives elements in order, as by default, or as they come. */
  readonly ordered?: boolean;
  /** Puts errors in the places of the elements that failed, instead of failing; false by default. */
  readonly returnExceptions?: boolean;
  /** A label, instead of the view's. */
  readonly label?: string;
}

export const MAP_OPTIONS: OptionNames<MapOptions> = {
  chunksize: true,
  ordered: true,
  returnExceptions: true,
  label: true,
  dist: true,
};

/** Sequences, then perhaps options. */
export type MapArguments<O = MapOptions, Async extends boolean = false> =
  | readonly Sequence<Async>[]
  | readonly [...Sequence<Async>[], O];

type Sequence<Async extends boolean> =
  | Iterable<unknown>
  | (Async extends true ? AsyncIterable<unknown> : never);

/** Tells sequences from options, which are the last argument when it cannot be iterated. @throws UsageError */
export function readMapArguments<O extends object>(
  args: readonly unknown[],
  names: OptionNames<O>,
  what: string,
): { readonly sequences: readonly Iterable<unknown>[]; readonly options: O } {
  const last = args.at(-1);
  const hasOptions = args.length > 1 && (last === undefined || !isSequence(last));
  const sequences = hasOptions ? args.slice(0, -1) : args;
  if (sequences.length === 0) throw new UsageError('a map needs a sequence');
  for (const [i, sequence] of sequences.entries()) {
    if (!isSequence(sequence)) {
      throw new UsageError(
        `a map takes iterables; argument ${i + 1} after the function is ${kindOf(sequence)}`,
      );
    }
  }
  if (hasOptions && last !== undefined && (typeof last !== 'object' || last === null)) {
    throw new UsageError(`the options of a map are an object, not ${kindOf(last)}`);
  }
  const options = hasOptions && last !== undefined ? (last as O) : ({} as O);
  checkOptions(options, names, what);
  return { sequences: sequences as readonly Iterable<unknown>[], options };
}

/** @throws UsageError unless it is an integer from `least` on */
export function checkCount(value: number, least: number, what: string): number {
  if (Number.isInteger(value) && value >= least) return value;
  throw new UsageError(`${what} is an integer from ${least} on, not ${String(value)}`);
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
