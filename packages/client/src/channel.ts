import { ConnectionClosedError } from '@ipyparallel-js/protocol';
import type { Dealer, Event, Subscriber } from 'zeromq';

/** What a channel tells its owner. */
export interface ChannelEvents {
  /** One multipart message, unverified. */
  readonly onFrames: (frames: Buffer[]) => void;
  /** The TCP link came up, went down, or the security handshake failed. */
  readonly onLink: (link: 'up' | 'down' | 'refused') => void;
  /** A send or receive failed while the channel was open. */
  readonly onFailure: (error: unknown) => void;
}

/** One socket with one reader loop and one send queue, as zeromq.js allows one pending call of each. */
export class Channel {
  readonly address: string;
  readonly #socket: Dealer | Subscriber;
  readonly #events: ChannelEvents;
  readonly #queue: Buffer[][] = [];
  #sending = false;
  #closed = false;
  /** Whether the TCP link is up as far as ZeroMQ has said. */
  linked = false;

  constructor(socket: Dealer | Subscriber, address: string, events: ChannelEvents) {
    this.#socket = socket;
    this.address = address;
    this.#events = events;
    this.#watchLink();
    socket.connect(address);
    void this.#readLoop();
  }

  /** Queues a message; it leaves in order, once there is a link. */
  send(frames: Buffer[]): void {
    if (this.#closed) throw new ConnectionClosedError(`the connection to ${this.address} is closed`);
    this.#queue.push(frames);
    if (!this.#sending) void this.#drain();
  }

  /** Closes the socket; idempotent. What was handed to ZeroMQ still leaves within the socket's linger. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close();
  }

  async #drain(): Promise<void> {
    const socket = this.#socket;
    if (!('send' in socket)) throw new ConnectionClosedError(`${this.address} is only listened to`);
    this.#sending = true;
    try {
      for (let frames = this.#queue.shift(); frames !== undefined; frames = this.#queue.shift()) {
        await socket.send(frames);
      }
    } catch (error) {
      if (!this.#closed) this.#events.onFailure(error);
    } finally {
      this.#sending = false;
    }
  }

  async #readLoop(): Promise<void> {
    while (!this.#closed) {
      let frames: Buffer[];
      try {
        frames = await this.#socket.receive();
      } catch (error) {
        // Closing a socket rejects its pending receive.
        if (!this.#closed) this.#events.onFailure(error);
        return;
      }
      this.#events.onFrames(frames);
    }
  }

  #watchLink(): void {
    const { events } = this.#socket;
    const on = (types: readonly Event['type'][], link: 'up' | 'down' | 'refused'): void => {
      for (const type of types) {
        events.on(type, () => {
          this.linked = link === 'up';
          if (!this.#closed) this.#events.onLink(link);
        });
      }
    };
    on(['handshake'], 'up');
    on(['disconnect'], 'down');
    on(['handshake:error:protocol', 'handshake:error:auth', 'handshake:error:other'], 'refused');
  }
}
