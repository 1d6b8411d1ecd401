import { join } from 'node:path';
import type { TaskKey } from '@ipyparallel-js/protocol';
import { BoundedSet, conjunctsOf, type QueryNode, TASK_COLUMNS } from '@ipyparallel-js/protocol/internal';
import type { Logger } from '@ipyparallel-js/wire';
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
import { openTaskFile } from './open-file.js';
import { cellsOf, type PackedRows, taskOf } from './packed-rows.js';
import { compileQuery } from './query-sql.js';
import { Readers } from './reader-thread.js';
import { checkRetention, Retention, type RetentionOptions } from './retention.js';
import { messageOf, TaskReader } from './task-reader.js';
import { TaskWriter } from './task-writer.js';

/** Where and how a Task Database in SQLite is kept. The first three mirror the traits of ipyparallel's SQLiteDB. */
export interface SqliteDatabaseOptions extends RetentionOptions {
  /** `tasks.db` by default. */
  readonly filename?: string;
  /** The directory of the file; the profile directory by default. */
  readonly location?: string;
  /** `ipython-tasks` by default. */
  readonly table?: string;
  /**
   * `normal` (default): what was told survives the end of the process, however it ends; a power failure may take the
   * last moments. `full`: they survive that, too, at the price of waiting for the disk at each transaction.
   */
  readonly synchronous?: 'normal' | 'full';
}

/** How long a call waits for a lock of another process, in ms: the writer waits by trying again instead. */
const READ_TIMEOUT = 2000;
const WRITE_TIMEOUT = 10;
const CACHE_KIB = 16 * 1024;

/** Ids that are looked up in this thread; more are left to a reader. */
const FEW = 32;

/** Rows removed in one transaction. */
const REMOVED_AT_ONCE = 200;

const DEFAULT_KEYS = (Object.keys(TASK_COLUMNS) as TaskKey[]).filter(
  (key) => TASK_COLUMNS[key] !== 'buffers',
);

const pause = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/**
 * Tasks in the file that ipyparallel's SQLiteDB writes. Changes are written in this thread, in short transactions; what
 * may take long to read is read by threads of their own.
 */
export class SqliteDatabase implements TaskDatabase {
  readonly kind = 'sqlite';
  /** The file. */
  readonly path: string;
  readonly #layout;
  readonly #connection;
  readonly #writer: TaskWriter;
  readonly #reader: TaskReader;
  readonly #readers: Readers;
  readonly #queue: ChangeQueue;
  readonly #retention: Retention;
  readonly #log: Logger;
  readonly #reported = new BoundedSet(10_000);
  #closed: Promise<void> | undefined;

