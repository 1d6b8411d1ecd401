import { CompositeError, type TaskStatus, UsageError } from '@ipyparallel-js/protocol';
import {
  type Deadline,
  pause,
  startDeadline,
  timeoutError,
  type WaitOptions,
  within,
} from '@ipyparallel-js/wire';
import { combineLatest, defer, map, merge, type Observable, of } from 'rxjs';
import { type DisplayOptions, displayOutputs } from './results/display-outputs.js';
import { makeHandle, type ResultHandle } from './results/handle.js';
import {
  completions,
  type Settled,
  settledAsCompleted,
  settledInOrder,
  valuesOf,
} from './results/iteration.js';
import { type PartialResult, partialsOf } from './results/partials.js';
import { countProgress, type Progress } from './results/progress.js';
import { ProgressBar, type ProgressBarOptions } from './results/progress-bar.js';
import { type Reassembly, reassemble } from './results/reassembly.js';
import { type OutputOptions, type OutputStream, streamOutput } from './results/stream-output.js';
import type { TaskMetadata, TaskOutput } from './results/task-metadata.js';
import {
  elapsedSince,
  type Moments,
  serialTime,
  type TimedeltaOptions,
  timedelta,
} from './results/timing.js';
import type { Outcome, Task } from './task.js';

/** What the results of several tasks are together. */
export interface ResultShape {
  /** One task whose result stands for itself, not in a list. */
  readonly single: boolean;
  /** For a map: how its chunks become one list. */
  readonly reassembly?: Reassembly;
  /** What a resubmission lost, by the new ids. */
  readonly dropped?: ReadonlyMap<string, readonly string[]>;
}

/** What one element of a result is: of a list its items, else the result itself. */
export type ElementOf<T> = T extends readonly (infer E)[] ? E : T;

/** When a wait is over before all has ended. */
export type ReturnWhen = 'all' | 'firstCompleted' | 'firstException';

/** What `waitInteractive` shows, and how. */
export interface InteractiveOptions extends WaitOptions, ProgressBarOptions {
  /** How often it shows it, in ms; 100 by default on a terminal, 5,000 elsewhere. */
  readonly interval?: number;
  /** `all` by default. */
  readonly returnWhen?: ReturnWhen;
}

/** A piece of output, and whose it is. */
export interface OutputOfTask {
  readonly msgId: string;
  readonly engineId: number | null;
  readonly output: TaskOutput;
}

/**
 * The results of one or several tasks, own or others'. One id or engine gives one result, a list gives a list, a map its
 * elements. `T` is what `get` gives, `E` an element of it, `P` what `get` gives of a part (`split`). Not itself a promise:
 * a failure nobody reads is no unhandled rejection. Mirrors ipyparallel `AsyncResult`.
 */
export class AsyncResult<T, E = ElementOf<T>, P = E> {
  readonly #tasks: readonly Task[];
  readonly #shape: ResultShape;

  /** @internal Made by views and by `Client.getResult`. */
  constructor(tasks: readonly Task[], shape: ResultShape) {
    this.#tasks = tasks;
    this.#shape = shape;
  }

