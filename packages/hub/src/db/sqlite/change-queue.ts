import type { Logger } from '@ipyparallel-js/wire';
import { messageOf } from '../../common/errors.js';
import { nextTurn } from '../../common/event-loop.js';
import type { TaskChange, TaskFields } from '../task-database.js';
import { mergeChanges } from './merge-changes.js';
import { TaskFileError } from './task-file-error.js';
import type { TaskWriter } from './task-writer.js';

/** Time after the first failed write for which callers wait for the file, in ms. */
const WRITE_TIMEOUT = 1500;
/** Bounds of the delay between two attempts, in ms. */
const MIN_RETRY_DELAY = 20;
const MAX_RETRY_DELAY = 2000;

/** Maximum size of the changes that are held while writes fail, in bytes, estimated. */
const MAX_HELD_BYTES = 256 * 1024 ** 2;

/** Bytes written between two checkpoints, estimated. */
const CHECKPOINT_BYTES = 8 * 1024 ** 2;

/**
 * Queues changes and writes them to the file. While writes fail (the disk is full, the file is locked), the queue holds up
 * to 256 MiB of changes and retries; meanwhile reads must fail, because their results would lack the held changes.
 */
export class ChangeQueue {
  readonly #writer: TaskWriter;
  readonly #path: string;
  readonly #log: Logger;
  readonly #checkpoint: () => Promise<void>;
  #changes: TaskChange[] = [];
  #sizes: number[] = [];
  /** Number of changes removed from the queue so far; the number of a queued change is this plus its index. */
  #removedCount = 0;
  /** Number of the last queued change of each task. */
  readonly #lastNumbers = new Map<string, number>();
  #bytes = 0;
  #bytesSinceCheckpoint = 0;
  #drainPromise: Promise<void> | undefined;
  #failingSince: number | undefined;
  #problem = '';
  #retryDelay = MIN_RETRY_DELAY;
  #timer: NodeJS.Timeout | undefined;
  #lostCount = 0;
  #isCheckpointing = false;

  constructor(writer: TaskWriter, path: string, log: Logger, checkpoint: () => Promise<void>) {
    this.#writer = writer;
    this.#path = path;
    this.#log = log;
    this.#checkpoint = checkpoint;
  }

  /** Whether the last write failed, so that changes are held. */
  get isFailing(): boolean {
    return this.#failingSince !== undefined;
  }

  /** Adds changes. Resolves when they are committed, or when writes have failed for longer than the timeout. */
  async push(changes: readonly TaskChange[]): Promise<void> {
    for (const change of changes) this.#enqueue(change);
    this.#dropExcess();
    await this.#waitUntilEmpty();
  }

