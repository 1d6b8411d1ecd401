import { accessSync, closeSync, constants, openSync, readSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { parseWireDate, type TaskKey } from '@ipyparallel-js/protocol';
import { isTaskKey } from '@ipyparallel-js/protocol/internal';
import type { Logger } from '@ipyparallel-js/wire';
import { pythonDate } from './cells.js';
import { type Connection, type OpenConnection, sqliteCode } from './driver.js';
import { createTable, LAYOUTS, Layout, millisecondOf, ODD_DATES, quoted } from './layout.js';
import { TaskFileError } from './task-file-error.js';
import { messageOf } from './task-reader.js';

/** How long another process may keep the file locked when it is opened, in ms: a Python hub commits every 2 s. */
const OPEN_TIMEOUT = 5000;

const MAGIC = 'SQLite format 3\0';

export interface OpenFile {
  readonly connection: Connection;
  readonly layout: Layout;
}

/**
 * Opens a Task Database's file, makes the table if there is none, and makes one history of what the restarts of a
 * Python hub have left.
 * @throws TaskFileError naming the file and what is wrong with it
 */
export function openTaskFile(open: OpenConnection, file: string, table: string, log: Logger): OpenFile {
  const isNew = checkFile(file);
  let connection: Connection | undefined;
  try {
    connection = open(file, { timeout: OPEN_TIMEOUT });
    // Before anything is in the file; later it would take a copy of the whole.
    if (isNew) connection.exec('PRAGMA auto_vacuum = INCREMENTAL');
    const [mode] = connection.prepare('PRAGMA journal_mode = WAL').pluck().all();
    if (mode !== 'wal') throw new Error(`its journal cannot be a write-ahead log (it is "${String(mode)}")`);
    const layout = prepareTable(connection, table, log);
    return { connection, layout };
  } catch (error) {
    connection?.close();
    if (error instanceof TaskFileError) throw error;
    throw new TaskFileError(file, problemOf(error), { cause: error });
  }
}

function problemOf(error: unknown): string {
  const code = sqliteCode(error) ?? '';
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED'))
    return `another process has locked it for ${OPEN_TIMEOUT / 1000} s; a controller that still runs?`;
  if (code.startsWith('SQLITE_NOTADB')) return 'this is not an SQLite database';
  if (code.startsWith('SQLITE_READONLY')) return 'it cannot be written to';
  if (code.startsWith('SQLITE_FULL')) return 'the disk is full';
  if (code.startsWith('SQLITE_CORRUPT')) return `it is damaged (${messageOf(error)})`;
  return `it cannot be opened: ${messageOf(error)}`;
}

/** Finds what the driver would not say plainly; true when there is nothing in the file yet. */
function checkFile(file: string): boolean {
  const stats = statSync(file, { throwIfNoEntry: false });
  if (stats === undefined) {
    const directory = dirname(file);
    if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true)
      throw new TaskFileError(file, `there is no directory ${directory}`);
    if (!allows(directory, constants.W_OK)) throw new TaskFileError(file, `${directory} is read-only`);
    return true;
  }
  if (!stats.isFile()) throw new TaskFileError(file, 'this is not a file');
  if (!allows(file, constants.R_OK)) throw new TaskFileError(file, 'there is no permission to read it');
  // To root everything is writable; who took the right away from everybody meant it.
  if (!allows(file, constants.W_OK) || (process.platform !== 'win32' && (stats.mode & 0o222) === 0))
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

function allows(path: string, mode: number): boolean {
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
      connection.exec(createTable(table));
      columns = [...LAYOUTS[9]];
    }
    const known = Object.values(LAYOUTS).find((names) => names.join() === columns.join());
    if (known === undefined)
      throw new Error(`its table "${table}" is not one of ipyparallel 7 to 9 (it has ${columns.join(', ')})`);
    const layout = new Layout(table, known);
    const side = layout.sideColumns.map((key) => `${quoted(key)} text`);
    connection.exec(
      `CREATE TABLE IF NOT EXISTS ${layout.side} (msg_id text PRIMARY KEY, ${side.join(', ')})`,
    );
    adoptRestarts(connection, table, layout, log);
    createIndexes(connection, table, layout, log);
    correctDates(connection, layout);
    connection.exec(
      `DELETE FROM ${layout.side} WHERE msg_id NOT IN (SELECT msg_id FROM ${layout.table} WHERE msg_id IS NOT NULL)`,
    );
    connection.exec('COMMIT');
    return layout;
  } catch (error) {
    try {
      connection.exec('ROLLBACK');
    } catch {
      // A full disk has rolled it back already.
    }
    throw error;
  }
}

function columnsOf(connection: Connection, table: string): string[] {
  return namesFrom(connection, 'SELECT CAST(name AS BLOB) FROM pragma_table_info(?)', table);
}

// As bytes: the driver ends the process at a text that is not UTF-8.
function textsFrom(connection: Connection, sql: string, ...values: readonly string[]): string[][] {
  const rows = connection
    .prepare(sql)
    .raw()
    .all(...values) as ArrayBuffer[][];
  return rows.map((row) => row.map((text) => Buffer.from(text).toString('utf8')));
}

function namesFrom(connection: Connection, sql: string, ...values: readonly string[]): string[] {
  return textsFrom(connection, sql, ...values).flat();
}

/**
 * A Python hub whose check of its table fails begins a new one, `NAME_1`, `NAME_2`, at each start. They become part of
 * the one, in that order.
 */
