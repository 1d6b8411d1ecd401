import type { StoredOutput } from './fold-changes.js';
import type { Extras } from './task-document.js';

/** The state of a stored task that a writer needs to change it. */
export interface TaskState extends StoredOutput {
  /** The document's `_id`. */
  readonly id: unknown;
  readonly extras: Extras;
}

const MAX_TASKS = 20_000;
const MAX_BYTES = 16 << 20;

/**
 * Caches the state of the last written tasks, so that a change of them needs no read before its write. When the cache is
 * full, it drops the tasks that were not written for the longest time; they are read again when they change.
 */
export class TaskStateCache {
  readonly #tasks = new Map<string, TaskState>();
  #bytes = 0;

  get(msgId: string): TaskState | undefined {
    return this.#tasks.get(msgId);
  }

  set(msgId: string, state: TaskState): void {
    this.delete(msgId);
    this.#tasks.set(msgId, state);
    this.#bytes += sizeOf(msgId, state);
    for (const oldest of this.#tasks.keys()) {
      if (this.#tasks.size <= MAX_TASKS && this.#bytes <= MAX_BYTES) break;
      this.delete(oldest);
    }
  }

  delete(msgId: string): void {
    const state = this.#tasks.get(msgId);
    if (state === undefined) return;
    this.#tasks.delete(msgId);
    this.#bytes -= sizeOf(msgId, state);
  }
}

function sizeOf(msgId: string, { stdout = '', stderr = '' }: TaskState): number {
  return 512 + 2 * (msgId.length + stdout.length + stderr.length);
}
