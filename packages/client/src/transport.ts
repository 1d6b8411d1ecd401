import {
  type AnyMessage,
  type ClientChannel,
  ConnectionClosedError,
  type NewMessage,
  newId,
  type Session,
  TransportError,
} from '@ipyparallel-js/protocol';
import { Intake, type LinkState, MessageSocket } from '@ipyparallel-js/wire';
import { Dealer, Subscriber } from 'zeromq';
import type { Connection } from './connect/connection.js';
import { newCounters, type StatsCounters } from './stats.js';

/** What the transport passes on: only messages whose signature fits, each once. */
export interface TransportListener {
  onMessage(channel: ClientChannel, message: AnyMessage): void;
  /** The link to the hub's query socket came up or went down. */
  onHubLink(up: boolean): void;
  /** A task was sent. */
  onWorkSent(msgId: string): void;
}

/** The sockets that carry requests and work. */
export type SendingChannel = Exclude<ClientChannel, 'iopub' | 'notification'>;

const LINGER_MS = 1_000;

/** All sockets of one connection: opens them, verifies what comes, counts and drops what fails. */
export class Transport {
  readonly connection: Connection;
  readonly session: Session;
  readonly stats: StatsCounters = newCounters();
  readonly #sockets = new Map<ClientChannel, MessageSocket>();
  readonly #intake: Intake;
  readonly #warned = new Set<string>();
  #listener: TransportListener | undefined;
  #refused = false;
  #closed = false;

  constructor(connection: Connection, session: Session) {
    this.connection = connection;
    this.session = session;
    this.#intake = new Intake(session, (reason, channel, error) => {
      this.stats[reason]++;
      this.#warn(
        `${reason}:${channel}`,
        `dropped a ${reason} message on ${channel}: ${error.message}; more are only counted in stats.${reason}`,
      );
    });
  }

  /** Opens every socket. Messages may come before this returns. */
  open(listener: TransportListener): void {
    this.#listener = listener;
    // A routing id of this connection alone: a stock ROUTER does not hand one over to a reconnecting peer.
    const routingId = newId();
    for (const [name, address] of Object.entries(this.connection.addresses) as [
      ClientChannel,
      string | undefined,
    ][]) {
      if (address === undefined) continue;
      const listens = name === 'iopub' || name === 'notification';
      const socket = listens ? new Subscriber() : new Dealer({ routingId });
      socket.linger = name === 'registration' || listens ? 0 : LINGER_MS;
      socket.receiveHighWaterMark = 0;
      if (socket instanceof Dealer) socket.sendHighWaterMark = 0;
      else socket.subscribe();
      this.#prepare(socket);
      const opened = new MessageSocket(name, socket, {
        onFailure: (doing, error) =>
          this.#warn(`failure:${name}`, `${doing} (${address}) failed: ${String(error)}`),
        onLink: (state) => this.#link(name, state),
      });
      this.#sockets.set(name, opened);
      opened.connect(address);
      opened.read((frames) => this.#receive(name, frames));
    }
  }

  /** Sends on a channel, behind routing identities where the channel wants a target. */
  send(channel: SendingChannel, message: NewMessage, idents: readonly string[] = []): void {
    if (this.#closed) throw new ConnectionClosedError('the client is closed');
    const open = this.#sockets.get(channel);
    if (open === undefined) throw new TransportError(`this controller has no ${channel} socket`);
    this.stats.sent++;
    open.send(this.session.encode(message, idents));
    if (channel !== 'registration' && channel !== 'control') this.#listener?.onWorkSent(message.msg_id);
  }

  /** Whether the controller has a channel. */
  has(channel: ClientChannel): boolean {
    return this.connection.addresses[channel] !== undefined;
  }

  /** The address of a channel, for messages. */
  address(channel: ClientChannel): string {
    return this.connection.addresses[channel] ?? `(no ${channel} socket)`;
  }

  /** Whether the hub's query socket has a TCP link. */
  get hubLinked(): boolean {
    return this.#sockets.get('registration')?.linked === true;
  }

  /** Whether the hub refused the security handshake (CURVE keys that do not fit). */
  get handshakeRefused(): boolean {
    return this.#refused;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** A socket of its own beside the others, for a probe of the hub. The caller closes it. */
  openProbe(onFrames: (frames: Buffer[]) => void): MessageSocket {
    const socket = new Dealer({ linger: 0 });
    this.#prepare(socket);
    const probe = new MessageSocket('probe', socket, {
      onFailure: (doing, error) => this.#warn('failure:probe', `${doing} failed: ${String(error)}`),
    });
    probe.connect(this.address('registration'));
    probe.read(onFrames);
    return probe;
  }

  /** Closes every socket and the tunnels; idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#sockets.values()].map((socket) => socket.close()));
    await this.connection.close();
  }

  #prepare(socket: Dealer | Subscriber): void {
    const { curve, ipv6 } = this.connection;
    socket.ipv6 = ipv6;
    if (curve === null) return;
    socket.curveServerKey = curve.serverKey;
    socket.curvePublicKey = curve.publicKey;
    socket.curveSecretKey = curve.secretKey;
  }

  #receive(channel: ClientChannel, frames: Buffer[]): void {
    const message = this.#intake.decode(channel, frames);
    if (message === undefined) return;
    this.stats.received++;
    this.#listener?.onMessage(channel, message);
  }

  #link(channel: ClientChannel, state: LinkState): void {
    if (state === 'refused') this.#refused = true;
    if (channel === 'registration' && state !== 'refused') this.#listener?.onHubLink(state === 'up');
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