  private constructor(
    path: string,
    options: SqliteDatabaseOptions,
    opened: ReturnType<typeof openTaskFile>,
    log: Logger,
  ) {
    const { table = 'ipython-tasks', synchronous = 'normal' } = options;
    const { connection, layout } = opened;
    this.path = path;
    this.#log = log;
    this.#connection = connection;
    this.#layout = layout;
    // Checkpoints wait for the disk: a reader's thread makes them.
    connection.exec(
      `PRAGMA synchronous = ${synchronous === 'full' ? 'FULL' : 'NORMAL'};
       PRAGMA busy_timeout = ${WRITE_TIMEOUT}; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -${CACHE_KIB}`,
    );
    const onBadRow = (row: string, problem: string): void => this.#reportRow(row, problem);
    this.#writer = new TaskWriter(connection, layout, (msgId, error) =>
      log.error(`a change of the task ${msgId} cannot be written to ${path} and is lost`, error),
    );
    this.#reader = new TaskReader(connection, layout, onBadRow);
    this.#readers = new Readers(
      { file: path, table, columns: layout.columns, timeout: READ_TIMEOUT, cacheKiB: CACHE_KIB },
      onBadRow,
    );
    this.#queue = new ChangeQueue(this.#writer, path, log, () => this.#readers.checkpoint());
    this.#retention = new Retention(options, connection, layout, this.#writer, log);
  }

  /**
   * Opens the file; makes it if there is none.
   * @throws TaskFileError naming the file; UsageError when the driver is not installed
   */
  static async open(options: SqliteDatabaseOptions, log: Logger): Promise<SqliteDatabase> {
    checkRetention(options);
    const open = await loadDriver();
    const path = join(options.location ?? '.', options.filename ?? 'tasks.db');
    const opened = openTaskFile(open, path, options.table ?? 'ipython-tasks', log);
    return new SqliteDatabase(path, options, opened, log);
  }

  async write(changes: readonly TaskChange[]): Promise<WriteOutcome> {
    await this.#queue.push(changes);
    return { culled: this.#retention.takeCulled() };
  }

  async get(
    msgIds: readonly string[],
    keys: readonly TaskKey[] = DEFAULT_KEYS,
  ): Promise<Map<string, FoundTask>> {
    await this.#queue.upToDate();
    const wanted = withId(keys);
    const found = new Map<string, FoundTask>();
    const rows =
      msgIds.length <= FEW
        ? this.#reader.tasks([...new Set(msgIds)], wanted)
        : await this.#readers.tasks([...new Set(msgIds)], wanted);
    if (rows !== undefined) for (const task of this.#tasks(rows, wanted)) found.set(task.msg_id, task);
    return found;
  }

  async *find(query: QueryNode, options: FindOptions = {}): AsyncGenerator<readonly FoundTask[]> {
    await this.#queue.upToDate();
    const { keys = DEFAULT_KEYS, ...order } = options;
    const wanted = withId(keys);
    const search = { query, ...order };
    if (namesFew(query)) {
      // A few rows, found by their ids: quicker done than asked of another thread.
      const rowids = await this.#reader.matches(search);
      if (rowids.length > 0) yield [...this.#tasks(this.#reader.rows(rowids, wanted), wanted)];
      return;
    }
    for await (const rows of this.#readers.search(search, wanted)) {
      const tasks = [...this.#tasks(rows, wanted)];
      if (tasks.length > 0) yield tasks;
    }
  }

  async readPage(query: QueryNode, fields: readonly JsonField[], options: PageOptions): Promise<JsonPage> {
    await this.#queue.upToDate();
    const search = { query, fields, ...options };
    const page = namesFew(query) ? await this.#reader.page(search) : await this.#readers.page(search);
    if (page === undefined) return { json: [] };
    const { json, columns } = page;
    const [last] = page.last === undefined ? [] : this.#tasks(page.last, columns);
    return last === undefined ? { json } : { json, last };
  }

  async count(query: QueryNode): Promise<number> {
    await this.#queue.upToDate();
    return namesFew(query) ? await this.#reader.count(query) : await this.#readers.count(query);
  }

  async history(): Promise<string[]> {
    await this.#queue.upToDate();
    const rows = await this.#readers.history();
    return rows === undefined ? [] : Array.from(this.#tasks(rows, ['msg_id']), ({ msg_id }) => msg_id);
  }

  async remove(selection: Selection, options: { readonly dryRun?: boolean } = {}): Promise<RemovalResult> {
    // Not held up by changes that cannot be written: what is removed makes room for them.
    if (!this.#queue.isBehind) await this.#queue.upToDate();
    const ids = 'msgIds' in selection ? [...new Set(selection.msgIds)] : await this.#idsOf(selection.query);
    // Where SQL says all of the query, it is asked again: what has ceased to match in between stays.
    const where =
      'query' in selection ? compileQuery(selection.query, this.#layout).where : { sql: '1', params: [] };
    const msgIds: string[] = [];
    let bytes = 0;
    for (let at = 0; at < ids.length; at += REMOVED_AT_ONCE) {
      const some = ids.slice(at, at + REMOVED_AT_ONCE);
      const rows = options.dryRun === true ? this.#sizes(some) : this.#writer.remove('msg_id', some, where);
      for (const row of rows) {
        msgIds.push(row.msgId);
        bytes += row.bytes;
      }
      await pause();
    }
    if (options.dryRun !== true && msgIds.length > 0) await this.#retention.giveBack();
    return { count: msgIds.length, bytes, msgIds };
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    await this.#retention.stop();
    await this.#queue.close();
    await this.#readers.close();
    // One file is left, which can be copied as it is.
    try {
      this.#connection.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    } finally {
      this.#connection.close();
    }
  }

  async #idsOf(query: QueryNode): Promise<string[]> {
    const ids: string[] = [];
    const keys: TaskKey[] = ['msg_id'];
    for await (const rows of this.#readers.search({ query }, keys)) {
      for (const task of this.#tasks(rows, keys)) ids.push(task.msg_id);
    }
    return ids;
  }

  #sizes(msgIds: readonly string[]): { readonly msgId: string; readonly bytes: number }[] {
    const rows = this.#connection
      .prepare(
        `SELECT CAST(msg_id AS BLOB), ${this.#writer.bytes()} FROM ${this.#layout.table}
          WHERE msg_id IN (SELECT value FROM json_each(?))`,
      )
      .raw()
      .all(JSON.stringify(msgIds)) as [ArrayBuffer, number][];
    return rows.map(([id, bytes]) => ({ msgId: Buffer.from(id).toString('utf8'), bytes }));
  }

  *#tasks(rows: PackedRows, keys: readonly TaskKey[]): Generator<FoundTask> {
    for (const cells of cellsOf(rows)) {
      try {
        yield taskOf(keys, cells);
      } catch (error) {
        const id = cells[keys.indexOf('msg_id')]?.toString('utf8') ?? 'without an id';
        this.#reportRow(`the task ${id}`, messageOf(error));
      }
    }
  }

  #reportRow(row: string, problem: string): void {
    if (this.#reported.has(row)) return;
    this.#reported.add(row);
    this.#log.error(`${row} in ${this.path} cannot be read and is left out: ${problem}`);
  }
}

function withId(keys: readonly TaskKey[]): readonly TaskKey[] {
  return keys.includes('msg_id') ? keys : ['msg_id', ...keys];
}

/** Whether every match is among a few ids that the query names. */
function namesFew(query: QueryNode): boolean {
  return conjunctsOf(query).some((part) => {
    if (part.kind !== 'test' || part.field.column !== 'msg_id') return false;
    const { comparison } = part;
    return comparison.op === '$eq' || (comparison.op === '$in' && comparison.values.length <= FEW);
  });
}
