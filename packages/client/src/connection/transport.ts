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
import { type HeldWork, Outbox, taskIds } from './outbox.js';
import { type SendingChannel, Sockets } from './sockets.js';
import { newCounters, type StatsCounters } from './traffic-stats.js';

/** What the transport passes on. */
export interface TransportListener {
  onMessage(channel: ClientChannel, message: AnyMessage): void;
  /** The sockets of this life have a link on every channel. */
  onComplete(): void;
  /** A link is lost; the sockets of this life are of no more use. */
  onBroken(reason: string): void;
  /** Whether work is to wait until {@link Transport.release}, though there is a connection. */
  mustWait(work: HeldWork): boolean;
  /** Work left, now: at the call, or when it had waited for the connection. */
  onWorkSent(msgId: string): void;
}

export type { SendingChannel } from './sockets.js';

/** How the messages of a client leave and come, through one life of the connection after the other. */
export class Transport {
  /** Makes, signs and reads messages; the same for all lives. */
  readonly session: Session;
  readonly stats: StatsCounters = newCounters();
  readonly #outbox = new Outbox();
  readonly #heartbeat: number;
  readonly #warned = new Set<string>();
  #listener: TransportListener | undefined;
  #connection: Connection;
  #sockets: Sockets | undefined;
  /** Why work waits; undefined while it can leave. */
  #held: string | undefined;
  #closed = false;

  /** `heartbeat` is in ms; 0 for none. */
  constructor(connection: Connection, session: Session, heartbeat: number) {
    this.#connection = connection;
    this.session = session;
    this.#heartbeat = heartbeat;
  }

  /** How to reach the controller: another one after it came back elsewhere. */
  get connection(): Connection {
    return this.#connection;
  }

  /** Submissions that wait for the connection. */
  get held(): { readonly count: number; readonly bytes: number } {
    return this.#outbox.size;
  }

  /** Who gets what comes; before the first {@link renew}. */
  listen(listener: TransportListener): void {
    this.#listener = listener;
  }

  /** Opens fresh sockets in place of those there are, whose unsent messages are dropped. */
  renew(connection: Connection = this.#connection): void {
    if (this.#closed) return;
    void this.#sockets?.close(true);
    if (connection !== this.#connection) this.#follow(connection);
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
          `dropped a ${reason} message on ${channel}: ${error.message}; more are only counted in stats.${reason}`,
        );
      },
      onFailure: (channel, doing, error) =>
        this.#warn(`failure:${channel}`, `${doing} failed: ${String(error)}`),
    });
    this.#sockets = sockets;
    sockets.open();
  }

  /** Closes the sockets until {@link renew}. */
  abandon(): void {
    void this.#sockets?.close(true);
  }

  /** Sends on a channel, behind routing identities where the channel wants a target. */
  send(channel: SendingChannel, message: NewMessage, idents: readonly string[] = []): void {
    if (this.#closed) throw new ConnectionClosedError('the client is closed');
    if (this.#sockets === undefined) throw new TransportError('no sockets are open');
    if (!this.#sockets.has(channel)) throw new TransportError(`this controller has no ${channel} socket`);
    const isWork = channel !== 'registration' && channel !== 'control';
    if (isWork) {
      const work = { channel, message, idents };
      if (this.#held !== undefined || this.#listener?.mustWait(work) === true) {
        this.#outbox.hold(work, this.#held);
        return;
      }
    }
    this.stats.sent++;
    this.#sockets.send(channel, message, idents);
    if (isWork) this.#listener?.onWorkSent(message.msg_id);
  }

  /** From now on work waits, in a bounded list. */
  hold(reason: string): void {
    this.#held = reason;
  }

  /** Whether a task's message waits here, never sent. */
  holds(msgId: string): boolean {
    return this.#outbox.has(msgId);
  }

  /** Work leaves again: what waited first, but for what must still wait. That waits for the next call. */
  release(): void {
    this.#held = undefined;
    const ready = this.#outbox.take((work) => this.#listener?.mustWait(work) !== true);
    for (const { channel, message, idents } of ready) this.send(channel, message, idents);
  }

  /** Takes out the work that waits, or some of it: it is not sent. What becomes of its tasks is the caller's affair. */
  dropHeld(which: (work: HeldWork) => boolean = () => true): HeldWork[] {
    return this.#outbox.take(which);
  }

  /** Takes tasks out that wait here: those whose message is not sent now. A broadcast goes, or stays, as a whole. */
  withdraw(msgIds: readonly string[]): string[] {
    if (this.#outbox.size.count === 0) return [];
    const ids = new Set(msgIds);
    const taken = this.#outbox.take((work) => taskIds(work).every((id) => ids.has(id)));
    return taken.flatMap(taskIds);
  }

  /** Whether the controller has a channel. */
  has(channel: ClientChannel): boolean {
    return this.connection.addresses[channel] !== undefined;
  }

  /** The address of a channel, for messages. */
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

  /** Whether the hub refused the security handshake (CURVE keys that do not fit). */
  get handshakeRefused(): boolean {
    return this.#sockets?.refused === true;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** A socket of its own beside the others, for a probe of the hub. The caller closes it. */
  openProbe(onFrames: (frames: Buffer[]) => void): MessageSocket {
    if (this.#sockets === undefined) throw new TransportError('no sockets are open');
    return this.#sockets.openProbe(onFrames);
  }

  /** Closes every socket and the tunnels; idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#outbox.take(() => true);
    // Nothing leaves a link that is cut.
    await this.#sockets?.close(this.#held !== undefined);
    await this.#connection.close();
  }

  #follow(connection: Connection): void {
    void this.#connection.close();
    this.#connection = connection;
    const { key, signature_scheme: signatureScheme, pack, unpack } = connection.info;
    this.session.changeSigning({ key, signatureScheme, pack, unpack });
  }

  #warn(kind: string, message: string): void {
    if (this.#warned.has(kind)) return;
    this.#warned.add(kind);
    process.emitWarning(message, {
      type: 'IpyparallelWarning',
      code: `IPYPARALLEL_${(kind.split(':')[0] ?? '').toUpperCase()}`,
    });
  }
}
