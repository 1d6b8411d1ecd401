import {
  type AnyMessage,
  type ClientChannel,
  ConnectionClosedError,
  type NewMessage,
  newId,
  ProtocolError,
  ReplayError,
  type ReplayHistory,
  type Session,
  SignatureError,
  TransportError,
} from '@ipyparallel-js/protocol';
import { Dealer, Subscriber } from 'zeromq';
import { Channel } from './channel.js';
import type { Connection } from './connect/connection.js';
import { newCounters, type StatsCounters } from './stats.js';

/** What the transport passes on: only messages whose signature fits, each once. */
export interface TransportListener {
  onMessage(channel: ClientChannel, message: AnyMessage): void;
  /** The link to the hub's query socket came up or went down. */
  onHubLink(up: boolean): void;
}

/** The sockets that carry requests and work. */
export type SendingChannel = Exclude<ClientChannel, 'iopub' | 'notification'>;

const LINGER_MS = 1_000;

/** All sockets of one connection: opens them, verifies what comes, counts and drops what fails. */
export class Transport {
  readonly connection: Connection;
  readonly session: Session;
  readonly stats: StatsCounters = newCounters();
  readonly #channels = new Map<ClientChannel, Channel>();
  readonly #histories = new Map<ClientChannel, ReplayHistory>();
  readonly #warned = new Set<string>();
  #listener: TransportListener | undefined;
  #refused = false;
  #closed = false;

  constructor(connection: Connection, session: Session) {
    this.connection = connection;
    this.session = session;
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
      this.#histories.set(name, this.session.newHistory());
      this.#channels.set(
        name,
        new Channel(socket, address, {
          onFrames: (frames) => this.#receive(name, frames),
          onLink: (link) => this.#link(name, link),
          onFailure: (error) =>
            this.#warn(`failure:${name}`, `the ${name} socket at ${address} failed: ${String(error)}`),
        }),
      );
    }
  }

  /** Sends on a channel, behind routing identities where the channel wants a target. */
  send(channel: SendingChannel, message: NewMessage, idents: readonly string[] = []): void {
    if (this.#closed) throw new ConnectionClosedError('the client is closed');
    const open = this.#channels.get(channel);
    if (open === undefined) throw new TransportError(`this controller has no ${channel} socket`);
    this.stats.sent++;
    open.send(this.session.encode(message, idents));
  }

  /** The address of a channel, for messages. */
  address(channel: ClientChannel): string {
    return this.connection.addresses[channel] ?? `(no ${channel} socket)`;
  }

  /** Whether the hub's query socket has a TCP link. */
  get hubLinked(): boolean {
    return this.#channels.get('registration')?.linked === true;
  }

  /** Whether the hub refused the security handshake (CURVE keys that do not fit). */
  get handshakeRefused(): boolean {
    return this.#refused;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** A socket of its own beside the others, for a probe. The caller closes it. */
  openProbe(onFrames: (frames: Buffer[]) => void): Channel {
    const socket = new Dealer({ linger: 0 });
    this.#prepare(socket);
    return new Channel(socket, this.address('registration'), {
      onFrames,
      onLink: () => undefined,
      onFailure: (error) => this.#warn('failure:probe', `the probe's socket failed: ${String(error)}`),
    });
  }

  /** Closes every socket and the tunnels; idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const channel of this.#channels.values()) channel.close();
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
    let message: AnyMessage;
    try {
      message = this.session.decode(frames, this.#histories.get(channel));
    } catch (error) {
      this.#drop(channel, error);
      return;
    }
    this.stats.received++;
    this.#listener?.onMessage(channel, message);
  }

  #drop(channel: ClientChannel, error: unknown): void {
    if (!(error instanceof ProtocolError)) throw error;
    const kind =
      error instanceof SignatureError ? 'forged' : error instanceof ReplayError ? 'replayed' : 'malformed';
    this.stats[kind]++;
    this.#warn(
      `${kind}:${channel}`,
      `dropped a ${kind} message on ${channel} (${this.address(channel)}): ${error.message}; more are only counted in stats.${kind}`,
    );
  }

  #link(channel: ClientChannel, link: 'up' | 'down' | 'refused'): void {
    if (link === 'refused') this.#refused = true;
    if (channel === 'registration' && link !== 'refused') this.#listener?.onHubLink(link === 'up');
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