  /**
   * Several results as one list, of the elements of each. Maps can be joined with maps only.
   * @throws UsageError for none, or when they do not go together. Mirrors ipyparallel `AsyncResult.join`.
   */
  static join<E>(...results: readonly AsyncResult<unknown, E, unknown>[]): AsyncResult<E[], E> {
    const [first] = results;
    if (first === undefined) throw new UsageError('at least one result is joined');
    const maps = results.flatMap((result) => result.#shape.reassembly ?? []);
    const tasks = results.flatMap((result) => result.#tasks);
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
   * What a resubmission lost, by the new ids: the names of the metadata (`targets`, `after`, `follow`, `retries`,
   * `label`, …) that the hub dropped, and `engine` for a direct task that may now run anywhere. Empty when nothing was
   * lost, as always on our hub.
   */
  get dropped(): ReadonlyMap<string, readonly string[]> {
    return this.#shape.dropped ?? new Map();
  }

  /** The tasks' ids. */
  get msgIds(): readonly string[] {
    return this.#tasks.map((task) => task.msgId);
  }

  /** How many elements there are: of a map those of its chunks, as far as known, else the tasks. */
  get length(): number {
    return this.progress.total;
  }

  /** Whether every task has ended. */
  get ready(): boolean {
    return this.#tasks.every((task) => task.outcome !== undefined);
  }

  /** The same, by the name that futures have for it. */
  get done(): boolean {
    return this.ready;
  }

  /** Whether some task has not ended. */
  get running(): boolean {
    return !this.ready;
  }

  /** Whether every task ended well. @throws UsageError when not ready */
  get successful(): boolean {
    this.#assertReady();
    return this.#tasks.every((task) => task.outcome?.ok === true);
  }

  /** Whether every task was aborted. */
  get cancelled(): boolean {
    return this.#tasks.length > 0 && this.#tasks.every((task) => task.status === 'aborted');
  }

  /** Whether every request was given to ZeroMQ. */
  get sent(): boolean {
    return this.#tasks.every((task) => task.sent);
  }

  /** The status of each task now, in the order of `msgIds`. */
  get statuses(): readonly TaskStatus[] {
    return this.#tasks.map((task) => task.status);
  }

  /** The status of each task, in the order of `msgIds`: at once and at each change; completes when all have ended. */
  get status$(): Observable<readonly TaskStatus[]> {
    if (this.#tasks.length === 0) return of([]);
    return combineLatest(this.#tasks.map((task) => task.status$));
  }

  /** How far the tasks are. */
  get progress(): Progress {
    return countProgress(this.statuses, this.#shape.reassembly?.sizes);
  }

  /** How far the tasks are: at once and at each change; completes when all have ended. */
  get progress$(): Observable<Progress> {
    return this.status$.pipe(map((statuses) => countProgress(statuses, this.#shape.reassembly?.sizes)));
  }

  /** What is known of each task beside its result, in the order of `msgIds`; it is filled as it happens. */
  get metadata(): readonly TaskMetadata[] {
    return this.#tasks.map((task) => task.metadata);
  }

  /** The engine that each task is or was on, as far as is known. */
  get engineIds(): readonly (number | null)[] {
    return this.#tasks.map((task) => task.metadata.engineId);
  }

  /** What each task printed so far, in the order of `msgIds`; others' tasks have it once they have ended. */
  get stdout(): readonly string[] {
    return this.#tasks.map((task) => task.stdout);
  }

  /** The same for stderr. */
  get stderr(): readonly string[] {
    return this.#tasks.map((task) => task.stderr);
  }

  /** What each task displayed so far: the contents of its `display_data` messages. */
  get outputs(): readonly TaskMetadata['outputs'][] {
    return this.#tasks.map((task) => task.metadata.outputs);
  }

  /** What each task published so far, the last value of each key. */
  get data(): readonly TaskMetadata['data'][] {
    return this.#tasks.map((task) => task.metadata.data);
  }

  /** Why each task failed; null for those that have not. */
  get error(): readonly (Error | null)[] {
    return this.#tasks.map((task) => (task.outcome?.ok === false ? task.outcome.error : task.metadata.error));
  }

  /** The output of all tasks: what there is, at once, then each piece as it comes; completes when no more is expected. */
  get output$(): Observable<OutputOfTask> {
    return merge(
      ...this.#tasks.map((task) =>
        task.output$.pipe(map((output) => ({ msgId: task.msgId, engineId: task.metadata.engineId, output }))),
      ),
    );
  }

  /**
   * What the generators of JavaScript tasks yield, each value once, as they run; completes when no more is expected. What
   * came before the subscription is in the result only.
   */
  partials<Y = unknown>(): Observable<PartialResult<Y>> {
    return defer(() => partialsOf<Y>(this.output$));
  }

  /** Since the first submission, in ms; when ready, `wallTime`. */
  get elapsed(): number {
    return this.ready ? this.wallTime : elapsedSince(this.metadata, new Date());
  }

  /** The sum of the times that engines took for each task, in ms. @throws UsageError when not ready */
  get serialTime(): number {
    this.#assertReady();
    return serialTime(this.metadata);
  }

  /** From the first submission to the last result received, in ms. @throws UsageError when not ready */
  get wallTime(): number {
    this.#assertReady();
    return timedelta(this.metadata, 'submitted', 'received');
  }

  /**
   * The time between two sets of moments in ms, by default from the first start to the last end: dates, or a date of the
   * metadata by its name. @throws UsageError when it is not known. Mirrors ipyparallel `AsyncResult.timedelta`.
   */
  timedelta(start: Moments, end: Moments, options: TimedeltaOptions = {}): number {
    return timedelta(this.metadata, start, end, options);
  }

  /**
   * Waits until all have ended and gives the result. Without a time-out it waits as long as the hub lives. With
   * `returnWhen: 'firstException'` it fails at the first failure.
   * @throws the task's error; for a list CompositeError; TimeoutError after `timeout` ms; `signal.reason`
   */
  async get(options: WaitOptions & { readonly returnWhen?: ReturnWhen } = {}): Promise<T> {
    const deadline = startDeadline(options, Number.POSITIVE_INFINITY);
    const { single, reassembly } = this.#shape;
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

  /** The same as `get()`, by the name that futures have for it. */
  result(options: WaitOptions = {}): Promise<T> {
    return this.get(options);
  }

  /** The same as `get()`, begun at once. */
  get r(): Promise<T> {
    return this.get();
  }

  /** Waits until all have ended and gives what `get` would throw; null if nothing. */
  async exception(options: WaitOptions = {}): Promise<Error | null> {
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
    const all: Settled<unknown>[] = [];
    const { reassembly } = this.#shape;
    const deadline = startDeadline(options, Number.POSITIVE_INFINITY);
    for await (const one of settledInOrder(this.#tasks, reassembly, deadline, this.#timedOut)) all.push(one);
    return all as Settled<E>[];
  }

  /**
   * Waits until all have ended and gives the result of each engine by its id. @throws what `get` throws; UsageError when
   * several tasks ran on one engine, unless with `lists`, or an engine is not known. Mirrors ipyparallel `AsyncResult.get_dict`.
   */
  async getDict(options: WaitOptions & { readonly lists: true }): Promise<Map<number, P[]>>;
  async getDict(options?: WaitOptions & { readonly lists?: false }): Promise<Map<number, P>>;
  async getDict(options: WaitOptions & { readonly lists?: boolean } = {}): Promise<Map<number, unknown>> {
    const outcomes = await this.#settled(startDeadline(options, Number.POSITIVE_INFINITY));
    this.#wereRead();
    this.#throwFailures(outcomes);
    const results = new Map<number, unknown[]>();
    for (const [i, task] of this.#tasks.entries()) {
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

  /** The same as `getDict()`, begun at once. */
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
  async waitInteractive(options: InteractiveOptions = {}): Promise<boolean> {
    const { returnWhen = 'all' } = options;
    const unit = this.#shape.reassembly?.sizes === undefined ? 'tasks' : 'elements';
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

  /** Waits until no more output is expected: true; or until `timeout` ms are over: false. */
  async waitForOutput(options: WaitOptions = {}): Promise<boolean> {
    const all = Promise.all(this.#tasks.map((task) => task.outputDone));
    return this.#inTime(startDeadline(options, Number.POSITIVE_INFINITY), all);
  }

  /**
   * The elements, each as soon as it and those before it are there (of an unordered map: as they come); ends with the
   * error of the first task that failed. @throws UsageError for a single result
   */
  [Symbol.asyncIterator](): AsyncGenerator<E, void, undefined> {
    return this.#shape.reassembly?.ordered === false ? this.asCompleted() : this.inOrder();
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
    const deadline = startDeadline(options, Number.POSITIVE_INFINITY);
    const { reassembly } = this.#shape;
    return settledAsCompleted(this.#tasks, reassembly, deadline, this.#timedOut) as AsyncGenerator<
      Settled<E>,
      void,
      undefined
    >;
  }

  /** A result for each task; of a map, for each chunk. Mirrors ipyparallel `AsyncResult.split`. */
  split(): readonly AsyncResult<P, E>[] {
    const { reassembly } = this.#shape;
    return this.#tasks.map((task, i) => {
      if (reassembly === undefined) return new AsyncResult([task], { single: true });
      const size = reassembly.sizes?.[i];
      const { sizes: _, ...rest } = reassembly;
      const part: Reassembly = { ...rest, kind: 'flatten', ...(size === undefined ? {} : { sizes: [size] }) };
      return new AsyncResult([task], { single: false, reassembly: part });
    });
  }

  /**
   * Aborts what has not ended; tasks that run on Python engines go on. Waits until the engines have answered.
   * @throws UsageError when all have ended. Mirrors ipyparallel `AsyncResult.abort`.
   */
  async abort(options: WaitOptions = {}): Promise<void> {
    const open = this.#tasks.filter((task) => task.outcome === undefined);
    if (open.length === 0) throw new UsageError('there is nothing to abort: every task has ended');
    await open[0]?.keeper?.abort(open, options);
  }

  /** Waits for the output and prints it, by default to `process.stdout` and `process.stderr`. */
  async displayOutputs(options: DisplayOptions & WaitOptions = {}): Promise<void> {
    const all = Promise.all(this.#tasks.map((task) => task.outputDone));
    await within(startDeadline(options, Number.POSITIVE_INFINITY), all, this.#timedOut);
    displayOutputs(this.metadata, this.#shape.single, options);
  }

  /** Passes output on as it comes, what there is first: `using live = ar.streamOutput()`. Mirrors ipyparallel `AsyncResult.stream_output`. */
  streamOutput(options: OutputOptions = {}): OutputStream {
    return streamOutput(this.#tasks, this.#shape.single, options);
  }

  /** A handle for `JSON.stringify`, by which another process gets at the result: `rc.attach(handle)`. */
  toJSON(): ResultHandle {
    const { single, reassembly } = this.#shape;
    const cluster = this.#tasks[0]?.keeper?.cluster ?? null;
    return makeHandle({
      cluster,
      msgIds: this.msgIds,
      single,
      ...(reassembly === undefined ? {} : { reassembly }),
    });
  }

  #assertReady(): void {
    if (!this.ready) throw new UsageError('the result is not ready yet; wait for it first');
  }

  #wereRead(): void {
    for (const task of this.#tasks) task.keeper?.read(task);
  }

  #values(iterate: typeof settledInOrder, options: WaitOptions): AsyncGenerator<E, void, undefined> {
    const { single, reassembly } = this.#shape;
    if (single) throw new UsageError('a single result is not iterated: get() gives it');
    const deadline = startDeadline(options, Number.POSITIVE_INFINITY);
    const settled = iterate(this.#tasks, reassembly, deadline, this.#timedOut);
    return valuesOf(settled, reassembly?.returnErrors === true) as AsyncGenerator<E, void, undefined>;
  }

  #throwFailures(outcomes: readonly Outcome[]): void {
    const failures = this.#tasks.flatMap((task, i) => {
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
    throw this.#shape.single || refused ? first.error : new CompositeError(failures);
  }

  async #failFast(deadline: Deadline): Promise<void> {
    for await (const { task, outcome } of completions(this.#tasks, deadline, this.#timedOut)) {
      if (outcome.ok) continue;
      const { engineId } = task.metadata;
      if (this.#shape.single) throw outcome.error;
      throw new CompositeError([{ error: outcome.error, msgId: task.msgId, engineId }]);
    }
  }

  /** Whether what is waited for came in time. */
  async #waitFor(deadline: Deadline, returnWhen: ReturnWhen): Promise<boolean> {
    if (returnWhen === 'all') return this.#inTime(deadline, Promise.all(this.#tasks.map(({ done }) => done)));
    if (returnWhen !== 'firstCompleted' && returnWhen !== 'firstException')
      throw new UsageError(
        `returnWhen is 'all', 'firstCompleted' or 'firstException', not ${String(returnWhen)}`,
      );
    const first = new Promise<void>((resolve) => {
      let open = this.#tasks.length;
      if (open === 0) resolve();
      for (const { done } of this.#tasks) {
        void done.then((outcome) => {
          open--;
          if (open === 0 || returnWhen === 'firstCompleted' || !outcome.ok) resolve();
        });
      }
    });
    return this.#inTime(deadline, first);
  }

  async #inTime(deadline: Deadline, promise: Promise<unknown>): Promise<boolean> {
    const timedOut = Symbol('timed out') as unknown as Error;
    try {
      await within(deadline, promise, () => timedOut);
      return true;
    } catch (error) {
      if (error === timedOut) return false;
      throw error;
    }
  }

  async #settled(deadline: Deadline): Promise<Outcome[]> {
    return within(deadline, Promise.all(this.#tasks.map((task) => task.done)), this.#timedOut);
  }

  readonly #timedOut = (waited: number): Error => {
    const open = this.#tasks.filter((task) => task.outcome === undefined);
    const first = open[0];
    if (first === undefined) return timeoutError('the output has not come', waited);
    const which =
      open.length === 1
        ? `task ${first.msgId} (${first.status}) has not ended`
        : `${open.length} of ${this.#tasks.length} tasks have not ended`;
    return timeoutError(which, waited);
  };
}
