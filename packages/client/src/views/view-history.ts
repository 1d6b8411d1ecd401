import type { Task } from '../tasks/task.js';

/** The maximum number of ids in the history. */
const LIMIT = 10_000;

/** The ids of the tasks that a view has submitted. */
export class ViewHistory {
  #ids: string[] = [];
  readonly #outstandingIds = new Set<string>();

  /** The newest ids, in order. */
  get ids(): readonly string[] {
    return this.#ids.slice(-LIMIT);
  }

  /** The ids of all tasks that have no result yet. */
  get outstanding(): readonly string[] {
    return [...this.#outstandingIds];
  }

  add(tasks: readonly Task[]): void {
    for (const task of tasks) {
      this.#ids.push(task.msgId);
      if (task.outcome !== undefined) continue;
      this.#outstandingIds.add(task.msgId);
      void task.done.then(() => this.#outstandingIds.delete(task.msgId));
    }
    if (this.#ids.length > 2 * LIMIT) this.#ids = this.#ids.slice(-LIMIT);
  }
}
