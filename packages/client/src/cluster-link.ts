import {
  type AnyMessage,
  type ClientChannel,
  ConnectionClosedError,
  type HubInfo,
  isMessageOf,
  type MessageContents,
  ProtocolError,
  type Session,
} from '@ipyparallel-js/protocol';
import {
  type Deadline,
  pause,
  sessionOf,
  startDeadline,
  timeoutError,
  type WaitOptions,
} from '@ipyparallel-js/wire';
import type { ClientOptions } from './client.js';
import { type Connection, openConnection } from './connect/connection.js';
import { ConnectionWatch } from './connection-watch.js';
import { ControlRequests } from './control-requests.js';
import { EngineRegistry } from './engine-registry.js';
import { HubDatabase } from './hub-database.js';
import { HubOperations } from './hub-operations.js';
import { HubRequests } from './hub-requests.js';
import { HubTasks } from './hub-tasks.js';
import { LiveQueries } from './live/live-queries.js';
import { Signals } from './live/signals.js';
import { OwnTasks } from './own-tasks.js';
import { ConnectionState } from './reconnect/connection-state.js';
import { ClientKeeper } from './results/client-keeper.js';
import { ClientResults } from './results/client-results.js';
import { Transport } from './transport.js';
import { EngineCommands } from './views/engine-commands.js';
import { EngineLanguages } from './views/engine-languages.js';
import { Submitter } from './views/submitter.js';

const CONNECT_TIMEOUT = 10_000;
const REQUEST_TIMEOUT = 60_000;
const POLL_INTERVAL = 100;
/** A registration notice can be missed while the subscription is being made; the hub is asked again this often. */
const REFRESH_MS = 1_000;
/** With less time than this left, it would be the question that times out, not the engines. */
const ANSWER_MS = 250;

/** An open connection to a cluster: everything that a client is made of, and the way of messages between its parts. */
export class ClusterLink {
  readonly session: Session;
  readonly transport: Transport;
  readonly requests: HubRequests;
  readonly registry = new EngineRegistry();
  readonly control: ControlRequests;
  readonly languages: EngineLanguages;
  /** What tasks ask of this client. */
  readonly keeper: ClientKeeper;
  /** The tasks submitted here. */
  readonly own: OwnTasks;
  readonly submitter: Submitter;
  /** Results by id, by place in the history, or by handle. */
  readonly results: ClientResults = new ClientResults(this);
  /** What engines are asked beside their work. */
  readonly commands: EngineCommands;
  /** Whether the controller is there, and who is told when it goes and comes. */
  readonly connection: ConnectionState;
  /** What is noticed without asking, for those who ask. */
  readonly signals = new Signals();
  readonly live: LiveQueries;
  readonly #watch: ConnectionWatch;
  readonly #pollInterval: number;
  readonly #connectTimeout: number;
  /** What the hub says of itself; undefined for a stock one, and until it has answered. */
  hub: HubInfo | undefined;
  database: HubDatabase;
  operations: HubOperations;
  /** The tasks that are followed by asking the hub. */
  others: HubTasks;
  #closing: Promise<void> | undefined;

