import { accessSync, closeSync, constants, openSync, readSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { parseWireDate, type TaskKey } from '@ipyparallel-js/protocol';
import { isTaskKey } from '@ipyparallel-js/protocol/internal';
import type { Logger } from '@ipyparallel-js/wire';
import { messageOf } from '../../common/errors.js';
import { formatPythonDate } from './cells.js';
import { type Connection, type OpenConnection, sqliteCode } from './driver.js';
import { createTableSql, LAYOUTS, Layout, millisecondSql, NONSTANDARD_DATES, quoteName } from './layout.js';
import { TaskFileError } from './task-file-error.js';

/** Time to wait for another process's lock when the file is opened, in ms. A Python hub commits every 2 s. */
const OPEN_TIMEOUT = 5000;

const MAGIC = 'SQLite format 3\0';

export interface OpenFile {
  readonly connection: Connection;
  readonly layout: Layout;
}

/**
 * Opens the file of a Task Database, creates the table if it is missing, and merges the tables that restarts of a Python
 * hub have created.
 * @throws {TaskFileError} when the file cannot be used
 */
export function openTaskFile(open: OpenConnection, file: string, table: string, log: Logger): OpenFile {
  const isNew = checkFile(file);
  let connection: Connection | undefined;
  try {
    connection = open(file, { timeout: OPEN_TIMEOUT });
    // Only possible while the file is empty; later it would need a copy of the complete file.
    if (isNew) connection.exec('PRAGMA auto_vacuum = INCREMENTAL');
    const [mode] = connection.prepare('PRAGMA journal_mode = WAL').pluck().all();
    if (mode !== 'wal')
      throw new Error(`it does not support a write-ahead log (its journal mode is "${String(mode)}")`);
    const layout = prepareTable(connection, table, log);
    return { connection, layout };
  } catch (error) {
    connection?.close();
    if (error instanceof TaskFileError) throw error;
    throw new TaskFileError(file, describeProblem(error), { cause: error });
  }
}

function describeProblem(error: unknown): string {
  const code = sqliteCode(error) ?? '';
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED'))
    return `another process has locked it for ${OPEN_TIMEOUT / 1000} s; is another controller still running?`;
  if (code.startsWith('SQLITE_NOTADB')) return 'this is not an SQLite database';
  if (code.startsWith('SQLITE_READONLY')) return 'it cannot be written to';
  if (code.startsWith('SQLITE_FULL')) return 'the disk is full';
  if (code.startsWith('SQLITE_CORRUPT')) return `it is damaged (${messageOf(error)})`;
  return `it cannot be opened: ${messageOf(error)}`;
}

/** Checks the file for problems that the driver reports unclearly. Returns whether the file is missing or empty. */
function checkFile(file: string): boolean {
  const stats = statSync(file, { throwIfNoEntry: false });
  if (stats === undefined) {
    const directory = dirname(file);
    if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true)
      throw new TaskFileError(file, `the directory ${directory} does not exist`);
    if (!hasAccess(directory, constants.W_OK)) throw new TaskFileError(file, `${directory} is read-only`);
    return true;
  }
  if (!stats.isFile()) throw new TaskFileError(file, 'it is not a regular file');
  if (!hasAccess(file, constants.R_OK))
    throw new TaskFileError(file, 'this user has no permission to read it');
  // Root may write every file, so also check whether the mode denies writing to everybody.
  if (!hasAccess(file, constants.W_OK) || (process.platform !== 'win32' && (stats.mode & 0o222) === 0))
    throw new TaskFileError(file, 'it is read-only');
  if (stats.size === 0) return true;
  const head = Buffer.alloc(MAGIC.length);
  const handle = openSync(file, 'r');
  try {
    readSync(handle, head, 0, head.length, 0);
  } finally {
    closeSync(handle);
  }
  if (head.toString('latin1') !== MAGIC) throw new TaskFileError(file, 'this is not an SQLite database');
  return false;
}

function hasAccess(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}

