import { inspect } from 'node:util';
import type { PyCallable, PyReference } from '@ipyparallel-js/protocol';
import { checkOptions } from '@ipyparallel-js/protocol/internal';
import { WAIT_OPTIONS, type WaitOptions } from '@ipyparallel-js/wire';
import { COMMAND_OPTIONS } from '../engines/engine-commands.js';
import type { Targets } from '../engines/targets.js';
import { type EngineQueueStatus, QUEUE_STATUS_OPTIONS, type QueueStatus } from '../hub/hub-operations.js';
import { AsyncResult } from '../results/async-result.js';
import { idsOf, type Job, type Jobs } from '../results/jobs.js';
import type { Task } from '../tasks/task.js';
import { type ImapOptions, LazyMap } from './lazy-map.js';
import type { OneResult } from './map-arguments.js';
import { ViewCalls } from './view-calls.js';
import type { ViewClient, ViewContext, ViewParts } from './view-context.js';
import { checkFlags, type ViewFlags } from './view-flags.js';
import { ViewHistory } from './view-history.js';
import type { ViewResult } from './view-result.js';

/** Tasks, named by msg_id, by their AsyncResult, or by their position in a view's history (-1 is the last). */
export type ViewJobs = Jobs;

/**
 * The base class of views, which run work on engines with the view's flags. Methods return an {@link AsyncResult} at
 * once; methods named `…Sync` return a promise of its value. Mirrors ipyparallel `View`.
 */
export abstract class View<T extends Targets, F extends ViewFlags> extends ViewCalls<T, F> {
  /** The client of the view. */
  readonly client: ViewClient;
  /** @internal */
  protected readonly context: ViewContext;
  readonly #history: ViewHistory;
  readonly #names: readonly string[];
  #flags: F;

  constructor({ client, context, flags, history }: ViewParts<F>, names: readonly string[]) {
    super();
    checkFlags(flags, names);
    this.client = client;
    this.context = context;
    this.#flags = flags;
    this.#names = names;
    this.#history = history ?? new ViewHistory();
  }

  /** The current flags of every call. */
  get flags(): Readonly<F> {
    return this.#flags;
  }

  /** The current label of every call. */
  get label(): string | undefined {
    return this.#flags.label;
  }

  /** The current number of the view's engines. */
  get length(): number {
    const { targets } = this;
    if (targets === 'all') return this.context.registry.ids.length;
    return typeof targets === 'number' ? 1 : targets.length;
  }

  /** The engines of the view. */
  abstract get targets(): Targets;

  /**
   * Changes flags for all later calls; `undefined` removes a flag. In concurrent code, a view `with` other flags is safer.
   * Mirrors ipyparallel `View.set_flags`.
   * @throws {UsageError} for an unknown flag
   */
  setFlags(flags: Partial<F>): this {
    this.checkFlags(flags);
    this.#flags = { ...this.#flags, ...flags };
    return this;
  }

  /**
   * Changes flags while `body` runs, or until the promise that it returns is settled. Other code that uses the view in
   * the meantime submits with the changed flags, too. Mirrors ipyparallel `View.temp_flags`.
   */
  tempFlags<R>(flags: Partial<F>, body: (view: this) => R): R {
    const previousFlags = this.#flags;
    this.setFlags(flags);
    const restore = (): void => {
      this.#flags = previousFlags;
    };
    let result: R;
    try {
      result = body(this);
    } catch (error) {
      restore();
      throw error;
    }
    if (!isPromise(result)) {
      restore();
      return result;
    }
    return result.finally(restore) as R;
  }

  /** The ids of the newest 10,000 tasks that this view submitted, in order. Mirrors ipyparallel `View.history`. */
  get history(): readonly string[] {
    return this.#history.ids;
  }

  /** The ids in `history` that have no result yet. Mirrors ipyparallel `View.outstanding`. */
  get outstanding(): readonly string[] {
    return this.#history.outstanding;
  }

  /** The client's `results` of tasks of this view. Mirrors ipyparallel `View.results`. */
  get results(): ReadonlyMap<string, unknown> {
    const ids = new Set(this.history);
    return new Map([...this.context.results.unreadResults()].filter(([msgId]) => ids.has(msgId)));
  }

  /** The view with the interface of Python's `concurrent.futures`. Mirrors ipyparallel `View.executor`. */
  get executor(): ViewExecutor<T, F> {
    return new ViewExecutor(this);
  }

  /**
   * Waits until tasks have ended, by default all outstanding tasks of this view. Mirrors ipyparallel `View.wait`.
   * @returns whether the tasks ended within `timeout`
   */
  async wait(jobs?: ViewJobs, options: WaitOptions = {}): Promise<boolean> {
    checkOptions(options, WAIT_OPTIONS, 'wait');
    const ids = jobs === undefined ? [...this.outstanding] : this.#idsOf(jobs);
    return this.context.results.of(ids).wait(options);
  }

  /**
   * Returns the result of tasks, named by msg_id or by position in {@link history}; the last task by default. Mirrors
   * ipyparallel `View.get_result`.
   */
  getResult<R = unknown>(job?: string | number): AsyncResult<R>;
  getResult<R = unknown>(jobs: readonly Job[]): AsyncResult<R[], R>;
  getResult<R>(jobs: AsyncResult<R>): AsyncResult<R>;
  getResult(jobs: ViewJobs = -1): AsyncResult<unknown> {
    if (jobs instanceof AsyncResult) return jobs;
    const ids = this.#idsOf(jobs);
    const [first] = ids;
    if (typeof jobs !== 'object' && first !== undefined) return this.context.results.of(first);
    return this.context.results.of(ids);
  }

