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

/** A connection to an IPython Parallel controller, Python's or this project's. Mirrors ipyparallel `Client`. */
export class Client implements AsyncDisposable {
  /** The session identity: `session.session` is the `client_uuid` of the tasks submitted here. */
  readonly session: Session;
  readonly #link: ClusterLink;

  private constructor(link: ClusterLink) {
    this.#link = link;
    this.session = link.session;
  }

  /**
   * Connects to a running controller: locates its connection file as Python's client does, waits for the file to
   * appear, opens the sockets and waits for the hub's reply.
   * @throws {ConnectionFileError} when the connection file is missing or invalid
   * @throws {AuthenticationError} when the keys do not match the hub's
   * @throws {TimeoutError} when the hub does not reply in time
   * @throws {TransportError} when the ssh tunnel or the sockets cannot be opened
   * @example
   * await using rc = await Client.connect({ profile: 'default', timeout: 30_000 });
   * await rc.waitForEngines(2);
   * const squares = await rc.loadBalancedView().map((x: number) => x * x, [1, 2, 3]).get();
   */
  static async connect(options: ConnectOptions = {}): Promise<Client> {
    return new Client(await ClusterLink.open(options));
  }

  /** The `client_uuid` of the tasks that this client submits; the same as `session.session`. */
  get clientId(): string {
    return this.session.session;
  }

  /** Emits the connection status at once and at each change; completes when the client is closed. */
  get connection$(): Observable<ConnectionStatus> {
    return this.#link.connectionState.status$;
  }

  /** Whether the client is connected to the controller. */
  get connected(): boolean {
    return this.#link.connectionState.connected;
  }

  /** The hub's description of itself; undefined for a Python hub. */
  get hub(): HubInfo | undefined {
    return this.#link.profile.info;
  }

  /** The ids of the registered engines, ascending; updated by the hub's notifications. */
  get ids(): readonly number[] {
    return this.#link.registry.ids;
  }

  /** The uuids of the registered engines by id; updated by the hub's notifications. */
  get engines(): ReadonlyMap<number, string> {
    return this.#link.registry.engines;
  }

  /** Emits the registered engines at once and after each change; completes when the client is closed. */
  get engines$(): Observable<readonly EngineInfo[]> {
    return this.#link.registry.engines$;
  }

