import { TimeoutError } from '@ipyparallel-js/protocol';
import type { Dealer, Subscriber, XPublisher } from 'zeromq';
import { withDeadline } from './deadline.js';

/** What a link tells its owner. */
export interface LinkEvents {
  /** One multipart message, unverified. */
  readonly onFrames: (frames: Buffer[]) => void;
  /** Sending, receiving or handling a message failed while the link was open. */
  readonly onFailure: (error: unknown) => void;
}

/** One connected socket with one reader loop and one send queue: zeromq.js admits one pending call of each. */
export class Link {
  readonly name: string;
  readonly address: string;
  readonly #socket: Dealer | Subscriber | XPublisher;
  readonly #events: LinkEvents;
  readonly #connected: Promise<void>;
  readonly #queue: Buffer[][] = [];
  #draining: Promise<void> | undefined;
  #closed = false;

  constructor(name: string, socket: Dealer | Subscriber | XPublisher, address: string, events: LinkEvents) {
    this.name = name;
    this.#socket = socket;
    this.address = address;
    this.#events = events;
    this.#connected = new Promise((resolve) => {
      // The last step of a connection, after authentication.
      socket.events.on('handshake', () => resolve());
    });
    socket.connect(address);
    void this.#read();
  }

  /** Queues a message; messages leave in order. Nothing leaves a closed link. */
  send(frames: Buffer[]): void {
    if (this.#closed) return;
    this.#queue.push(frames);
    this.#draining ??= this.#drain();
  }

  /** Waits for the connection. @throws TimeoutError naming the address, the signal's reason */
  async connected(timeout: number, signal?: AbortSignal): Promise<void> {
    await withDeadline(this.#connected, timeout, signal, () => {
      const problem = `no connection to the controller's ${this.name} socket at ${this.address} within ${timeout} ms`;
      return new TimeoutError(`${problem}; is it running, and is its CURVE key right?`, timeout);
    });
  }

  /** Hands over what is queued and closes; what then is on its way has the socket's linger to leave. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#draining;
    this.#socket.close();
  }

  async #drain(): Promise<void> {
    try {
      for (let frames = this.#queue.shift(); frames !== undefined; frames = this.#queue.shift()) {
        if (!('send' in this.#socket)) throw new TypeError(`${this.name} is only listened to`);
        await this.#socket.send(frames);
      }
    } catch (error) {
      this.#events.onFailure(error);
    } finally {
      this.#draining = undefined;
    }
  }

  async #read(): Promise<void> {
    while (!this.#closed) {
      let frames: Buffer[];
      try {
        frames = await this.#socket.receive();
      } catch (error) {
        // Closing a socket rejects its pending receive.
        if (!this.#closed) this.#events.onFailure(error);
        return;
      }
      try {
        this.#events.onFrames(frames);
      } catch (error) {
        this.#events.onFailure(error);
      }
    }
  }
}
