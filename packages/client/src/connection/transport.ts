import {
  type AnyMessage,
  type ClientChannel,
  ConnectionClosedError,
  type NewMessage,
  type Session,
  TransportError,
} from '@ipyparallel-js/protocol';
import type { MessageSocket } from '@ipyparallel-js/wire';
import type { Connection } from './connection.js';
import { isWorkChannel, type SendingChannel, Sockets } from './sockets.js';
import { newCounters, type StatsCounters } from './traffic-stats.js';

export interface TransportListener {
  onMessage(channel: ClientChannel, message: AnyMessage): void;
  /** Called when every channel of the open sockets has a link. */
  onComplete(): void;
  /** Called when a link broke, so that the open sockets must be replaced. */
  onBroken(reason: string): void;
  /** Called when a submission was passed to ZeroMQ. */
  onWorkSent(msgId: string): void;
}

/** Sends and receives the messages of a client. Each new connection replaces the sockets, but not this object. */
export class Transport {
  /** Creates, signs and decodes messages; the same for all connections. */
  readonly session: Session;
  readonly stats: StatsCounters = newCounters();
  readonly #heartbeat: number;
  readonly #warnedMessages = new Set<string>();
  #listener: TransportListener | undefined;
  #connection: Connection;
  #sockets: Sockets | undefined;
  #isClosed = false;

  /** `heartbeat` is in ms; 0 disables it. */
  constructor(connection: Connection, session: Session, heartbeat: number) {
    this.#connection = connection;
    this.session = session;
    this.#heartbeat = heartbeat;
  }

  /** How to reach the controller; replaced when the controller restarted at another address. */
  get connection(): Connection {
    return this.#connection;
  }

  /** Sets the listener; must be called before the first {@link renew}. */
  listen(listener: TransportListener): void {
    this.#listener = listener;
  }

  /** Replaces the open sockets by new ones. Messages that the old sockets have not sent yet are dropped. */
  renew(connection: Connection = this.#connection): void {
    if (this.#isClosed) return;
    void this.#sockets?.close(true);
    if (connection !== this.#connection) this.#replaceConnection(connection);
    const sockets: Sockets = new Sockets(connection, this.session, this.#heartbeat, {
      onMessage: (channel, message) => {
        this.stats.received++;
        this.#listener?.onMessage(channel, message);
      },
      onLinked: () => {
        if (sockets.complete) this.#listener?.onComplete();
      },
      onBroken: (channel) =>
        this.#listener?.onBroken(`the link to ${this.address(channel)} (${channel}) broke`),
      onDropped: (reason, channel, error) => {
        this.stats[reason]++;
        this.#warn(
          `${reason}:${channel}`,
          `dropped a ${reason} message on ${channel}: ${error.message}; further ones are only counted in stats.${reason}`,
        );
      },
      onFailure: (channel, operation, error) =>
        this.#warn(`failure:${channel}`, `${operation} failed: ${String(error)}`),
    });
    this.#sockets = sockets;
    sockets.open();
  }

  /** Closes the sockets until the next {@link renew}. */
  closeSockets(): void {
    void this.#sockets?.close(true);
  }

  /**
   * Returns the open sockets, if they have the channel.
   * @throws {ConnectionClosedError} when the client is closed
   * @throws {TransportError} when no sockets are open, or the controller has no such channel
   */
  assertSendable(channel: SendingChannel): Sockets {
    if (this.#isClosed) throw new ConnectionClosedError('the client is closed');
    if (this.#sockets === undefined) throw new TransportError('no sockets are open');
    if (!this.#sockets.has(channel)) throw new TransportError(`this controller has no ${channel} socket`);
    return this.#sockets;
  }

  /** Sends a message, preceded by routing identities if the channel needs a target. @throws as {@link assertSendable} */
  send(channel: SendingChannel, message: NewMessage, idents: readonly string[] = []): void {
    const sockets = this.assertSendable(channel);
    this.stats.sent++;
    sockets.send(channel, message, idents);
    if (isWorkChannel(channel)) this.#listener?.onWorkSent(message.msg_id);
  }

  /** Whether the controller has a channel. */
  has(channel: ClientChannel): boolean {
    return this.connection.addresses[channel] !== undefined;
  }

  /** The address of a channel, for error messages. */
  address(channel: ClientChannel): string {
    return this.#connection.addresses[channel] ?? `(no ${channel} socket)`;
  }

  /** Whether the hub's query socket has a TCP link. */
  get hubLinked(): boolean {
    return this.#sockets?.isLinked('registration') === true;
  }

  /** Whether every channel has had a link since {@link renew}. */
  get complete(): boolean {
    return this.#sockets?.complete === true;
  }

  /** Whether the hub refused the security handshake: the CURVE keys do not match. */
  get handshakeRefused(): boolean {
    return this.#sockets?.handshakeRefused === true;
  }

  get closed(): boolean {
    return this.#isClosed;
  }

  /** Opens a separate socket for a probe of the hub. The caller must close it. */
  openProbe(onFrames: (frames: Buffer[]) => void): MessageSocket {
    if (this.#sockets === undefined) throw new TransportError('no sockets are open');
    return this.#sockets.openProbe(onFrames);
  }

  /** Closes every socket and the tunnels; idempotent. `dropUnsent` drops messages that were not sent yet. */
  async close(dropUnsent: boolean): Promise<void> {
    this.#isClosed = true;
    await this.#sockets?.close(dropUnsent);
    await this.#connection.close();
  }

  #replaceConnection(connection: Connection): void {
    void this.#connection.close();
    this.#connection = connection;
    const { key, signature_scheme: signatureScheme, pack, unpack } = connection.info;
    this.session.changeSigning({ key, signatureScheme, pack, unpack });
  }

  #warn(kind: string, message: string): void {
    if (this.#warnedMessages.has(kind)) return;
    this.#warnedMessages.add(kind);
    process.emitWarning(message, {
      type: 'IpyparallelWarning',
      code: `IPYPARALLEL_${(kind.split(':')[0] ?? '').toUpperCase()}`,
    });
  }
}
