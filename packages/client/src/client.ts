import { inspect } from 'node:util';
import {
  type FullRecord,
  type HubInfo,
  type Projected,
  type ProjectionKey,
  type Session,
  type TaskQuery,
  type TaskStatus,
  UsageError,
} from '@ipyparallel-js/protocol';
import {
  checkOptions,
  isDict,
  type OptionNames,
  parseKeys,
  parseQuery,
} from '@ipyparallel-js/protocol/internal';
import { WAIT_OPTIONS, type WaitOptions } from '@ipyparallel-js/wire';
import type { Observable } from 'rxjs';
import type { ConnectionStatus } from './connection/connection-state.js';
import { COMMAND_OPTIONS, type CommandOptions, type ShutdownOptions } from './engines/engine-commands.js';
import type { EngineLanguage } from './engines/engine-languages.js';
import type { EngineInfo } from './engines/engine-registry.js';
import type { Targets } from './engines/targets.js';
import {
  type EngineQueueStatus,
  QUEUE_STATUS_OPTIONS,
  type QueueStatus,
  type ResultStatus,
} from './hub/hub-operations.js';
import { parseRange } from './hub/record-query.js';
import { ClusterLink } from './link/cluster-link.js';
import type { ConnectOptions } from './link/connect-options.js';
import { showEngines, WAIT_FOR_ENGINES_OPTIONS, type WaitForEnginesOptions } from './link/engine-progress.js';
import { type ClientStats, statsOf } from './link/stats.js';
import { DbQuery } from './query/db-query.js';
import {
  DB_QUERY_OPTIONS,
  type DbQueryOptions,
  type RangeOptions,
  RESUBMIT_OPTIONS,
  type ResubmitOptions,
} from './query/query-options.js';
import { AsyncResult, type WaitInteractiveOptions } from './results/async-result.js';
import type { ResultHandle } from './results/handle.js';
import { idsOf, type Job, type Jobs } from './results/jobs.js';
import type { TaskMetadata } from './tasks/task-metadata.js';
import { BroadcastView } from './views/broadcast-view.js';
import { DirectView } from './views/direct-view.js';
import { LoadBalancedView } from './views/load-balanced-view.js';
import type { ViewExecutor } from './views/view.js';
import type { ViewParts } from './views/view-context.js';
import type { BalancedFlags, BroadcastFlags, ViewFlags } from './views/view-flags.js';

const ATTACH_OPTIONS: OptionNames<{ anyCluster?: boolean }> = { anyCluster: true };

const PURGE_LOCAL_OPTIONS: OptionNames<Pick<CommandOptions, 'targets'>> = { targets: true };

/** A connection to an IPython Parallel controller, Python's or ours. Mirrors ipyparallel `Client`. */
export class Client implements AsyncDisposable {
  /** The session identity: `session.session` is the `client_uuid` of the tasks submitted here. */
  readonly session: Session;
  readonly #link: ClusterLink;

  private constructor(link: ClusterLink) {
    this.#link = link;
    this.session = link.session;
  }

  /**
   * Connects to a running controller: finds its connection file as Python's client does (waiting for it to appear),
   * opens the sockets and waits for the hub's answer.
   * @throws ConnectionFileError, AuthenticationError, TimeoutError, TransportError, or `signal.reason`
   */
  static async connect(options: ConnectOptions = {}): Promise<Client> {
    return new Client(await ClusterLink.open(options));
  }

  /** The `client_uuid` of the tasks that this client submits; the same as `session.session`. */
  get clientId(): string {
    return this.session.session;
  }

  /** Whether the controller can be talked to: at once and at each change; completes on close. */
  get connection$(): Observable<ConnectionStatus> {
    return this.#link.connectionState.status$;
  }

  /** Whether it can be talked to now. */
  get connected(): boolean {
    return this.#link.connectionState.connected;
  }

  /** What the hub says of itself; undefined for a stock one. */
  get hub(): HubInfo | undefined {
    return this.#link.profile.info;
  }

  /** The ids of the registered engines, ascending; kept true by the hub's notices. */
  get ids(): readonly number[] {
    return this.#link.registry.ids;
  }

  /** id → uuid of the registered engines; kept true by the hub's notices. */
  get engines(): ReadonlyMap<number, string> {
    return this.#link.registry.engines;
  }

  /** The registered engines, at once and after each change; completes on close. */
  get engines$(): Observable<readonly EngineInfo[]> {
    return this.#link.registry.engines$;
  }

