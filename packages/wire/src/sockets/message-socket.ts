import type { Dealer, Event, Publisher, Router, Subscriber, XPublisher } from 'zeromq';
import { type Deadline, pause, waitFor } from '../waiting/wait.js';
import { Fifo } from './fifo.js';

/** The frames of an outgoing message; a string is an identity or a topic. */
export type Frames = readonly (Uint8Array | string)[];

/** The state of a socket's connection: up, down, or refused in the security handshake. */
export type LinkState = 'up' | 'down' | 'refused';

/** The callbacks of a {@link MessageSocket}. */
export interface SocketEvents {
  /** Sending, receiving or handling a message failed while the socket was open. The socket stays in use. */
  readonly onFailure: (action: string, error: unknown) => void;
  /** The connection came up, went down or was refused. */
  readonly onLink?: (state: LinkState) => void;
}

/** A zeromq socket of a supported type. */
export type ZmqSocket = Router | Dealer | Publisher | XPublisher | Subscriber;

const RECEIVE_RETRY_MS = 100;

/**
 * A zeromq socket with one reader loop and one send queue, because zeromq.js allows a single pending receive and a
 * single pending send per socket. The queue is unlimited; a sender that needs a limit must enforce it.
 */
export class MessageSocket {
  /** The purpose of the socket, used in messages: for example `mux` or `registration`. */
  readonly name: string;
  /** The address that the socket connects to. */
  address = '';
  /** Whether the connection is up, according to the last event from ZeroMQ; tracked only with an `onLink` callback. */
  isLinked = false;
  /**
   * Whether the peer rejected the last connection in the security handshake and still listens. A peer that ends also
   * breaks connections, but the next attempt to connect then fails. Tracked only with an `onLink` callback.
   */
  isRefused = false;
  readonly #socket: ZmqSocket;
  readonly #events: SocketEvents;
  readonly #queue = new Fifo<Frames>();
  #pendingSends: Promise<void> | undefined;
  #closePromise: Promise<void> | undefined;

  constructor(name: string, socket: ZmqSocket, events: SocketEvents) {
    this.name = name;
    this.#socket = socket;
    this.#events = events;
    this.#watchLink();
  }

  /** Starts to connect. ZeroMQ establishes the connection later, and again after it breaks. */
  connect(address: string): void {
    this.address = address;
    this.#socket.connect(address);
  }

  /** Starts the reader loop: passes each multipart message, unverified, to `handler`. An error of `handler` is reported. */
  read(handler: (frames: Buffer[]) => void): void {
    const socket = this.#socket;
    if (!('receive' in socket)) throw new TypeError(`the ${this.name} socket cannot receive messages`);
    void this.#readLoop(socket, handler);
  }

  /** Queues a message. Messages are sent in order once the connection is up; a closed socket drops them. */
  send(frames: Frames): void {
    if (this.#isClosed) return;
    this.#queue.push(frames);
    this.#pendingSends ??= this.#sendQueued();
  }

  /** Waits until the connection is up. The socket must have an `onLink` callback. */
  async waitUntilLinked(deadline: Deadline, onTimeout: (waitedMs: number) => Error): Promise<void> {
    if (this.isLinked) return;
    await waitFor<void>(deadline, onTimeout, (resolve) => {
      this.#socket.events.on('handshake', () => resolve());
      return undefined;
    });
  }

  /** Waits until ZeroMQ has accepted all queued messages, at most `timeout` ms. */
  async flush(timeout: number): Promise<void> {
    if (this.#pendingSends === undefined) return;
    const timer = new AbortController();
    await Promise.race([this.#pendingSends, pause(timeout, timer.signal)]);
    timer.abort();
  }

  /**
   * Closes the socket and drops queued messages; idempotent. Resolves when ZeroMQ has sent the messages that it accepted,
   * or when the socket's linger time is over. If the process exits earlier, these messages are lost.
   */
  close(): Promise<void> {
    this.#closePromise ??= new Promise((resolve) => {
      this.#queue.clear();
      // The monitor ends when ZeroMQ has released the socket.
      this.#socket.events.on('end', () => resolve());
      this.#socket.close();
    });
    return this.#closePromise;
  }

  /** Closes the socket without waiting for messages to be sent. */
  abandon(): void {
    this.#closePromise ??= Promise.resolve();
    this.#queue.clear();
    this.#socket.close();
  }

  get #isClosed(): boolean {
    return this.#closePromise !== undefined;
  }

  async #sendQueued(): Promise<void> {
    const socket = this.#socket;
    // Lets the caller queue more messages before the first is sent.
    await Promise.resolve();
    for (let frames = this.#queue.shift(); frames !== undefined; frames = this.#queue.shift()) {
      try {
        if (!('send' in socket)) throw new TypeError(`the ${this.name} socket cannot send messages`);
        await socket.send(frames as Buffer[]);
      } catch (error) {
        if (this.#isClosed) break;
        this.#events.onFailure(`sending on ${this.name}`, error);
      }
    }
    this.#pendingSends = undefined;
  }

  async #readLoop(
    socket: Extract<ZmqSocket, { receive: unknown }>,
    handler: (frames: Buffer[]) => void,
  ): Promise<void> {
    while (!this.#isClosed) {
      let frames: Buffer[];
      try {
        frames = await socket.receive();
      } catch (error) {
        // Closing a socket rejects its pending receive.
        if (this.#isClosed) return;
        this.#events.onFailure(`receiving on ${this.name}`, error);
        // The pause keeps a socket that fails repeatedly from blocking the thread.
        await pause(RECEIVE_RETRY_MS);
        continue;
      }
      try {
        handler(frames);
      } catch (error) {
        this.#events.onFailure(`handling a message on ${this.name}`, error);
      }
    }
  }

  #watchLink(): void {
    const { onLink } = this.#events;
    // Monitoring needs a second socket, so it is started only for a listener.
    if (onLink === undefined) return;
    let isConnected = false;
    this.#socket.events.on('connect', () => {
      isConnected = true;
    });
    this.#socket.events.on('connect:retry', () => {
      if (!isConnected) this.isRefused = false;
      isConnected = false;
    });
    const reportOn = (types: readonly Event['type'][], state: LinkState): void => {
      for (const type of types) {
        this.#socket.events.on(type, () => {
          this.isLinked = state === 'up';
          if (state !== 'down') this.isRefused = state === 'refused';
          if (!this.#isClosed) onLink(state);
        });
      }
    };
    // The handshake is the last step of a connection, after authentication.
    reportOn(['handshake'], 'up');
    reportOn(['disconnect'], 'down');
    reportOn(['handshake:error:protocol', 'handshake:error:auth', 'handshake:error:other'], 'refused');
  }
}