  /** Counters of sent, received and dropped messages, and the sizes of the client's caches. */
  get stats(): ClientStats {
    return statsOf(this.#link);
  }

  /** The ids of the newest 10,000 tasks that this client submitted, in order. Mirrors ipyparallel `Client.history`. */
  get history(): readonly string[] {
    return this.#link.submittedTasks.history;
  }

  /** The ids in `history` that have no result yet. Mirrors ipyparallel `Client.outstanding`. */
  get outstanding(): readonly string[] {
    return this.#link.submittedTasks.outstanding;
  }

  /** Returns the language of an engine. @throws {UsageError} when no engine has this id */
  async engineLanguage(id: number): Promise<EngineLanguage> {
    return this.#link.languages.of(this.#link.targets.engine(id));
  }

  /**
   * Waits until at least `n` engines are registered. `timeout` defaults to that of `connect`. Mirrors ipyparallel
   * `Client.wait_for_engines`.
   * @returns the ids of the registered engines
   * @throws {TimeoutError} when fewer engines have registered in time
   */
  async waitForEngines(n = 1, options: WaitForEnginesOptions = {}): Promise<readonly number[]> {
    checkOptions(options, WAIT_FOR_ENGINES_OPTIONS, 'waitForEngines');
    const closeBar = options.interactive === true ? showEngines(this.engines$, n, options) : undefined;
    try {
      await this.#link.waitForEngines(n, options);
    } finally {
      closeBar?.();
    }
    return this.ids;
  }

  /**
   * Queries the Task Database. The returned query can be awaited, streamed, polled and watched. The second argument is a
   * key, a list of keys, or options; without keys, records have all keys except the two buffers. Mirrors ipyparallel
   * `Client.db_query`.
   * @throws {InvalidQueryError} at the call, with the nearest valid key or operator
   * @example
   * const failed = await rc.dbQuery({ completed: { $ne: null }, error: { $ne: null } }, ['msg_id', 'error']);
   * for await (const event of rc.dbQuery({ completed: null }, 'msg_id').watch()) console.log(event.type);
   */
  dbQuery(
    query: TaskQuery,
    options?: RangeOptions & WaitOptions & { readonly keys?: undefined },
  ): DbQuery<FullRecord>;
  dbQuery<const K extends ProjectionKey>(query: TaskQuery, keys: K | readonly K[]): DbQuery<Projected<K>>;
  // A separate overload, because the compiler would mistake the method `keys` of an array for the option.
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
   * Returns the result of one or several tasks of any client. Tasks of this client are settled by their replies; for
   * tasks of other clients, this client polls the hub until they have ended. A number is a position in `history`, from
   * the end if negative; the default is the last task submitted. For an unknown id, the result fails with
   * TaskNotFoundError. Mirrors ipyparallel `Client.get_result`.
   * @example
   * const value = await rc.getResult<number>('2f3c…').get({ timeout: 10_000 });
   */
  getResult<T = unknown>(job?: string | number): AsyncResult<T, T>;
  getResult<T = unknown>(jobs: readonly Job[]): AsyncResult<T[], T>;
  getResult<T>(jobs: AsyncResult<T>): AsyncResult<T>;
  getResult(jobs: Jobs = -1): AsyncResult<unknown> {
    return this.#tasks(jobs);
  }

  /**
   * Returns the result that a handle identifies. `JSON.stringify(ar)` or `ar.toJSON()` creates a handle, also in another
   * process; the handle is validated, so it may come from an untrusted source.
   * @throws {UsageError} when the handle is invalid, or (code `WRONG_CLUSTER`) belongs to another cluster and
   * `anyCluster` is not set
   * @example
   * const handle = JSON.stringify(rc.loadBalancedView().apply(() => 6 * 7));
   * const answer = await rc.attach<number>(handle).get();
   */
  attach<T = unknown>(
    handle: ResultHandle | string,
    options: { readonly anyCluster?: boolean } = {},
  ): AsyncResult<T> {
    checkOptions(options, ATTACH_OPTIONS, 'attach');
    return this.#link.results.attach(handle, options) as AsyncResult<T>;
  }

  /**
   * Emits the status of a task of any client, at once and at each change; completes when the task has ended. For a task
   * of another client, this client polls the hub only while there is a subscriber.
   */
  taskStatus$(job: string | number): Observable<TaskStatus> {
    return this.#link.results.status$(job);
  }

  /**
   * Waits until tasks have ended, by default all outstanding ones. Mirrors ipyparallel `Client.wait`.
   * @returns whether the tasks ended within `timeout`
   */
  async wait(jobs?: Jobs, options: WaitOptions = {}): Promise<boolean> {
    return this.#tasks(jobs ?? this.outstanding).wait(options);
  }

  /** Waits like {@link wait} and shows the progress. Mirrors ipyparallel `Client.wait_interactive`. */
  async waitInteractive(jobs?: Jobs, options: WaitInteractiveOptions = {}): Promise<boolean> {
    return this.#tasks(jobs ?? this.outstanding).waitInteractive(options);
  }

  /** The unread values or errors of ended tasks that this client submitted, by id. Mirrors ipyparallel `Client.results`. */
  get results(): ReadonlyMap<string, unknown> {
    return this.#link.results.unreadResults();
  }

  /** The metadata of this client's tasks that have not ended or whose results are unread. Mirrors ipyparallel `Client.metadata`. */
  get metadata(): ReadonlyMap<string, TaskMetadata> {
    return this.#link.results.metadata();
  }

  /**
   * Reads the status of tasks from their records at the hub. Mirrors ipyparallel `Client.result_status`.
   * @throws {TaskNotFoundError} when the hub has no record of a task
   */
  async resultStatus(jobs: Jobs, options: WaitOptions = {}): Promise<ResultStatus> {
    checkOptions(options, WAIT_OPTIONS, 'resultStatus');
    return this.#link.operations.resultStatus(this.#idsOf(jobs), options);
  }

  /**
   * Reads the queues of engines: one engine's queues for an id, else those of all engines and the unassigned tasks, as
   * counts or, with `verbose`, as msg_ids. Mirrors ipyparallel `Client.queue_status`.
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

  /** Reads the ids of all tasks in the Task Database, in the order of submission. Mirrors ipyparallel `Client.hub_history`. */
  async hubHistory(options: WaitOptions = {}): Promise<string[]> {
    checkOptions(options, WAIT_OPTIONS, 'hubHistory');
    return this.#link.operations.history(options);
  }

  /**
   * Runs tasks again under new ids, by default the last one submitted; the client polls the hub for their results. A
   * Python hub sends the tasks to any engine and drops their metadata: `AsyncResult.dropped` lists the dropped keys, and
   * `restore: true` submits the tasks from this client instead. Mirrors ipyparallel `Client.resubmit`.
   * @throws {TaskNotFoundError} when a task is unknown; then no task is sent
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

  /** Purges tasks in this client and at the hub. Mirrors ipyparallel `Client.purge_results`. */
  async purgeResults(
    jobs: Jobs | 'all',
    options: WaitOptions & { readonly targets?: Targets } = {},
  ): Promise<void> {
    checkOptions(options, COMMAND_OPTIONS, 'purgeResults');
    await this.#link.taskActions.purgeEverywhere(jobs === 'all' ? jobs : this.#idsOf(jobs), options);
  }

  /**
   * Purges records at the hub: tasks by id, all ended tasks, or the ended tasks of some engines (`targets`). Unknown ids
   * are ignored. Mirrors ipyparallel `Client.purge_hub_results`.
   * @throws {TaskPendingError} when a task has not ended; then no record is purged
   */
  async purgeHubResults(
    jobs: Jobs | 'all',
    options: WaitOptions & { readonly targets?: Targets } = {},
  ): Promise<void> {
    checkOptions(options, COMMAND_OPTIONS, 'purgeHubResults');
    if (jobs === 'all') await this.#link.taskActions.purgeAll(options);
    else await this.#link.taskActions.purgeIds(this.#idsOf(jobs), options);
  }

  /**
   * Removes results of ended tasks from this client: these tasks, all tasks, and with `targets` also those of some
   * engines. Mirrors ipyparallel `Client.purge_local_results`.
   */
  purgeLocalResults(jobs: Jobs | 'all', options: { readonly targets?: Targets } = {}): void {
    checkOptions(options, PURGE_LOCAL_OPTIONS, 'purgeLocalResults');
    this.#link.taskActions.purgeLocal(jobs === 'all' ? jobs : this.#idsOf(jobs), options.targets);
  }

  /** Purges all ended tasks, in this client and at the hub. Mirrors ipyparallel `Client.purge_everything`. */
  async purgeEverything(options: WaitOptions = {}): Promise<void> {
    await this.purgeResults('all', options);
  }

  /**
   * Aborts tasks, by default the outstanding tasks of this client, with `'all'` the tasks of all clients. Queued tasks
   * are dropped. A task that runs on a JavaScript engine receives an abort signal; one that runs on a Python engine
   * continues. Waits for the replies of the engines; aborted tasks fail with TaskAbortedError. Mirrors ipyparallel
   * `Client.abort`.
   */
  async abort(jobs?: Jobs | 'all', options: CommandOptions = {}): Promise<void> {
    const { commands } = this.#link;
    if (jobs === 'all') await commands.abortAll(this.outstanding, options);
    else await commands.abort(jobs === undefined ? this.outstanding : this.#idsOf(jobs), options);
  }

  /** Clears the namespaces of engines. Mirrors ipyparallel `Client.clear`. */
  async clear(options: CommandOptions = {}): Promise<void> {
    await this.#link.commands.clear(options);
  }

  /**
   * Sends a signal, by name or by number, to the processes of engines. SIGINT interrupts the running task.
   * Mirrors ipyparallel `Client.send_signal`.
   */
  async sendSignal(signal: number | NodeJS.Signals, options: CommandOptions = {}): Promise<void> {
    await this.#link.commands.signal(signal, options);
  }

  /**
   * Shuts down engines, by default all; with `hub: true` also the controller, and then closes this client. Waits for the
   * replies of the engines. Mirrors ipyparallel `Client.shutdown`.
   */
  async shutdown(options: ShutdownOptions = {}): Promise<void> {
    await this.#link.shutdown(options);
  }

  /**
   * Creates a view that runs work on chosen engines; `'all'`, the default, means the engines registered at each call.
   * Mirrors ipyparallel `Client.direct_view`.
   */
  directView(): DirectView<'all'>;
  directView<const T extends Targets>(targets: T, flags?: ViewFlags): DirectView<T>;
  directView(targets: Targets = 'all', flags: ViewFlags = {}): DirectView {
    return new DirectView(this.#viewParts({ ...flags, targets }));
  }

  /**
   * Creates a view that sends the same work to many engines in one message, through the broadcast scheduler. Mirrors
   * ipyparallel `Client.broadcast_view`.
   * @throws {UsageError} when the controller has no broadcast scheduler
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

  /**
   * Creates a view whose tasks the task scheduler assigns to engines. Mirrors ipyparallel `Client.load_balanced_view`.
   * @example
   * const view = rc.loadBalancedView({ retries: 2, label: 'thumbnails' });
   * const sizes = await view.map((path: string) => path.length, ['a.png', 'b.png']).get();
   */
  loadBalancedView(flags: BalancedFlags = {}): LoadBalancedView {
    return new LoadBalancedView(this.#viewParts(flags));
  }

  /** Creates a load-balanced view with the interface of Python's `concurrent.futures`. Mirrors ipyparallel `Client.executor`. */
  executor(targets: Targets = 'all'): ViewExecutor<number, BalancedFlags> {
    return this.loadBalancedView({ targets }).executor;
  }

  /**
   * Closes the connection after all submissions have been sent, or after 5 s; idempotent. Outstanding results fail with
   * ConnectionClosedError; their tasks continue.
   */
  close(): Promise<void> {
    return this.#link.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The text for `console.log`: the controller's address and the number of engines. */
  [inspect.custom](): string {
    const state = this.connected ? `${this.ids.length} engines` : 'not connected';
    return `Client <${this.#link.transport.address('registration')}, ${state}, session ${this.session.session}>`;
  }

  #idsOf(jobs: Jobs): string[] {
    return idsOf(jobs, this.history);
  }

  #tasks(jobs: Jobs): AsyncResult<unknown> {
    // A single id or position gives a single value, not a list of one.
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
