import type { Targets } from '../engines/targets.js';
import { MAP_OPTIONS, type MapOptions, readMapArguments } from './map-arguments.js';
import type { MapResult, ViewResult } from './view-result.js';
import { type Callable, nameOf } from './work.js';

/** A function that runs on engines. Mirrors ipyparallel `RemoteFunction`. */
export interface RemoteFunction<A extends unknown[], T extends Targets, R> {
  (...args: A): ViewResult<T, R>;
  /** The function that runs on the engines. */
  readonly func: Callable;
}

/** Options of `parallel`. */
export type ParallelOptions = MapOptions;

/** A function that runs on parts of sequences on engines. Mirrors ipyparallel `ParallelFunction`. */
export interface ParallelFunction<E, R> {
  /** Calls the function with parts of sequences of the same length and returns the parts' results as one list. */
  (...sequences: readonly Iterable<E>[]): MapResult<R>;
  /** Calls the function for each element. */
  map(...sequences: readonly Iterable<unknown>[]): MapResult<unknown>;
  /** The function that runs on the engines. */
  readonly func: Callable;
}

export function remoteFunction<A extends unknown[], T extends Targets, R>(
  fn: Callable,
  call: (args: A) => ViewResult<T, R>,
): RemoteFunction<A, T, R> {
  return withNameOf(
    Object.assign((...args: A) => call(args), { func: fn }),
    fn,
  );
}

export function parallelFunction<E, R>(
  fn: Callable,
  mapParts: (sequences: readonly Iterable<unknown>[], mapping: boolean) => MapResult<R>,
): ParallelFunction<E, R> {
  const sequencesOf = (args: readonly unknown[]) =>
    readMapArguments<MapOptions>(args, MAP_OPTIONS, nameOf(fn)).sequences;
  return withNameOf(
    Object.assign((...sequences: readonly Iterable<E>[]) => mapParts(sequencesOf(sequences), false), {
      map: (...sequences: readonly Iterable<unknown>[]) => mapParts(sequencesOf(sequences), true),
      func: fn,
    }),
    fn,
  );
}

function withNameOf<F extends object>(target: F, fn: Callable): F {
  return Object.defineProperty(target, 'name', { value: nameOf(fn), configurable: true });
}
