import { join } from 'node:path';
import type { TaskKey } from '@ipyparallel-js/protocol';
import { BoundedSet, conjunctsOf, type QueryNode, TASK_COLUMNS } from '@ipyparallel-js/protocol/internal';
import type { Logger } from '@ipyparallel-js/wire';
import { messageOf } from '../../common/errors.js';
import { nextTurn } from '../../common/event-loop.js';
import type {
  FindOptions,
  FoundTask,
  JsonField,
  JsonPage,
  PageOptions,
  RemovalResult,
  Selection,
  TaskChange,
  TaskDatabase,
  WriteOutcome,
} from '../task-database.js';
import { ChangeQueue } from './change-queue.js';
import { loadDriver } from './driver.js';
import { JsonPageReader } from './json-page-reader.js';
import { type OpenFile, openTaskFile } from './open-file.js';
import { decodeTask, type PackedRows, unpackRows } from './packed-rows.js';
import { compileQuery } from './query-sql.js';
import { ReaderPool } from './reader-pool.js';
import { checkRetention, Retention, type RetentionOptions } from './retention.js';
import { TaskReader } from './task-reader.js';
import { TaskWriter } from './task-writer.js';

/** File and limits of the SQLite store. The first three options mirror the traits of ipyparallel's `SQLiteDB`. */
export interface SqliteDatabaseOptions extends RetentionOptions {
  /** Name of the file; `tasks.db` by default. */
  readonly filename?: string;
  /** Directory of the file; the profile directory by default. */
  readonly location?: string;
  /** Name of the table; `ipython-tasks` by default. */
  readonly table?: string;
  /**
   * `normal` (default): committed changes survive a crash of the process, but a power failure may lose the last transactions.
   * `full`: committed changes also survive a power failure, but each transaction waits for the disk.
   */
  readonly synchronous?: 'normal' | 'full';
}

/** Time to wait for a lock of another process, in ms. The write timeout is short because writes are retried. */
const READ_TIMEOUT = 2000;
const WRITE_TIMEOUT = 10;
const CACHE_KIB = 16 * 1024;

/** Maximum number of ids that are read in this thread; a reader thread reads more. */
const MAX_LOCAL_IDS = 32;

/** Rows removed in one transaction. */
const REMOVAL_ROWS = 200;

const DEFAULT_KEYS = (Object.keys(TASK_COLUMNS) as TaskKey[]).filter(
  (key) => TASK_COLUMNS[key] !== 'buffers',
);

/**
 * Stores tasks in the SQLite file of ipyparallel's `SQLiteDB`. This thread writes changes, in short transactions, and reads
 * single records. Reader threads run all other reads.
 */
export class SqliteDatabase implements TaskDatabase {
  readonly kind = 'sqlite';
  /** Path of the file. */
  readonly path: string;
  readonly #layout;
  readonly #connection;
  readonly #writer: TaskWriter;
  readonly #reader: TaskReader;
  readonly #pageReader: JsonPageReader;
  readonly #readers: ReaderPool;
  readonly #queue: ChangeQueue;
  readonly #retention: Retention;
  readonly #log: Logger;
  readonly #reportedRows = new BoundedSet(10_000);
  #closePromise: Promise<void> | undefined;

