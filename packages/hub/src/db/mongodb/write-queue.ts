import type { Logger } from '@ipyparallel-js/wire';
import type { TaskChange } from '../task-database.js';
import { sizeOfFields } from './document.js';

export interface WriteQueueOptions {
  /** Writes a batch. Rejects with an error for which {@link isOutage} holds when it is to be tried again. */
  readonly writeBatch: (changes: readonly TaskChange[]) => Promise<void>;
  readonly isOutage: (error: unknown) => boolean;
  /** The server, for messages. */
  readonly server: string;
  readonly log: Logger;
  /** Changes and bytes that may wait; 200,000 and 256 MiB. */
  readonly maxChanges?: number;
  readonly maxBytes?: number;
  /** How long changes are gathered before they are written unasked, in ms; 0. */
  readonly gatherFor?: number;
  /** Between two attempts while the server is out of reach, in ms; 500. */
  readonly retryDelay?: number;
}

/** Changes that may be gathered; whoever brings more waits until they are written. */
const MOST_GATHERED = 10_000;

// Large, since whatever happens to a task within a batch is one write.
const BATCH = 4000;
const BATCH_BYTES = 16 << 20;

/** Changes on their way to a server, in their order; while it is out of reach they wait here. */
export class WriteQueue {
  readonly #options: WriteQueueOptions;
  readonly #maxChanges: number;
  readonly #maxBytes: number;
  #waiting: { readonly change: TaskChange; readonly bytes: number }[] = [];
  #bytes = 0;
  #pushed = 0;
  #written = 0;
  #batch: readonly TaskChange[] | undefined;
  #draining: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #gathering: NodeJS.Timeout | undefined;
  #downSince: number | undefined;
  #lost = 0;
  #closed = false;

  constructor(options: WriteQueueOptions) {
    this.#options = options;
    this.#maxChanges = options.maxChanges ?? 200_000;
    this.#maxBytes = options.maxBytes ?? 256 << 20;
  }

  /** Changes that the server does not have. */
  get length(): number {
    return this.#waiting.length;
  }

  /** What they take, by estimate. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether the server is out of reach. */
  get isDown(): boolean {
    return this.#downSince !== undefined;
  }

  /**
   * Takes changes. Resolves when they are written, or at once where changes are gathered or the server is out of reach:
   * then they wait.
   */
  async push(changes: readonly TaskChange[]): Promise<void> {
    let refused = 0;
    for (const change of changes) {
      const bytes = sizeOfFields(change.op === 'add' ? change.task : { ...change.set, ...change.append });
      const full = this.#waiting.length >= this.#maxChanges || this.#bytes + bytes > this.#maxBytes;
      if (full && this.#downSince !== undefined) {
        refused++;
        continue;
      }
      this.#waiting.push({ change, bytes });
      this.#pushed++;
      this.#bytes += bytes;
    }
    if (refused > 0) this.#tellLost(refused);
    if (this.#downSince !== undefined) return;
    const { gatherFor = 0 } = this.#options;
    if (gatherFor > 0 && this.#waiting.length < MOST_GATHERED) this.#gather(gatherFor);
    else await this.drain().catch(() => undefined);
  }

  #gather(gatherFor: number): void {
    this.#gathering ??= setTimeout(() => {
      this.#gathering = undefined;
      this.drain().catch(() => undefined);
    }, gatherFor);
  }

  /** Writes all that waits by now; what comes meanwhile is not waited for. @throws the outage that prevents it */
  async drain(): Promise<void> {
    const until = this.#pushed;
    while (this.#written < until) {
      this.#draining ??= this.#drainOnce().finally(() => {
        this.#draining = undefined;
      });
      await this.#draining;
    }
  }

  /** Ends the attempts. What still waits is lost, and told. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#gathering);
    if (this.#waiting.length > 0) {
      this.#options.log.error(
        `${this.#waiting.length} changes of tasks are lost: ${this.#options.server} was out of reach to the end`,
      );
    }
  }

  async #drainOnce(): Promise<void> {
    // After an outage the very same batch is tried again: how much of it was written is not known.
    this.#batch ??= this.#nextBatch();
    const batch = this.#batch;
    try {
      await this.#options.writeBatch(batch);
    } catch (error) {
      if (this.#options.isOutage(error)) {
        this.#isDown(error);
        throw error;
      }
      this.#options.log.error(
        `${batch.length} changes could not be written to ${this.#options.server}`,
        error,
      );
    }
    this.#batch = undefined;
    for (const item of this.#waiting.splice(0, batch.length)) this.#bytes -= item.bytes;
    this.#written += batch.length;
    this.#isUp();
  }

  #nextBatch(): TaskChange[] {
    const batch: TaskChange[] = [];
    let bytes = 0;
    for (const item of this.#waiting) {
      if (batch.length >= BATCH || bytes > BATCH_BYTES) break;
      batch.push(item.change);
      bytes += item.bytes;
    }
    return batch;
  }

  #isDown(error: unknown): void {
    const { log, server, retryDelay = 500 } = this.#options;
    if (this.#downSince === undefined) {
      this.#downSince = performance.now();
      log.error(
        `${server} is out of reach: changes of tasks wait here until it is back, questions fail until then`,
        error,
      );
    }
    if (this.#closed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.drain().catch(() => undefined);
    }, retryDelay);
    this.#timer.unref();
  }

  #isUp(): void {
    if (this.#downSince === undefined) return;
    const seconds = ((performance.now() - this.#downSince) / 1000).toFixed(1);
    this.#downSince = undefined;
    const lost = this.#lost > 0 ? `; ${this.#lost} did not fit and are lost` : '';
    this.#lost = 0;
    const { log, server } = this.#options;
    log.warn(`${server} is back after ${seconds} s; ${this.#waiting.length} changes still wait${lost}`);
    this.drain().catch(() => undefined);
  }

  #tellLost(count: number): void {
    const before = this.#lost;
    this.#lost += count;
    // The first, then each time the number has doubled.
    if (before === 0 || Math.floor(Math.log2(before)) < Math.floor(Math.log2(this.#lost))) {
      this.#options.log.error(
        `${this.#lost} changes of tasks are lost: ${this.#waiting.length} already wait for ${this.#options.server}`,
      );
    }
  }
}
