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
  /** Every channel of the open sockets has a link. */
  onComplete(): void;
  /** A link broke: the open sockets must be replaced. */
  onBroken(reason: string): void;
  /** A submission was given to ZeroMQ. */
  onWorkSent(msgId: string): void;
}

/** Sends and receives the messages of a client. The sockets are replaced with each new connection; this object stays. */
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
      onFailure: (channel, doing, error) =>
        this.#warn(`failure:${channel}`, `${doing} failed: ${String(error)}`),
    });
    this.#sockets = sockets;
    sockets.open();
  }

  /** Closes the sockets until the next {@link renew}. */
  abandon(): void {
    void this.#sockets?.close(true);
  }

  /**
   * Throws unless a message can be given to a channel.
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
    return this.#sockets?.linked('registration') === true;
  }

  /** Whether every channel has had a link since {@link renew}. */
  get complete(): boolean {
    return this.#sockets?.complete === true;
  }

  /** Whether the hub refused the security handshake: the CURVE keys do not match. */
  get handshakeRefused(): boolean {
    return this.#sockets?.refused === true;
  }

  get closed(): boolean {
    return this.#isClosed;
  }

  /** Opens a separate socket for a probe of the hub. The caller must close it. */
  openProbe(onFrames: (frames: Buffer[]) => void): MessageSocket {
    if (this.#sockets === undefined) throw new TransportError('no sockets are open');
    return this.#sockets.openProbe(onFrames);
  }

  /** Closes every socket and the tunnels; idempotent. With `cut`, messages that were not sent yet are dropped at once. */
  async close(cut: boolean): Promise<void> {
    this.#isClosed = true;
    await this.#sockets?.close(cut);
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
