import { ConnectionClosedError, type Session, UsageError } from '@ipyparallel-js/protocol';
import { checkOptions } from '@ipyparallel-js/protocol/internal';
import { createSession, pause, startDeadline, timeoutError, type WaitOptions } from '@ipyparallel-js/wire';
import type { Connection } from '../connection/connection.js';
import { ConnectionSource } from '../connection/connection-source.js';
import { ConnectionState } from '../connection/connection-state.js';
import { silenceOf } from '../connection/sockets.js';
import { Transport } from '../connection/transport.js';
import { ControlRequests } from '../engines/control-requests.js';
import { EngineCommands, type ShutdownOptions } from '../engines/engine-commands.js';
import { EngineLanguages } from '../engines/engine-languages.js';
import { EngineRegistry } from '../engines/engine-registry.js';
import type { ReturnTimes } from '../engines/returning-engines.js';
import { TargetFinder } from '../engines/targets.js';
import { HubDatabase } from '../hub/hub-database.js';
import { HubOperations } from '../hub/hub-operations.js';
import { HubProfile } from '../hub/hub-profile.js';
import { HubRequests } from '../hub/hub-requests.js';
import { RequestLane } from '../hub/request-lane.js';
import { ChangeSignals } from '../live/change-signals.js';
import { LiveQueries } from '../live/live-queries.js';
import { TaskActions } from '../query/task-actions.js';
import type { AsyncResult } from '../results/async-result.js';
import { ResultFinder } from '../results/result-finder.js';
import { ClientTaskOwner } from '../tasks/client-task-owner.js';
import { EngineChanges } from '../tasks/engine-changes.js';
import { FollowedTasks } from '../tasks/followed-tasks.js';
import { RESULT_CACHE_LIMITS } from '../tasks/result-cache.js';
import { SubmittedTasks } from '../tasks/submitted-tasks.js';
import { UnsentWork } from '../tasks/unsent-work.js';
import { Submitter } from '../views/submitter.js';
import { CONNECT_OPTIONS, type ConnectOptions, PICKLE_LIMITS } from './connect-options.js';
import { ConnectionLifecycle } from './connection-lifecycle.js';
import { MessageDispatcher } from './message-dispatcher.js';

const CONNECT_TIMEOUT = 10_000;
const REQUEST_TIMEOUT = 60_000;
const RECONNECT_TIMEOUT = 30_000;
const HEARTBEAT = 2_500;
const POLL_INTERVAL = 100;
/** A registration notice can be missed while the subscription is being set up, so waitForEngines() also polls the hub. */
const REFRESH_MS = 1_000;
/** With less time left than this, waitForEngines() does not poll: the request would time out instead of the wait. */
const REPLY_MS = 250;
/** A message that was sent before a link broke arrives within the silence limit plus this time, or never. */
const ARRIVAL_MS = 2_000;
/** The minimum time that engines have to register again after the controller came back. */
const REREGISTRATION_MS = 12_000;

/** How long a client that is being closed still sends submissions, in ms. */
const CLOSE_SEND_MS = 5_000;

/** An open connection to a cluster: creates the parts of a client and connects them to each other. */
export class ClusterLink {
  readonly session: Session;
  readonly transport: Transport;
  readonly requests: HubRequests;
  /** The facts about the connected hub. */
  readonly profile = new HubProfile();
  readonly registry = new EngineRegistry();
  readonly control: ControlRequests;
  readonly languages: EngineLanguages;
  readonly connectionState: ConnectionState;
  readonly taskOwner: ClientTaskOwner;
  /** The tasks submitted by this client. */
  readonly submittedTasks: SubmittedTasks;
  /** The tasks whose results are read from their records at the hub. */
  readonly followedTasks: FollowedTasks;
  /** The submissions that have not been sent yet. */
  readonly unsentWork: UnsentWork;
  readonly targets: TargetFinder;
  readonly submitter: Submitter;
  readonly commands: EngineCommands;
  readonly database: HubDatabase;
  readonly operations: HubOperations;
  readonly results: ResultFinder;
  readonly taskActions: TaskActions;
  /** Changes that the client observes without a request to the hub. */
  readonly signals = new ChangeSignals();
  readonly live: LiveQueries;
  readonly #lifecycle: ConnectionLifecycle;
  readonly #connectTimeout: number;
  #closePromise: Promise<void> | undefined;

