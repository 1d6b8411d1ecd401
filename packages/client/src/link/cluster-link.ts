import { ConnectionClosedError, type HubInfo, type Session, UsageError } from '@ipyparallel-js/protocol';
import { checkOptions } from '@ipyparallel-js/protocol/internal';
import { createSession, pause, startDeadline, timeoutError, type WaitOptions } from '@ipyparallel-js/wire';
import type { Connection } from '../connection/connection.js';
import { ConnectionSource } from '../connection/connection-source.js';
import { ConnectionState } from '../connection/connection-state.js';
import { silenceOf } from '../connection/sockets.js';
import { Transport } from '../connection/transport.js';
import { ControlRequests } from '../engines/control-requests.js';
import { EngineCommands } from '../engines/engine-commands.js';
import { EngineLanguages } from '../engines/engine-languages.js';
import { EngineRegistry } from '../engines/engine-registry.js';
import { ReturningEngines, type ReturnTimes } from '../engines/returning-engines.js';
import { HubDatabase } from '../hub/hub-database.js';
import { HubOperations } from '../hub/hub-operations.js';
import { HubProfile } from '../hub/hub-profile.js';
import { HubRequests } from '../hub/hub-requests.js';
import { RequestLane } from '../hub/request-lane.js';
import { ChangeSignals } from '../live/change-signals.js';
import { LiveQueries } from '../live/live-queries.js';
import { TaskActions } from '../query/task-actions.js';
import type { AsyncResult } from '../results/async-result.js';
import { ClientResults } from '../results/result-finder.js';
import { ClientTaskOwner } from '../tasks/client-task-owner.js';
import { EngineChanges } from '../tasks/engine-changes.js';
import { HubTasks } from '../tasks/hub-tasks.js';
import { OwnTasks } from '../tasks/own-tasks.js';
import { RESULT_CACHE_LIMITS } from '../tasks/result-cache.js';
import { WaitingWork } from '../tasks/unsent-work.js';
import { Submitter } from '../views/submitter.js';
import { CLIENT_OPTIONS, type ClientOptions, PICKLE_LIMITS } from './client-options.js';
import { Lives } from './connection-lifecycle.js';
import { Incoming } from './message-dispatcher.js';

const CONNECT_TIMEOUT = 10_000;
const REQUEST_TIMEOUT = 60_000;
const RECONNECT_TIMEOUT = 30_000;
const HEARTBEAT = 2_500;
const POLL_INTERVAL = 100;
/** A registration notice can be missed while the subscription is being made; the hub is asked again this often. */
const REFRESH_MS = 1_000;
/** With less time than this left, it would be the question that times out, not the engines. */
const ANSWER_MS = 250;
/** What was on its way when a link broke arrives within the time in which a link counts as cut, and this, or never. */
const ARRIVAL_MS = 2_000;
/** So long at least engines have to register again with a controller that came back. */
const ENGINES_MS = 12_000;

/** How long a client that is closed goes on sending what was submitted, in ms. */
const LEAVE_MS = 5_000;

/** An open connection to a cluster: everything that a client is made of. */
export class ClusterLink {
  readonly session: Session;
  readonly transport: Transport;
  readonly requests: HubRequests;
  /** The facts about the connected hub. */
  readonly profile = new HubProfile();
  readonly registry = new EngineRegistry();
  readonly control: ControlRequests;
  readonly languages: EngineLanguages;
  /** What tasks ask of this client. */
  readonly owner: ClientTaskOwner;
  /** The tasks submitted here. */
  readonly own: OwnTasks;
  readonly submitter: Submitter;
  /** Results by id, by place in the history, or by handle. */
  readonly results: ClientResults = new ClientResults(this);
  /** Resubmission and purges. */
  readonly recorded: TaskActions;
  /** What engines are asked beside their work. */
  readonly commands: EngineCommands;
  /** Whether the controller is there, and who is told when it goes and comes. */
  readonly connection: ConnectionState;
  /** The engines that were there before a break, until they are back. */
  readonly returning: ReturningEngines;
  /** Work that was never sent. */
  readonly waiting: WaitingWork;
  readonly database: HubDatabase;
  readonly operations: HubOperations;
  /** The tasks that are followed by asking the hub. */
  readonly others: HubTasks;
  /** What is noticed without asking, for those who ask. */
  readonly signals = new ChangeSignals();
  readonly live: LiveQueries;
  readonly #lives: Lives;
  readonly #connectTimeout: number;
  #closing: Promise<void> | undefined;

