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

/** Tasks: by msg_id, by a result that stands for them, or by their place in a view's history (-1 is the last). */
export type ViewJobs = Jobs;

/**
 * What all views do: run work on engines, by the view's flags. Everything gives an {@link AsyncResult} at once; the
 * methods named `…Sync` give a promise of its value. Mirrors ipyparallel `View`.
 */
export abstract class View<T extends Targets, F extends ViewFlags> extends ViewCalls<T, F> {
  /** The client that the view is of. */
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

  /** The flags of every call now. */
  get flags(): Readonly<F> {
    return this.#flags;
  }

  /** The label of every call now. */
  get label(): string | undefined {
    return this.#flags.label;
  }

  /** How many engines the view has now. */
  get length(): number {
    const { targets } = this;
    if (targets === 'all') return this.context.registry.ids.length;
    return typeof targets === 'number' ? 1 : targets.length;
  }

  /** The engines of the view. */
  abstract get targets(): Targets;

  /**
   * Changes flags for all calls from now on; `undefined` takes one back. In concurrent code a view `with` other flags is
   * safer. @throws UsageError for a flag that there is not. Mirrors ipyparallel `View.set_flags`.
   */
  setFlags(flags: Partial<F>): this {
    this.checkFlags(flags);
    this.#flags = { ...this.#flags, ...flags };
    return this;
  }

