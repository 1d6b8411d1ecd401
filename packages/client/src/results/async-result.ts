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

/** What one element of a result is: of a list its items, else the result itself. */
export type ElementOf<T> = T extends readonly (infer E)[] ? E : T;

/** When a wait is over before all has ended. */
export type ReturnWhen = 'all' | 'firstCompleted' | 'firstException';

/** Options of `get`. */
export interface GetOptions extends WaitOptions {
  /** With `firstException` it fails at the first failure; `all` by default. */
  readonly returnWhen?: 'all' | 'firstException';
}

const WAIT_WHEN_OPTIONS: OptionNames<WaitOptions & { returnWhen?: ReturnWhen }> = {
  ...WAIT_OPTIONS,
  returnWhen: true,
};

const GET_OPTIONS: OptionNames<GetOptions> = WAIT_WHEN_OPTIONS;

const GET_DICT_OPTIONS: OptionNames<WaitOptions & { lists?: boolean }> = { ...WAIT_OPTIONS, lists: true };

/** What `waitInteractive` shows, and how. */
export interface WaitInteractiveOptions extends WaitOptions, ProgressBarOptions {
  /** How often it shows it, in ms; 100 by default on a terminal, 5,000 elsewhere. */
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
 * The results of one or several tasks, own or others'. One id or engine gives one result, a list gives a list, a map its
 * elements. `T` is what `get` gives, `E` an element of it, `P` what `get` gives of a part (`split`). Not itself a promise:
 * a failure nobody reads is no unhandled rejection. Made by views and by `Client.getResult`. Mirrors ipyparallel `AsyncResult`.
 */
export class AsyncResult<T, E = ElementOf<T>, P = E> extends TaskGroup {
  /**
   * Several results as one list, of the elements of each. Maps can be joined with maps only.
   * @throws UsageError for none, or when they do not go together. Mirrors ipyparallel `AsyncResult.join`.
   */
  static join<E>(...results: readonly AsyncResult<unknown, E, unknown>[]): AsyncResult<E[], E> {
    const [first] = results;
    if (first === undefined) throw new UsageError('at least one result is joined');
    const maps = results.flatMap((result) => result.shape.reassembly ?? []);
    const tasks = results.flatMap((result) => result.tasks);
    if (maps.length === 0) return new AsyncResult(tasks, { single: false });
    if (maps.length < results.length)
      throw new UsageError('a map cannot be joined with what is none: its results are chunks of elements');
    if (results.length > 1 && maps.some(({ kind }) => kind !== 'flatten'))
      throw new UsageError('maps dealt out in turn cannot be joined: their order would be lost');
    const sizes = maps.flatMap((reassembly) => reassembly.sizes ?? []);
    const known = maps.every((reassembly) => reassembly.sizes !== undefined);
    const { sizes: _, ...rest } = maps[0] ?? { kind: 'flatten' as const };
    return new AsyncResult(tasks, { single: false, reassembly: known ? { ...rest, sizes } : rest });
  }

