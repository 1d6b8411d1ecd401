import type { TaskKey } from '@ipyparallel-js/protocol';
import type { Logger } from '@ipyparallel-js/wire';
import type { Collection, Document } from 'mongodb';
import type { FoundTask } from '../task-database.js';
import type { Filter } from './compile-query.js';
import { type MongoConnection, toReportedError } from './mongo-connection.js';
import {
  decodeComparable,
  decodeExternal,
  decodeField,
  EXTRAS,
  extrasOf,
  type TaskDocument,
} from './task-document.js';
import type { WriteQueue } from './write-queue.js';

/** A document and its external values. */
export interface Row {
  readonly msgId: string;
  readonly document: TaskDocument;
  readonly externalValues: ReadonlyMap<string, unknown>;
}

export interface RowOptions {
  readonly sort?: Document;
  readonly skip?: number;
  readonly limit?: number;
}

/** Number of records that are read or removed at a time, and of ids in a filter. */
export const CHUNK_RECORDS = 256;

const NO_EXTERNAL_VALUES: ReadonlyMap<string, unknown> = new Map();

/** Maximum number of unreadable documents that are logged. */
const MAX_REPORTED_IDS = 100;

/** Reads documents after all queued changes are written. */
export class TaskRows {
  readonly #connection: MongoConnection;
  readonly #queue: WriteQueue;
  readonly #log: Logger;
  readonly #reportedIds = new Set<string>();

  constructor(connection: MongoConnection, queue: WriteQueue, log: Logger) {
    this.#connection = connection;
    this.#queue = queue;
    this.#log = log;
  }

  /**
   * Yields the documents with these columns and their external values. Omits documents that are not tasks.
   * @throws {ReportedError} during an outage of the server
   */
  async *read(filter: Filter, columns: ReadonlySet<TaskKey>, options: RowOptions = {}): AsyncGenerator<Row> {
    const projection: Record<string, 0 | 1> = { _id: 0, msg_id: 1, [EXTRAS]: 1 };
    for (const column of columns) projection[column] = 1;
    await this.#flushWrites();
    try {
      const cursor = this.#connection.records.find(filter, {
        ...options,
        ...{ projection, batchSize: CHUNK_RECORDS, allowDiskUse: true },
      });
      for await (const document of cursor) {
        const row = await this.#rowOf(document, columns, projection);
        if (row !== undefined) yield row;
      }
    } catch (error) {
      throw this.toReportedError(error);
    }
  }

  /** Yields the tasks with these columns. */
  async *tasks(filter: Filter, keys: readonly TaskKey[]): AsyncGenerator<FoundTask> {
    for await (const row of this.read(filter, new Set(keys))) yield projectRow(row, keys);
  }

  /**
   * Runs a read that {@link read} cannot express, such as a count.
   * @throws {ReportedError} during an outage of the server
   */
  async run<T>(read: (records: Collection<TaskDocument>) => Promise<T>): Promise<T> {
    await this.#flushWrites();
    try {
      return await read(this.#connection.records);
    } catch (error) {
      throw this.toReportedError(error);
    }
  }

  toReportedError(error: unknown): unknown {
    return toReportedError(error, this.#connection, this.#queue.length);
  }

  /** Writes all queued changes, so that a read sees them. */
  async #flushWrites(): Promise<void> {
    try {
      await this.#queue.drain();
    } catch (error) {
      throw this.toReportedError(error);
    }
  }

  async #rowOf(
    document: TaskDocument,
    columns: ReadonlySet<TaskKey>,
    projection: Document,
  ): Promise<Row | undefined> {
    const msgId = document['msg_id'];
    if (typeof msgId !== 'string') {
      this.#report(String(msgId), 'is omitted from results: its msg_id is not a string');
      return undefined;
    }
    let externalValues = await this.#readExternalValues(document, columns);
    if (externalValues !== undefined) return { msgId, document, externalValues };
    // The document was replaced or removed during the read, or another program has removed its parts.
    const reread = await this.#connection.records.findOne({ msg_id: msgId }, { projection });
    if (reread === null) return undefined;
    externalValues = await this.#readExternalValues(reread, columns);
    if (externalValues !== undefined) return { msgId, document: reread, externalValues };
    this.#report(msgId, 'is omitted from results: parts of its external values are missing');
    return undefined;
  }

  /** Reads the external values of these columns; returns undefined if one cannot be read. */
  async #readExternalValues(
    document: TaskDocument,
    columns: ReadonlySet<TaskKey>,
  ): Promise<ReadonlyMap<string, unknown> | undefined> {
    const { outside } = extrasOf(document);
    if (outside === undefined) return NO_EXTERNAL_VALUES;
    const values = new Map<string, unknown>();
    for (const [name, value] of Object.entries(outside)) {
      const key = name as TaskKey;
      if (!columns.has(key)) continue;
      const bytes = await this.#connection.externalValues.read(value);
      if (bytes === undefined) return undefined;
      try {
        values.set(key, decodeExternal(key, bytes));
      } catch {
        return undefined;
      }
    }
    return values;
  }

  #report(msgId: string, problem: string): void {
    if (this.#reportedIds.has(msgId) || this.#reportedIds.size >= MAX_REPORTED_IDS) return;
    this.#reportedIds.add(msgId);
    this.#log.error(`document ${msgId.slice(0, 100)} of ${this.#connection.name} ${problem}`);
  }
}

export const readRow = (row: Row, key: TaskKey): unknown =>
  decodeComparable(key, row.document, row.externalValues);

/** Returns the requested columns of a row as a task. */
export function projectRow(row: Row, keys: readonly TaskKey[]): FoundTask {
  const task: Record<string, unknown> = { msg_id: row.msgId };
  for (const key of keys) task[key] = decodeField(key, row.document, row.externalValues);
  return task as FoundTask;
}
