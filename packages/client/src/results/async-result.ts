import { CompositeError, UsageError } from '@ipyparallel-js/protocol';
import { checkOptions, type OptionNames } from '@ipyparallel-js/protocol/internal';
import {
  type Deadline,
  pause,
  startDeadline,
  WAIT_OPTIONS,
  type WaitOptions,
  withinDeadline,
} from '@ipyparallel-js/wire';
import type { Outcome } from '../tasks/task.js';
import { completions, type Settled, settledAsCompleted, settledInOrder, valuesOf } from './iteration.js';
import { PROGRESS_BAR_OPTIONS, ProgressBar, type ProgressBarOptions } from './progress-bar.js';
import { type Reassembly, reassemble } from './reassembly.js';
import { TaskGroup } from './task-group.js';

/** The type of one element of a result: the items of a list, else the result itself. */
export type ElementOf<T> = T extends readonly (infer E)[] ? E : T;

/** When a wait ends: after all tasks, the first task, or the first failure. */
export type ReturnWhen = 'all' | 'firstCompleted' | 'firstException';

/** Options of `get`. */
export interface GetOptions extends WaitOptions {
  /** With `firstException`, `get` fails at the first failure; `all` by default. */
  readonly returnWhen?: 'all' | 'firstException';
}

const WAIT_WHEN_OPTIONS: OptionNames<WaitOptions & { returnWhen?: ReturnWhen }> = {
  ...WAIT_OPTIONS,
  returnWhen: true,
};

const GET_OPTIONS: OptionNames<GetOptions> = WAIT_WHEN_OPTIONS;

const GET_DICT_OPTIONS: OptionNames<WaitOptions & { lists?: boolean }> = { ...WAIT_OPTIONS, lists: true };

/** Options of `waitInteractive`. */
export interface WaitInteractiveOptions extends WaitOptions, ProgressBarOptions {
  /** The interval of updates in ms; 100 by default on a terminal, else 5,000. */
  readonly interval?: number;
  /** `all` by default. */
  readonly returnWhen?: ReturnWhen;
}

/** @deprecated Use {@link WaitInteractiveOptions}. */
export type InteractiveOptions = WaitInteractiveOptions;

const WAIT_INTERACTIVE_OPTIONS: OptionNames<WaitInteractiveOptions> = {
  ...WAIT_WHEN_OPTIONS,
  ...PROGRESS_BAR_OPTIONS,
  interval: true,
};

/**
 * The result of one or several tasks of any client, created by views and by `Client.getResult`. One id or engine gives
 * one value, a list gives a list, and a map gives its elements. `T` is the value of `get`, `E` one element of it, and `P`
 * the value of one part (`split`). It is not a promise, so that an unread failure causes no unhandled rejection. Mirrors
 * ipyparallel `AsyncResult`.
 */
export class AsyncResult<T, E = ElementOf<T>, P = E> extends TaskGroup {
  /**
   * Joins several results into one list of their elements. Maps can be joined with maps only. Mirrors ipyparallel
   * `AsyncResult.join`.
   * @throws {UsageError} when no result is given, or the results cannot be joined
   */
  static join<E>(...results: readonly AsyncResult<unknown, E, unknown>[]): AsyncResult<E[], E> {
    const [first] = results;
    if (first === undefined)
      throw new UsageError('join must be called with at least one AsyncResult, got none');
    const maps = results.flatMap((result) => result.shape.reassembly ?? []);
    const tasks = results.flatMap((result) => result.tasks);
    if (maps.length === 0) return new AsyncResult(tasks, { single: false });
    if (maps.length < results.length)
      throw new UsageError(
        'join takes either maps only or no maps, because the results of a map are chunks of elements',
      );
    if (results.length > 1 && maps.some(({ kind }) => kind !== 'flatten'))
      throw new UsageError(
        'round-robin maps cannot be joined, because the order of their elements would be lost',
      );
    const sizes = maps.flatMap((reassembly) => reassembly.sizes ?? []);
    const hasAllSizes = maps.every((reassembly) => reassembly.sizes !== undefined);
    const { sizes: _, ...rest } = maps[0] ?? { kind: 'flatten' as const };
    return new AsyncResult(tasks, { single: false, reassembly: hasAllSizes ? { ...rest, sizes } : rest });
  }

