import type { OptionNames } from '@ipyparallel-js/protocol/internal';
import type { Task } from './task.js';

/** Limits of the cache of unread results. */
export interface ResultCacheLimits {
  /** The number of results; 1,000 by default. */
  readonly count?: number;
  /** Their approximate total size in bytes; 64 MiB by default. */
  readonly bytes?: number;
}

export const RESULT_CACHE_LIMITS: OptionNames<ResultCacheLimits> = { count: true, bytes: true };

const COUNT = 1_000;
const BYTES = 64 * 2 ** 20;
/** After this many added tasks, ids whose task was garbage-collected are removed. */
const SWEEP = 1_000;

/**
 * The tasks that have ended. Unread tasks are cached within limits, and the oldest are evicted first. A task that was read or
 * evicted is found only while another object, such as an AsyncResult, holds it; otherwise the hub must be queried.
 */
export class ResultCache {
  readonly #maxCount: number;
  readonly #maxBytes: number;
  readonly #unread = new Map<string, { readonly task: Task; readonly bytes: number }>();
  /** An iterator that continues after evictions, as in `BoundedSet`. */
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

  /** The number of unread results. */
  get count(): number {
    return this.#unread.size;
  }

  /** The approximate size of the unread results in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The number of unread results that were evicted. */
  get evicted(): number {
    return this.#evicted;
  }

  /** Yields the unread tasks, the oldest first. */
  *unread(): Generator<Task, void, undefined> {
    for (const { task } of this.#unread.values()) yield task;
  }

  get(msgId: string): Task | undefined {
    return this.#unread.get(msgId)?.task ?? this.#known.get(msgId)?.deref();
  }

  /** Adds a task whose result and output are complete. */
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

  /** Removes a task. */
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
