import type { Dealer, Event, Publisher, Router, Subscriber, XPublisher } from 'zeromq';
import { type Deadline, pause, waitFor } from '../waiting/wait.js';
import { Fifo } from './fifo.js';

/** Frames on their way out; a text is an identity or a topic. */
export type Frames = readonly (Uint8Array | string)[];

/** The link of a connecting socket: up, down, or refused by the security handshake. */
export type LinkState = 'up' | 'down' | 'refused';

/** What a socket tells its owner. */
export interface SocketEvents {
  /** Sending, receiving or handling a message failed while the socket was open; it goes on. */
  readonly onFailure: (doing: string, error: unknown) => void;
  readonly onLink?: (state: LinkState) => void;
}

/** The zeromq sockets that are used here. */
export type ZmqSocket = Router | Dealer | Publisher | XPublisher | Subscriber;

const AFTER_FAILURE_MS = 100;

/**
 * One zeromq socket with its one reader loop and its one send queue: zeromq.js allows a single pending receive and a
 * single pending send per socket. The queue is unlimited; what must be bounded is bounded by who sends.
 */
export class MessageSocket {
  /** What it is for, in messages: `mux`, `registration`. */
  readonly name: string;
  /** What it is connected to. */
  address = '';
  /** Whether the link is up, as far as ZeroMQ has said. */
  linked = false;
  readonly #socket: ZmqSocket;
  readonly #events: SocketEvents;
  readonly #queue = new Fifo<Frames>();
  #pumped: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  constructor(name: string, socket: ZmqSocket, events: SocketEvents) {
    this.name = name;
    this.#socket = socket;
    this.#events = events;
    this.#watchLink();
  }

  /** Connects; the link comes up later, and again after it broke. */
  connect(address: string): void {
    this.address = address;
    this.#socket.connect(address);
  }

  /** Starts the reader loop: each multipart message, unverified. A handler that throws is reported; the loop goes on. */
  read(handler: (frames: Buffer[]) => void): void {
    const socket = this.#socket;
    if (!('receive' in socket)) throw new TypeError(`the ${this.name} socket only sends`);
    void this.#readLoop(socket, handler);
  }

  /** Queues a message; messages leave in order, once there is a link. Nothing leaves a closed socket. */
  send(frames: Frames): void {
    if (this.#closed) return;
    this.#queue.push(frames);
    this.#pumped ??= this.#pump();
  }

  /** Waits until the link is up. */
  async waitUntilLinked(deadline: Deadline, onTimeout: (waitedMs: number) => Error): Promise<void> {
    if (this.linked) return;
    await waitFor<void>(deadline, onTimeout, (resolve) => {
      this.#socket.events.on('handshake', () => resolve());
      return undefined;
    });
  }

  /** Waits until what was queued is with ZeroMQ, `timeout` ms at most. */
  async flush(timeout: number): Promise<void> {
    if (this.#pumped === undefined) return;
    const late = new AbortController();
    await Promise.race([this.#pumped, pause(timeout, late.signal)]);
    late.abort();
  }

  /**
   * Closes the socket; idempotent. Resolves when what ZeroMQ has been given has left, or the socket's linger is over:
   * a process that exits before that takes it along.
   */
  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      this.#queue.clear();
      // Its monitor ends when ZeroMQ itself is done with the socket.
      this.#socket.events.on('end', () => resolve());
      this.#socket.close();
    });
    return this.#closing;
  }

  /** Closes the socket at once, and waits for nothing. */
  abandon(): void {
    this.#closing ??= Promise.resolve();
    this.#queue.clear();
    this.#socket.close();
  }

  get #closed(): boolean {
    return this.#closing !== undefined;
  }

  async #pump(): Promise<void> {
    const socket = this.#socket;
    // Whatever is queued in this turn goes out in this one.
    await Promise.resolve();
    for (let frames = this.#queue.shift(); frames !== undefined; frames = this.#queue.shift()) {
      try {
        if (!('send' in socket)) throw new TypeError(`the ${this.name} socket only receives`);
        await socket.send(frames as Buffer[]);
      } catch (error) {
        if (this.#closed) break;
        this.#events.onFailure(`sending on ${this.name}`, error);
      }
    }
    this.#pumped = undefined;
  }

  async #readLoop(
    socket: Extract<ZmqSocket, { receive: unknown }>,
    handler: (frames: Buffer[]) => void,
  ): Promise<void> {
    while (!this.#closed) {
      let frames: Buffer[];
      try {
        frames = await socket.receive();
      } catch (error) {
        // Closing a socket rejects its pending receive.
        if (this.#closed) return;
        this.#events.onFailure(`receiving on ${this.name}`, error);
        // A socket that fails again and again must not keep the thread busy.
        await pause(AFTER_FAILURE_MS);
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
    // The monitor of a socket costs a second socket: only where somebody asks.
    if (onLink === undefined) return;
    const on = (types: readonly Event['type'][], state: LinkState): void => {
      for (const type of types) {
        this.#socket.events.on(type, () => {
          this.linked = state === 'up';
          if (!this.#closed) onLink(state);
        });
      }
    };
    // The handshake is the last step of a connection, after authentication.
    on(['handshake'], 'up');
    on(['disconnect'], 'down');
    on(['handshake:error:protocol', 'handshake:error:auth', 'handshake:error:other'], 'refused');
  }
}
