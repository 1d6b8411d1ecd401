import { readFileSync } from 'node:fs';
import { type PyCallable, type PyReference, UsageError } from '@ipyparallel-js/protocol';
import { checkOptions } from '@ipyparallel-js/protocol/internal';
import type { Targets } from '../engines/targets.js';
import type { ExecuteReply } from '../tasks/task-outcome.js';
import { IMAP_OPTIONS, type ImapOptions, type LazyMap } from './lazy-map.js';
import {
  MAP_OPTIONS,
  type MapArguments,
  type MapOptions,
  type OneResult,
  readMapArguments,
} from './map-arguments.js';
import {
  type ParallelFunction,
  type ParallelOptions,
  parallelFunction,
  type RemoteFunction,
  remoteFunction,
} from './remote-function.js';
import type { ViewFlags } from './view-flags.js';
import type { MapResult, PerTarget, ViewResult } from './view-result.js';
import { type Callable, executeWork, type WorkFor, workOfCall } from './work.js';

/** Options of `execute`. */
export interface ExecuteOptions extends ViewFlags {
  /** Suppresses the publication of output and result; false by default. */
  readonly silent?: boolean;
}

/**
 * The methods of all views that submit work: code, a function call, a map. Subclasses divide the work into tasks and
 * choose the engines.
 */
export abstract class ViewCalls<T extends Targets, F extends ViewFlags> {
  /**
   * Executes code: Python on Python engines, JavaScript on JavaScript engines. Unlike Python's client, it publishes output
   * and the value of the last expression by default. Mirrors ipyparallel `DirectView.execute`.
   */
  execute(code: string, options: ExecuteOptions = {}): ViewResult<T, ExecuteReply> {
    const { silent, ...flags } = this.executeOptions(options);
    return this.submit(executeWork(code, { silent: silent === true }), flags as Partial<F>);
  }

  /**
   * Executes a local file on the engines. Mirrors ipyparallel `DirectView.run`.
   * @throws {UsageError} when the file cannot be read
   */
  run(file: string | URL, options: ExecuteOptions = {}): ViewResult<T, ExecuteReply> {
    let code: string;
    try {
      code = readFileSync(file, 'utf8');
    } catch (cause) {
      throw new UsageError(`${String(file)} cannot be read: ${String(cause)}`, { cause });
    }
    return this.execute(`${code}\n`, options);
  }

  /**
   * Calls a function on engines. A JavaScript function is sent as its source, without its closure; arguments and results
   * must be structured-cloneable. A Python function (`py`, `ref`) accepts values that can be pickled, and `kwargs` as the
   * last argument. Mirrors ipyparallel `View.apply`.
   * @throws {UsageError} when the function or an argument cannot be sent
   * @example
   * const sum = await view.apply((a: number, b: number) => a + b, 1, 2).get();
   * const root = await view.apply(py<number>`lambda x: x ** 0.5`, 2).get();
   */
  apply<A extends unknown[], R>(fn: (...args: A) => R, ...args: A): ViewResult<T, OneResult<R>>;
  apply<R>(fn: PyCallable<R>, ...args: readonly unknown[]): ViewResult<T, R>;
  apply(fn: PyReference, ...args: readonly unknown[]): ViewResult<T, unknown>;
  apply(fn: Callable, ...args: readonly unknown[]): ViewResult<T, unknown> {
    return this.submit(workOfCall(fn, args));
  }

  /** Python's name for {@link apply}, which never blocks. Mirrors ipyparallel `View.apply_async`. */
  get applyAsync(): this['apply'] {
    return this.apply;
  }

  /** Calls {@link apply} and returns a promise of its value. Mirrors ipyparallel `View.apply_sync`. */
  applySync<A extends unknown[], R>(fn: (...args: A) => R, ...args: A): Promise<PerTarget<T, OneResult<R>>>;
  applySync<R>(fn: PyCallable<R>, ...args: readonly unknown[]): Promise<PerTarget<T, R>>;
  applySync(fn: PyReference, ...args: readonly unknown[]): Promise<PerTarget<T, unknown>>;
  applySync(fn: Callable, ...args: readonly unknown[]): Promise<unknown> {
    return this.submit(workOfCall(fn, args)).get();
  }

  /**
   * Calls a function for each element of one or more sequences, up to the end of the shortest; the last argument may be
   * options. The result has the order of the elements. Mirrors ipyparallel `View.map`.
   * @throws {UsageError} when the function or an element cannot be sent
   * @example
   * const squares = await view.map((x: number) => x * x, [1, 2, 3], { chunksize: 2 }).get();
   */
  map<A, R>(fn: (a: A) => R, a: Iterable<A>, options?: MapOptions): MapResult<OneResult<R>>;
  map<A, B, R>(
    fn: (a: A, b: B) => R,
    a: Iterable<A>,
    b: Iterable<B>,
    options?: MapOptions,
  ): MapResult<OneResult<R>>;
  map<A, B, C, R>(
    fn: (a: A, b: B, c: C) => R,
    a: Iterable<A>,
    b: Iterable<B>,
    c: Iterable<C>,
    options?: MapOptions,
  ): MapResult<OneResult<R>>;
  map<R>(fn: PyCallable<R>, ...sequencesAndOptions: MapArguments): MapResult<R>;
  map(fn: PyReference, ...sequencesAndOptions: MapArguments): MapResult<unknown>;
  map(fn: Callable, ...sequencesAndOptions: readonly unknown[]): MapResult<unknown> {
    const { sequences, options } = readMapArguments<MapOptions>(sequencesAndOptions, MAP_OPTIONS, 'map');
    return this.mapParts(fn, sequences, options, true);
  }

