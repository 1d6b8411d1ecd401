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

export interface SocketsListener {
  onMessage(channel: ClientChannel, message: AnyMessage): void;
  /** Called when a channel is linked. */
  onLinked(channel: ClientChannel): void;
  /** Called when a channel lost its link. Messages may be lost, so the sockets must be replaced. */
  onBroken(channel: ClientChannel): void;
  onDropped(reason: DropReason, channel: string, error: Error): void;
  onFailure(channel: string, operation: string, error: unknown): void;
}

/** The channels on which the client sends. */
export type SendingChannel = Exclude<ClientChannel, 'iopub' | 'notification'>;

/** The channels on which tasks are submitted. */
export type WorkChannel = Exclude<SendingChannel, 'registration' | 'control'>;

export const isWorkChannel = (channel: SendingChannel): channel is WorkChannel =>
  channel !== 'registration' && channel !== 'control';

/** The number of heartbeat intervals without a reply after which a link counts as broken. */
const SILENT_BEATS = 4;
/** How long a message may be on its way without heartbeats, in ms. */
const SILENCE_MS = 10_000;

/** How long a sent message may be on its way, in ms; after that it is dropped. */
export const silenceOf = (heartbeat: number): number =>
  heartbeat > 0 ? SILENT_BEATS * heartbeat : SILENCE_MS;

const LINGER_MS = 1_000;
const CONNECT_TIMEOUT_MS = 3_000;
const MAX_RETRY_MS = 1_000;

/**
 * The sockets of one connection. They share a routing id that is used once, because the ROUTER of a stock hub does not hand a
 * routing id over to a peer that reconnects.
 */
export class Sockets {
  readonly connection: Connection;
  readonly session: Session;
  readonly #sockets = new Map<ClientChannel, MessageSocket>();
  /** The channels that have been linked. */
  readonly #linkedChannels = new Set<ClientChannel>();
  readonly #zmqSockets: (Dealer | Subscriber)[] = [];
  readonly #intake: Intake;
  readonly #listener: SocketsListener;
  readonly #heartbeat: number;
  #closePromise: Promise<void> | undefined;

