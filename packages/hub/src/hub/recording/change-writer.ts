import type { Logger } from '@ipyparallel-js/wire';
import type { TaskChange, TaskDatabase, WriteOutcome } from '../../db/task-database.js';

/** The callbacks of a {@link ChangeWriter}. */
export interface ChangeEvents {
  /** The write of a batch waits for this; it must not reject. */
  readonly beforeWrite?: (changes: readonly TaskChange[]) => Promise<void> | undefined;
  readonly onWritten: (changes: readonly TaskChange[]) => void;
  readonly onCulled: (outcome: WriteOutcome) => void;
}

/** Writes changes to a Task Database in order; changes pushed during a write form the next batch. */
export class ChangeWriter {
  readonly #db: TaskDatabase;
  readonly #events: ChangeEvents;
  readonly #log: Logger;
  #changes: TaskChange[] = [];
  #isWriting = false;
  #pushedCount = 0;
  #writtenCount = 0;
  #flushes: { readonly count: number; readonly resolve: () => void }[] = [];

  constructor(db: TaskDatabase, events: ChangeEvents, log: Logger) {
    this.#db = db;
    this.#events = events;
    this.#log = log;
  }

  push(...changes: TaskChange[]): void {
    this.#changes.push(...changes);
    this.#pushedCount += changes.length;
    if (!this.#isWriting) void this.#write();
  }

  /** Resolves when all changes pushed before this call are written. */
  flush(): Promise<void> {
    if (this.#writtenCount === this.#pushedCount) return Promise.resolve();
    const count = this.#pushedCount;
    return new Promise((resolve) => this.#flushes.push({ count, resolve }));
  }

  /** Makes the store report culled tasks by an empty write, unless a write is under way. */
  flushCulled(): void {
    if (this.#isWriting) return;
    this.#writeBatch([]).catch((error: unknown) =>
      this.#log.debug(`the Task Database could not report culled tasks: ${String(error)}`),
    );
  }

  async #writeBatch(changes: readonly TaskChange[]): Promise<void> {
    const beforeWrite = this.#events.beforeWrite?.(changes);
    if (beforeWrite !== undefined) await beforeWrite;
    const outcome = await this.#db.write(changes);
    this.#events.onWritten(changes);
    if (outcome.culled.length > 0) this.#events.onCulled(outcome);
  }

  async #write(): Promise<void> {
    this.#isWriting = true;
    // Changes pushed in this turn of the event loop go into the same batch.
    await Promise.resolve();
    while (this.#changes.length > 0) {
      const changes = this.#changes;
      this.#changes = [];
      try {
        await this.#writeBatch(changes);
      } catch (error) {
        this.#log.error(`could not write ${changes.length} changes to the Task Database`, error);
      }
      this.#writtenCount += changes.length;
      const completedFlushes = this.#flushes.filter(({ count }) => count <= this.#writtenCount);
      this.#flushes = this.#flushes.filter(({ count }) => count > this.#writtenCount);
      for (const { resolve } of completedFlushes) resolve();
    }
    this.#isWriting = false;
  }
}