  private constructor(connection: Connection, source: ConnectionSource, options: ClientOptions) {
    const { username, pollInterval = POLL_INTERVAL, heartbeatInterval: heartbeat = HEARTBEAT } = options;
    const { reconnectTimeout = RECONNECT_TIMEOUT } = options;
    this.session = createSession(connection.info, username === undefined ? {} : { username });
    this.#connectTimeout = options.timeout ?? CONNECT_TIMEOUT;
    this.transport = new Transport(connection, this.session, heartbeat);
    this.connection = new ConnectionState(this.transport.address('registration'), reconnectTimeout, (error) =>
      this.#failAll(error),
    );
    this.requests = new HubRequests(this.transport, options.requestTimeout ?? REQUEST_TIMEOUT);
    this.control = new ControlRequests(this.transport, this.requests.defaultTimeout);
    this.languages = new EngineLanguages(this.control);
    this.owner = new ClientTaskOwner(this);
    this.own = new OwnTasks({
      registry: this.registry,
      owner: this.owner,
      ...(options.resultCache === undefined ? {} : { limits: options.resultCache }),
      ...(options.pickleLimits === undefined ? {} : { pickleLimits: options.pickleLimits }),
      onUnreadable: () => this.transport.stats.unreadable++,
    });
    const engines = new EngineChanges(this.registry, this.languages, this.control, this.own);
    const grace = silenceOf(heartbeat) + ARRIVAL_MS;
    const registration = Math.max(grace, ENGINES_MS);
    const times: ReturnTimes = { registration, any: Math.max(registration, reconnectTimeout) };
    this.waiting = new WaitingWork(
      { transport: this.transport, own: this.own, engines, state: this.connection },
      times,
    );
    this.returning = new ReturningEngines(this.registry, this.control, times, this.waiting);
    this.submitter = new Submitter({
      returning: this.returning,
      transport: this.transport,
      registry: this.registry,
      languages: this.languages,
      tasks: this.own,
      watch: this.connection,
    });
    this.commands = new EngineCommands(this, (ids, wait) => this.operations.queueStatus(ids, true, wait));
    this.database = new HubDatabase(this.requests, this.profile);
    this.operations = new HubOperations(this.requests, this.database, this.profile);
    const lane = new RequestLane();
    this.others = new HubTasks({
      lane,
      database: this.database,
      requests: this.requests,
      registry: this.registry,
      owner: this.owner,
      connected: () => this.connection.connected,
      interval: pollInterval,
      ...(options.pickleLimits === undefined ? {} : { pickleLimits: options.pickleLimits }),
    });
    this.live = new LiveQueries({
      lane,
      requests: this.requests,
      signals: this.signals,
      connection: this.connection,
      database: this.database,
      registry: this.registry,
      profile: this.profile,
    });
    this.recorded = new TaskActions({
      database: this.database,
      operations: this.operations,
      registry: this.registry,
      signals: this.signals,
      resultOf: (msgIds) => this.results.of(msgIds) as AsyncResult<unknown[]>,
      follow: (msgId) => this.others.follow(msgId),
      submitAgain: (record) => this.submitter.again(record),
      forget: (msgIds) => this.own.forget(msgIds),
    });
    const { transport, requests, registry, control, own, others, signals, database, profile } = this;
    this.#lives = new Lives(
      {
        ...{ transport, requests, registry, control, own, others, database, profile },
        ...{ state: this.connection, source, engines, returning: this.returning },
      },
      grace,
    );
    const incoming = new Incoming({
      ...{ requests, control, own, others, signals, engines, stats: transport.stats },
      ...{ inbox: this.live.inbox, coalesced: this.submitter.coalesced },
      onShutdown: () => this.#lives.onShutdown(),
    });
    transport.listen({
      onMessage: (channel, message) => incoming.onMessage(channel, message),
      onComplete: () => this.#lives.onComplete(),
      onBroken: (reason) => this.#lives.onBroken(reason),
      mustWait: (work) => this.returning.awaits(work),
      onWorkSent: (msgId) => {
        this.#lives.onWorkSent(msgId);
        signals.onSubmitted(msgId);
      },
    });
    source.onTunnelLost((error) => this.#lives.onTunnelLost(error));
  }