  /** Python's name for {@link map}, which never blocks. Mirrors ipyparallel `View.map_async`. */
  get mapAsync(): this['map'] {
    return this.map;
  }

  /** Calls {@link map} and returns a promise of the list. Mirrors ipyparallel `View.map_sync`. */
  mapSync<A, R>(fn: (a: A) => R, a: Iterable<A>, options?: MapOptions): Promise<OneResult<R>[]>;
  mapSync<A, B, R>(
    fn: (a: A, b: B) => R,
    a: Iterable<A>,
    b: Iterable<B>,
    options?: MapOptions,
  ): Promise<OneResult<R>[]>;
  mapSync<A, B, C, R>(
    fn: (a: A, b: B, c: C) => R,
    a: Iterable<A>,
    b: Iterable<B>,
    c: Iterable<C>,
    options?: MapOptions,
  ): Promise<OneResult<R>[]>;
  mapSync<R>(fn: PyCallable<R>, ...sequencesAndOptions: MapArguments): Promise<R[]>;
  mapSync(fn: PyReference, ...sequencesAndOptions: MapArguments): Promise<unknown[]>;
  async mapSync(fn: Callable, ...sequencesAndOptions: readonly unknown[]): Promise<unknown[]> {
    const { sequences, options } = readMapArguments<MapOptions>(sequencesAndOptions, MAP_OPTIONS, 'map');
    return this.mapParts(fn, sequences, options, true).get();
  }

  /**
   * Maps lazily: reads its sync or async sequences as results are consumed. At most `maxOutstanding` tasks (by default the
   * number of engines) of `chunksize` elements are in flight. It yields results in order or, with `ordered: false`, as
   * their tasks end. Leaving the loop early stops reading and aborts tasks that have not begun. Mirrors ipyparallel
   * `LoadBalancedView.imap`.
   */
  imap<A, R>(
    fn: (a: A) => R,
    a: Iterable<A> | AsyncIterable<A>,
    options?: ImapOptions,
  ): LazyMap<OneResult<R>>;
  imap<A, B, R>(
    fn: (a: A, b: B) => R,
    a: Iterable<A> | AsyncIterable<A>,
    b: Iterable<B> | AsyncIterable<B>,
    options?: ImapOptions,
  ): LazyMap<OneResult<R>>;
  imap<R>(fn: PyCallable<R>, ...sequencesAndOptions: MapArguments<ImapOptions, true>): LazyMap<R>;
  imap(fn: PyReference, ...sequencesAndOptions: MapArguments<ImapOptions, true>): LazyMap<unknown>;
  imap(fn: Callable, ...sequencesAndOptions: readonly unknown[]): LazyMap<unknown> {
    const { sequences, options } = readMapArguments<ImapOptions>(sequencesAndOptions, IMAP_OPTIONS, 'imap');
    return this.lazyMap(fn, sequences, options);
  }

  /** Returns a function that calls {@link apply} with these flags. Mirrors ipyparallel `View.remote`. */
  remote<A extends unknown[], R>(
    fn: (...args: A) => R,
    flags?: Partial<F>,
  ): RemoteFunction<A, T, OneResult<R>>;
  remote<R>(fn: PyCallable<R>, flags?: Partial<F>): RemoteFunction<unknown[], T, R>;
  remote(fn: PyReference, flags?: Partial<F>): RemoteFunction<unknown[], T, unknown>;
  remote(fn: Callable, flags: Partial<F> = {}): RemoteFunction<never[], T, unknown> {
    this.checkFlags(flags);
    return remoteFunction(fn, (args) => this.submit(workOfCall(fn, args), flags));
  }

  /**
   * Returns a function that runs on parts of its sequences and joins the results; its method `map` calls it for each
   * element. Mirrors ipyparallel `View.parallel`.
   */
  parallel<E, R>(fn: (part: E[]) => R[], options?: ParallelOptions): ParallelFunction<E, R>;
  parallel<R>(fn: PyCallable<R[]> | PyReference, options?: ParallelOptions): ParallelFunction<unknown, R>;
  parallel(fn: Callable, options: ParallelOptions = {}): ParallelFunction<never, unknown> {
    checkOptions(options, MAP_OPTIONS, 'parallel');
    return parallelFunction(fn, (sequences, mapping) => this.mapParts(fn, sequences, options, mapping));
  }

  /** @internal Submits work with the flags of the view and of a call. */
  protected abstract submit<R>(work: WorkFor, flags?: Partial<F>): ViewResult<T, R>;

  /** @internal Calls a function on parts of sequences, or (`mapping`) for each of their elements. */
  protected abstract mapParts<R>(
    fn: Callable,
    sequences: readonly Iterable<unknown>[],
    options: MapOptions,
    mapping: boolean,
  ): MapResult<R>;

  /** @internal */
  protected abstract lazyMap(
    fn: Callable,
    sequences: readonly (Iterable<unknown> | AsyncIterable<unknown>)[],
    options: ImapOptions,
  ): LazyMap<unknown>;

  /** @internal Checks the options of `execute`. @throws {UsageError} for an unknown option */
  protected executeOptions(options: ExecuteOptions): ExecuteOptions {
    const { silent, ...flags } = options;
    this.checkFlags(flags, ['silent']);
    return options;
  }

  /** @internal @throws {UsageError} for a flag that the view does not have */
  protected abstract checkFlags(flags: object, more?: readonly string[]): void;
}
