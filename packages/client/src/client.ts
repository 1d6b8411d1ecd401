import {
  type AnyMessage,
  type ClientChannel,
  ConnectionClosedError,
  type FullRecord,
  type HubInfo,
  isMessageOf,
  type MessageContents,
  type Projected,
  type ProjectionKey,
  ProtocolError,
  parentId,
  type Session,
  type TaskQuery,
  UsageError,
} from '@ipyparallel-js/protocol';
import { isDict, parseKeys, parseQuery } from '@ipyparallel-js/protocol/internal';
import {
  type Deadline,
  pause,
  sessionOf,
  startDeadline,
  timeoutError,
  type WaitOptions,
} from '@ipyparallel-js/wire';
import type { Observable } from 'rxjs';
import { AsyncResult } from './async-result.js';
import { type Connection, type ConnectionOptions, openConnection } from './connect/connection.js';
import { ConnectionWatch } from './connection-watch.js';
import { ControlRequests } from './control-requests.js';
import { DbQuery } from './db-query.js';
import { type EngineLanguage, EngineLanguages } from './engine-languages.js';
import { type EngineInfo, EngineRegistry } from './engine-registry.js';
import { HubDatabase } from './hub-database.js';
import {
  type EngineQueueStatus,
  HubOperations,
  type QueueStatus,
  type ResultStatus,
} from './hub-operations.js';
import { HubRequests } from './hub-requests.js';
import { HubTasks } from './hub-tasks.js';
import { OwnTasks } from './own-tasks.js';
import { parseRange } from './question.js';
import { Purge, type ResubmitOptions, type Selections } from './selections.js';
import type { TaskSort } from './sort-option.js';
import type { ClientStats } from './stats.js';
import { Submitter } from './submitter.js';
import { Transport } from './transport.js';
import { DirectView, LoadBalancedView, type Targets, type ViewOptions } from './views.js';

/** Options of {@link Client.connect}. */
export interface ClientOptions extends ConnectionOptions {
  /** How long connecting may take, in ms; 10,000 by default. */
  readonly timeout?: number;
  /** Aborts connecting. */
  readonly signal?: AbortSignal;
  /** How long a request to the hub may take when it names no time of its own, in ms; 60,000 by default. */
  readonly requestTimeout?: number;
  /** How often the hub is asked about tasks of other clients that are waited for, in ms; 100 by default. */
  readonly pollInterval?: number;
  /** The user name that messages carry; `username` by default. */
  readonly username?: string;
}

/** Which of the matches of a query are wanted, in which order. */
export interface RangeOptions {
  /** By `submitted`, then `msg_id`, if not given. */
  readonly sort?: TaskSort;
  /** How many matches to leave out; 0 by default. */
  readonly skip?: number;
  /** How many records to give at most, 1 or more; all by default. */
  readonly limit?: number;
}

/** Options that may stand in place of the keys of {@link Client.dbQuery}. */
export interface DbQueryOptions<K extends ProjectionKey> extends RangeOptions, WaitOptions {
  /** A key or several; `msg_id` always comes along. Without it everything but the buffers comes. */
  readonly keys: K | readonly K[];
}

/** Tasks, named by their ids or by a result that stands for them. */
export type Jobs = string | readonly string[] | AsyncResult<unknown>;

const CONNECT_TIMEOUT = 10_000;
const REQUEST_TIMEOUT = 60_000;
const POLL_INTERVAL = 100;
/** A registration notice can be missed while the subscription is being made; the hub is asked again this often. */
const REFRESH_MS = 1_000;
/** With less time than this left, it would be the question that times out, not the engines. */
const ANSWER_MS = 250;