  /** Finds the connection file, opens the sockets and waits for the hub's answer. */
  static async open(options: ClientOptions): Promise<ClusterLink> {
    checkOptions(options, CLIENT_OPTIONS, 'Client.connect');
    checkOptions(options.resultCache, RESULT_CACHE_LIMITS, 'resultCache');
    checkOptions(options.pickleLimits, PICKLE_LIMITS, 'pickleLimits');
    const deadline = startDeadline(options, CONNECT_TIMEOUT);
    for (const timeout of [options.requestTimeout ?? 0, options.reconnectTimeout ?? 0])
      startDeadline({ timeout }, 0);
    checkHeartbeat(options.heartbeatInterval);
    const source = new ConnectionSource(options);
    const connection = await source.open(deadline);
    let link: ClusterLink | undefined;
    try {
      link = new ClusterLink(connection, source, options);
      await link.#lives.begin(deadline);
      return link;
    } catch (error) {
      await (link === undefined ? connection.close() : link.close());
      throw error;
    }
  }

  /** What the hub says of itself; undefined for a stock one. */
  get hub(): HubInfo | undefined {
    return this.profile.info;
  }

  /** @throws ConnectionClosedError once closed */
  assertOpen(): void {
    if (this.transport.closed) throw new ConnectionClosedError('the client is closed');
  }

  /** Waits until at least `n` engines are registered; the time-out is that of connecting by default. */
  async waitForEngines(n: number, options: WaitOptions): Promise<void> {
    const deadline = startDeadline(options, this.#connectTimeout);
    this.assertOpen();
    const changed = new AbortController();
    const watching = this.registry.engines$.subscribe((engines) => {
      if (engines.length >= n) changed.abort();
    });
    try {
      while (this.registry.ids.length < n) {
        this.assertOpen();
        deadline.signal?.throwIfAborted();
        if (deadline.remaining() === 0) {
          throw timeoutError(
            `${this.registry.ids.length} of ${n} engines registered at ${this.transport.address('registration')}`,
            deadline.elapsed(),
            'are the engines running, and do they use this controller?',
          );
        }
        const signals = deadline.signal === undefined ? [changed.signal] : [changed.signal, deadline.signal];
        await pause(Math.min(REFRESH_MS, deadline.remaining()), AbortSignal.any(signals));
        if (this.registry.ids.length < n && deadline.remaining() > ANSWER_MS)
          await this.#lives.refresh(deadline);
      }
    } finally {
      watching.unsubscribe();
    }
  }

  /** Ends it; idempotent. What waits fails. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const sending = this.submitter.sending();
    if (sending !== undefined && this.connection.connected) {
      // Whoever submits and leaves means the work to be done.
      const sent = new AbortController();
      void sending.then(() => sent.abort());
      await pause(LEAVE_MS, sent.signal);
    }
    this.#lives.close();
    this.#failAll(new ConnectionClosedError('the client was closed'));
    this.others.close();
    this.live.close();
    this.registry.complete();
    await this.transport.close();
  }

  #failAll(error: Error): void {
    this.waiting.giveUp(error);
    this.requests.failAll(error);
    this.control.failAll(error);
    this.own.failAll(error);
    this.others.failAll(error);
  }
}

function checkHeartbeat(interval: number | undefined): void {
  if (interval === undefined || (Number.isInteger(interval) && interval >= 0 && interval <= 1_000_000))
    return;
  throw new UsageError(`heartbeatInterval is a whole number of milliseconds, not ${String(interval)}`);
}