  /**
   * Aborts tasks that are queued at the view's engines, by default all outstanding tasks of this view; running tasks
   * continue. Mirrors ipyparallel `View.abort`.
   */
  async abort(jobs?: ViewJobs, options: WaitOptions & { readonly targets?: Targets } = {}): Promise<void> {
    checkOptions(options, COMMAND_OPTIONS, 'abort');
    const ids = jobs === undefined ? [...this.outstanding] : this.#idsOf(jobs);
    if (ids.length > 0) await this.context.commands.abort(ids, { targets: this.targets, ...options });
  }

  /** Reads the queues of the view's engines. Mirrors ipyparallel `View.queue_status`. */
  queueStatus(options: WaitOptions & { readonly verbose: true }): Promise<PerTargetStatus<T, string[]>>;
  queueStatus(options?: WaitOptions & { readonly verbose?: false }): Promise<PerTargetStatus<T, number>>;
  queueStatus(options: WaitOptions & { readonly verbose?: boolean } = {}): Promise<unknown> {
    checkOptions(options, QUEUE_STATUS_OPTIONS, 'queueStatus');
    return this.context.commands.queueStatus(this.targets, options);
  }

  /** Purges tasks in the client and at the hub; `'all'` means all ended tasks of the view's engines. Mirrors ipyparallel `View.purge_results`. */
  async purgeResults(jobs: ViewJobs | 'all', options: WaitOptions = {}): Promise<void> {
    checkOptions(options, WAIT_OPTIONS, 'purgeResults');
    if (jobs !== 'all') await this.context.taskActions.purgeEverywhere(this.#idsOf(jobs), options);
    else await this.context.taskActions.purgeEverywhere([], { ...options, targets: this.targets });
  }

  /** Shuts down the view's engines; with `hub: true` all engines and the controller. Mirrors ipyparallel `View.shutdown`. */
  async shutdown(
    options: WaitOptions & { readonly targets?: Targets; readonly hub?: boolean } = {},
  ): Promise<void> {
    await this.context.shutdown({ targets: this.targets, ...options });
  }

  /** The text for `console.log`: the engines. */
  [inspect.custom](): string {
    return `${this.constructor.name} <engines ${String(this.targets)}>`;
  }

  /** @internal The view's flags, with the label of a call if it has one. */
  protected flagsWithLabel({ label }: { readonly label?: string | undefined }): F {
    return label === undefined ? this.#flags : { ...this.#flags, label };
  }

  /** @internal Creates a lazy map that submits its chunks with `submit` and aborts tasks that are no longer needed. */
  protected lazyMapOf(
    sequences: readonly (Iterable<unknown> | AsyncIterable<unknown>)[],
    options: ImapOptions,
    submit: (chunk: readonly (readonly unknown[])[], flags: F) => Task,
  ): LazyMap<unknown> {
    const flags = this.flagsWithLabel(options);
    const abort = (msgIds: readonly string[]) =>
      this.context.commands.abort(msgIds, { targets: this.targets });
    const parts = {
      sequences,
      submit: (chunk: readonly (readonly unknown[])[]) => submit(chunk, flags),
      abort,
    };
    return new LazyMap({ ...parts, engines: this.length }, options);
  }

  /** @internal The constructor arguments of a view derived from this one. */
  protected derivedParts<G extends ViewFlags>(flags: G): ViewParts<G> {
    return { client: this.client, context: this.context, history: this.#history, flags };
  }

  /** @internal */
  protected override checkFlags(flags: object, more: readonly string[] = []): void {
    checkFlags(flags, [...this.#names, ...more]);
  }

  /** @internal Adds tasks to the view's history. */
  protected remember(tasks: readonly Task[]): void {
    this.#history.add(tasks);
  }

  #idsOf(jobs: ViewJobs): string[] {
    return idsOf(jobs, this.history, 'the view');
  }
}

/** The queues of one engine for an engine id, else those of all engines. */
export type PerTargetStatus<T extends Targets, V> = T extends number ? EngineQueueStatus<V> : QueueStatus<V>;

function isPromise(value: unknown): value is Promise<unknown> {
  return value instanceof Promise;
}

/** A view with the interface of Python's `concurrent.futures`. Mirrors ipyparallel `ViewExecutor`. */
export class ViewExecutor<T extends Targets, F extends ViewFlags> {
  /** The view that submits the work. */
  readonly view: View<T, F>;
  /** {@link View.imap}: yields results in order and reads the inputs as results are consumed. */
  readonly map: View<T, F>['imap'];

  constructor(view: View<T, F>) {
    this.view = view;
    this.map = view.imap.bind(view);
  }

  /** Python's name for `apply`. */
  submit<A extends unknown[], R>(fn: (...args: A) => R, ...args: A): ViewResult<T, OneResult<R>>;
  submit<R>(fn: PyCallable<R>, ...args: readonly unknown[]): ViewResult<T, R>;
  submit(fn: PyReference, ...args: readonly unknown[]): ViewResult<T, unknown>;
  submit(fn: never, ...args: never): ViewResult<T, never> {
    return this.view.apply(fn, ...(args as [])) as ViewResult<T, never>;
  }

  /** Waits until all outstanding tasks of the view have ended; engines keep running. Does nothing with `wait: false`. */
  async shutdown(command: WaitOptions & { readonly wait?: boolean } = {}): Promise<void> {
    checkOptions(command, { wait: true, ...WAIT_OPTIONS }, 'shutdown');
    const { wait = true, ...options } = command;
    if (wait) await this.view.wait(undefined, options);
  }
}
