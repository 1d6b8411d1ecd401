import {
  type AnyMessage,
  type ClientChannel,
  type NewMessage,
  newId,
  type Session,
  TransportError,
} from '@ipyparallel-js/protocol';
import { type DropReason, Intake, type LinkState, MessageSocket } from '@ipyparallel-js/wire';
import { context, Dealer, Subscriber } from 'zeromq';
import type { Connection } from './connection.js';

/** What the sockets of one life tell: only messages whose signature fits, each once. */
export interface SocketsListener {
  onMessage(channel: ClientChannel, message: AnyMessage): void;
  /** A channel has a link. */
  onLinked(channel: ClientChannel): void;
  /** A channel lost the link that it had: what was on its way is lost, so these sockets are of no more use. */
  onBroken(channel: ClientChannel): void;
  onDropped(reason: DropReason, channel: string, error: Error): void;
  onFailure(channel: string, doing: string, error: unknown): void;
}

/** The sockets that carry requests and work. */
export type SendingChannel = Exclude<ClientChannel, 'iopub' | 'notification'>;

/** The sockets that carry submissions of tasks. */
export type WorkChannel = Exclude<SendingChannel, 'registration' | 'control'>;

export const isWorkChannel = (channel: SendingChannel): channel is WorkChannel =>
  channel !== 'registration' && channel !== 'control';

/** How long a link may be silent in answer to a heartbeat, in heartbeats, before it counts as cut. */
const SILENT_BEATS = 4;
/** How long what was sent may be on its way where there is no heartbeat, in ms. */
const SILENCE_MS = 10_000;

/** For how long what was given to a link may still be on its way, in ms: after that it is dropped. */
export const silenceOf = (heartbeat: number): number =>
  heartbeat > 0 ? SILENT_BEATS * heartbeat : SILENCE_MS;

const LINGER_MS = 1_000;
const CONNECT_TIMEOUT_MS = 3_000;
const LONGEST_RETRY_MS = 1_000;

/**
 * The sockets of one life of the connection, behind one routing id that is theirs alone: a stock ROUTER does not hand
 * one over to a peer that comes again.
 */
export class Sockets {
  readonly connection: Connection;
  readonly session: Session;
  readonly #sockets = new Map<ClientChannel, MessageSocket>();
  /** The channels that have had a link. */
  readonly #up = new Set<ClientChannel>();
  readonly #raw: (Dealer | Subscriber)[] = [];
  readonly #intake: Intake;
  readonly #listener: SocketsListener;
  readonly #heartbeat: number;
  #refused = false;
  #closing: Promise<void> | undefined;

