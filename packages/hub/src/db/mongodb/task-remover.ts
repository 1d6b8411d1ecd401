import type { RemovalResult, Selection } from '../task-database.js';
import type { MongoConnection } from './mongo-connection.js';
import { EXTRAS, type ExternalValue, extrasOf, type TaskDocument } from './task-document.js';
import type { TaskFinder } from './task-finder.js';
import { CHUNK_RECORDS, type TaskRows } from './task-rows.js';

/** The id and the `ipyparallel_js` field of a document to remove. */
export interface RemovableTask {
  readonly msgId: string;
  readonly document: TaskDocument;
}

/** Removes tasks and their external values. */
export class TaskRemover {
  readonly #connection: MongoConnection;
  readonly #rows: TaskRows;
  readonly #finder: TaskFinder;
  readonly #onRemoved: (tasks: readonly RemovableTask[]) => void;

  /** @param onRemoved called with each batch of removed tasks */
  constructor(
    connection: MongoConnection,
    rows: TaskRows,
    finder: TaskFinder,
    onRemoved: (tasks: readonly RemovableTask[]) => void,
  ) {
    this.#connection = connection;
    this.#rows = rows;
    this.#finder = finder;
    this.#onRemoved = onRemoved;
  }

  async remove(selection: Selection, dryRun: boolean): Promise<RemovalResult> {
    const tasks: RemovableTask[] = [];
    for await (const task of this.#findSelected(selection)) tasks.push(task);
    const bytes = await this.#sumBytes(tasks);
    if (!dryRun) await this.removeTasks(tasks);
    return { count: tasks.length, bytes, msgIds: tasks.map(({ msgId }) => msgId) };
  }

  /** @throws {ReportedError} during an outage of the server */
  async removeTasks(tasks: readonly RemovableTask[]): Promise<void> {
    const { records, externalValues } = this.#connection;
    try {
      for (let at = 0; at < tasks.length; at += CHUNK_RECORDS) {
        const chunk = tasks.slice(at, at + CHUNK_RECORDS);
        await records.deleteMany({ msg_id: { $in: chunk.map(({ msgId }) => msgId) } });
        this.#onRemoved(chunk);
        await externalValues.remove(chunk.flatMap(({ document }) => externalValuesOf(document)));
      }
    } catch (error) {
      throw this.#rows.toReportedError(error);
    }
  }

  async *#findSelected(selection: Selection): AsyncGenerator<RemovableTask> {
    if ('query' in selection) {
      const order = { sort: { _id: 1 } };
      for await (const { msgId, document } of this.#finder.findMatches(selection.query, [], order))
        yield { msgId, document: { [EXTRAS]: document[EXTRAS] } };
      return;
    }
    const ids = [...new Set(selection.msgIds)];
    for (let at = 0; at < ids.length; at += CHUNK_RECORDS) {
      yield* this.#rows.read({ msg_id: { $in: ids.slice(at, at + CHUNK_RECORDS) } }, new Set());
    }
  }

  /** Sums the sizes of tasks. Documents that a Python hub wrote have no stored size, so this method measures them. */
  async #sumBytes(tasks: readonly RemovableTask[]): Promise<number> {
    let bytes = 0;
    const unmeasured: string[] = [];
    for (const { msgId, document } of tasks) {
      const stored = extrasOf(document).bytes;
      if (stored === undefined) unmeasured.push(msgId);
      else bytes += stored;
    }
    for (let at = 0; at < unmeasured.length; at += CHUNK_RECORDS) {
      const filter = { msg_id: { $in: unmeasured.slice(at, at + CHUNK_RECORDS) } };
      bytes += await this.#rows.run(async (records) => {
        let sum = 0;
        for await (const document of records.find(filter))
          sum += this.#connection.driver.BSON.calculateObjectSize(document);
        return sum;
      });
    }
    return bytes;
  }
}

function externalValuesOf(document: TaskDocument): ExternalValue[] {
  return Object.values(extrasOf(document).outside ?? {});
}
