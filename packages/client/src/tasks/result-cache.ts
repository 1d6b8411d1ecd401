import type { OptionNames } from '@ipyparallel-js/protocol/internal';
import type { Task } from './task.js';

/** How much is kept of results that nobody has read. */
export interface ResultCacheLimits {
  /** How many results, 1,000 by default. */
  readonly count?: number;
  /** Their bytes together, about; 64 MiB by default. */
  readonly bytes?: number;
}

export const RESULT_CACHE_LIMITS: OptionNames<ResultCacheLimits> = { count: true, bytes: true };

const COUNT = 1_000;
const BYTES = 64 * 2 ** 20;
/** Ids of tasks that somebody else may still hold are looked through each time that so many came. */
const SWEEP = 1_000;

/**
 * The tasks that have ended. One that was not read yet is held here, within bounds, the oldest going first; one that was
 * read, or had to go, is only known as long as somebody else (an AsyncResult) holds it. So what is held elsewhere is
 * never lost, and what is held nowhere is the hub's to tell.
 */
export class ResultCache {
  readonly #maxCount: number;
  readonly #maxBytes: number;
  readonly #unread = new Map<string, { readonly task: Task; readonly bytes: number }>();
  /** Goes on where it was, as in `BoundedSet`. */
  readonly #oldest = this.#unread.keys();
  readonly #known = new Map<string, WeakRef<Task>>();
  readonly #read = new WeakSet<Task>();
  #bytes = 0;
  #evicted = 0;
  #sinceSweep = 0;

  constructor(limits: ResultCacheLimits = {}) {
    this.#maxCount = limits.count ?? COUNT;
    this.#maxBytes = limits.bytes ?? BYTES;
  }

  /** Results held because nobody has read them. */
  get count(): number {
    return this.#unread.size;
  }

  /** What they take, about. */
  get bytes(): number {
    return this.#bytes;
  }

  /** How many unread results had to go. */
  get evicted(): number {
    return this.#evicted;
  }

  /** The unread ones, the oldest first. */
  *unread(): Generator<Task, void, undefined> {
    for (const { task } of this.#unread.values()) yield task;
  }

  get(msgId: string): Task | undefined {
    return this.#unread.get(msgId)?.task ?? this.#known.get(msgId)?.deref();
  }

  /** A task has ended, its output, too. */
  add(task: Task): void {
    this.#known.set(task.msgId, new WeakRef(task));
    if (++this.#sinceSweep >= SWEEP) this.#sweep();
    if (this.#read.has(task)) return;
    const bytes = task.size;
    this.#unread.set(task.msgId, { task, bytes });
    this.#bytes += bytes;
    while (this.#unread.size > this.#maxCount || this.#bytes > this.#maxBytes) {
      const { value: oldest } = this.#oldest.next();
      if (oldest === undefined) break;
      this.#release(oldest);
      this.#evicted++;
    }
  }

  /** The user has read the result of a task: remove it from the unread ones. */
  markRead(task: Task): void {
    this.#read.add(task);
    this.#release(task.msgId);
  }

  /** Forgets a task altogether. */
  delete(msgId: string): void {
    this.#release(msgId);
    this.#known.delete(msgId);
  }

  #release(msgId: string): void {
    const entry = this.#unread.get(msgId);
    if (entry === undefined) return;
    this.#unread.delete(msgId);
    this.#bytes -= entry.bytes;
  }

  #sweep(): void {
    this.#sinceSweep = 0;
    for (const [msgId, ref] of this.#known) if (ref.deref() === undefined) this.#known.delete(msgId);
  }
}