  /** `heartbeat` is in ms; 0 disables it. */
  constructor(connection: Connection, session: Session, heartbeat: number, listener: SocketsListener) {
    this.connection = connection;
    this.session = session;
    this.#heartbeat = heartbeat;
    this.#listener = listener;
    this.#intake = new Intake(session, (reason, channel, error) =>
      listener.onDropped(reason, channel, error),
    );
  }

  /** Opens all sockets. Messages may arrive before this returns. */
  open(): void {
    const routingId = newId();
    for (const [name, address] of Object.entries(this.connection.addresses) as [
      ClientChannel,
      string | undefined,
    ][]) {
      if (address === undefined) continue;
      const isSubscriber = name === 'iopub' || name === 'notification';
      const socket = createSocket(() => (isSubscriber ? new Subscriber() : new Dealer({ routingId })));
      socket.linger = name === 'registration' || isSubscriber ? 0 : LINGER_MS;
      socket.receiveHighWaterMark = 0;
      if (socket instanceof Dealer) socket.sendHighWaterMark = 0;
      else socket.subscribe();
      this.#prepare(socket);
      this.#zmqSockets.push(socket);
      const messageSocket = new MessageSocket(name, socket, {
        onFailure: (operation, error) => this.#listener.onFailure(name, `${operation} (${address})`, error),
        onLink: (state) => this.#link(name, state),
      });
      this.#sockets.set(name, messageSocket);
      messageSocket.connect(address);
      messageSocket.read((frames) => this.#receive(name, frames));
    }
  }

  has(channel: ClientChannel): boolean {
    return this.#sockets.has(channel);
  }

  /** Whether every channel is linked, or has been. */
  get complete(): boolean {
    return this.#linkedChannels.size === this.#sockets.size;
  }

  /** Sends on an existing channel, preceded by routing identities if the channel needs a target. */
  send(channel: SendingChannel, message: NewMessage, idents: readonly string[]): void {
    this.#sockets.get(channel)?.send(this.session.encode(message, idents));
  }

  /** Whether a channel is linked. */
  isLinked(channel: ClientChannel): boolean {
    return this.#sockets.get(channel)?.isLinked === true;
  }

  /** Whether the hub refused the security handshake: the CURVE keys do not match. */
  get handshakeRefused(): boolean {
    return [...this.#sockets.values()].some(({ isRefused }) => isRefused);
  }

  /** Opens a separate socket for a probe of the hub. The caller must close it. */
  openProbe(onFrames: (frames: Buffer[]) => void): MessageSocket {
    const socket = new Dealer({ linger: 0 });
    this.#prepare(socket);
    const probe = new MessageSocket('probe', socket, {
      onFailure: (operation, error) => this.#listener.onFailure('probe', operation, error),
    });
    probe.connect(this.connection.addresses.registration);
    probe.read(onFrames);
    return probe;
  }

  /**
   * Closes all sockets; idempotent. Queued messages are sent within one second, or dropped with `dropUnsent`.
   */
  close(dropUnsent: boolean): Promise<void> {
    if (this.#closePromise === undefined) {
      // A message must not be sent later to a restarted controller: the client would not know of it.
      if (dropUnsent) for (const socket of this.#zmqSockets) socket.linger = 0;
      const closing = [...this.#sockets.values()].map(async (socket) => {
        if (!dropUnsent) await socket.flush(LINGER_MS);
        await socket.close();
      });
      this.#closePromise = Promise.all(closing).then(() => {});
    }
    return this.#closePromise;
  }

  #prepare(socket: Dealer | Subscriber): void {
    const { curve, ipv6 } = this.connection;
    socket.ipv6 = ipv6;
    socket.connectTimeout = CONNECT_TIMEOUT_MS;
    socket.reconnectMaxInterval = MAX_RETRY_MS;
    if (this.#heartbeat > 0) {
      // ZeroMQ in the controller replies from its own thread, even if the hub is busy or stopped.
      socket.heartbeatInterval = this.#heartbeat;
      socket.heartbeatTimeout = silenceOf(this.#heartbeat);
    }
    // The operating system must drop undelivered data after this time instead of delivering it later.
    socket.tcpMaxRetransmitTimeout = silenceOf(this.#heartbeat);
    if (curve === null) return;
    socket.curveServerKey = curve.serverKey;
    socket.curvePublicKey = curve.publicKey;
    socket.curveSecretKey = curve.secretKey;
  }

  #receive(channel: ClientChannel, frames: Buffer[]): void {
    if (this.#closePromise !== undefined) return;
    const message = this.#intake.decode(channel, frames);
    if (message !== undefined) this.#listener.onMessage(channel, message);
  }

  #link(channel: ClientChannel, state: LinkState): void {
    if (this.#closePromise !== undefined) return;
    if (state === 'up') {
      this.#linkedChannels.add(channel);
      this.#listener.onLinked(channel);
    } else if (state === 'down' && this.#linkedChannels.has(channel)) this.#listener.onBroken(channel);
  }
}

/** ZeroMQ's default of 1,023 sockets is too few for fifty clients: each socket counts three times, because of its monitor. */
const MAX_SOCKETS = 16_383;

/** Raises ZeroMQ's limit of sockets, which only has an effect before the first socket of the process is created. */
function createSocket<S>(create: () => S): S {
  const limit = Math.min(MAX_SOCKETS, context.maxSocketsLimit);
  if (context.maxSockets < limit) context.maxSockets = limit;
  try {
    return create();
  } catch (cause) {
    throw new TransportError(
      `this process cannot open more sockets (${String(cause)}); close unused clients or raise the limit of open files (ulimit -n)`,
      { cause },
    );
  }
}