/** A connection to an IPython Parallel controller, Python's or ours. Mirrors ipyparallel `Client`. */
export class Client implements AsyncDisposable {
  /** The session identity: `session.session` is the `client_uuid` of the tasks submitted here. */
  readonly session: Session;
  readonly #transport: Transport;
  readonly #requests: HubRequests;
  readonly #registry = new EngineRegistry();
  readonly #control: ControlRequests;
  readonly #languages: EngineLanguages;
  readonly #own: OwnTasks;
  readonly #submitter: Submitter;
  readonly #watch: ConnectionWatch;
  readonly #pollInterval: number;
  readonly #connectTimeout: number;
  #hub: HubInfo | undefined;
  #database: HubDatabase;
  #operations: HubOperations;
  #others: HubTasks;
  #closing: Promise<void> | undefined;

  private constructor(connection: Connection, options: ClientOptions) {
    const { info } = connection;
    this.session = sessionOf(info, options.username === undefined ? {} : { username: options.username });
    this.#pollInterval = options.pollInterval ?? POLL_INTERVAL;
    this.#connectTimeout = options.timeout ?? CONNECT_TIMEOUT;
    this.#transport = new Transport(connection, this.session);
    this.#requests = new HubRequests(this.#transport, options.requestTimeout ?? REQUEST_TIMEOUT);
    this.#control = new ControlRequests(this.#transport, this.#requests.defaultTimeout);
    this.#languages = new EngineLanguages(this.#control);
    this.#own = new OwnTasks(this.#registry);
    this.#watch = new ConnectionWatch(
      this.#transport.address('registration'),
      (error) => this.#failAll(error),
      () => void this.#refresh(startDeadline({}, this.#requests.defaultTimeout)).catch(() => undefined),
    );
    this.#submitter = new Submitter(this.#transport, this.#registry, this.#languages, this.#own, this.#watch);
    this.#database = new HubDatabase(this.#requests, undefined);
    this.#operations = new HubOperations(this.#requests, this.#database, this.#registry, undefined);
    this.#others = new HubTasks(this.#database, this.#requests, this.#registry, this.#pollInterval);
  }

  /**
   * Connects to a running controller: finds its connection file as Python's client does (waiting for it to appear),
   * opens the sockets and waits for the hub's answer.
   * @throws ConnectionFileError, AuthenticationError, TimeoutError, TransportError, or `signal.reason`
   */
  static async connect(options: ClientOptions = {}): Promise<Client> {
    const deadline = startDeadline(options, CONNECT_TIMEOUT);
    startDeadline({ timeout: options.requestTimeout ?? 0 }, 0);
    const connection = await openConnection(options, deadline);
    let client: Client | undefined;
    try {
      client = new Client(connection, options);
      await client.#open(deadline);
      return client;
    } catch (error) {
      await (client === undefined ? connection.close() : client.close());
      throw error;
    }
  }

  /** What the hub says of itself; undefined for a stock one. */
  get hub(): HubInfo | undefined {
    return this.#hub;
  }

  /** The ids of the registered engines, ascending; kept true by the hub's notices. */
  get ids(): readonly number[] {
    return this.#registry.ids;
  }

  /** id → uuid of the registered engines; kept true by the hub's notices. */
  get engines(): ReadonlyMap<number, string> {
    return this.#registry.engines;
  }

  /** The registered engines, at once and after each change; completes on close. */
  get engines$(): Observable<readonly EngineInfo[]> {
    return this.#registry.engines$;
  }

  /** What was sent, received and refused since connecting. */
  get stats(): ClientStats {
    return { ...this.#transport.stats };
  }

  /** The ids of the tasks submitted here, in order. Mirrors ipyparallel `Client.history`. */
  get history(): readonly string[] {
    return this.#own.history;
  }

  /** Those of them that have no result yet. Mirrors ipyparallel `Client.outstanding`. */
  get outstanding(): readonly string[] {
    return this.#own.outstanding;
  }

  /** The language of an engine. @throws UsageError when there is no such engine */
  async engineLanguage(id: number): Promise<EngineLanguage> {
    return this.#languages.of(this.#submitter.engine(id));
  }

  /**
   * Waits until at least `n` engines are registered. The time-out is `timeout` of connecting by default.
   * @throws TimeoutError naming how many there are. Mirrors ipyparallel `Client.wait_for_engines`.
   */
  async waitForEngines(n = 1, options: WaitOptions = {}): Promise<readonly number[]> {
    const deadline = startDeadline(options, this.#connectTimeout);
    const changed = new AbortController();
    const watching = this.#registry.engines$.subscribe((engines) => {
      if (engines.length >= n) changed.abort();
    });
    try {
      while (this.#registry.ids.length < n) {
        this.#assertOpen();
        deadline.signal?.throwIfAborted();
        if (deadline.remaining() === 0) {
          throw timeoutError(
            `${this.#registry.ids.length} of ${n} engines registered at ${this.#transport.address('registration')}`,
            deadline.elapsed(),
            'are the engines running, and do they use this controller?',
          );
        }
        const signals = deadline.signal === undefined ? [changed.signal] : [changed.signal, deadline.signal];
        await pause(Math.min(REFRESH_MS, deadline.remaining()), AbortSignal.any(signals));
        if (this.#registry.ids.length < n && deadline.remaining() > ANSWER_MS) await this.#refresh(deadline);
      }
      return this.ids;
    } finally {
      watching.unsubscribe();
    }
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
    this.#assertOpen();
    const node = parseQuery(query);
    const options: RangeOptions & WaitOptions & { readonly keys?: unknown } = isDict(keysOrOptions)
      ? keysOrOptions
      : { keys: keysOrOptions };
    const keys = options.keys === undefined ? undefined : parseKeys(options.keys);
    const context = {
      database: this.#database,
      selections: this.#selections,
      defaultTimeout: this.#requests.defaultTimeout,
    };
    return new DbQuery(context, { node, keys, ...parseRange(options) }, options);
  }

  /**
   * The result of a task, or of several, whoever submitted them: own ones from their replies, others' by asking the
   * hub until they have ended. An unknown id fails it with TaskNotFoundError. Mirrors ipyparallel `Client.get_result`.
   */
  getResult<T = unknown>(msgId: string): AsyncResult<T>;
  getResult<T = unknown>(msgIds: readonly string[]): AsyncResult<T[]>;
  getResult(jobs: string | readonly string[]): AsyncResult<unknown> {
    this.#assertOpen();
    const tasks = idsOf(jobs).map((id) => this.#own.get(id) ?? this.#others.follow(id));
    return new AsyncResult(tasks, typeof jobs === 'string');
  }

  /** Which tasks have ended, by the hub's records. @throws TaskNotFoundError. Mirrors ipyparallel `Client.result_status`. */
  async resultStatus(jobs: Jobs, options: WaitOptions = {}): Promise<ResultStatus> {
    return this.#operations.resultStatus(idsOf(jobs), options);
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
    const ids = targets === 'all' ? this.ids : typeof targets === 'number' ? [targets] : targets;
    for (const id of ids) this.#submitter.engine(id);
    const status = await this.#operations.queueStatus(ids, options.verbose === true, options);
    return typeof targets === 'number' ? status.engines[targets] : status;
  }

  /** The ids of every task in the Task Database, by submission. Mirrors ipyparallel `Client.hub_history`. */
  async hubHistory(options: WaitOptions = {}): Promise<string[]> {
    return this.#operations.history(options);
  }

  /**
   * Runs tasks again under new ids; their results come by asking the hub. A stock hub sends them to any engine and
   * drops what their metadata said: `AsyncResult.dropped` tells what, and `restore: true` submits them from here
   * instead. @throws TaskNotFoundError, and then nothing is sent. Mirrors ipyparallel `Client.resubmit`.
   */
  async resubmit<T = unknown>(msgId: string, options?: ResubmitOptions): Promise<AsyncResult<T>>;
  async resubmit<T = unknown>(
    jobs: Exclude<Jobs, string>,
    options?: ResubmitOptions,
  ): Promise<AsyncResult<T[]>>;
  async resubmit(jobs: Jobs, options: ResubmitOptions = {}): Promise<AsyncResult<unknown>> {
    const ids = idsOf(jobs);
    const single = typeof jobs === 'string';
    if (options.restore === true && !this.#operations.keepsMetadata) {
      const requests = await this.#operations.requestsOf(ids, options);
      return new AsyncResult(
        requests.map((request) => this.#submitter.again(request)),
        single,
      );
    }
    const { renamed, dropped } = await this.#operations.resubmit(ids, options);
    const tasks = ids.map((id) => this.#others.follow(renamed.get(id) ?? id));
    return new AsyncResult(tasks, single, dropped);
  }

  /** Purges tasks here and at the hub. Mirrors ipyparallel `Client.purge_results`. */
  async purgeResults(
    jobs: Jobs | 'all',
    options: WaitOptions & { readonly targets?: Targets } = {},
  ): Promise<void> {
    await this.purgeHubResults(jobs, options);
    this.purgeLocalResults(jobs);
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
    const { targets } = options;
    if (jobs === 'all') return this.#operations.purgeAll(options);
    const ids = idsOf(jobs);
    const engines = targets === undefined ? [] : targets === 'all' ? this.ids : [targets].flat();
    const ended = engines.length === 0 ? [] : await this.#operations.endedOn(engines, options);
    if (ids.length + ended.length > 0) await this.#operations.purgeIds([...ids, ...ended], options);
  }

  /** Forgets results held here, of tasks that have ended. Mirrors ipyparallel `Client.purge_local_results`. */
  purgeLocalResults(jobs: Jobs | 'all'): void {
    this.#own.forget(jobs === 'all' ? this.#own.history : idsOf(jobs));
  }

  /** Purges all that has ended, here and at the hub. Mirrors ipyparallel `Client.purge_everything`. */
  async purgeEverything(options: WaitOptions = {}): Promise<void> {
    await this.purgeResults('all', options);
  }

  /**
   * Aborts tasks that wait at an engine: all, or those named; what runs goes on. Waits until the engines have
   * answered; aborted tasks fail with TaskAbortedError. Mirrors ipyparallel `Client.abort`.
   */
  async abort(
    jobs: Jobs | 'all' = 'all',
    options: WaitOptions & { readonly targets?: Targets } = {},
  ): Promise<void> {
    const { targets = 'all' } = options;
    const ids = targets === 'all' ? this.ids : [targets].flat();
    const msgIds = jobs === 'all' ? null : idsOf(jobs);
    await Promise.all(
      ids.map((id) =>
        this.#control.request(this.#submitter.engine(id), 'abort_request', { msg_ids: msgIds }, options),
      ),
    );
  }

  /** A view of engines picked by id; `'all'` means all that are registered at each call. Mirrors ipyparallel `Client.direct_view`. */
  directView<const T extends Targets>(targets: T, options: ViewOptions = {}): DirectView<T> {
    return new DirectView(this.#submitter, targets, options);
  }

  /** A view whose tasks the scheduler hands out. Mirrors ipyparallel `Client.load_balanced_view`. */
  loadBalancedView(options: ViewOptions = {}): LoadBalancedView {
    return new LoadBalancedView(this.#submitter, options);
  }

  /** Ends the connection; idempotent. What is outstanding fails with ConnectionClosedError; the tasks go on. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #open(deadline: Deadline): Promise<void> {
    this.#transport.open({
      onMessage: (channel, message) => this.#onMessage(channel, message),
      onHubLink: (up) => this.#watch.onLink(up),
    });
    this.#transport.connection.onTunnelLost((error) => this.#failAll(error));
    const reply = await this.#refresh(deadline);
    this.#hub = reply.hub;
    this.#database = new HubDatabase(this.#requests, this.#hub);
    this.#operations = new HubOperations(this.#requests, this.#database, this.#registry, this.#hub);
    this.#others = new HubTasks(this.#database, this.#requests, this.#registry, this.#pollInterval);
  }

  /** What query objects do with the tasks that they select. */
  get #selections(): Selections {
    return {
      results: (msgIds) => this.getResult(msgIds),
      resubmit: (msgIds, options) => this.resubmit(msgIds, options),
      purge: async (question, dryRun, newDeadline) => {
        const report = await new Purge(this.#database, this.#operations).run(question, dryRun, newDeadline);
        if (!dryRun) this.purgeLocalResults(report.msgIds ?? []);
        return report;
      },
    };
  }

  async #close(): Promise<void> {
    this.#watch.close();
    this.#failAll(new ConnectionClosedError('the client was closed'));
    this.#others.close();
    this.#registry.complete();
    await this.#transport.close();
  }

  #failAll(error: Error): void {
    this.#requests.failAll(error);
    this.#control.failAll(error);
    this.#own.failAll(error);
    this.#others.failAll(error);
  }

  #assertOpen(): void {
    if (this.#transport.closed) throw new ConnectionClosedError('the client is closed');
  }

  /** Asks the hub for its engines. */
  async #refresh(
    deadline: Deadline,
  ): Promise<Extract<MessageContents['connection_reply'], { status: 'ok' }>> {
    const { content } = await this.#requests.request(
      'connection_request',
      {},
      {
        timeout: deadline.remaining(),
        ...(deadline.signal === undefined ? {} : { signal: deadline.signal }),
      },
    );
    const engines = Object.entries(content.engines ?? {}).map(([id, uuid]) => [Number(id), uuid] as const);
    if (!engines.every(([id, uuid]) => Number.isInteger(id) && typeof uuid === 'string'))
      throw new ProtocolError('a connection_reply names engines that cannot be');
    for (const gone of this.#registry.replace(engines)) this.#engineGone(gone);
    for (const [id, uuid] of this.#registry.engines) void this.#languages.of({ id, uuid });
    return content;
  }

  #onMessage(channel: ClientChannel, message: AnyMessage): void {
    switch (channel) {
      case 'registration':
        if (!this.#requests.settle(message)) this.#transport.stats.unexpected++;
        return;
      case 'notification':
        this.#onNotification(message);
        return;
      case 'iopub':
        this.#own.onOutput(message);
        if (isMessageOf(message, 'status') && message.content.execution_state === 'idle') {
          this.#others.onIdle(parentId(message) ?? '');
        }
        return;
      case 'control':
        if (!this.#control.settle(message)) this.#transport.stats.unexpected++;
        return;
      default:
        if (!this.#own.onReply(message)) this.#transport.stats.unexpected++;
    }
  }

  #onNotification(message: AnyMessage): void {
    if (isMessageOf(message, 'shutdown_notification')) {
      this.#watch.onShutdown();
      return;
    }
    const { id, uuid } = message.content;
    if (typeof id !== 'number' || typeof uuid !== 'string') return;
    if (isMessageOf(message, 'registration_notification')) {
      this.#registry.add(id, uuid);
      void this.#languages.of({ id, uuid });
    } else if (isMessageOf(message, 'unregistration_notification') && this.#registry.remove(id, uuid)) {
      this.#engineGone(uuid);
    }
  }

  #engineGone(uuid: string): void {
    this.#languages.forget(uuid);
    this.#control.onEngineGone(uuid);
    this.#own.onEngineGone(uuid);
  }
}

function idsOf(jobs: Jobs): readonly string[] {
  if (typeof jobs === 'string') return [jobs];
  const ids = jobs instanceof AsyncResult ? jobs.msgIds : jobs;
  for (const id of ids) {
    if (typeof id !== 'string')
      throw new UsageError(`a task is named by its msg_id, a text, not by ${typeof id}`);
  }
  return ids;
}
