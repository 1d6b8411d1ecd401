import type { Logger } from '@ipyparallel-js/wire';
import type { TaskChange } from '../task-database.js';
import { sizeOfFields } from './task-document.js';

export interface WriteQueueOptions {
  /** Writes a batch. Rejects with an error for which `isOutage` is true if the batch must be repeated. */
  readonly writeBatch: (changes: readonly TaskChange[]) => Promise<void>;
  readonly isOutage: (error: unknown) => boolean;
  /** Name of the server for messages. */
  readonly server: string;
  readonly log: Logger;
  /** Maximum number and size of queued changes; 200,000 and 256 MiB by default. */
  readonly maxChanges?: number;
  readonly maxBytes?: number;
  /** Delay before queued changes are written, in ms; 0 by default. */
  readonly batchDelay?: number;
  /** Delay between two attempts during an outage, in ms; 500 by default. */
  readonly retryDelay?: number;
}

/** Maximum number of changes whose write is delayed. A `push` that exceeds it waits until they are written. */
const MAX_DELAYED = 10_000;

// Large, because all changes of a task in a batch are one write.
const BATCH_CHANGES = 4000;
const BATCH_BYTES = 16 << 20;

/** Queues changes and writes them in order. Holds them during an outage of the server. */
export class WriteQueue {
  readonly #options: WriteQueueOptions;
  readonly #maxChanges: number;
  readonly #maxBytes: number;
  #queue: { readonly change: TaskChange; readonly bytes: number }[] = [];
  #bytes = 0;
  #pushedCount = 0;
  #writtenCount = 0;
  #batch: readonly TaskChange[] | undefined;
  #drainPromise: Promise<void> | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #batchTimer: NodeJS.Timeout | undefined;
  #downSince: number | undefined;
  #lostCount = 0;
  #isClosed = false;

  constructor(options: WriteQueueOptions) {
    this.#options = options;
    this.#maxChanges = options.maxChanges ?? 200_000;
    this.#maxBytes = options.maxBytes ?? 256 << 20;
  }

  /** Number of changes that are not written yet. */
  get length(): number {
    return this.#queue.length;
  }

  /** Estimated size of these changes in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether the last write failed because of an outage. */
  get isDown(): boolean {
    return this.#downSince !== undefined;
  }

  /**
   * Adds changes. Resolves when they are written, or immediately if the write is delayed or the server is unavailable.
   */
  async push(changes: readonly TaskChange[]): Promise<void> {
    let lostChanges = 0;
    for (const change of changes) {
      const bytes = sizeOfFields(change.op === 'add' ? change.task : { ...change.set, ...change.append });
      const isFull = this.#queue.length >= this.#maxChanges || this.#bytes + bytes > this.#maxBytes;
      if (isFull && this.#downSince !== undefined) {
        lostChanges++;
        continue;
      }
      this.#queue.push({ change, bytes });
      this.#pushedCount++;
      this.#bytes += bytes;
    }
    if (lostChanges > 0) this.#reportLoss(lostChanges);
    if (this.#downSince !== undefined) return;
    const { batchDelay = 0 } = this.#options;
    if (batchDelay > 0 && this.#queue.length < MAX_DELAYED) this.#scheduleDrain(batchDelay);
    else await this.drain().catch(() => undefined);
  }

  #scheduleDrain(batchDelay: number): void {
    this.#batchTimer ??= setTimeout(() => {
      this.#batchTimer = undefined;
      this.drain().catch(() => undefined);
    }, batchDelay);
  }

  /**
   * Writes all changes that are queued now. Does not wait for changes that are added meanwhile.
   * @throws the error of an outage of the server
   */
  async drain(): Promise<void> {
    const target = this.#pushedCount;
    while (this.#writtenCount < target) {
      this.#drainPromise ??= this.#drainOnce().finally(() => {
        this.#drainPromise = undefined;
      });
      await this.#drainPromise;
    }
  }

  /** Stops writing. Logs the number of changes that are lost. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#batchTimer);
    if (this.#queue.length > 0) {
      this.#options.log.error(
        `${this.#queue.length} changes of tasks are lost: ${this.#options.server} was unavailable when the store was closed`,
      );
    }
  }

  async #drainOnce(): Promise<void> {
    // After an outage, repeat the same batch: an unknown part of it may have been written.
    this.#batch ??= this.#nextBatch();
    const batch = this.#batch;
    try {
      await this.#options.writeBatch(batch);
    } catch (error) {
      if (this.#options.isOutage(error)) {
        this.#markDown(error);
        throw error;
      }
      this.#options.log.error(
        `${batch.length} changes could not be written to ${this.#options.server}`,
        error,
      );
    }
    this.#batch = undefined;
    for (const item of this.#queue.splice(0, batch.length)) this.#bytes -= item.bytes;
    this.#writtenCount += batch.length;
    this.#markUp();
  }

  #nextBatch(): TaskChange[] {
    const batch: TaskChange[] = [];
    let bytes = 0;
    for (const item of this.#queue) {
      if (batch.length >= BATCH_CHANGES || bytes > BATCH_BYTES) break;
      batch.push(item.change);
      bytes += item.bytes;
    }
    return batch;
  }

  #markDown(error: unknown): void {
    const { log, server, retryDelay = 500 } = this.#options;
    if (this.#downSince === undefined) {
      this.#downSince = performance.now();
      log.error(
        `${server} is unavailable: changes of tasks are queued and reads fail until it is available again`,
        error,
      );
    }
    if (this.#isClosed) return;
    clearTimeout(this.#retryTimer);
    this.#retryTimer = setTimeout(() => {
      this.drain().catch(() => undefined);
    }, retryDelay);
    this.#retryTimer.unref();
  }

  #markUp(): void {
    if (this.#downSince === undefined) return;
    const seconds = ((performance.now() - this.#downSince) / 1000).toFixed(1);
    this.#downSince = undefined;
    const loss = this.#lostCount > 0 ? `; ${this.#lostCount} exceeded the limit and are lost` : '';
    this.#lostCount = 0;
    const { log, server } = this.#options;
    log.warn(
      `${server} is available again after ${seconds} s; ${this.#queue.length} changes are still queued${loss}`,
    );
    this.drain().catch(() => undefined);
  }

  #reportLoss(count: number): void {
    const before = this.#lostCount;
    this.#lostCount += count;
    // Log the first loss, then each time the number has doubled.
    if (before === 0 || Math.floor(Math.log2(before)) < Math.floor(Math.log2(this.#lostCount))) {
      this.#options.log.error(
        `${this.#lostCount} changes of tasks are lost: the queue for ${this.#options.server} is full (${this.#queue.length} changes)`,
      );
    }
  }
}
