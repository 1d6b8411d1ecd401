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

const DEFAULT_COUNT = 1_000;
const DEFAULT_BYTES = 64 * 2 ** 20;
/** After this many added tasks, ids whose task was garbage-collected are removed. */
const SWEEP_INTERVAL = 1_000;

/**
 * The tasks that have ended. Unread tasks are cached within limits, and the oldest are evicted first. A task that was read or
 * evicted is found only while another object, such as an AsyncResult, holds it; otherwise the hub must be queried.
 */
export class ResultCache {
  readonly #maxCount: number;
  readonly #maxBytes: number;
  readonly #unreadTasks = new Map<string, { readonly task: Task; readonly bytes: number }>();
  /** An iterator that continues after evictions, as in `BoundedSet`. */
  readonly #oldestIds = this.#unreadTasks.keys();
  readonly #taskRefs = new Map<string, WeakRef<Task>>();
  readonly #readTasks = new WeakSet<Task>();
  #bytes = 0;
  #evictedCount = 0;
  #addedSinceSweep = 0;

  constructor(limits: ResultCacheLimits = {}) {
    this.#maxCount = limits.count ?? DEFAULT_COUNT;
    this.#maxBytes = limits.bytes ?? DEFAULT_BYTES;
  }

  /** The number of unread results. */
  get count(): number {
    return this.#unreadTasks.size;
  }

  /** The approximate size of the unread results in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The number of unread results that were evicted. */
  get evicted(): number {
    return this.#evictedCount;
  }

  /** Yields the unread tasks, the oldest first. */
  *unread(): Generator<Task, void, undefined> {
    for (const { task } of this.#unreadTasks.values()) yield task;
  }

  get(msgId: string): Task | undefined {
    return this.#unreadTasks.get(msgId)?.task ?? this.#taskRefs.get(msgId)?.deref();
  }

  /** Adds a task whose result and output are complete. */
  add(task: Task): void {
    this.#taskRefs.set(task.msgId, new WeakRef(task));
    if (++this.#addedSinceSweep >= SWEEP_INTERVAL) this.#sweep();
    if (this.#readTasks.has(task)) return;
    const bytes = task.size;
    this.#unreadTasks.set(task.msgId, { task, bytes });
    this.#bytes += bytes;
    while (this.#unreadTasks.size > this.#maxCount || this.#bytes > this.#maxBytes) {
      const { value: oldest } = this.#oldestIds.next();
      if (oldest === undefined) break;
      this.#release(oldest);
      this.#evictedCount++;
    }
  }

  /** Removes a task from the unread tasks, because the user has read its result. */
  markRead(task: Task): void {
    this.#readTasks.add(task);
    this.#release(task.msgId);
  }

  /** Removes a task. */
  delete(msgId: string): void {
    this.#release(msgId);
    this.#taskRefs.delete(msgId);
  }

  #release(msgId: string): void {
    const entry = this.#unreadTasks.get(msgId);
    if (entry === undefined) return;
    this.#unreadTasks.delete(msgId);
    this.#bytes -= entry.bytes;
  }

  #sweep(): void {
    this.#addedSinceSweep = 0;
    for (const [msgId, ref] of this.#taskRefs) if (ref.deref() === undefined) this.#taskRefs.delete(msgId);
  }
}
