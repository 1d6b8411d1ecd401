import type { Logger } from '@ipyparallel-js/wire';
import type { TaskChange, TaskDatabase } from '../db/task-database.js';

/** Writes changes to a Task Database in their order, a batch at a time: whatever came while the last was being written. */
export class ChangeWriter {
  readonly #db: TaskDatabase;
  readonly #onCulled: (msgIds: readonly string[]) => void;
  readonly #log: Logger;
  #changes: TaskChange[] = [];
  #writing = false;
  #pushed = 0;
  #written = 0;
  #waiting: { readonly until: number; readonly resolve: () => void }[] = [];

  constructor(db: TaskDatabase, onCulled: (msgIds: readonly string[]) => void, log: Logger) {
    this.#db = db;
    this.#onCulled = onCulled;
    this.#log = log;
  }

  push(...changes: TaskChange[]): void {
    this.#changes.push(...changes);
    this.#pushed += changes.length;
    if (!this.#writing) void this.#write();
  }

  /** Resolves when everything pushed so far is written; what is pushed meanwhile is not waited for. */
  settled(): Promise<void> {
    if (this.#written === this.#pushed) return Promise.resolve();
    const until = this.#pushed;
    return new Promise((resolve) => this.#waiting.push({ until, resolve }));
  }

  async #write(): Promise<void> {
    this.#writing = true;
    // What else this turn of the loop brings goes into the same batch.
    await Promise.resolve();
    while (this.#changes.length > 0) {
      const changes = this.#changes;
      this.#changes = [];
      try {
        const { culled } = await this.#db.write(changes);
        if (culled.length > 0) this.#onCulled(culled);
      } catch (error) {
        this.#log.error(`${changes.length} changes could not be written to the Task Database`, error);
      }
      this.#written += changes.length;
      const done = this.#waiting.filter(({ until }) => until <= this.#written);
      this.#waiting = this.#waiting.filter(({ until }) => until > this.#written);
      for (const { resolve } of done) resolve();
    }
    this.#writing = false;
  }
}