  /**
   * Waits until all queued changes are committed.
   * @throws {TaskFileError} when writes have failed for longer than the timeout
   */
  async flush(): Promise<void> {
    await this.#waitUntilEmpty();
    if (this.#failingSince === undefined) return;
    const seconds = ((performance.now() - this.#failingSince) / 1000).toFixed(1);
    throw new TaskFileError(
      this.#path,
      `writes have failed for ${seconds} s (${this.#problem}); ${this.#changes.length} changes are held until they succeed`,
    );
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#drainPromise;
    try {
      while (this.#changes.length > 0) this.#writeSome();
    } catch (error) {
      this.#log.error(
        `${this.#changes.length} changes could not be written to ${this.#path} and are lost`,
        error,
      );
    }
  }

  /** Waits until the queue is empty, at most until the timeout after the first failed write. */
  async #waitUntilEmpty(): Promise<void> {
    while (this.#changes.length > 0) {
      this.#drainPromise ??= this.#drain();
      await this.#drainPromise;
      if (this.#failingSince === undefined) continue;
      if (performance.now() - this.#failingSince > WRITE_TIMEOUT) return;
      await new Promise((resolve) => setTimeout(resolve, this.#retryDelay));
    }
  }

  async #drain(): Promise<void> {
    clearTimeout(this.#timer);
    try {
      // Changes that are pushed in the same turn of the event loop share the transaction.
      await Promise.resolve();
      while (this.#changes.length > 0) {
        this.#writeSome();
        this.#onSuccess();
        if (this.#changes.length > 0) await nextTurn();
      }
    } catch (error) {
      this.#onFailure(error);
    } finally {
      this.#drainPromise = undefined;
    }
    this.#checkpointIfDue();
  }

  #writeSome(): void {
    this.#bytesSinceCheckpoint += this.#dequeue(this.#writer.apply(this.#changes, 0));
  }

  // Under load a task is submitted, assigned and finished before its row is written. Merge these changes into one write.
  #enqueue(change: TaskChange): void {
    const msgId = change.op === 'add' ? change.task.msg_id : change.msgId;
    const bytes = sizeOfChange(change);
    this.#bytes += bytes;
    const index = (this.#lastNumbers.get(msgId) ?? -1) - this.#removedCount;
    const earlier = this.#changes[index];
    const merged = earlier === undefined ? undefined : mergeChanges(earlier, change);
    if (merged !== undefined) {
      this.#changes[index] = merged;
      this.#sizes[index] = (this.#sizes[index] ?? 0) + bytes;
      return;
    }
    this.#lastNumbers.set(msgId, this.#removedCount + this.#changes.length);
    this.#changes.push(change);
    this.#sizes.push(bytes);
  }

  /** Removes the first changes from the queue; returns their size in bytes. */
  #dequeue(count: number): number {
    let bytes = 0;
    for (const size of this.#sizes.splice(0, count)) bytes += size;
    for (const change of this.#changes.splice(0, count)) {
      const msgId = change.op === 'add' ? change.task.msg_id : change.msgId;
      if (this.#lastNumbers.get(msgId) === this.#removedCount) this.#lastNumbers.delete(msgId);
      this.#removedCount++;
    }
    this.#bytes -= bytes;
    return bytes;
  }

  #onSuccess(): void {
    if (this.#failingSince === undefined) return;
    const seconds = ((performance.now() - this.#failingSince) / 1000).toFixed(1);
    this.#log.warn(
      `${this.#path} can be written again after ${seconds} s; ${this.#lostCount} changes were lost`,
    );
    this.#failingSince = undefined;
    this.#retryDelay = MIN_RETRY_DELAY;
    this.#lostCount = 0;
  }

  #onFailure(error: unknown): void {
    this.#problem = messageOf(error);
    if (this.#failingSince === undefined) {
      this.#failingSince = performance.now();
      this.#log.error(`${this.#path} cannot be written to; changes are held and retried`, error);
    }
    this.#retryDelay = Math.min(this.#retryDelay * 2, MAX_RETRY_DELAY);
    this.#timer = setTimeout(() => {
      this.#drainPromise ??= this.#drain();
    }, this.#retryDelay);
    this.#timer.unref();
  }

  // Drop the oldest changes, because callers wait for the newest ones.
  #dropExcess(): void {
    if (this.#bytes <= MAX_HELD_BYTES || this.#failingSince === undefined) return;
    let count = 0;
    let heldBytes = this.#bytes;
    while (heldBytes > MAX_HELD_BYTES / 2 && count < this.#sizes.length)
      heldBytes -= this.#sizes[count++] ?? 0;
    this.#dequeue(count);
    this.#lostCount += count;
    this.#log.error(`${count} changes of ${this.#path} are lost: the limit of held changes is exceeded`);
  }

  #checkpointIfDue(): void {
    if (this.#bytesSinceCheckpoint < CHECKPOINT_BYTES || this.#isCheckpointing) return;
    this.#bytesSinceCheckpoint = 0;
    this.#isCheckpointing = true;
    this.#checkpoint()
      .catch((error: unknown) =>
        this.#log.warn(`the checkpoint of ${this.#path} failed; its write-ahead log is not reduced`, error),
      )
      .finally(() => {
        this.#isCheckpointing = false;
      });
  }
}

function sizeOfChange(change: TaskChange): number {
  if (change.op === 'add') return 512 + sizeOfFields(change.task);
  const { set, append } = change;
  const appended = (append?.stdout?.length ?? 0) + (append?.stderr?.length ?? 0);
  return 512 + appended + (set === undefined ? 0 : sizeOfFields(set));
}

function sizeOfFields(fields: TaskFields): number {
  let bytes = 0;
  for (const value of Object.values(fields)) {
    if (typeof value === 'string') bytes += value.length;
    else if (Array.isArray(value)) for (const buffer of value as Uint8Array[]) bytes += buffer.byteLength;
    else if (value !== null) bytes += 256;
  }
  return bytes;
}