  /** `heartbeat` is in ms; 0 for none. */
  constructor(connection: Connection, session: Session, heartbeat: number, listener: SocketsListener) {
    this.connection = connection;
    this.session = session;
    this.#heartbeat = heartbeat;
    this.#listener = listener;
    this.#intake = new Intake(session, (reason, channel, error) =>
      listener.onDropped(reason, channel, error),
    );
  }

  /** Opens all of them. Messages may come before this returns. */
  open(): void {
    const routingId = newId();
    for (const [name, address] of Object.entries(this.connection.addresses) as [
      ClientChannel,
      string | undefined,
    ][]) {
      if (address === undefined) continue;
      const listens = name === 'iopub' || name === 'notification';
      const socket = madeWithinLimits(() => (listens ? new Subscriber() : new Dealer({ routingId })));
      socket.linger = name === 'registration' || listens ? 0 : LINGER_MS;
      socket.receiveHighWaterMark = 0;
      if (socket instanceof Dealer) socket.sendHighWaterMark = 0;
      else socket.subscribe();
      this.#prepare(socket);
      this.#raw.push(socket);
      const opened = new MessageSocket(name, socket, {
        onFailure: (doing, error) => this.#listener.onFailure(name, `${doing} (${address})`, error),
        onLink: (state) => this.#link(name, state),
      });
      this.#sockets.set(name, opened);
      opened.connect(address);
      opened.read((frames) => this.#receive(name, frames));
    }
  }

  has(channel: ClientChannel): boolean {
    return this.#sockets.has(channel);
  }

  /** Whether every channel has a link, or had one. */
  get complete(): boolean {
    return this.#up.size === this.#sockets.size;
  }

  /** Sends on a channel that there is, behind routing identities where it wants a target. */
  send(channel: SendingChannel, message: NewMessage, idents: readonly string[]): void {
    this.#sockets.get(channel)?.send(this.session.encode(message, idents));
  }

  /** Whether a channel's socket has a link. */
  linked(channel: ClientChannel): boolean {
    return this.#sockets.get(channel)?.isLinked === true;
  }

  /** Whether the hub refused the security handshake (CURVE keys that do not fit). */
  get refused(): boolean {
    return this.#refused;
  }

  /** A socket of its own beside the others, for a probe of the hub. The caller closes it. */
  openProbe(onFrames: (frames: Buffer[]) => void): MessageSocket {
    const socket = new Dealer({ linger: 0 });
    this.#prepare(socket);
    const probe = new MessageSocket('probe', socket, {
      onFailure: (doing, error) => this.#listener.onFailure('probe', doing, error),
    });
    probe.connect(this.connection.addresses.registration);
    probe.read(onFrames);
    return probe;
  }

  /**
   * Closes all of them; idempotent. What has not left yet leaves within a second, or never when they are `cut`.
   * Resolves then.
   */
  close(cut: boolean): Promise<void> {
    if (this.#closing === undefined) {
      // A message that left later, to a controller that has come back, would not be known of here.
      if (cut) for (const socket of this.#raw) socket.linger = 0;
      const closing = [...this.#sockets.values()].map(async (socket) => {
        if (!cut) await socket.flush(LINGER_MS);
        await socket.close();
      });
      this.#closing = Promise.all(closing).then(() => {});
    }
    return this.#closing;
  }

  #prepare(socket: Dealer | Subscriber): void {
    const { curve, ipv6 } = this.connection;
    socket.ipv6 = ipv6;
    socket.connectTimeout = CONNECT_TIMEOUT_MS;
    socket.reconnectMaxInterval = LONGEST_RETRY_MS;
    if (this.#heartbeat > 0) {
      // The other side's ZeroMQ answers in a thread of its own, however busy or stopped the hub's own code is.
      socket.heartbeatInterval = this.#heartbeat;
      socket.heartbeatTimeout = silenceOf(this.#heartbeat);
    }
    // What the system has taken and cannot deliver in that time is dropped by it, not delivered at some later time.
    socket.tcpMaxRetransmitTimeout = silenceOf(this.#heartbeat);
    if (curve === null) return;
    socket.curveServerKey = curve.serverKey;
    socket.curvePublicKey = curve.publicKey;
    socket.curveSecretKey = curve.secretKey;
  }

  #receive(channel: ClientChannel, frames: Buffer[]): void {
    if (this.#closing !== undefined) return;
    const message = this.#intake.decode(channel, frames);
    if (message !== undefined) this.#listener.onMessage(channel, message);
  }

  #link(channel: ClientChannel, state: LinkState): void {
    if (this.#closing !== undefined) return;
    if (state === 'refused') this.#refused = true;
    else if (state === 'up') {
      this.#up.add(channel);
      this.#listener.onLinked(channel);
    } else if (this.#up.has(channel)) this.#listener.onBroken(channel);
  }
}

/** ZeroMQ's own 1,023 are used up by fifty clients of one process: each socket counts thrice, with the monitor of its link. */
const MOST_SOCKETS = 16_383;

/** What ZeroMQ itself allows is set before its first socket in the process, and means nothing later. */
function madeWithinLimits<S>(make: () => S): S {
  const most = Math.min(MOST_SOCKETS, context.maxSocketsLimit);
  if (context.maxSockets < most) context.maxSockets = most;
  try {
    return make();
  } catch (cause) {
    throw new TransportError(
      `no more sockets can be opened in this process (${String(cause)}); close clients that are not needed, or raise its limit of open files (ulimit -n)`,
      { cause },
    );
  }
}