function adoptRestarts(connection: Connection, table: string, layout: Layout, log: Logger): void {
  const names = namesFrom(connection, "SELECT CAST(name AS BLOB) FROM sqlite_schema WHERE type = 'table'");
  const restarts = names
    .filter((name) => name.startsWith(`${table}_`) && /^[1-9]\d*$/.test(name.slice(table.length + 1)))
    .sort((a, b) => Number(a.slice(table.length + 1)) - Number(b.slice(table.length + 1)));
  for (const name of restarts) {
    const columns = columnsOf(connection, name);
    if (!columns.includes('msg_id') || !columns.every(isTaskKey)) {
      log.warn(`the table "${name}" holds no tasks; it is left alone`);
      continue;
    }
    const keys: TaskKey[] = columns.filter(isTaskKey);
    const count = adopt(connection, name, layout, keys);
    log.info(`${count} tasks of the table "${name}", which a restart had begun, are in "${table}" now`);
  }
}

function adopt(connection: Connection, name: string, layout: Layout, columns: readonly TaskKey[]): number {
  const own = columns.filter((key) => layout.columns.includes(key)).map(quoted);
  const merged = own.map(
    (column) => `${column} = coalesce(nullif(${layout.table}.${column}, ''), excluded.${column})`,
  );
  const { changes } = connection
    .prepare(
      `INSERT INTO ${layout.table} (${own.join(', ')}) SELECT ${own.join(', ')} FROM ${quoted(name)}
        WHERE msg_id IS NOT NULL ORDER BY rowid ON CONFLICT (msg_id) DO UPDATE SET ${merged.join(', ')}`,
    )
    .run();
  for (const key of columns.filter((column) => layout.sideColumns.includes(column))) {
    const column = quoted(key);
    connection.exec(
      `INSERT INTO ${layout.side} (msg_id, ${column}) SELECT msg_id, ${column} FROM ${quoted(name)}
        WHERE ${column} IS NOT NULL AND msg_id IS NOT NULL
        ON CONFLICT (msg_id) DO UPDATE SET ${column} = excluded.${column}`,
    );
  }
  connection.exec(`DROP TABLE ${quoted(name)}`);
  return changes;
}

// Python's hubs keep these up to date without knowing of them.
function createIndexes(connection: Connection, table: string, layout: Layout, log: Logger): void {
  const submitted = millisecondOf('submitted');
  // Only the default order has its second key: a record costs each index what it is long, and few share a millisecond.
  const indexes: Record<string, string> = {
    submitted: `(${submitted}, msg_id)`,
    client: `(client_uuid, ${submitted})`,
    // SQLite takes an index of equal values before one of a range: the tasks of a client that began in the last hour
    // would be looked for among all that it ever had.
    'client-started': `(client_uuid, ${millisecondOf('started')})`,
    engine: `(engine_uuid, ${submitted})`,
    started: `(${millisecondOf('started')})`,
    completed: `(${millisecondOf('completed')})`,
    odd: `(msg_id) WHERE (${ODD_DATES})`,
  };
  if (layout.columns.includes('label')) indexes['label'] = '(label) WHERE label IS NOT NULL';
  const wanted = new Map(
    Object.entries(indexes).map(([name, on]) => {
      const index = quoted(`${table}:${name}`);
      return [index, `CREATE INDEX ${index} ON ${layout.table} ${on}`] as const;
    }),
  );
  const known = textsFrom(
    connection,
    "SELECT CAST(name AS BLOB), CAST(sql AS BLOB) FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL",
  );
  const [rows] = connection.prepare(`SELECT max(rowid) FROM ${layout.table}`).pluck().all() as (
    | number
    | null
  )[];
  const there = new Set(known.map(([, sql]) => sql));
  const missing = [...wanted.values()].filter((sql) => !there.has(sql));
  if (Number(rows) > 0 && missing.length > 0)
    log.info(`"${table}" gets its indexes; with many tasks this takes a while, once`);
  // Those that an earlier release made otherwise are only a burden.
  for (const [name = '', sql] of known) {
    if (name.startsWith(`${table}:`) && wanted.get(quoted(name)) !== sql)
      connection.exec(`DROP INDEX ${quoted(name)}`);
  }
  for (const sql of missing) connection.exec(sql);
}

/** Dates of other zones are written as the same moments in UTC: queries and indexes compare texts. */
function correctDates(connection: Connection, layout: Layout): void {
  const keys = ['submitted', 'started', 'completed', 'received'] as const;
  const cells = keys.map((key) => `CAST(${key} AS BLOB)`).join(', ');
  const rows = connection
    .prepare(`SELECT rowid, ${cells} FROM ${layout.table} WHERE (${ODD_DATES})`)
    .raw()
    .all() as [number, ...(ArrayBuffer | null)[]][];
  for (const [rowid, ...values] of rows) {
    keys.forEach((key, i) => {
      const cell = values[i];
      if (cell === null || cell === undefined) return;
      const text = Buffer.from(cell).toString('utf8');
      const exact = parseWireDate(text)?.exact;
      // What is no date stays: the row is reported when it is read.
      if (exact === undefined || pythonDate(exact) === text) return;
      connection
        .prepare(`UPDATE ${layout.table} SET ${key} = ? WHERE rowid = ?`)
        .run(pythonDate(exact), rowid);
    });
  }
}
