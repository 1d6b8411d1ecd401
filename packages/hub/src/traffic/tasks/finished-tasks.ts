import type { FinishedTask } from './dependency.js';

/** How tasks ended, for those that depend on them; past `limit` the oldest is forgotten, and depending on it is invalid. */
export class FinishedLog {
  readonly #tasks = new Map<string, FinishedTask>();
  readonly #limit: number;

  constructor(limit = 500_000) {
    this.#limit = limit;
  }

  readonly get = (msgId: string): FinishedTask | undefined => this.#tasks.get(msgId);

  set(msgId: string, task: FinishedTask): void {
    this.#tasks.delete(msgId);
    this.#tasks.set(msgId, task);
    if (this.#tasks.size > this.#limit) {
      for (const oldest of this.#tasks.keys()) {
        this.#tasks.delete(oldest);
        break;
      }
    }
  }
}
