import { Fifo, type Frames, type MessageSocket } from '@ipyparallel-js/wire';
import { type LinkCounts, reaches } from '../../thread-link/link-counts.js';

interface Held<F> {
  readonly frames: F;
  /** The count that must be reached first. */
  readonly until: number;
}

/** What a query socket works with. */
export interface QuerySocketParts {
  readonly socket: Pick<MessageSocket, 'read' | 'send' | 'flush' | 'close' | 'abandon'>;
  readonly counts: LinkCounts;
  /** Has the schedulers' thread send the copies that it still has. */
  readonly askForCopies: () => void;
}

/**
 * The hub's socket for requests and replies, in the hub's own thread. A request waits for the copies of traffic that were
 * made before it came, so that a client which has its result finds it in the Task Database; a reply waits until the
 * schedulers have done what the hub told them before, so that whoever hears of an engine can send it work.
 */
export class QuerySocket {
  readonly #parts: QuerySocketParts;
  readonly #requests = new Fifo<Held<Buffer[]>>();
  readonly #replies = new Fifo<Held<Frames>>();
  #request: Held<Buffer[]> | undefined;
  #reply: Held<Frames> | undefined;
  #handler: ((frames: Buffer[]) => void) | undefined;
  #copies = 0;
  #calls = 0;

  constructor(parts: QuerySocketParts) {
    this.#parts = parts;
  }

  /** Starts to serve. */
  serve(handler: (frames: Buffer[]) => void): void {
    this.#handler = handler;
    this.#parts.socket.read((frames) => this.#receive(frames));
  }

  reply(frames: Frames): void {
    const { socket, counts } = this.#parts;
    if (this.#reply === undefined && reaches(counts.calls, this.#calls)) {
      socket.send(frames);
      return;
    }
    this.#replies.push({ frames, until: this.#calls });
    this.#reply ??= this.#replies.shift();
    counts.awaitCalls();
    this.onCallsDone();
  }

  /** The hub has told the schedulers something. */
  onCall(): void {
    this.#calls = (this.#calls + 1) | 0;
  }

  /** The schedulers have done some of it. */
  onCallsDone(): void {
    const { socket, counts } = this.#parts;
    while (this.#reply !== undefined && reaches(counts.calls, this.#reply.until)) {
      socket.send(this.#reply.frames);
      this.#reply = this.#replies.shift();
    }
    if (this.#reply === undefined) return;
    counts.awaitCalls();
    // What was done between the look and this word is not told.
    if (reaches(counts.calls, this.#reply.until)) this.onCallsDone();
  }

  /** The hub has taken so many copies down. */
  onCopies(count: number): void {
    this.#copies = (this.#copies + count) | 0;
    while (this.#request !== undefined && reaches(this.#copies, this.#request.until)) {
      const { frames } = this.#request;
      this.#request = this.#requests.shift();
      this.#handler?.(frames);
    }
    if (this.#request !== undefined) this.#parts.askForCopies();
  }

  #receive(frames: Buffer[]): void {
    const until = this.#parts.counts.copies;
    if (this.#request === undefined && reaches(this.#copies, until)) {
      this.#handler?.(frames);
      return;
    }
    this.#requests.push({ frames, until });
    if (this.#request !== undefined) return;
    this.#request = this.#requests.shift();
    this.#parts.askForCopies();
  }

  /** Sends what is queued, within `timeout` ms, and closes. */
  async close(timeout: number): Promise<void> {
    await this.#parts.socket.flush(timeout);
    await this.#parts.socket.close();
    this.#parts.counts.abandon();
  }

  /** Closes at once, whatever waits: a thread that ends with an open socket takes the process along. */
  abandon(): void {
    this.#parts.socket.abandon();
    this.#parts.counts.abandon();
  }
}