function prepareTable(connection: Connection, table: string, log: Logger): Layout {
  connection.exec('BEGIN IMMEDIATE');
  try {
    let columns = columnsOf(connection, table);
    if (columns.length === 0) {
      connection.exec(createTableSql(table));
      columns = [...LAYOUTS[9]];
    }
    const layoutColumns = Object.values(LAYOUTS).find((names) => names.join() === columns.join());
    if (layoutColumns === undefined)
      throw new Error(`its table "${table}" is not one of ipyparallel 7 to 9 (it has ${columns.join(', ')})`);
    const layout = new Layout(table, layoutColumns);
    const sideColumns = layout.sideColumns.map((key) => `${quoteName(key)} text`);
    connection.exec(
      `CREATE TABLE IF NOT EXISTS ${layout.sideTable} (msg_id text PRIMARY KEY, ${sideColumns.join(', ')})`,
    );
    mergeRestartTables(connection, table, layout, log);
    createIndexes(connection, table, layout, log);
    normalizeDates(connection, layout);
    connection.exec(
      `DELETE FROM ${layout.sideTable} WHERE msg_id NOT IN (SELECT msg_id FROM ${layout.table} WHERE msg_id IS NOT NULL)`,
    );
    connection.exec('COMMIT');
    return layout;
  } catch (error) {
    try {
      connection.exec('ROLLBACK');
    } catch {
      // SQLite has already rolled back, for example because the disk is full.
    }
    throw error;
  }
}

function columnsOf(connection: Connection, table: string): string[] {
  return selectNames(connection, 'SELECT CAST(name AS BLOB) FROM pragma_table_info(?)', table);
}

// Selects bytes, because the driver ends the process at a text that is not UTF-8.
function selectTexts(connection: Connection, sql: string, ...values: readonly string[]): string[][] {
  const rows = connection
    .prepare(sql)
    .raw()
    .all(...values) as ArrayBuffer[][];
  return rows.map((row) => row.map((text) => Buffer.from(text).toString('utf8')));
}

function selectNames(connection: Connection, sql: string, ...values: readonly string[]): string[] {
  return selectTexts(connection, sql, ...values).flat();
}

/**
 * Merges the tables `NAME_1`, `NAME_2` into the table `NAME`, in this order. A Python hub creates such a table at each start
 * if its check of the existing table fails.
 */
function mergeRestartTables(connection: Connection, table: string, layout: Layout, log: Logger): void {
  const names = selectNames(connection, "SELECT CAST(name AS BLOB) FROM sqlite_schema WHERE type = 'table'");
  const restarts = names
    .filter((name) => name.startsWith(`${table}_`) && /^[1-9]\d*$/.test(name.slice(table.length + 1)))
    .sort((a, b) => Number(a.slice(table.length + 1)) - Number(b.slice(table.length + 1)));
  for (const name of restarts) {
    const columns = columnsOf(connection, name);
    if (!columns.includes('msg_id') || !columns.every(isTaskKey)) {
      log.warn(`the table "${name}" has other columns than tasks; it is not merged`);
      continue;
    }
    const keys: TaskKey[] = columns.filter(isTaskKey);
    const count = mergeTable(connection, name, layout, keys);
    log.info(`${count} tasks of the table "${name}", created by a restart, were merged into "${table}"`);
  }
}

function mergeTable(
  connection: Connection,
  name: string,
  layout: Layout,
  columns: readonly TaskKey[],
): number {
  const mainColumns = columns.filter((key) => layout.columns.includes(key)).map(quoteName);
  const assignments = mainColumns.map(
    (column) => `${column} = coalesce(nullif(${layout.table}.${column}, ''), excluded.${column})`,
  );
  const { changes } = connection
    .prepare(
      `INSERT INTO ${layout.table} (${mainColumns.join(', ')}) SELECT ${mainColumns.join(', ')} FROM ${quoteName(name)}
        WHERE msg_id IS NOT NULL ORDER BY rowid ON CONFLICT (msg_id) DO UPDATE SET ${assignments.join(', ')}`,
    )
    .run();
  for (const key of columns.filter((column) => layout.sideColumns.includes(column))) {
    const column = quoteName(key);
    connection.exec(
      `INSERT INTO ${layout.sideTable} (msg_id, ${column}) SELECT msg_id, ${column} FROM ${quoteName(name)}
        WHERE ${column} IS NOT NULL AND msg_id IS NOT NULL
        ON CONFLICT (msg_id) DO UPDATE SET ${column} = excluded.${column}`,
    );
  }
  connection.exec(`DROP TABLE ${quoteName(name)}`);
  return changes;
}