  /**
   * Waits until all have ended and gives the result. Without a time-out it waits as long as the hub lives.
   * @throws the task's error; for a list CompositeError; TimeoutError after `timeout` ms; `signal.reason`.
   * Mirrors ipyparallel `AsyncResult.get`.
   */
  async get(options: GetOptions = {}): Promise<T> {
    checkOptions(options, GET_OPTIONS, 'get');
    checkReturnWhen(options.returnWhen, ['all', 'firstException']);
    const deadline = startDeadline(options, Number.POSITIVE_INFINITY);
    const { single, reassembly } = this.shape;
    if (options.returnWhen === 'firstException' && !this.ready) await this.#failFast(deadline);
    const outcomes = await this.#settled(deadline);
    this.#wereRead();
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

  /** Waits until all have ended and gives what `get` would throw; null if nothing. */
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

  /** Waits until all have ended and gives what became of each element, failed or not: like `Promise.allSettled`. */
  async settled(options: WaitOptions = {}): Promise<Settled<E>[]> {
    checkOptions(options, WAIT_OPTIONS, 'settled');
    const all: Settled<unknown>[] = [];
    const { reassembly } = this.shape;
    const deadline = startDeadline(options, Number.POSITIVE_INFINITY);
    for await (const one of settledInOrder(this.tasks, reassembly, deadline, this.timedOut)) all.push(one);
    return all as Settled<E>[];
  }

  /**
   * Waits until all have ended and gives the result of each engine by its id. @throws what `get` throws; UsageError when
   * several tasks ran on one engine, unless with `lists`, or an engine is not known. Mirrors ipyparallel `AsyncResult.get_dict`.
   */
  async getDict(options: WaitOptions & { readonly lists: true }): Promise<Map<number, P[]>>;
  async getDict(options?: WaitOptions & { readonly lists?: false }): Promise<Map<number, P>>;
  async getDict(options: WaitOptions & { readonly lists?: boolean } = {}): Promise<Map<number, unknown>> {
    checkOptions(options, GET_DICT_OPTIONS, 'getDict');
    const outcomes = await this.#settled(startDeadline(options, Number.POSITIVE_INFINITY));
    this.#wereRead();
    this.#throwFailures(outcomes);
    const results = new Map<number, unknown[]>();
    for (const [i, task] of this.tasks.entries()) {
      const { engineId } = task.metadata;
      const outcome = outcomes[i];
      if (outcome === undefined || !outcome.ok) continue;
      if (engineId === null) throw new UsageError(`it is not known on which engine task ${task.msgId} ran`);
      const list = results.get(engineId);
      if (list === undefined) results.set(engineId, [outcome.value]);
      else list.push(outcome.value);
    }
    if (options.lists === true) return results;
    for (const [engineId, list] of results) {
      if (list.length > 1)
        throw new UsageError(
          `${list.length} tasks ran on engine ${engineId}; with { lists: true } each engine has a list`,
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
   * Waits until all have ended: true; or until `timeout` ms are over: false. Failed tasks have ended, too. With another
   * `returnWhen` it gives the parts that have ended and those that have not, when the first has ended, or failed, or the
   * time is over.
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
   * Waits like `wait`, and shows how far it is: a bar on a terminal, a line now and then elsewhere. True when the wait is
   * over, false when `timeout` ms are. Mirrors ipyparallel `AsyncResult.wait_interactive`.
   */
  async waitInteractive(options: WaitInteractiveOptions = {}): Promise<boolean> {
    checkOptions(options, WAIT_INTERACTIVE_OPTIONS, 'waitInteractive');
    const { returnWhen = 'all' } = options;
    const unit = this.shape.reassembly?.sizes === undefined ? 'tasks' : 'elements';
    const bar = new ProgressBar({ unit, ...options });
    const interval = options.interval ?? (bar.redraws ? 100 : 5_000);
    if (!(interval > 0))
      throw new UsageError(`interval is a number of milliseconds, not ${String(interval)}`);
    const deadline = startDeadline(options, Number.POSITIVE_INFINITY);
    const over = new AbortController();
    try {
      const waiting = this.#waitFor(deadline, returnWhen).finally(() => over.abort());
      // What it fails with is thrown below.
      waiting.catch(() => undefined);
      while (!over.signal.aborted) {
        bar.show(this.progress);
        await pause(interval, over.signal);
      }
      return await waiting;
    } finally {
      bar.close(this.progress);
    }
  }

  /**
   * The elements, each as soon as it and those before it are there (of an unordered map: as they come); ends with the
   * error of the first task that failed. @throws UsageError for a single result
   */
  [Symbol.asyncIterator](): AsyncGenerator<E, void, undefined> {
    return this.shape.reassembly?.ordered === false ? this.asCompleted() : this.inOrder();
  }

  /** The elements in their order, each as soon as it and those before it are there. `timeout` is for all of them. */
  inOrder(options: WaitOptions = {}): AsyncGenerator<E, void, undefined> {
    return this.#values(settledInOrder, options);
  }

  /** The elements as their tasks end, whatever their order. `timeout` is for all of them. */
  asCompleted(options: WaitOptions = {}): AsyncGenerator<E, void, undefined> {
    return this.#values(settledAsCompleted, options);
  }

  /** What became of each element, failed or not, as their tasks end. `timeout` is for all of them. */
  asSettled(options: WaitOptions = {}): AsyncGenerator<Settled<E>, void, undefined> {
    checkOptions(options, WAIT_OPTIONS, 'asSettled');
    const deadline = startDeadline(options, Number.POSITIVE_INFINITY);
    const { reassembly } = this.shape;
    return settledAsCompleted(this.tasks, reassembly, deadline, this.timedOut) as AsyncGenerator<
      Settled<E>,
      void,
      undefined
    >;
  }

  /** A result for each task; of a map, for each chunk. Mirrors ipyparallel `AsyncResult.split`. */
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

  #wereRead(): void {
    for (const task of this.tasks) task.owner?.markRead(task);
  }

  #values(iterate: typeof settledInOrder, options: WaitOptions): AsyncGenerator<E, void, undefined> {
    checkOptions(options, WAIT_OPTIONS, 'iteration');
    const { single, reassembly } = this.shape;
    if (single) throw new UsageError('a single result is not iterated: get() gives it');
    const deadline = startDeadline(options, Number.POSITIVE_INFINITY);
    const settled = iterate(this.tasks, reassembly, deadline, this.timedOut);
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
    // One refusal of the whole call is one error, however many tasks it had.
    const refused =
      outcomes.length > 1 &&
      failures.length === outcomes.length &&
      failures.every(({ error }) => error === first.error);
    throw this.shape.single || refused ? first.error : new CompositeError(failures);
  }

  async #failFast(deadline: Deadline): Promise<void> {
    for await (const { task, outcome } of completions(this.tasks, deadline, this.timedOut)) {
      if (outcome.ok) continue;
      const { engineId } = task.metadata;
      if (this.shape.single) throw outcome.error;
      throw new CompositeError([{ error: outcome.error, msgId: task.msgId, engineId }]);
    }
  }

  /** Whether what is waited for came in time. */
  async #waitFor(deadline: Deadline, returnWhen: ReturnWhen): Promise<boolean> {
    if (returnWhen === 'all') return this.inTime(deadline, Promise.all(this.tasks.map(({ done }) => done)));
    checkReturnWhen(returnWhen, ['all', 'firstCompleted', 'firstException']);
    const first = new Promise<void>((resolve) => {
      let open = this.tasks.length;
      if (open === 0) resolve();
      for (const { done } of this.tasks) {
        void done.then((outcome) => {
          open--;
          if (open === 0 || returnWhen === 'firstCompleted' || !outcome.ok) resolve();
        });
      }
    });
    return this.inTime(deadline, first);
  }

  async #settled(deadline: Deadline): Promise<Outcome[]> {
    return withinDeadline(deadline, Promise.all(this.tasks.map((task) => task.done)), this.timedOut);
  }
}

function checkReturnWhen(value: ReturnWhen | undefined, names: readonly ReturnWhen[]): void {
  if (value === undefined || names.includes(value)) return;
  throw new UsageError(
    `returnWhen is ${names.map((name) => `'${name}'`).join(' or ')}, not ${String(value)}`,
  );
}