  private constructor(connection: Connection, options: ClientOptions) {
    const { info } = connection;
    this.session = sessionOf(info, options.username === undefined ? {} : { username: options.username });
    this.#pollInterval = options.pollInterval ?? POLL_INTERVAL;
    this.#connectTimeout = options.timeout ?? CONNECT_TIMEOUT;
    this.transport = new Transport(connection, this.session);
    this.connection = new ConnectionState(this.transport.address('registration'));
    this.requests = new HubRequests(this.transport, options.requestTimeout ?? REQUEST_TIMEOUT);
    this.live = new LiveQueries({
      requests: this.requests,
      signals: this.signals,
      connection: this.connection,
      database: () => this.database,
      pushes: () => this.hub?.features.includes('subscribe') === true,
    });
    this.control = new ControlRequests(this.transport, this.requests.defaultTimeout);
    this.languages = new EngineLanguages(this.control);
    this.keeper = new ClientKeeper(this);
    this.own = new OwnTasks({
      registry: this.registry,
      keeper: this.keeper,
      ...(options.resultCache === undefined ? {} : { limits: options.resultCache }),
      onUnreadable: () => this.transport.stats.unreadable++,
    });
    this.#watch = new ConnectionWatch(
      this.transport.address('registration'),
      (error) => this.#failAll(error),
      () => void this.#onBack(),
    );
    this.submitter = new Submitter({
      transport: this.transport,
      registry: this.registry,
      languages: this.languages,
      tasks: this.own,
      watch: this.#watch,
    });
    this.commands = new EngineCommands(this.submitter.targets, this.control, this.requests);
    this.database = new HubDatabase(this.requests, undefined);
    this.operations = new HubOperations(this.requests, this.database, this.registry, undefined);
    this.others = this.#newHubTasks();
  }

  /** Finds the connection file, opens the sockets and waits for the hub's answer. */
  static async open(options: ClientOptions): Promise<ClusterLink> {
    const deadline = startDeadline(options, CONNECT_TIMEOUT);
    startDeadline({ timeout: options.requestTimeout ?? 0 }, 0);
    const connection = await openConnection(options, deadline);
    let link: ClusterLink | undefined;
    try {
      link = new ClusterLink(connection, options);
      await link.#open(deadline);
      return link;
    } catch (error) {
      await (link === undefined ? connection.close() : link.close());
      throw error;
    }
  }

  /** @throws ConnectionClosedError once closed */
  assertOpen(): void {
    if (this.transport.closed) throw new ConnectionClosedError('the client is closed');
  }

  /** Waits until at least `n` engines are registered; the time-out is that of connecting by default. */
  async waitForEngines(n: number, options: WaitOptions): Promise<void> {
    const deadline = startDeadline(options, this.#connectTimeout);
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
        if (this.registry.ids.length < n && deadline.remaining() > ANSWER_MS) await this.#refresh(deadline);
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

  async #open(deadline: Deadline): Promise<void> {
    this.transport.open({
      onMessage: (channel, message) => this.#onMessage(channel, message),
      onHubLink: (up) => {
        this.#watch.onLink(up);
        if (!up) this.connection.setDisconnected('the link to the hub broke');
      },
      onWorkSent: (msgId) => this.signals.onSubmitted(msgId),
    });
    this.transport.connection.onTunnelLost((error) => this.#failAll(error));
    const reply = await this.#refresh(deadline);
    this.hub = reply.hub;
    this.connection.setConnected(this.transport.address('registration'));
    this.database = new HubDatabase(this.requests, this.hub);
    this.operations = new HubOperations(this.requests, this.database, this.registry, this.hub);
    this.others = this.#newHubTasks();
  }

  #newHubTasks(): HubTasks {
    return new HubTasks({
      database: this.database,
      requests: this.requests,
      registry: this.registry,
      hub: this.hub,
      keeper: this.keeper,
      interval: this.#pollInterval,
    });
  }

  async #onBack(): Promise<void> {
    try {
      const { hub } = await this.#refresh(startDeadline({}, this.requests.defaultTimeout));
      this.connection.setConnected(this.transport.address('registration'), { newController: undefined, hub });
    } catch {
      // The next link comes with the next question.
    }
  }

  async #close(): Promise<void> {
    this.#watch.close();
    this.connection.close();
    this.#failAll(new ConnectionClosedError('the client was closed'));
    this.others.close();
    this.live.close();
    this.registry.complete();
    await this.transport.close();
  }

  #failAll(error: Error): void {
    this.requests.failAll(error);
    this.control.failAll(error);
    this.own.failAll(error);
    this.others.failAll(error);
  }

  /** Asks the hub for its engines. */
  async #refresh(
    deadline: Deadline,
  ): Promise<Extract<MessageContents['connection_reply'], { status: 'ok' }>> {
    const { content } = await this.requests.request(
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
    for (const gone of this.registry.replace(engines)) this.#engineGone(gone);
    for (const [id, uuid] of this.registry.engines) void this.languages.of({ id, uuid });
    return content;
  }

  #onMessage(channel: ClientChannel, message: AnyMessage): void {
    switch (channel) {
      case 'registration':
        if (this.live.inbox.take(message)) return;
        if (!this.requests.settle(message)) this.transport.stats.unexpected++;
        return;
      case 'notification':
        this.#onNotification(message);
        return;
      case 'iopub':
        this.own.onOutput(message);
        this.signals.onOutput(message);
        this.others.onOutput(message);
        return;
      case 'control':
        if (!this.control.settle(message)) this.transport.stats.unexpected++;
        return;
      default:
        if (!(this.submitter.coalesced.take(message) || this.own.onReply(message)))
          this.transport.stats.unexpected++;
        this.signals.onReply(message);
    }
  }

  #onNotification(message: AnyMessage): void {
    if (isMessageOf(message, 'shutdown_notification')) {
      this.#watch.onShutdown();
      this.connection.setDisconnected('the controller has shut down');
      return;
    }
    this.signals.onAnything();
    const { id, uuid } = message.content;
    if (typeof id !== 'number' || typeof uuid !== 'string') return;
    if (isMessageOf(message, 'registration_notification')) {
      this.registry.add(id, uuid);
      void this.languages.of({ id, uuid });
    } else if (isMessageOf(message, 'unregistration_notification') && this.registry.remove(id, uuid)) {
      this.#engineGone(uuid);
    }
  }

  #engineGone(uuid: string): void {
    this.languages.forget(uuid);
    this.control.onEngineGone(uuid);
    this.own.onEngineGone(uuid);
  }
}
