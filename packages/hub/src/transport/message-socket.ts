import type { Dealer, Publisher, Router, Subscriber } from 'zeromq';
import type { Logger } from '../log.js';
import { Fifo } from './fifo.js';

/** Frames on their way out; a text is an identity or a topic. */
export type Frames = readonly (Uint8Array | string)[];

/** What a receiver is handed. */
export type FramesHandler = (frames: Buffer[]) => void;

type AnySocket = Router | Dealer | Publisher | Subscriber;

/**
 * One zeromq socket with its one reader loop and its one send queue: zeromq.js allows a single pending receive and a
 * single pending send per socket. Both queues are unlimited, as in stock controllers (high-water mark 0).
 */
export class MessageSocket {
  readonly name: string;
  readonly #socket: AnySocket;
  readonly #log: Logger;
  readonly #queue = new Fifo<Frames>();
  #pumping = false;
  #pumped: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(name: string, socket: AnySocket, log: Logger) {
    this.name = name;
    this.#socket = socket;
    this.#log = log;
  }

  /** Starts the reader loop. A handler that throws is logged; the loop goes on. */
  read(handler: FramesHandler): void {
    const socket = this.#socket;
    if (!('receive' in socket)) throw new TypeError(`socket ${this.name} cannot receive`);
    void this.#readLoop(socket, handler);
  }

  async #readLoop(socket: Router | Dealer | Subscriber, handler: FramesHandler): Promise<void> {
    while (!this.#closed) {
      let frames: Buffer[];
      try {
        frames = await socket.receive();
      } catch (error) {
        if (this.#closed) return;
        this.#log.error(`receiving on ${this.name} failed`, error);
        // A socket that fails again and again must not keep the thread busy.
        await new Promise((resolve) => setTimeout(resolve, 100));
        continue;
      }
      try {
        handler(frames);
      } catch (error) {
        this.#log.error(`a message on ${this.name} could not be handled`, error);
      }
    }
  }

  /** Queues a message. After close() it is dropped. */
  send(frames: Frames): void {
    if (this.#closed) return;
    this.#queue.push(frames);
    if (!this.#pumping) this.#pumped = this.#pump();
  }

  async #pump(): Promise<void> {
    const socket = this.#socket;
    if (!('send' in socket)) throw new TypeError(`socket ${this.name} cannot send`);
    this.#pumping = true;
    for (let frames = this.#queue.shift(); frames !== undefined; frames = this.#queue.shift()) {
      try {
        await socket.send(frames as (Uint8Array | string)[] as Buffer[]);
      } catch (error) {
        if (this.#closed) break;
        this.#log.error(`sending on ${this.name} failed`, error);
      }
    }
    this.#pumping = false;
  }

  /** Waits until what was queued is with zeromq, `timeout` ms at most. */
  async flush(timeout: number): Promise<void> {
    if (!this.#pumping) return;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeout);
    });
    await Promise.race([this.#pumped, late]);
    clearTimeout(timer);
  }

  /** Closes the socket; what zeromq has already been given still goes out, for half a second at most. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#queue.clear();
    this.#socket.close();
  }
}