  /**
   * Waits until all tasks have ended and returns the value. Without a `timeout` it waits indefinitely. Mirrors
   * ipyparallel `AsyncResult.get`.
   * @throws {RemoteError} when the single task failed
   * @throws {CompositeError} when tasks of a list failed
   * @throws {TimeoutError} when tasks have not ended within `timeout` ms
   */
  async get(options: GetOptions = {}): Promise<T> {
    checkOptions(options, GET_OPTIONS, 'get');
    checkReturnWhen(options.returnWhen, ['all', 'firstException']);
    const deadline = startDeadline(options, Number.POSITIVE_INFINITY);
    const { single, reassembly } = this.shape;
    if (options.returnWhen === 'firstException' && !this.ready) await this.#failFast(deadline);
    const outcomes = await this.#settled(deadline);
    this.#markRead();
    if (reassembly?.returnErrors !== true) this.#throwFailures(outcomes);
    const values = outcomes.map((outcome, i) => {
      if (outcome.ok) return outcome.value;
      return new Array<unknown>(reassembly?.sizes?.[i] ?? 1).fill(outcome.error);
    });
    if (reassembly !== undefined) return reassemble(values, reassembly) as T;
    return (single ? values[0] : values) as T;
  }

  /** Python's name for `get()`. */
  result(options: WaitOptions = {}): Promise<T> {
    return this.get(options);
  }

  /**
   * Python's name for `get()`.
   * @deprecated Use {@link get}: a getter must not start work.
   */
  get r(): Promise<T> {
    return this.get();
  }