  /**
   * Changes flags while `body` runs, until its promise is settled when it gives one. What else uses the view meanwhile
   * has them, too. Mirrors ipyparallel `View.temp_flags`.
   */
  tempFlags<R>(flags: Partial<F>, body: (view: this) => R): R {
    const before = this.#flags;
    this.setFlags(flags);
    const restore = (): void => {
      this.#flags = before;
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

  /** The ids of the tasks submitted by this view, in order; the newest 10,000. Mirrors ipyparallel `View.history`. */
  get history(): readonly string[] {
    return this.#history.ids;
  }

  /** Those of them that have no result yet. Mirrors ipyparallel `View.outstanding`. */
  get outstanding(): readonly string[] {
    return this.#history.outstanding;
  }

  /** Those of the client's `results` that are of tasks of this view. Mirrors ipyparallel `View.results`. */
  get results(): ReadonlyMap<string, unknown> {
    const own = new Set(this.history);
    return new Map([...this.context.results.held()].filter(([msgId]) => own.has(msgId)));
  }

  /** Submits and maps in the words of Python's `concurrent.futures`. Mirrors ipyparallel `View.executor`. */
  get executor(): ViewExecutor<T, F> {
    return new ViewExecutor(this);
  }

  /**
   * Waits until tasks have ended, all outstanding ones of this view by default: true; or until `timeout` ms are over:
   * false. Mirrors ipyparallel `View.wait`.
   */
  async wait(jobs?: ViewJobs, options: WaitOptions = {}): Promise<boolean> {
    checkOptions(options, WAIT_OPTIONS, 'wait');
    const ids = jobs === undefined ? [...this.outstanding] : this.#idsOf(jobs);
    return this.context.results.of(ids).wait(options);
  }

  /**
   * The result of tasks, by msg_id or by their place in {@link history}; the last one by default. Mirrors ipyparallel
   * `View.get_result`.
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
   * Aborts tasks that wait at the view's engines, all outstanding ones of this view by default; what runs goes on.
   * Mirrors ipyparallel `View.abort`.
   */
  async abort(jobs?: ViewJobs, options: WaitOptions & { readonly targets?: Targets } = {}): Promise<void> {
    checkOptions(options, COMMAND_OPTIONS, 'abort');
    const ids = jobs === undefined ? [...this.outstanding] : this.#idsOf(jobs);
    if (ids.length > 0) await this.context.commands.abort(ids, { targets: this.targets, ...options });
  }

  /** What the view's engines have to do. Mirrors ipyparallel `View.queue_status`. */
  queueStatus(options: WaitOptions & { readonly verbose: true }): Promise<PerTargetStatus<T, string[]>>;
  queueStatus(options?: WaitOptions & { readonly verbose?: false }): Promise<PerTargetStatus<T, number>>;
  queueStatus(options: WaitOptions & { readonly verbose?: boolean } = {}): Promise<unknown> {
    checkOptions(options, QUEUE_STATUS_OPTIONS, 'queueStatus');
    return this.context.commands.queueStatus(this.targets, options);
  }

  /** Purges tasks here and at the hub, all that have ended on the view's engines by `'all'`. Mirrors ipyparallel `View.purge_results`. */
  async purgeResults(jobs: ViewJobs | 'all', options: WaitOptions = {}): Promise<void> {
    checkOptions(options, WAIT_OPTIONS, 'purgeResults');
    if (jobs !== 'all') await this.context.taskActions.purgeEverywhere(this.#idsOf(jobs), options);
    else await this.context.taskActions.purgeEverywhere([], { ...options, targets: this.targets });
  }

  /** Ends the view's engines, and with `hub: true` everything. Mirrors ipyparallel `View.shutdown`. */
  async shutdown(
    options: WaitOptions & { readonly targets?: Targets; readonly hub?: boolean } = {},
  ): Promise<void> {
    await this.context.shutdown({ targets: this.targets, ...options });
  }

  /** What `console.log` shows: the engines. */
  [inspect.custom](): string {
    return `${this.constructor.name} <engines ${String(this.targets)}>`;
  }

  /** @internal The view's flags, with the label of a call where it has one. */
  protected labelled({ label }: { readonly label?: string | undefined }): F {
    return label === undefined ? this.#flags : { ...this.#flags, label };
  }

  /** @internal A lazy map whose chunks `submit` makes tasks of; what is not wanted any more is aborted. */
  protected fed(
    sequences: readonly (Iterable<unknown> | AsyncIterable<unknown>)[],
    options: ImapOptions,
    submit: (chunk: readonly (readonly unknown[])[], flags: F) => Task,
  ): LazyMap<unknown> {
    const flags = this.labelled(options);
    const abort = (msgIds: readonly string[]) =>
      this.context.commands.abort(msgIds, { targets: this.targets });
    const parts = {
      sequences,
      submit: (chunk: readonly (readonly unknown[])[]) => submit(chunk, flags),
      abort,
    };
    return new LazyMap({ ...parts, engines: this.length }, options);
  }

  /** @internal What a view derived from this one shares with it. */
  protected shared<G extends ViewFlags>(flags: G): ViewParts<G> {
    return { client: this.client, context: this.context, history: this.#history, flags };
  }

  /** @internal */
  protected override checkFlags(flags: object, more: readonly string[] = []): void {
    checkFlags(flags, [...this.#names, ...more]);
  }

  /** @internal Keeps tasks in the view's history. */
  protected keep(tasks: readonly Task[]): void {
    this.#history.add(tasks);
  }

  #idsOf(jobs: ViewJobs): string[] {
    return idsOf(jobs, this.history, 'the view');
  }
}

/** One engine's line for one engine, else all lines. */
export type PerTargetStatus<T extends Targets, V> = T extends number ? EngineQueueStatus<V> : QueueStatus<V>;

function isPromise(value: unknown): value is Promise<unknown> {
  return value instanceof Promise;
}

/** A view in the words of Python's `concurrent.futures`. Mirrors ipyparallel `ViewExecutor`. */
export class ViewExecutor<T extends Targets, F extends ViewFlags> {
  /** The view that does the work. */
  readonly view: View<T, F>;
  /** `imap`: results in order, inputs read as results are taken. */
  readonly map: View<T, F>['imap'];

  constructor(view: View<T, F>) {
    this.view = view;
    this.map = view.imap.bind(view);
  }

  /** The same as `apply`. */
  submit<A extends unknown[], R>(fn: (...args: A) => R, ...args: A): ViewResult<T, OneResult<R>>;
  submit<R>(fn: PyCallable<R>, ...args: readonly unknown[]): ViewResult<T, R>;
  submit(fn: PyReference, ...args: readonly unknown[]): ViewResult<T, unknown>;
  submit(fn: never, ...args: never): ViewResult<T, never> {
    return this.view.apply(fn, ...(args as [])) as ViewResult<T, never>;
  }

  /** Waits until all outstanding tasks of the view have ended; ends no engine. With `wait: false` it does nothing. */
  async shutdown(command: WaitOptions & { readonly wait?: boolean } = {}): Promise<void> {
    checkOptions(command, { wait: true, ...WAIT_OPTIONS }, 'shutdown');
    const { wait = true, ...options } = command;
    if (wait) await this.view.wait(undefined, options);
  }
}