  /** What was sent, received and refused since connecting, and what is held now. */
  get stats(): ClientStats {
    return statsOf(this.#link);
  }

  /** The ids of the tasks submitted here, in order; the newest 10,000. Mirrors ipyparallel `Client.history`. */
  get history(): readonly string[] {
    return this.#link.submittedTasks.history;
  }

  /** Those of them that have no result yet. Mirrors ipyparallel `Client.outstanding`. */
  get outstanding(): readonly string[] {
    return this.#link.submittedTasks.outstanding;
  }

  /** The language of an engine. @throws UsageError when there is no such engine */
  async engineLanguage(id: number): Promise<EngineLanguage> {
    return this.#link.languages.of(this.#link.targets.engine(id));
  }

  /**
   * Waits until at least `n` engines are registered. The time-out is `timeout` of connecting by default.
   * @throws TimeoutError naming how many there are. Mirrors ipyparallel `Client.wait_for_engines`.
   */
  async waitForEngines(n = 1, options: WaitForEnginesOptions = {}): Promise<readonly number[]> {
    checkOptions(options, WAIT_FOR_ENGINES_OPTIONS, 'waitForEngines');
    const shown = options.interactive === true ? showEngines(this.engines$, n, options) : undefined;
    try {
      await this.#link.waitForEngines(n, options);
    } finally {
      shown?.();
    }
    return this.ids;
  }

  /**
   * Asks the Task Database: a query object to await, `.stream()` or `.poll(ms)`. Keys are a key, a list, or options;
   * without them everything but the two buffers comes. Mirrors ipyparallel `Client.db_query`.
   * @throws InvalidQueryError at the call, naming the nearest key or operator
   */
  dbQuery(
    query: TaskQuery,
    options?: RangeOptions & WaitOptions & { readonly keys?: undefined },
  ): DbQuery<FullRecord>;
  dbQuery<const K extends ProjectionKey>(query: TaskQuery, keys: K | readonly K[]): DbQuery<Projected<K>>;
  // On its own: every array has a method `keys`, which would be taken for the option.
  dbQuery<const K extends ProjectionKey>(query: TaskQuery, options: DbQueryOptions<K>): DbQuery<Projected<K>>;
  dbQuery(query: TaskQuery, keysOrOptions: unknown = {}): DbQuery<unknown> {
    this.#link.assertOpen();
    const node = parseQuery(query);
    const options: RangeOptions & WaitOptions & { readonly keys?: unknown } = isDict(keysOrOptions)
      ? keysOrOptions
      : { keys: keysOrOptions };
    checkOptions(options, DB_QUERY_OPTIONS, 'dbQuery');
    const keys = options.keys === undefined ? undefined : parseKeys(options.keys);
    const context = {
      database: this.#link.database,
      actions: this.#link.taskActions,
      live: this.#link.live,
      defaultTimeout: this.#link.requests.defaultTimeout,
    };
    return new DbQuery(context, { node, keys, ...parseRange(options) }, options);
  }

  /**
   * The result of a task, or of several, whoever submitted them: own ones from their replies, others' by asking the
   * hub until they have ended. A number is a place in `history`, from its end when negative; without anything it is the
   * last one submitted. An unknown id fails it with TaskNotFoundError. Mirrors ipyparallel `Client.get_result`.
   */
  getResult<T = unknown>(job?: string | number): AsyncResult<T, T>;
  getResult<T = unknown>(jobs: readonly Job[]): AsyncResult<T[], T>;
  getResult<T>(jobs: AsyncResult<T>): AsyncResult<T>;
  getResult(jobs: Jobs = -1): AsyncResult<unknown> {
    return this.#tasks(jobs);
  }

  /**
   * The result that a handle names: what `JSON.stringify(ar)` or `ar.toJSON()` gave in this or another process, even
   * long ago. The handle may come from anywhere. @throws UsageError when it is none, or (code `WRONG_CLUSTER`) of another
   * cluster, unless with `anyCluster`
   */
  attach<T = unknown>(
    handle: ResultHandle | string,
    options: { readonly anyCluster?: boolean } = {},
  ): AsyncResult<T> {
    checkOptions(options, ATTACH_OPTIONS, 'attach');
    return this.#link.results.attach(handle, options) as AsyncResult<T>;
  }

  /**
   * The status of a task, one's own or another's: at once and at each change; completes when it has ended. The hub is
   * asked about others' only while somebody listens.
   */
  taskStatus$(job: string | number): Observable<TaskStatus> {
    return this.#link.results.status$(job);
  }

  /** Waits until tasks have ended, by default all that are outstanding: true; or until `timeout` ms are over: false. Mirrors ipyparallel `Client.wait`. */
  async wait(jobs?: Jobs, options: WaitOptions = {}): Promise<boolean> {
    return this.#tasks(jobs ?? this.outstanding).wait(options);
  }

  /** The same, showing how far they are. Mirrors ipyparallel `Client.wait_interactive`. */
  async waitInteractive(jobs?: Jobs, options: WaitInteractiveOptions = {}): Promise<boolean> {
    return this.#tasks(jobs ?? this.outstanding).waitInteractive(options);
  }

  /** What is held here of own tasks that have ended and were not read: value or error by id. Mirrors ipyparallel `Client.results`. */
  get results(): ReadonlyMap<string, unknown> {
    return this.#link.results.held();
  }

  /** What is known beside their results of own tasks that have not ended, or were not read. Mirrors ipyparallel `Client.metadata`. */
  get metadata(): ReadonlyMap<string, TaskMetadata> {
    return this.#link.results.metadata();
  }

  /** Which tasks have ended, by the hub's records. @throws TaskNotFoundError. Mirrors ipyparallel `Client.result_status`. */
  async resultStatus(jobs: Jobs, options: WaitOptions = {}): Promise<ResultStatus> {
    checkOptions(options, WAIT_OPTIONS, 'resultStatus');
    return this.#link.operations.resultStatus(this.#idsOf(jobs), options);
  }

  /**
   * What engines have to do: one engine's line for an id, else all lines and what is unassigned. Counts, or msg_ids
   * when `verbose`. Mirrors ipyparallel `Client.queue_status`.
   */
  queueStatus(
    target: number,
    options: WaitOptions & { readonly verbose: true },
  ): Promise<EngineQueueStatus<string[]>>;
  queueStatus(
    target: number,
    options?: WaitOptions & { readonly verbose?: false },
  ): Promise<EngineQueueStatus>;
  queueStatus(
    targets: readonly number[] | 'all',
    options: WaitOptions & { readonly verbose: true },
  ): Promise<QueueStatus<string[]>>;
  queueStatus(
    targets?: readonly number[] | 'all',
    options?: WaitOptions & { readonly verbose?: false },
  ): Promise<QueueStatus>;
  async queueStatus(
    targets: Targets = 'all',
    options: WaitOptions & { readonly verbose?: boolean } = {},
  ): Promise<unknown> {
    checkOptions(options, QUEUE_STATUS_OPTIONS, 'queueStatus');
    return this.#link.commands.queueStatus(targets, options);
  }

  /** The ids of every task in the Task Database, by submission. Mirrors ipyparallel `Client.hub_history`. */
  async hubHistory(options: WaitOptions = {}): Promise<string[]> {
    checkOptions(options, WAIT_OPTIONS, 'hubHistory');
    return this.#link.operations.history(options);
  }

  /**
   * Runs tasks again under new ids, by default the last one submitted; their results come by asking the hub. A stock hub sends them to any engine and
   * drops what their metadata said: `AsyncResult.dropped` tells what, and `restore: true` submits them from here
   * instead. @throws TaskNotFoundError, and then nothing is sent. Mirrors ipyparallel `Client.resubmit`.
   */
  async resubmit<T = unknown>(job?: string | number, options?: ResubmitOptions): Promise<AsyncResult<T, T>>;
  async resubmit<T = unknown>(
    jobs: AsyncResult<unknown> | readonly Job[],
    options?: ResubmitOptions,
  ): Promise<AsyncResult<T[], T>>;
  async resubmit(jobs: Jobs = -1, options: ResubmitOptions = {}): Promise<AsyncResult<unknown>> {
    checkOptions(options, RESUBMIT_OPTIONS, 'resubmit');
    return this.#link.taskActions.resubmit(this.#idsOf(jobs), options, typeof jobs !== 'object');
  }

  /** Purges tasks here and at the hub. Mirrors ipyparallel `Client.purge_results`. */
  async purgeResults(
    jobs: Jobs | 'all',
    options: WaitOptions & { readonly targets?: Targets } = {},
  ): Promise<void> {
    checkOptions(options, COMMAND_OPTIONS, 'purgeResults');
    await this.#link.taskActions.purgeEverywhere(jobs === 'all' ? jobs : this.#idsOf(jobs), options);
  }

  /**
   * Purges records at the hub: tasks by id, all that has ended, or all that has ended on some engines (`targets`).
   * An id that the hub does not know is no error. @throws TaskPendingError, and then nothing is purged.
   * Mirrors ipyparallel `Client.purge_hub_results`.
   */
  async purgeHubResults(
    jobs: Jobs | 'all',
    options: WaitOptions & { readonly targets?: Targets } = {},
  ): Promise<void> {
    checkOptions(options, COMMAND_OPTIONS, 'purgeResults');
    if (jobs === 'all') await this.#link.taskActions.purgeAll(options);
    else await this.#link.taskActions.purgeIds(this.#idsOf(jobs), options);
  }

  /**
   * Forgets results held here, of tasks that have ended: these, all, or also those of some engines (`targets`).
   * Mirrors ipyparallel `Client.purge_local_results`.
   */
  purgeLocalResults(jobs: Jobs | 'all', options: { readonly targets?: Targets } = {}): void {
    checkOptions(options, PURGE_LOCAL_OPTIONS, 'purgeLocalResults');
    this.#link.taskActions.purgeLocal(jobs === 'all' ? jobs : this.#idsOf(jobs), options.targets);
  }

  /** Purges all that has ended, here and at the hub. Mirrors ipyparallel `Client.purge_everything`. */
  async purgeEverything(options: WaitOptions = {}): Promise<void> {
    await this.purgeResults('all', options);
  }

  /**
   * Aborts tasks at engines, by default what is outstanding here, with `'all'` everybody's: what waits there, and of what
   * runs on a JavaScript engine the task's signal; what runs on a Python engine goes on. Waits until the engines have
   * answered; aborted tasks fail with TaskAbortedError. Mirrors ipyparallel `Client.abort`.
   */
  async abort(jobs?: Jobs | 'all', options: CommandOptions = {}): Promise<void> {
    const { commands } = this.#link;
    if (jobs === 'all') await commands.abortAll(this.outstanding, options);
    else await commands.abort(jobs === undefined ? this.outstanding : this.#idsOf(jobs), options);
  }

  /** Empties the namespaces of engines. Mirrors ipyparallel `Client.clear`. */
  async clear(options: CommandOptions = {}): Promise<void> {
    await this.#link.commands.clear(options);
  }

  /**
   * Sends a signal to the processes of engines: its name, or its number there. SIGINT interrupts what runs.
   * Mirrors ipyparallel `Client.send_signal`.
   */
  async sendSignal(signal: number | NodeJS.Signals, options: CommandOptions = {}): Promise<void> {
    await this.#link.commands.signal(signal, options);
  }

  /**
   * Ends engines, all by default; with `hub: true` then the controller, too, and this client is closed. Waits until the
   * engines have answered. Mirrors ipyparallel `Client.shutdown`.
   */
  async shutdown(options: ShutdownOptions = {}): Promise<void> {
    await this.#link.shutdown(options);
  }

  /**
   * A view of engines picked by id; `'all'`, the default, means all that are registered at each call. Mirrors ipyparallel
   * `Client.direct_view`.
   */
  directView(): DirectView<'all'>;
  directView<const T extends Targets>(targets: T, flags?: ViewFlags): DirectView<T>;
  directView(targets: Targets = 'all', flags: ViewFlags = {}): DirectView {
    return new DirectView(this.#viewParts({ ...flags, targets }));
  }

  /**
   * A view that sends the same to many engines by one message, through the broadcast scheduler.
   * @throws UsageError when the controller has none. Mirrors ipyparallel `Client.broadcast_view`.
   */
  broadcastView(): BroadcastView<'all'>;
  broadcastView<const T extends Targets>(
    targets: T,
    flags?: Omit<BroadcastFlags, 'targets'>,
  ): BroadcastView<T>;
  broadcastView(targets: Targets = 'all', flags: Omit<BroadcastFlags, 'targets'> = {}): BroadcastView {
    if (!this.#link.transport.has('broadcast')) {
      throw new UsageError('this controller has no broadcast scheduler; use a direct view');
    }
    return new BroadcastView(this.#viewParts({ ...flags, targets }));
  }

  /** A view whose tasks the scheduler hands out. Mirrors ipyparallel `Client.load_balanced_view`. */
  loadBalancedView(flags: BalancedFlags = {}): LoadBalancedView {
    return new LoadBalancedView(this.#viewParts(flags));
  }

  /** A load-balanced view in the words of Python's `concurrent.futures`. Mirrors ipyparallel `Client.executor`. */
  executor(targets: Targets = 'all'): ViewExecutor<number, BalancedFlags> {
    return this.loadBalancedView({ targets }).executor;
  }

  /**
   * Ends the connection, once what was submitted has left (5 s at most); idempotent. What is outstanding fails with
   * ConnectionClosedError; the tasks go on.
   */
  close(): Promise<void> {
    return this.#link.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** What `console.log` shows: the controller, and how many engines it has. */
  [inspect.custom](): string {
    const state = this.connected ? `${this.ids.length} engines` : 'not connected';
    return `Client <${this.#link.transport.address('registration')}, ${state}, session ${this.session.session}>`;
  }

  #idsOf(jobs: Jobs): string[] {
    return idsOf(jobs, this.history);
  }

  #tasks(jobs: Jobs): AsyncResult<unknown> {
    // A result goes on being its own; one place or id alone is not a list of one.
    if (jobs instanceof AsyncResult || typeof jobs !== 'object') return this.#link.results.of(jobs);
    return this.#link.results.of(this.#idsOf(jobs));
  }

  #viewParts<F extends ViewFlags>(flags: F): ViewParts<F> {
    return { client: this, context: this.#link, flags };
  }
}

declare module './views/view-context.js' {
  interface ViewClient extends Client {}
}
