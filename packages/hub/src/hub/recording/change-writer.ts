import type { Logger } from '@ipyparallel-js/wire';
import type { TaskChange, TaskDatabase, WriteOutcome } from '../../db/task-database.js';

/** Who is told of what a {@link ChangeWriter} does. */
export interface ChangeEvents {
  /** Waited for before a batch is written; must not reject. */
  readonly beforeWrite?: (changes: readonly TaskChange[]) => Promise<void> | undefined;
  readonly onWritten: (changes: readonly TaskChange[]) => void;
  readonly onCulled: (outcome: WriteOutcome) => void;
}

/** Writes changes to a Task Database in their order, a batch at a time: whatever came while the last was being written. */
export class ChangeWriter {
  readonly #db: TaskDatabase;
  readonly #events: ChangeEvents;
  readonly #log: Logger;
  #changes: TaskChange[] = [];
  #writing = false;
  #pushed = 0;
  #written = 0;
  #waiting: { readonly until: number; readonly resolve: () => void }[] = [];

  constructor(db: TaskDatabase, events: ChangeEvents, log: Logger) {
    this.#db = db;
    this.#events = events;
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

  /** Has the store say what it culled, where nothing else makes it. */
  poke(): void {
    if (this.#writing) return;
    this.#writeBatch([]).catch((error: unknown) =>
      this.#log.debug(`the Task Database does not say what it culled: ${String(error)}`),
    );
  }

  async #writeBatch(changes: readonly TaskChange[]): Promise<void> {
    const before = this.#events.beforeWrite?.(changes);
    if (before !== undefined) await before;
    const outcome = await this.#db.write(changes);
    this.#events.onWritten(changes);
    if (outcome.culled.length > 0) this.#events.onCulled(outcome);
  }

  async #write(): Promise<void> {
    this.#writing = true;
    // What else this turn of the loop brings goes into the same batch.
    await Promise.resolve();
    while (this.#changes.length > 0) {
      const changes = this.#changes;
      this.#changes = [];
      try {
        await this.#writeBatch(changes);
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
