import type { RemovalResult, Selection } from '../task-database.js';
import { EXTRAS, extrasOf, type OutsideValue, type TaskDocument } from './document.js';
import type { TaskFinder } from './find-tasks.js';
import type { MongoConnection } from './mongo-connection.js';
import { CHUNK, type TaskRows } from './task-rows.js';

/** What is left of a document that is to go: its id, and what it tells besides its record. */
export interface Leaving {
  readonly msgId: string;
  readonly document: TaskDocument;
}

/** Removes tasks with all that belongs to them. */
export class TaskRemover {
  readonly #connection: MongoConnection;
  readonly #rows: TaskRows;
  readonly #finder: TaskFinder;
  readonly #onRemoved: (tasks: readonly Leaving[]) => void;

  /** `onRemoved` is told of each portion. */
  constructor(
    connection: MongoConnection,
    rows: TaskRows,
    finder: TaskFinder,
    onRemoved: (tasks: readonly Leaving[]) => void,
  ) {
    this.#connection = connection;
    this.#rows = rows;
    this.#finder = finder;
    this.#onRemoved = onRemoved;
  }

  async remove(selection: Selection, dryRun: boolean): Promise<RemovalResult> {
    const tasks: Leaving[] = [];
    for await (const task of this.#selected(selection)) tasks.push(task);
    const bytes = await this.#bytesOf(tasks);
    if (!dryRun) await this.drop(tasks);
    return { count: tasks.length, bytes, msgIds: tasks.map(({ msgId }) => msgId) };
  }

  /** @throws ReportedError while the server is out of reach */
  async drop(tasks: readonly Leaving[]): Promise<void> {
    const { records, outside } = this.#connection;
    try {
      for (let at = 0; at < tasks.length; at += CHUNK) {
        const chunk = tasks.slice(at, at + CHUNK);
        await records.deleteMany({ msg_id: { $in: chunk.map(({ msgId }) => msgId) } });
        this.#onRemoved(chunk);
        await outside.remove(chunk.flatMap(({ document }) => outsideOf(document)));
      }
    } catch (error) {
      throw this.#rows.told(error);
    }
  }

  async *#selected(selection: Selection): AsyncGenerator<Leaving> {
    if ('query' in selection) {
      const order = { sort: { _id: 1 } };
      for await (const { msgId, document } of this.#finder.matches(selection.query, [], order))
        yield { msgId, document: { [EXTRAS]: document[EXTRAS] } };
      return;
    }
    const ids = [...new Set(selection.msgIds)];
    for (let at = 0; at < ids.length; at += CHUNK) {
      yield* this.#rows.read({ msg_id: { $in: ids.slice(at, at + CHUNK) } }, new Set());
    }
  }

  /** What Python's hub wrote has no size noted: those documents are measured. */
  async #bytesOf(tasks: readonly Leaving[]): Promise<number> {
    let bytes = 0;
    const unknown: string[] = [];
    for (const { msgId, document } of tasks) {
      const known = extrasOf(document).bytes;
      if (known === undefined) unknown.push(msgId);
      else bytes += known;
    }
    for (let at = 0; at < unknown.length; at += CHUNK) {
      const filter = { msg_id: { $in: unknown.slice(at, at + CHUNK) } };
      bytes += await this.#rows.ask(async (records) => {
        let sum = 0;
        for await (const document of records.find(filter))
          sum += this.#connection.driver.BSON.calculateObjectSize(document);
        return sum;
      });
    }
    return bytes;
  }
}

function outsideOf(document: TaskDocument): OutsideValue[] {
  return Object.values(extrasOf(document).outside ?? {});
}
