import { Fifo, type Frames, type MessageSocket } from '@ipyparallel-js/wire';
import { type LinkCounts, reaches } from '../../thread-link/link-counts.js';

interface QueuedMessage<F> {
  readonly frames: F;
  /** The message leaves the queue when the count reaches this. */
  readonly requiredCount: number;
}

export interface QuerySocketParts {
  readonly socket: Pick<MessageSocket, 'read' | 'send' | 'flush' | 'close' | 'abandon'>;
  readonly counts: LinkCounts;
  /** Makes the schedulers' thread send its queued copies. */
  readonly requestCopies: () => void;
}

/**
 * The hub's socket for requests and replies, in the hub's thread. A request waits for the copies of traffic that were
 * made before it arrived, so that a client with a result finds that result in the Task Database. A reply waits until
 * the schedulers have carried out the earlier calls of the hub, so that a client can send work to each engine it sees.
 */
export class QuerySocket {
  readonly #parts: QuerySocketParts;
  readonly #requestQueue = new Fifo<QueuedMessage<Buffer[]>>();
  readonly #replyQueue = new Fifo<QueuedMessage<Frames>>();
  #nextRequest: QueuedMessage<Buffer[]> | undefined;
  #nextReply: QueuedMessage<Frames> | undefined;
  #handler: ((frames: Buffer[]) => void) | undefined;
  #recordedCopies = 0;
  #sentCalls = 0;

  constructor(parts: QuerySocketParts) {
    this.#parts = parts;
  }

  /** Starts to read requests. */
  serve(handler: (frames: Buffer[]) => void): void {
    this.#handler = handler;
    this.#parts.socket.read((frames) => this.#receive(frames));
  }

  reply(frames: Frames): void {
    const { socket, counts } = this.#parts;
    if (this.#nextReply === undefined && reaches(counts.calls, this.#sentCalls)) {
      socket.send(frames);
      return;
    }
    this.#replyQueue.push({ frames, requiredCount: this.#sentCalls });
    this.#nextReply ??= this.#replyQueue.shift();
    counts.awaitCalls();
    this.onCallsDone();
  }

  /** The hub has called the schedulers. */
  onCall(): void {
    this.#sentCalls = (this.#sentCalls + 1) | 0;
  }

  /** The schedulers have carried out some of the calls. */
  onCallsDone(): void {
    const { socket, counts } = this.#parts;
    while (this.#nextReply !== undefined && reaches(counts.calls, this.#nextReply.requiredCount)) {
      socket.send(this.#nextReply.frames);
      this.#nextReply = this.#replyQueue.shift();
    }
    if (this.#nextReply === undefined) return;
    counts.awaitCalls();
    // A call carried out between the check and awaitCalls() is not notified, so check again.
    if (reaches(counts.calls, this.#nextReply.requiredCount)) this.onCallsDone();
  }

  /** The hub has recorded `count` copies. */
  onCopies(count: number): void {
    this.#recordedCopies = (this.#recordedCopies + count) | 0;
    while (
      this.#nextRequest !== undefined &&
      reaches(this.#recordedCopies, this.#nextRequest.requiredCount)
    ) {
      const { frames } = this.#nextRequest;
      this.#nextRequest = this.#requestQueue.shift();
      this.#handler?.(frames);
    }
    if (this.#nextRequest !== undefined) this.#parts.requestCopies();
  }

  #receive(frames: Buffer[]): void {
    const requiredCount = this.#parts.counts.copies;
    if (this.#nextRequest === undefined && reaches(this.#recordedCopies, requiredCount)) {
      this.#handler?.(frames);
      return;
    }
    this.#requestQueue.push({ frames, requiredCount });
    if (this.#nextRequest !== undefined) return;
    this.#nextRequest = this.#requestQueue.shift();
    this.#parts.requestCopies();
  }

  /** Sends queued messages within `timeout` ms, and closes the socket. */
  async close(timeout: number): Promise<void> {
    await this.#parts.socket.flush(timeout);
    await this.#parts.socket.close();
    this.#parts.counts.abandon();
  }

  /** Closes the socket immediately: zeromq.js aborts the process if a thread ends with an open socket. */
  abandon(): void {
    this.#parts.socket.abandon();
    this.#parts.counts.abandon();
  }
}