  /** Waits until all tasks have ended. @returns the error that `get` would throw; null without one */
  async exception(options: WaitOptions = {}): Promise<Error | null> {
    checkOptions(options, WAIT_OPTIONS, 'exception');
    const outcomes = await this.#settled(startDeadline(options, Number.POSITIVE_INFINITY));
    try {
      this.#throwFailures(outcomes);
      return null;
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
  }

  /** Waits until all tasks have ended and returns the outcome of each element, like `Promise.allSettled`. */
  async settled(options: WaitOptions = {}): Promise<Settled<E>[]> {
    checkOptions(options, WAIT_OPTIONS, 'settled');
    const all: Settled<unknown>[] = [];
    const { reassembly } = this.shape;
    const deadline = startDeadline(options, Number.POSITIVE_INFINITY);
    for await (const one of settledInOrder(this.tasks, reassembly, deadline, this.createTimeoutError))
      all.push(one);
    return all as Settled<E>[];
  }

  /**
   * Waits until all tasks have ended and returns the results by engine id; with `lists`, a list for each engine. Mirrors
   * ipyparallel `AsyncResult.get_dict`.
   * @throws {UsageError} when several tasks ran on one engine and `lists` is not set, or the engine of a task is unknown
   * @throws as {@link get}
   */
  async getDict(options: WaitOptions & { readonly lists: true }): Promise<Map<number, P[]>>;
  async getDict(options?: WaitOptions & { readonly lists?: false }): Promise<Map<number, P>>;
  async getDict(options: WaitOptions & { readonly lists?: boolean } = {}): Promise<Map<number, unknown>> {
    checkOptions(options, GET_DICT_OPTIONS, 'getDict');
    const outcomes = await this.#settled(startDeadline(options, Number.POSITIVE_INFINITY));
    this.#markRead();
    this.#throwFailures(outcomes);
    const results = new Map<number, unknown[]>();
    for (const [i, task] of this.tasks.entries()) {
      const { engineId } = task.metadata;
      const outcome = outcomes[i];
      if (outcome === undefined || !outcome.ok) continue;
      if (engineId === null) throw new UsageError(`the engine of task ${task.msgId} is unknown`);
      const list = results.get(engineId);
      if (list === undefined) results.set(engineId, [outcome.value]);
      else list.push(outcome.value);
    }
    if (options.lists === true) return results;
    for (const [engineId, list] of results) {
      if (list.length > 1)
        throw new UsageError(
          `${list.length} tasks ran on engine ${engineId}; pass { lists: true } to get a list for each engine`,
        );
    }
    return new Map([...results].map(([engineId, [value]]) => [engineId, value]));
  }

  /**
   * Python's name for `getDict()`.
   * @deprecated Use {@link getDict}: a getter must not start work.
   */
  get resultDict(): Promise<Map<number, P>> {
    return this.getDict();
  }

  /**
   * Waits until all tasks have ended, failed ones included, or `timeout` is over. With another `returnWhen` it waits for
   * the first end or the first failure.
   * @returns whether all tasks ended in time; with another `returnWhen` the ended and the pending parts
   */
  async wait(options?: WaitOptions & { readonly returnWhen?: 'all' }): Promise<boolean>;
  async wait(
    options: WaitOptions & { readonly returnWhen: 'firstCompleted' | 'firstException' },
  ): Promise<{ readonly done: readonly AsyncResult<P, E>[]; readonly pending: readonly AsyncResult<P, E>[] }>;
  async wait(options: WaitOptions & { readonly returnWhen?: ReturnWhen } = {}): Promise<unknown> {
    checkOptions(options, WAIT_WHEN_OPTIONS, 'wait');
    const { returnWhen = 'all' } = options;
    const inTime = await this.#waitFor(startDeadline(options, Number.POSITIVE_INFINITY), returnWhen);
    if (returnWhen === 'all') return inTime;
    const parts = this.split();
    return { done: parts.filter(({ ready }) => ready), pending: parts.filter(({ ready }) => !ready) };
  }

  /**
   * Waits like {@link wait} and shows the progress: as a bar on a terminal, else as a line at each interval. Mirrors
   * ipyparallel `AsyncResult.wait_interactive`.
   * @returns whether the wait ended within `timeout`
   */
  async waitInteractive(options: WaitInteractiveOptions = {}): Promise<boolean> {
    checkOptions(options, WAIT_INTERACTIVE_OPTIONS, 'waitInteractive');
    const { returnWhen = 'all' } = options;
    const unit = this.shape.reassembly?.sizes === undefined ? 'tasks' : 'elements';
    const bar = new ProgressBar({ unit, ...options });
    const interval = options.interval ?? (bar.redraws ? 100 : 5_000);
    if (!(interval > 0))
      throw new UsageError(`interval must be a number of milliseconds > 0, got ${String(interval)}`);
    const deadline = startDeadline(options, Number.POSITIVE_INFINITY);
    const endController = new AbortController();
    try {
      const waiting = this.#waitFor(deadline, returnWhen).finally(() => endController.abort());
      // The failure is thrown below.
      waiting.catch(() => undefined);
      while (!endController.signal.aborted) {
        bar.show(this.progress);
        await pause(interval, endController.signal);
      }
      return await waiting;
    } finally {
      bar.close(this.progress);
    }
  }

  /**
   * Iterates over the elements as soon as they are available: in order, or for an unordered map as their tasks end. The
   * iteration throws the error of the first failed task.
   * @throws {UsageError} when the result holds one value
   */
  [Symbol.asyncIterator](): AsyncGenerator<E, void, undefined> {
    return this.shape.reassembly?.ordered === false ? this.asCompleted() : this.inOrder();
  }

  /** Iterates over the elements in order. `timeout` applies to the whole iteration. */
  inOrder(options: WaitOptions = {}): AsyncGenerator<E, void, undefined> {
    return this.#values(settledInOrder, options);
  }

  /** Iterates over the elements in the order in which their tasks end. `timeout` applies to the whole iteration. */
  asCompleted(options: WaitOptions = {}): AsyncGenerator<E, void, undefined> {
    return this.#values(settledAsCompleted, options);
  }

  /** Iterates over the outcomes of the elements in the order in which their tasks end. `timeout` applies to the whole iteration. */
  asSettled(options: WaitOptions = {}): AsyncGenerator<Settled<E>, void, undefined> {
    checkOptions(options, WAIT_OPTIONS, 'asSettled');
    const deadline = startDeadline(options, Number.POSITIVE_INFINITY);
    const { reassembly } = this.shape;
    return settledAsCompleted(this.tasks, reassembly, deadline, this.createTimeoutError) as AsyncGenerator<
      Settled<E>,
      void,
      undefined
    >;
  }

  /** Returns one result for each task; for a map, one for each chunk. Mirrors ipyparallel `AsyncResult.split`. */
  split(): readonly AsyncResult<P, E>[] {
    const { reassembly } = this.shape;
    return this.tasks.map((task, i) => {
      if (reassembly === undefined) return new AsyncResult([task], { single: true });
      const size = reassembly.sizes?.[i];
      const { sizes: _, ...rest } = reassembly;
      const part: Reassembly = { ...rest, kind: 'flatten', ...(size === undefined ? {} : { sizes: [size] }) };
      return new AsyncResult([task], { single: false, reassembly: part });
    });
  }

  #markRead(): void {
    for (const task of this.tasks) task.owner?.markRead(task);
  }