// Uses columns and plain expressions only, so that the SQLite of a Python hub can update the indexes too.
function createIndexes(connection: Connection, table: string, layout: Layout, log: Logger): void {
  const submitted = millisecondSql('submitted');
  // Only the index of the default order ends in msg_id: each index stores its keys once more for every record, and few
  // records share a millisecond.
  const indexes: Record<string, string> = {
    submitted: `(${submitted}, msg_id)`,
    client: `(client_uuid, ${submitted})`,
    // SQLite prefers an index on equality to one on a range. Without this index it would scan all tasks of a client to
    // find those that started in the last hour.
    'client-started': `(client_uuid, ${millisecondSql('started')})`,
    engine: `(engine_uuid, ${submitted})`,
    started: `(${millisecondSql('started')})`,
    completed: `(${millisecondSql('completed')})`,
    odd: `(msg_id) WHERE (${NONSTANDARD_DATES})`,
  };
  if (layout.columns.includes('label')) indexes['label'] = '(label) WHERE label IS NOT NULL';
  const wantedIndexes = new Map(
    Object.entries(indexes).map(([name, on]) => {
      const index = quoteName(`${table}:${name}`);
      return [index, `CREATE INDEX ${index} ON ${layout.table} ${on}`] as const;
    }),
  );
  const existingIndexes = selectTexts(
    connection,
    "SELECT CAST(name AS BLOB), CAST(sql AS BLOB) FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL",
  );
  const [maxRowid] = connection.prepare(`SELECT max(rowid) FROM ${layout.table}`).pluck().all() as (
    | number
    | null
  )[];
  const existingSql = new Set(existingIndexes.map(([, sql]) => sql));
  const missingIndexes = [...wantedIndexes.values()].filter((sql) => !existingSql.has(sql));
  if (Number(maxRowid) > 0 && missingIndexes.length > 0)
    log.info(
      `creating ${missingIndexes.length} indexes of "${table}"; this happens once and takes long if there are many tasks`,
    );
  // Drop the indexes of earlier releases that differ: each costs time and space at every write.
  for (const [name = '', sql] of existingIndexes) {
    if (name.startsWith(`${table}:`) && wantedIndexes.get(quoteName(name)) !== sql)
      connection.exec(`DROP INDEX ${quoteName(name)}`);
  }
  for (const sql of missingIndexes) connection.exec(sql);
}

/** Rewrites dates of other time zones in UTC, because queries and indexes compare texts. */
function normalizeDates(connection: Connection, layout: Layout): void {
  const keys = ['submitted', 'started', 'completed', 'received'] as const;
  const cells = keys.map((key) => `CAST(${key} AS BLOB)`).join(', ');
  const rows = connection
    .prepare(`SELECT rowid, ${cells} FROM ${layout.table} WHERE (${NONSTANDARD_DATES})`)
    .raw()
    .all() as [number, ...(ArrayBuffer | null)[]][];
  for (const [rowid, ...values] of rows) {
    keys.forEach((key, i) => {
      const cell = values[i];
      if (cell === null || cell === undefined) return;
      const text = Buffer.from(cell).toString('utf8');
      const exact = parseWireDate(text)?.exact;
      // Keep a value that is not a date: reading the row reports it.
      if (exact === undefined || formatPythonDate(exact) === text) return;
      connection
        .prepare(`UPDATE ${layout.table} SET ${key} = ? WHERE rowid = ?`)
        .run(formatPythonDate(exact), rowid);
    });
  }
}