  private constructor(path: string, options: SqliteDatabaseOptions, file: OpenFile, log: Logger) {
    const { table = 'ipython-tasks', synchronous = 'normal' } = options;
    const { connection, layout } = file;
    this.path = path;
    this.#log = log;
    this.#connection = connection;
    this.#layout = layout;
    // No automatic checkpoints: they wait for the disk, so a reader thread makes them.
    connection.exec(
      `PRAGMA synchronous = ${synchronous === 'full' ? 'FULL' : 'NORMAL'};
       PRAGMA busy_timeout = ${WRITE_TIMEOUT}; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -${CACHE_KIB}`,
    );
    const onUnreadableRow = (row: string, problem: string): void => this.#reportRow(row, problem);
    this.#writer = new TaskWriter(connection, layout, (msgId, error) =>
      log.error(`a change of the task ${msgId} cannot be stored in ${path} and is lost`, error),
    );
    this.#reader = new TaskReader(connection, layout, onUnreadableRow);
    this.#pageReader = new JsonPageReader(connection, layout, this.#reader, onUnreadableRow);
    this.#readers = new ReaderPool(
      { file: path, table, columns: layout.columns, timeout: READ_TIMEOUT, cacheKiB: CACHE_KIB },
      onUnreadableRow,
    );
    this.#queue = new ChangeQueue(this.#writer, path, log, () => this.#readers.checkpoint());
    this.#retention = new Retention(options, connection, layout, this.#writer, log);
  }

  /**
   * Opens the file; creates it if it does not exist.
   * @throws {TaskFileError} when the file cannot be used
   * @throws {UsageError} when the driver is not installed or a limit is not valid
   */
  static async open(options: SqliteDatabaseOptions, log: Logger): Promise<SqliteDatabase> {
    checkRetention(options);
    const open = await loadDriver();
    const path = join(options.location ?? '.', options.filename ?? 'tasks.db');
    const file = openTaskFile(open, path, options.table ?? 'ipython-tasks', log);
    return new SqliteDatabase(path, options, file, log);
  }

  async write(changes: readonly TaskChange[]): Promise<WriteOutcome> {
    await this.#queue.push(changes);
    return { culled: this.#retention.drainCulledIds() };
  }

  async get(
    msgIds: readonly string[],
    keys: readonly TaskKey[] = DEFAULT_KEYS,
  ): Promise<Map<string, FoundTask>> {
    await this.#queue.flush();
    const requestedKeys = addMsgId(keys);
    const found = new Map<string, FoundTask>();
    const rows =
      msgIds.length <= MAX_LOCAL_IDS
        ? this.#reader.readTasks([...new Set(msgIds)], requestedKeys)
        : await this.#readers.readTasks([...new Set(msgIds)], requestedKeys);
    if (rows !== undefined)
      for (const task of this.#decodeTasks(rows, requestedKeys)) found.set(task.msg_id, task);
    return found;
  }

  async *find(query: QueryNode, options: FindOptions = {}): AsyncGenerator<readonly FoundTask[]> {
    await this.#queue.flush();
    const { keys = DEFAULT_KEYS, ...order } = options;
    const requestedKeys = addMsgId(keys);
    const search = { query, ...order };
    if (selectsFewIds(query)) {
      // Reading a few rows by id takes less time than a request to another thread.
      const rowids = await this.#reader.findRowids(search);
      if (rowids.length > 0)
        yield [...this.#decodeTasks(this.#reader.readRows(rowids, requestedKeys), requestedKeys)];
      return;
    }
    for await (const rows of this.#readers.search(search, requestedKeys)) {
      const tasks = [...this.#decodeTasks(rows, requestedKeys)];
      if (tasks.length > 0) yield tasks;
    }
  }

  async readPage(query: QueryNode, fields: readonly JsonField[], options: PageOptions): Promise<JsonPage> {
    await this.#queue.flush();
    const search = { query, fields, ...options };
    const page = selectsFewIds(query)
      ? await this.#pageReader.readPage(search)
      : await this.#readers.readPage(search);
    if (page === undefined) return { json: [] };
    const { json, columns } = page;
    const [last] = page.last === undefined ? [] : this.#decodeTasks(page.last, columns);
    return last === undefined ? { json } : { json, last };
  }

  async count(query: QueryNode): Promise<number> {
    await this.#queue.flush();
    return selectsFewIds(query) ? await this.#reader.count(query) : await this.#readers.count(query);
  }

  async history(): Promise<string[]> {
    await this.#queue.flush();
    const rows = await this.#readers.readHistory();
    return rows === undefined ? [] : Array.from(this.#decodeTasks(rows, ['msg_id']), ({ msg_id }) => msg_id);
  }

  async remove(selection: Selection, options: { readonly dryRun?: boolean } = {}): Promise<RemovalResult> {
    // While writes fail, remove without waiting for them: removal may free the space that they need.
    if (!this.#queue.isFailing) await this.#queue.flush();
    const ids = 'msgIds' in selection ? [...new Set(selection.msgIds)] : await this.#findIds(selection.query);
    // Check the condition again at removal, so that a task that has stopped matching meanwhile stays.
    const where =
      'query' in selection ? compileQuery(selection.query, this.#layout).where : { sql: '1', params: [] };
    const msgIds: string[] = [];
    let bytes = 0;
    for (let at = 0; at < ids.length; at += REMOVAL_ROWS) {
      const batch = ids.slice(at, at + REMOVAL_ROWS);
      const rows =
        options.dryRun === true ? this.#readSizes(batch) : this.#writer.remove('msg_id', batch, where);
      for (const row of rows) {
        msgIds.push(row.msgId);
        bytes += row.bytes;
      }
      await nextTurn();
    }
    if (options.dryRun !== true && msgIds.length > 0) await this.#retention.releasePages();
    return { count: msgIds.length, bytes, msgIds };
  }

  close(): Promise<void> {
    this.#closePromise ??= this.#close();
    return this.#closePromise;
  }

  async #close(): Promise<void> {
    await this.#retention.stop();
    await this.#queue.close();
    await this.#readers.close();
    // Empty the write-ahead log, so that the file alone is complete and can be copied.
    try {
      this.#connection.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    } finally {
      this.#connection.close();
    }
  }

  async #findIds(query: QueryNode): Promise<string[]> {
    const ids: string[] = [];
    const keys: TaskKey[] = ['msg_id'];
    for await (const rows of this.#readers.search({ query }, keys)) {
      for (const task of this.#decodeTasks(rows, keys)) ids.push(task.msg_id);
    }
    return ids;
  }

  #readSizes(msgIds: readonly string[]): { readonly msgId: string; readonly bytes: number }[] {
    const rows = this.#connection
      .prepare(
        `SELECT CAST(msg_id AS BLOB), ${this.#writer.rowBytesSql()} FROM ${this.#layout.table}
          WHERE msg_id IN (SELECT value FROM json_each(?))`,
      )
      .raw()
      .all(JSON.stringify(msgIds)) as [ArrayBuffer, number][];
    return rows.map(([id, bytes]) => ({ msgId: Buffer.from(id).toString('utf8'), bytes }));
  }

  *#decodeTasks(rows: PackedRows, keys: readonly TaskKey[]): Generator<FoundTask> {
    for (const cells of unpackRows(rows)) {
      try {
        yield decodeTask(keys, cells);
      } catch (error) {
        const id = cells[keys.indexOf('msg_id')]?.toString('utf8') ?? 'without an id';
        this.#reportRow(`the task ${id}`, messageOf(error));
      }
    }
  }

  #reportRow(row: string, problem: string): void {
    if (this.#reportedRows.has(row)) return;
    this.#reportedRows.add(row);
    this.#log.error(`${row} in ${this.path} cannot be read and is omitted from results: ${problem}`);
  }
}

function addMsgId(keys: readonly TaskKey[]): readonly TaskKey[] {
  return keys.includes('msg_id') ? keys : ['msg_id', ...keys];
}

/** Whether the query limits its matches to a few ids. */
function selectsFewIds(query: QueryNode): boolean {
  return conjunctsOf(query).some((part) => {
    if (part.kind !== 'test' || part.field.column !== 'msg_id') return false;
    const { comparison } = part;
    return comparison.op === '$eq' || (comparison.op === '$in' && comparison.values.length <= MAX_LOCAL_IDS);
  });
}