  #values(iterate: typeof settledInOrder, options: WaitOptions): AsyncGenerator<E, void, undefined> {
    checkOptions(options, WAIT_OPTIONS, 'iteration');
    const { single, reassembly } = this.shape;
    if (single) throw new UsageError('this AsyncResult holds one value and cannot be iterated; use get()');
    const deadline = startDeadline(options, Number.POSITIVE_INFINITY);
    const settled = iterate(this.tasks, reassembly, deadline, this.createTimeoutError);
    return valuesOf(settled, reassembly?.returnErrors === true) as AsyncGenerator<E, void, undefined>;
  }

  #throwFailures(outcomes: readonly Outcome[]): void {
    const failures = this.tasks.flatMap((task, i) => {
      const outcome = outcomes[i];
      if (outcome === undefined || outcome.ok) return [];
      return [{ error: outcome.error, msgId: task.msgId, engineId: task.metadata.engineId }];
    });
    const [first] = failures;
    if (first === undefined) return;
    // If the whole submission failed before it was sent, all its tasks share one error object.
    const haveSameError =
      outcomes.length > 1 &&
      failures.length === outcomes.length &&
      failures.every(({ error }) => error === first.error);
    throw this.shape.single || haveSameError ? first.error : new CompositeError(failures);
  }

  async #failFast(deadline: Deadline): Promise<void> {
    for await (const { task, outcome } of completions(this.tasks, deadline, this.createTimeoutError)) {
      if (outcome.ok) continue;
      const { engineId } = task.metadata;
      if (this.shape.single) throw outcome.error;
      throw new CompositeError([{ error: outcome.error, msgId: task.msgId, engineId }]);
    }
  }

  /** Waits as `returnWhen` requires. @returns false when the deadline is over */
  async #waitFor(deadline: Deadline, returnWhen: ReturnWhen): Promise<boolean> {
    if (returnWhen === 'all') return this.inTime(deadline, Promise.all(this.tasks.map(({ done }) => done)));
    checkReturnWhen(returnWhen, ['all', 'firstCompleted', 'firstException']);
    const first = new Promise<void>((resolve) => {
      let unfinishedCount = this.tasks.length;
      if (unfinishedCount === 0) resolve();
      for (const { done } of this.tasks) {
        void done.then((outcome) => {
          unfinishedCount--;
          if (unfinishedCount === 0 || returnWhen === 'firstCompleted' || !outcome.ok) resolve();
        });
      }
    });
    return this.inTime(deadline, first);
  }

  async #settled(deadline: Deadline): Promise<Outcome[]> {
    return withinDeadline(
      deadline,
      Promise.all(this.tasks.map((task) => task.done)),
      this.createTimeoutError,
    );
  }
}

function checkReturnWhen(value: ReturnWhen | undefined, names: readonly ReturnWhen[]): void {
  if (value === undefined || names.includes(value)) return;
  throw new UsageError(
    `returnWhen must be ${names.map((name) => `'${name}'`).join(' or ')}, got ${String(value)}`,
  );
}