  private constructor(connection: Connection, source: ConnectionSource, options: ConnectOptions) {
    const { username, pollInterval = POLL_INTERVAL, heartbeatInterval: heartbeat = HEARTBEAT } = options;
    const { reconnectTimeout = RECONNECT_TIMEOUT, resultCache, pickleLimits } = options;
    const { registry, profile, signals } = this;
    const session = createSession(connection.info, username === undefined ? {} : { username });
    const transport = new Transport(connection, session, heartbeat);
    const connectionState = new ConnectionState(
      transport.address('registration'),
      reconnectTimeout,
      (error) => this.#failAll(error),
    );
    const requests = new HubRequests(transport, options.requestTimeout ?? REQUEST_TIMEOUT);
    const database = new HubDatabase(requests, profile);
    const operations = new HubOperations(requests, database, profile);
    const control = new ControlRequests(transport, requests.defaultTimeout);
    const languages = new EngineLanguages(control);
    const taskOwner = new ClientTaskOwner(this);
    const submittedTasks = new SubmittedTasks({
      registry,
      owner: taskOwner,
      ...(resultCache === undefined ? {} : { limits: resultCache }),
      ...(pickleLimits === undefined ? {} : { pickleLimits }),
      onDecodeError: () => transport.stats.unreadable++,
    });
    const engineChanges = new EngineChanges(registry, languages, control, submittedTasks);
    const arrivalMs = silenceOf(heartbeat) + ARRIVAL_MS;
    const registration = Math.max(arrivalMs, REREGISTRATION_MS);
    const times: ReturnTimes = { registration, anyEngine: Math.max(registration, reconnectTimeout) };
    const unsentWork = new UnsentWork(
      { transport, registry, control, submittedTasks, engineChanges, connectionState },
      times,
    );
    const targets = new TargetFinder(registry, unsentWork.returningEngines);
    const submitter = new Submitter({
      ...{ transport, registry, targets, languages, submittedTasks, unsentWork, connectionState },
    });
    const lane = new RequestLane();
    const followedTasks = new FollowedTasks({
      ...{ lane, database, requests, registry, profile },
      owner: taskOwner,
      connected: () => connectionState.connected,
      interval: pollInterval,
      ...(pickleLimits === undefined ? {} : { pickleLimits }),
    });
    const results = new ResultFinder({
      ...{ submittedTasks, followedTasks, transport },
      owner: taskOwner,
    });
    this.live = new LiveQueries({
      ...{ lane, requests, signals, database, registry, profile },
      connection: connectionState,
    });
    this.taskActions = new TaskActions({
      ...{ database, operations, registry, targets, signals, submittedTasks },
      resultOf: (msgIds) => results.of(msgIds) as AsyncResult<unknown[]>,
      follow: (msgId) => followedTasks.follow(msgId),
      resubmit: (record) => submitter.resubmit(record),
    });
    this.commands = new EngineCommands({ targets, registry, control, requests, operations, unsentWork });
    this.#lifecycle = new ConnectionLifecycle(
      {
        ...{ transport, requests, registry, control, database, profile },
        ...{ submittedTasks, followedTasks, connectionState, source, engineChanges, unsentWork },
      },
      arrivalMs,
    );
    const dispatcher = new MessageDispatcher({
      ...{ requests, control, submittedTasks, followedTasks, signals, engineChanges },
      ...{ inbox: this.live.inbox, coalesced: submitter.coalesced, stats: transport.stats },
      onShutdown: () => this.#lifecycle.onShutdown(),
    });
    transport.listen({
      onMessage: (channel, message) => dispatcher.dispatch(channel, message),
      onComplete: () => this.#lifecycle.onComplete(),
      onBroken: (reason) => this.#lifecycle.onBroken(reason),
      onWorkSent: (msgId) => {
        this.#lifecycle.onWorkSent(msgId);
        signals.onSubmitted(msgId);
      },
    });
    source.onTunnelLost((error) => this.#lifecycle.onTunnelLost(error));
    this.session = session;
    this.transport = transport;
    this.connectionState = connectionState;
    this.requests = requests;
    this.database = database;
    this.operations = operations;
    this.control = control;
    this.languages = languages;
    this.taskOwner = taskOwner;
    this.submittedTasks = submittedTasks;
    this.followedTasks = followedTasks;
    this.unsentWork = unsentWork;
    this.targets = targets;
    this.submitter = submitter;
    this.results = results;
    this.#connectTimeout = options.timeout ?? CONNECT_TIMEOUT;
  }

