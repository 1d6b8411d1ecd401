import type { Task } from '../tasks/task.js';

/** How many ids of tasks are kept. */
const LIMIT = 10_000;

/** The tasks that a view has submitted. */
export class ViewHistory {
  #ids: string[] = [];
  readonly #outstanding = new Set<string>();

  /** The newest, in order. */
  get ids(): readonly string[] {
    return this.#ids.slice(-LIMIT);
  }

  /** Those that have no result yet, however old. */
  get outstanding(): readonly string[] {
    return [...this.#outstanding];
  }

  add(tasks: readonly Task[]): void {
    for (const task of tasks) {
      this.#ids.push(task.msgId);
      if (task.outcome !== undefined) continue;
      this.#outstanding.add(task.msgId);
      void task.done.then(() => this.#outstanding.delete(task.msgId));
    }
    if (this.#ids.length > 2 * LIMIT) this.#ids = this.#ids.slice(-LIMIT);
  }
}
