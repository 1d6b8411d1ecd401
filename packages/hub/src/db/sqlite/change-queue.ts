import type { Logger } from '@ipyparallel-js/wire';
import type { TaskChange, TaskFields } from '../task-database.js';
import { mergeChanges } from './merge-changes.js';
import { TaskFileError } from './task-file-error.js';
import { messageOf } from './task-reader.js';
import type { TaskWriter } from './task-writer.js';

/** How long a file that takes nothing is waited for before others are told, in ms. */
const PATIENCE = 1500;
const FIRST_RETRY = 20;
const LAST_RETRY = 2000;

/** What is held while the file takes nothing, by estimate. */
const MOST_BYTES = 256 * 1024 ** 2;

/** Bytes written between two checkpoints, by estimate. */
const CHECKPOINT_BYTES = 8 * 1024 ** 2;

const pause = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/**
 * Changes on their way into the file. When it cannot take them (a full disk, a lock) they are held, within a bound, and
 * written as soon as it can; until then questions are answered with an error, since the answer would be wrong.
 */
export class ChangeQueue {
  readonly #writer: TaskWriter;
  readonly #path: string;
  readonly #log: Logger;
  readonly #checkpoint: () => Promise<void>;
  #changes: TaskChange[] = [];
  #sizes: number[] = [];
  /** How many changes have left, and which number the last change of each task that waits has. */
  #left = 0;
  readonly #last = new Map<string, number>();
  #bytes = 0;
  #written = 0;
  #draining: Promise<void> | undefined;
  #failingSince: number | undefined;
  #problem = '';
  #retry = FIRST_RETRY;
  #timer: NodeJS.Timeout | undefined;
  #lost = 0;
  #checkpointing = false;

  constructor(writer: TaskWriter, path: string, log: Logger, checkpoint: () => Promise<void>) {
    this.#writer = writer;
    this.#path = path;
    this.#log = log;
    this.#checkpoint = checkpoint;
  }

  /** Whether there are changes that the file has refused so far. */
  get isBehind(): boolean {
    return this.#failingSince !== undefined;
  }

  /** Resolves when the changes are on disk, or are held because the disk does not take them. */
  async push(changes: readonly TaskChange[]): Promise<void> {
    for (const change of changes) this.#hold(change);
    this.#forgetSome();
    await this.#settled();
  }

  /** @throws TaskFileError when changes wait that the file has refused for a while */
  async upToDate(): Promise<void> {
    await this.#settled();
    if (this.#failingSince === undefined) return;
    const seconds = ((performance.now() - this.#failingSince) / 1000).toFixed(1);
    throw new TaskFileError(
      this.#path,
      `it has taken nothing for ${seconds} s (${this.#problem}); ${this.#changes.length} changes are held until it does`,
    );
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#draining;
    try {
      while (this.#changes.length > 0) this.#step();
    } catch (error) {
      this.#log.error(
        `${this.#changes.length} changes could not be written to ${this.#path} and are lost`,
        error,
      );
    }
  }

  /** Waits for the file, but no longer than its patience since it began to refuse. */
  async #settled(): Promise<void> {
    while (this.#changes.length > 0) {
      this.#draining ??= this.#drain();
      await this.#draining;
      if (this.#failingSince === undefined) continue;
      if (performance.now() - this.#failingSince > PATIENCE) return;
      await new Promise((resolve) => setTimeout(resolve, this.#retry));
    }
  }

  async #drain(): Promise<void> {
    clearTimeout(this.#timer);
    try {
      // What else this turn of the loop brings goes into the same transaction.
      await Promise.resolve();
      while (this.#changes.length > 0) {
        this.#step();
        this.#worked();
        if (this.#changes.length > 0) await pause();
      }
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#draining = undefined;
    }
    this.#maybeCheckpoint();
  }

  #step(): void {
    this.#written += this.#drop(this.#writer.apply(this.#changes, 0));
  }

  // Under load a task is submitted, assigned and finished before its row is written: that is one row then.
  #hold(change: TaskChange): void {
    const msgId = change.op === 'add' ? change.task.msg_id : change.msgId;
    const bytes = sizeOf(change);
    this.#bytes += bytes;
    const at = (this.#last.get(msgId) ?? -1) - this.#left;
    const earlier = this.#changes[at];
    const merged = earlier === undefined ? undefined : mergeChanges(earlier, change);
    if (merged !== undefined) {
      this.#changes[at] = merged;
      this.#sizes[at] = (this.#sizes[at] ?? 0) + bytes;
      return;
    }
    this.#last.set(msgId, this.#left + this.#changes.length);
    this.#changes.push(change);
    this.#sizes.push(bytes);
  }

  /** Takes the first changes away, and says how many bytes they were. */
  #drop(count: number): number {
    let bytes = 0;
    for (const size of this.#sizes.splice(0, count)) bytes += size;
    for (const change of this.#changes.splice(0, count)) {
      const msgId = change.op === 'add' ? change.task.msg_id : change.msgId;
      if (this.#last.get(msgId) === this.#left) this.#last.delete(msgId);
      this.#left++;
    }
    this.#bytes -= bytes;
    return bytes;
  }

  #worked(): void {
    if (this.#failingSince === undefined) return;
    const seconds = ((performance.now() - this.#failingSince) / 1000).toFixed(1);
    this.#log.warn(`${this.#path} takes changes again after ${seconds} s; ${this.#lost} were lost`);
    this.#failingSince = undefined;
    this.#retry = FIRST_RETRY;
    this.#lost = 0;
  }

  #failed(error: unknown): void {
    this.#problem = messageOf(error);
    if (this.#failingSince === undefined) {
      this.#failingSince = performance.now();
      this.#log.error(`${this.#path} cannot be written to; changes are held and tried again`, error);
    }
    this.#retry = Math.min(this.#retry * 2, LAST_RETRY);
    this.#timer = setTimeout(() => {
      this.#draining ??= this.#drain();
    }, this.#retry);
    this.#timer.unref();
  }

  // The oldest go: what came last is what somebody waits for.
  #forgetSome(): void {
    if (this.#bytes <= MOST_BYTES || this.#failingSince === undefined) return;
    let count = 0;
    let kept = this.#bytes;
    while (kept > MOST_BYTES / 2 && count < this.#sizes.length) kept -= this.#sizes[count++] ?? 0;
    this.#drop(count);
    this.#lost += count;
    this.#log.error(`${count} changes that ${this.#path} did not take are lost: more than can be held`);
  }

  #maybeCheckpoint(): void {
    if (this.#written < CHECKPOINT_BYTES || this.#checkpointing) return;
    this.#written = 0;
    this.#checkpointing = true;
    this.#checkpoint()
      .catch((error: unknown) => this.#log.warn(`the write-ahead log of ${this.#path} stays`, error))
      .finally(() => {
        this.#checkpointing = false;
      });
  }
}

function sizeOf(change: TaskChange): number {
  if (change.op === 'add') return 512 + bytesOf(change.task);
  const { set, append } = change;
  const appended = (append?.stdout?.length ?? 0) + (append?.stderr?.length ?? 0);
  return 512 + appended + (set === undefined ? 0 : bytesOf(set));
}

function bytesOf(fields: TaskFields): number {
  let bytes = 0;
  for (const value of Object.values(fields)) {
    if (typeof value === 'string') bytes += value.length;
    else if (Array.isArray(value)) for (const buffer of value as Uint8Array[]) bytes += buffer.byteLength;
    else if (value !== null) bytes += 256;
  }
  return bytes;
}
