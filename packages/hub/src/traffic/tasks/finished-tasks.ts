import type { FinishedTask } from './dependency.js';

/** The maximum number of shared outcomes; there are two per engine. */
const MAX_SHARED_OUTCOMES = 1_000;

/** The outcomes of ended tasks, for tasks that depend on them. Past `limit` it removes the oldest, on which no task can depend any more. */
export class FinishedLog {
  readonly #tasks = new Map<string, FinishedTask>();
  /** An iterator that stays at the oldest id, as in `BoundedSet`. */
  readonly #oldestIds = this.#tasks.keys();
  /** One object for all equal outcomes at an engine, because there are hundreds of thousands. */
  readonly #sharedOutcomes = new Map<string, FinishedTask>();
  readonly #limit: number;

  constructor(limit = 250_000) {
    this.#limit = limit;
  }

  readonly get = (msgId: string): FinishedTask | undefined => this.#tasks.get(msgId);

  set(msgId: string, task: FinishedTask): void {
    this.#tasks.delete(msgId);
    this.#tasks.set(msgId, this.#share(task));
    if (this.#tasks.size <= this.#limit) return;
    const { value } = this.#oldestIds.next();
    if (value !== undefined) this.#tasks.delete(value);
  }

  #share(task: FinishedTask): FinishedTask {
    const key = `${task.success} ${task.engine}`;
    const shared = this.#sharedOutcomes.get(key);
    if (shared !== undefined) return shared;
    if (this.#sharedOutcomes.size >= MAX_SHARED_OUTCOMES) this.#sharedOutcomes.clear();
    this.#sharedOutcomes.set(key, task);
    return task;
  }
}
