import type { FinishedTask } from './dependency.js';

/** So many different ends are shared; engines come and go, but there are few at a time. */
const MOST_SHARED = 1_000;

/** How tasks ended, for those that depend on them; past `limit` the oldest is forgotten, and depending on it is invalid. */
export class FinishedLog {
  readonly #tasks = new Map<string, FinishedTask>();
  /** Goes on where it was, as in `BoundedSet`. */
  readonly #oldest = this.#tasks.keys();
  /** One object for all that ended alike at one engine: there are hundreds of thousands of them. */
  readonly #shared = new Map<string, FinishedTask>();
  readonly #limit: number;

  constructor(limit = 250_000) {
    this.#limit = limit;
  }

  readonly get = (msgId: string): FinishedTask | undefined => this.#tasks.get(msgId);

  set(msgId: string, task: FinishedTask): void {
    this.#tasks.delete(msgId);
    this.#tasks.set(msgId, this.#share(task));
    if (this.#tasks.size <= this.#limit) return;
    const { value } = this.#oldest.next();
    if (value !== undefined) this.#tasks.delete(value);
  }

  #share(task: FinishedTask): FinishedTask {
    const key = `${task.success} ${task.engine}`;
    const shared = this.#shared.get(key);
    if (shared !== undefined) return shared;
    if (this.#shared.size >= MOST_SHARED) this.#shared.clear();
    this.#shared.set(key, task);
    return task;
  }
}