  /** Locates the connection file, opens the sockets and waits for the hub's reply. */
  static async open(options: ConnectOptions): Promise<ClusterLink> {
    checkOptions(options, CONNECT_OPTIONS, 'Client.connect');
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
      await link.#lifecycle.begin(deadline);
      return link;
    } catch (error) {
      await (link === undefined ? connection.close() : link.close());
      throw error;
    }
  }

  /** @throws {ConnectionClosedError} when the client is closed */
  assertOpen(): void {
    if (this.transport.closed) throw new ConnectionClosedError('the client is closed');
  }

  /** Waits until at least `n` engines are registered. The timeout defaults to that of connecting. */
  async waitForEngines(n: number, options: WaitOptions): Promise<void> {
    const deadline = startDeadline(options, this.#connectTimeout);
    this.assertOpen();
    const reached = new AbortController();
    const subscription = this.registry.engines$.subscribe((engines) => {
      if (engines.length >= n) reached.abort();
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
        const signals = deadline.signal === undefined ? [reached.signal] : [reached.signal, deadline.signal];
        await pause(Math.min(REFRESH_MS, deadline.remaining()), AbortSignal.any(signals));
        if (this.registry.ids.length < n && deadline.remaining() > REPLY_MS)
          await this.#lifecycle.refresh(deadline);
      }
    } finally {
      subscription.unsubscribe();
    }
  }

  /** Shuts down engines; with `hub` also the controller, and then closes the client. */
  async shutdown(options: ShutdownOptions): Promise<void> {
    await this.commands.shutdown(options);
    if (options.hub === true) await this.close();
  }

  /** Closes the connection; idempotent. Pending requests and unfinished tasks fail. */
  close(): Promise<void> {
    this.#closePromise ??= this.#close();
    return this.#closePromise;
  }

  async #close(): Promise<void> {
    const submissionsSent = this.submitter.submissionsSent();
    if (submissionsSent !== undefined && this.connectionState.connected) {
      // A program that submits work and then closes the client expects the work to run.
      const sentController = new AbortController();
      void submissionsSent.then(() => sentController.abort());
      await pause(CLOSE_SEND_MS, sentController.signal);
    }
    this.#lifecycle.close();
    this.#failAll(new ConnectionClosedError('the client was closed'));
    this.followedTasks.close();
    this.live.close();
    this.registry.complete();
    // Without a connection, messages that are still queued cannot be sent.
    await this.transport.close(this.unsentWork.disconnected);
  }

  #failAll(error: Error): void {
    this.unsentWork.failAll(error);
    this.requests.failAll(error);
    this.control.failAll(error);
    this.submittedTasks.failAll(error);
    this.followedTasks.failAll(error);
  }
}

function checkHeartbeat(interval: number | undefined): void {
  if (interval === undefined || (Number.isInteger(interval) && interval >= 0 && interval <= 1_000_000))
    return;
  throw new UsageError(
    `heartbeatInterval must be a whole number of milliseconds from 0 to 1,000,000, got ${String(interval)}`,
  );
}
