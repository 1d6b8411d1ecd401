import type { TaskKey } from '@ipyparallel-js/protocol';
import type { Logger } from '@ipyparallel-js/wire';
import type { Collection, Document } from 'mongodb';
import type { FoundTask } from '../task-database.js';
import type { Filter } from './compile-query.js';
import {
  comparedField,
  decodeField,
  decodeOutside,
  EXTRAS,
  extrasOf,
  type TaskDocument,
} from './document.js';
import { type MongoConnection, toldOf } from './mongo-connection.js';
import type { WriteQueue } from './write-queue.js';

/** A record on its way out: its document, and those of its values that are elsewhere. */
export interface Row {
  readonly msgId: string;
  readonly document: TaskDocument;
  readonly outside: ReadonlyMap<string, unknown>;
}

/** How rows are to come. */
export interface RowOptions {
  readonly sort?: Document;
  readonly skip?: number;
  readonly limit?: number;
}

/** Records fetched, removed or named at a time. */
export const CHUNK = 256;

const NOTHING_OUTSIDE: ReadonlyMap<string, unknown> = new Map();

/** As many documents as are told of by their ids. */
const MOST_TOLD = 100;

/** Reads documents, once all that the hub has been told of is written. */
export class TaskRows {
  readonly #connection: MongoConnection;
  readonly #queue: WriteQueue;
  readonly #log: Logger;
  readonly #told = new Set<string>();

  constructor(connection: MongoConnection, queue: WriteQueue, log: Logger) {
    this.#connection = connection;
    this.#queue = queue;
    this.#log = log;
  }

  /** Documents with these columns, and what of them is outside. Those that are no task's are left out. @throws ReportedError */
  async *read(filter: Filter, columns: ReadonlySet<TaskKey>, options: RowOptions = {}): AsyncGenerator<Row> {
    const projection: Record<string, 0 | 1> = { _id: 0, msg_id: 1, [EXTRAS]: 1 };
    for (const column of columns) projection[column] = 1;
    await this.#upToDate();
    try {
      const cursor = this.#connection.records.find(filter, {
        ...options,
        ...{ projection, batchSize: CHUNK, allowDiskUse: true },
      });
      for await (const document of cursor) {
        const row = await this.#rowOf(document, columns, projection);
        if (row !== undefined) yield row;
      }
    } catch (error) {
      throw this.told(error);
    }
  }

  /** The same, cut to these columns. */
  async *tasks(filter: Filter, keys: readonly TaskKey[]): AsyncGenerator<FoundTask> {
    for await (const row of this.read(filter, new Set(keys))) yield project(row, keys);
  }

  /** Asks anything else. @throws ReportedError */
  async ask<T>(ask: (records: Collection<TaskDocument>) => Promise<T>): Promise<T> {
    await this.#upToDate();
    try {
      return await ask(this.#connection.records);
    } catch (error) {
      throw this.told(error);
    }
  }

  told(error: unknown): unknown {
    return toldOf(error, this.#connection, this.#queue.length);
  }

  /** What the hub has been told of is written before anything is read. */
  async #upToDate(): Promise<void> {
    try {
      await this.#queue.drain();
    } catch (error) {
      throw this.told(error);
    }
  }

  async #rowOf(
    document: TaskDocument,
    columns: ReadonlySet<TaskKey>,
    projection: Document,
  ): Promise<Row | undefined> {
    const msgId = document['msg_id'];
    if (typeof msgId !== 'string') {
      this.#tell(String(msgId), 'is left out of answers: it has no msg_id that is a text');
      return undefined;
    }
    let outside = await this.#outsideOf(document, columns);
    if (outside !== undefined) return { msgId, document, outside };
    // It was replaced or removed while it was read; or somebody has removed its parts.
    const again = await this.#connection.records.findOne({ msg_id: msgId }, { projection });
    if (again === null) return undefined;
    outside = await this.#outsideOf(again, columns);
    if (outside !== undefined) return { msgId, document: again, outside };
    this.#tell(msgId, 'is left out of answers: parts of it are missing');
    return undefined;
  }

  /** Undefined if some of it is not to be had. */
  async #outsideOf(
    document: TaskDocument,
    columns: ReadonlySet<TaskKey>,
  ): Promise<ReadonlyMap<string, unknown> | undefined> {
    const { outside } = extrasOf(document);
    if (outside === undefined) return NOTHING_OUTSIDE;
    const values = new Map<string, unknown>();
    for (const [name, value] of Object.entries(outside)) {
      const key = name as TaskKey;
      if (!columns.has(key)) continue;
      const bytes = await this.#connection.outside.read(value);
      if (bytes === undefined) return undefined;
      try {
        values.set(key, decodeOutside(key, bytes));
      } catch {
        return undefined;
      }
    }
    return values;
  }

  #tell(msgId: string, what: string): void {
    if (this.#told.has(msgId) || this.#told.size >= MOST_TOLD) return;
    this.#told.add(msgId);
    this.#log.error(`document ${msgId.slice(0, 100)} of ${this.#connection.name} ${what}`);
  }
}

export const readRow = (row: Row, key: TaskKey): unknown => comparedField(key, row.document, row.outside);

/** The columns asked for of a row. */
export function project(row: Row, keys: readonly TaskKey[]): FoundTask {
  const task: Record<string, unknown> = { msg_id: row.msgId };
  for (const key of keys) task[key] = decodeField(key, row.document, row.outside);
  return task as FoundTask;
}
