import type { TaskKey } from '@ipyparallel-js/protocol';
import {
  columnsOf,
  compilePredicate,
  conjunctsOf,
  isAfterKeys,
  type QueryNode,
  type Sort,
  type SortKeys,
  sortRecords,
  TASK_COLUMNS,
} from '@ipyparallel-js/protocol/internal';
import { nextTurn } from '../event-loop.js';
import type { FoundTask, JsonField } from '../task-database.js';
import type { Connection } from './driver.js';
import {
  buildJsonSelection,
  encodeJson,
  type JsonSelection,
  jsonColumnsSql,
  toUtf8Json,
} from './json-selection.js';
import type { Layout } from './layout.js';
import { decodeTask, type PackedRow, type PackedRows, packRows, unpackRows } from './packed-rows.js';
import { compileAfter, compileQuery, compileSort } from './query-sql.js';
import { Statements } from './statements.js';

/** A search as plain data, so that it can be sent to a reader thread. */
export interface Search {
  readonly query: QueryNode;
  readonly sort?: Sort;
  readonly after?: SortKeys;
  readonly skip?: number;
  readonly limit?: number;
}

export interface PageSearch extends Search {
  readonly fields: readonly JsonField[];
  readonly bytes: number;
}

/** A page in the form that threads exchange. */
export interface PackedPage {
  readonly json: readonly Uint8Array[];
  /** The `columns` of the last record, if more matches may follow. */
  readonly last: PackedRows | undefined;
  readonly columns: readonly TaskKey[];
}

/** Some records of a page and the sort fields of the last of them. */
interface JsonPart {
  readonly json: Uint8Array;
  readonly last: PackedRow;
}

/** The columns of {@link jsonColumnsSql}, then the packed cells of the last row. */
type JsonRow = [
  json: ArrayBuffer | null,
  count: number,
  needsDecoding: number,
  last: number,
  lengths: string,
  cells: ArrayBuffer,
];

/** Rows converted to JSON by one statement. The first statement converts few, because they may be large. */
const FIRST_ROWS = 64;
const MAX_ROWS = 1024;
/** Maximum number of rows of a page without dict columns. */
const MAX_SMALL_ROWS = 5000;
/** Number of rows that are decoded one by one if one of them needs decoding. */
const MAX_DECODED_ROWS = 8;

/** SQL texts that select given fields as JSON. */
interface FieldsSql {
  /** The columns of {@link jsonColumnsSql}. */
  readonly rowsColumns: string;
  /** The object of one row, and whether the row needs decoding. */
  readonly rowColumns: string;
  /** Complete statements for one row, by their condition. */
  readonly rowStatements: Map<string, string>;
}

/** Maximum number of cached SQL texts of each kind, because fields and conditions have any number of forms. */
const MAX_TEXTS = 100;

/** Called for each row that cannot be read. */
export type OnUnreadableRow = (row: string, problem: string) => void;

/** Rows fetched at a time while a residual is applied. */
const SCAN_ROWS = 256;

/** Reads tasks through one connection. Long reads release the thread at intervals, so that other requests can run. */
export class TaskReader {
  readonly #connection: Connection;
  readonly #statements: Statements;
  readonly #layout: Layout;
  readonly #onUnreadableRow: OnUnreadableRow;
  readonly #sqlByKey = new Map<string, FieldsSql>();
  readonly #sqlByFields = new WeakMap<readonly JsonField[], FieldsSql>();

  constructor(connection: Connection, layout: Layout, onUnreadableRow: OnUnreadableRow) {
    this.#connection = connection;
    this.#statements = new Statements(connection);
    this.#layout = layout;
    this.#onUnreadableRow = onUnreadableRow;
  }

  count(query: QueryNode): Promise<number> | number {
    const { where, residual } = compileQuery(query, this.#layout);
    if (residual !== undefined) return this.findRowids({ query }).then((rows) => rows.length);
    const sql = `SELECT count(*) FROM ${this.#layout.table} t WHERE ${where.sql}`;
    return Number(
      this.#connection
        .prepare(sql)
        .pluck()
        .all(...where.params)[0],
    );
  }

  /** Returns the rowids of all matches in the requested order. */
  async findRowids(search: Search): Promise<number[]> {
    const { sort, after, skip = 0, limit = Number.POSITIVE_INFINITY } = search;
    const { where, residual } = compileQuery(search.query, this.#layout);
    const position = after === undefined || sort === undefined ? undefined : { sort, after };
    const start =
      position === undefined ? undefined : compileAfter(position.sort, position.after, this.#layout);
    const order = compileSort(sort, this.#layout);
    const isExact = residual === undefined && start?.residual === undefined && order !== undefined;
    const condition = start === undefined ? where : intersect(where, start.where);
    const sql = [
      `SELECT t.rowid FROM ${this.#layout.table} t WHERE ${condition.sql}`,
      order === undefined ? '' : `ORDER BY ${order}`,
      isExact && (skip > 0 || limit !== Number.POSITIVE_INFINITY) ? 'LIMIT ? OFFSET ?' : '',
    ].join(' ');
    const range = sql.endsWith('OFFSET ?') ? [Math.min(limit, Number.MAX_SAFE_INTEGER), skip] : [];
    const rows = this.#statements.selectColumn(sql, [...condition.params, ...range]) as number[];
    if (isExact) return rows;
    const parts = [residual, start?.residual].filter((part) => part !== undefined);
    if (order !== undefined) return this.#filterRows(rows, parts, skip, limit);
    return this.#sortRows(rows, parts, search, skip, limit);
  }

  /** Reads rows by their rowids; skips rows that no longer exist. */
  readRows(rowids: readonly number[], keys: readonly TaskKey[]): PackedRows {
    const read = (ids: readonly number[]): PackedRow[] =>
      this.#selectCells('t.rowid = j.value', JSON.stringify(ids), keys);
    return packRows(this.#readSeparately(rowids, read, (id) => `row ${id}`));
  }

  /** Reads the first records of a search as JSON, until the page has its size. */
  async readPage(search: PageSearch): Promise<PackedPage> {
    const { fields, bytes, sort = [], skip = 0 } = search;
    const single = skip === 0 && search.after === undefined ? this.#readSingleRecord(search) : undefined;
    if (single !== undefined) return single;
    // Records with dicts fill the page soon, so do not search for more rowids than needed.
    const hasDicts = fields.some(({ column }) => TASK_COLUMNS[column] === 'dict');
    const limit = Math.min(search.limit ?? Number.POSITIVE_INFINITY, hasDicts ? MAX_ROWS : MAX_SMALL_ROWS);
    const rowids = await this.findRowids({ ...search, limit });
    const columns = [...new Set<TaskKey>(['msg_id', ...sort.map(({ field }) => field.column)])];
    const json: Uint8Array[] = [];
    let size = 0;
    let at = 0;
    let last: PackedRow | undefined;
    while (at < rowids.length && size < bytes) {
      if (at > 0) await nextTurn();
      const neededRows = size === 0 ? FIRST_ROWS : Math.ceil(((bytes - size) * at) / size);
      const ids = rowids.slice(at, at + Math.min(neededRows, MAX_ROWS));
      at += ids.length;
      for (const part of this.#readJson(ids, fields, columns)) {
        json.push(part.json);
        size += part.json.byteLength;
        last = part.last;
      }
    }
    if (at === rowids.length && at < limit) return { json, last: undefined, columns };
    // None of these rows could be read: return the page after them.
    if (last === undefined) return this.readPage({ ...search, skip: skip + at });
    return { json, last: packRows([last]), columns };
  }

  /**
   * Reads the page of a query for one id with one statement. Returns undefined if the query has a residual or names several
   * ids, or if the row needs decoding.
   */
  #readSingleRecord({ query, fields }: PageSearch): PackedPage | undefined {
    if (!conjunctsOf(query).some(selectsOneId)) return undefined;
    const { where, residual } = compileQuery(query, this.#layout);
    if (residual !== undefined) return undefined;
    const { rowStatements, rowColumns } = this.#sqlOf(fields);
    // Pass the same string each time: the statement cache looks it up faster.
    let sql = rowStatements.get(where.sql);
    if (sql === undefined) {
      sql = `${rowColumns} FROM ${this.#layout.table} t WHERE ${where.sql}`;
      if (rowStatements.size < MAX_TEXTS) rowStatements.set(where.sql, sql);
    }
    try {
      const row = this.#statements.selectRow(sql, where.params) as [ArrayBuffer, number] | undefined;
      if (row === undefined) return { json: [], last: undefined, columns: [] };
      const json = row[1] === 0 ? toUtf8Json(row[0]) : undefined;
      return json === undefined ? undefined : { json: [json], last: undefined, columns: [] };
    } catch {
      // The general path reports the error.
      return undefined;
    }
  }

  #sqlOf(fields: readonly JsonField[]): FieldsSql {
    // Requests for complete records pass the same array each time.
    const cached = this.#sqlByFields.get(fields);
    if (cached !== undefined) return cached;
    const key = fields.map(({ name, column, optional }) => `${name} ${column} ${optional === true}`).join();
    let sql = this.#sqlByKey.get(key);
    if (sql === undefined) {
      const selection: JsonSelection = buildJsonSelection(this.#layout, fields);
      sql = {
        rowsColumns: `SELECT ${jsonColumnsSql(selection)}`,
        rowColumns: `SELECT CAST(${selection.object} AS BLOB), ${selection.needsDecoding}`,
        rowStatements: new Map(),
      };
      if (this.#sqlByKey.size >= MAX_TEXTS) this.#sqlByKey.clear();
      this.#sqlByKey.set(key, sql);
    }
    this.#sqlByFields.set(fields, sql);
    return sql;
  }

  #readJson(
    rowids: readonly number[],
    fields: readonly JsonField[],
    columns: readonly TaskKey[],
  ): readonly JsonPart[] {
    const { rowsColumns } = this.#sqlOf(fields);
    const sql = `${rowsColumns}, ${this.#layout.packedCellsSql(columns)}
      FROM json_each(?) j CROSS JOIN ${this.#layout.table} t WHERE t.rowid = j.value`;
    try {
      const [row] = this.#statements.selectRows(sql, [JSON.stringify(rowids)]) as JsonRow[];
      if (row === undefined || row[1] === 0) return [];
      const json = row[2] === 0 ? toUtf8Json(row[0]) : undefined;
      if (json !== undefined) return [{ json, last: [row[4], row[5], 0] }];
    } catch {
      // Decode the rows below, which finds out the row and its error.
    }
    if (rowids.length <= MAX_DECODED_ROWS) return this.#decodeToJson(rowids, fields, columns);
    // Halve the list, so that one row that needs decoding does not slow down all others.
    const middle = rowids.length >> 1;
    return [rowids.slice(0, middle), rowids.slice(middle)].flatMap((half) =>
      this.#readJson(half, fields, columns),
    );
  }

  #decodeToJson(
    rowids: readonly number[],
    fields: readonly JsonField[],
    columns: readonly TaskKey[],
  ): readonly JsonPart[] {
    const keys = [...new Set<TaskKey>([...columns, ...fields.map(({ column }) => column)])];
    return rowids.flatMap((rowid) => {
      for (const cells of unpackRows(this.readRows([rowid], keys))) {
        try {
          const json = encodeJson(decodeTask(keys, cells), fields);
          return this.#selectCells('t.rowid = j.value', `[${rowid}]`, columns).map((last) => ({
            json,
            last,
          }));
        } catch (error) {
          const id = cells[0]?.toString('utf8');
          this.#onUnreadableRow(id === undefined ? `row ${rowid}` : `the task ${id}`, messageOf(error));
        }
      }
      return [];
    });
  }

  /** Reads the tasks with these ids that exist. */
  readTasks(msgIds: readonly string[], keys: readonly TaskKey[]): PackedRows {
    const read = (ids: readonly string[]): PackedRow[] =>
      this.#selectCells('t.msg_id = j.value', JSON.stringify(ids), keys);
    return packRows(this.#readSeparately(msgIds, read, (id) => `the task ${id}`));
  }

  /** Reads all ids in the order of submission, to the microsecond. */
  readHistory(): PackedRows {
    const { table } = this.#layout;
    const submitted = this.#layout.sortKeySql('submitted');
    const sql = `SELECT ${this.#layout.packedCellsSql(['msg_id'])}, t.rowid FROM ${table} t
      WHERE ${submitted} IS NOT NULL ORDER BY ${submitted}, t.submitted, t.msg_id`;
    return packRows(this.#statements.selectRows(sql).map(asPackedRow));
  }

  checkpoint(): void {
    this.#statements.selectRows('PRAGMA wal_checkpoint(PASSIVE)');
  }

  close(): void {
    this.#connection.close();
  }

  #selectCells(condition: string, list: string, keys: readonly TaskKey[]): PackedRow[] {
    const sql = `SELECT ${this.#layout.packedCellsSql(keys)}, t.rowid FROM json_each(?) j CROSS JOIN ${this.#layout.table} t
      WHERE ${condition}`;
    return this.#statements.selectRows(sql, [list]).map(asPackedRow);
  }

  // If a page of the file is damaged, other rows may still be readable: read each row by itself.
  #readSeparately<Id>(
    ids: readonly Id[],
    read: (ids: readonly Id[]) => PackedRow[],
    name: (id: Id) => string,
  ): PackedRow[] {
    try {
      return read(ids);
    } catch (error) {
      if (ids.length <= 1) {
        for (const id of ids) this.#onUnreadableRow(name(id), messageOf(error));
        return [];
      }
    }
    return ids.flatMap((id) => this.#readSeparately([id], read, name));
  }

  async #filterRows(
    rows: readonly number[],
    parts: readonly QueryNode[],
    skip: number,
    limit: number,
  ): Promise<number[]> {
    const found: number[] = [];
    for await (const { rowid } of this.#scanRows(rows, parts, [])) {
      if (found.push(rowid) >= skip + limit) break;
    }
    return found.slice(skip);
  }

  async #sortRows(
    rows: readonly number[],
    parts: readonly QueryNode[],
    { sort = [], after }: Search,
    skip: number,
    limit: number,
  ): Promise<number[]> {
    const isAfter = after === undefined ? () => true : isAfterKeys<Row>(sort, after, readRow);
    const matches: Row[] = [];
    const columns = sort.map(({ field }) => field.column);
    for await (const row of this.#scanRows(rows, parts, columns)) if (isAfter(row)) matches.push(row);
    return sortRecords(matches, sort, readRow)
      .slice(skip, skip + limit)
      .map(({ rowid }) => rowid);
  }

  async *#scanRows(
    rows: readonly number[],
    parts: readonly QueryNode[],
    columns: readonly TaskKey[],
  ): AsyncGenerator<Row> {
    const query: QueryNode = { kind: 'and', nodes: parts };
    const matches = compilePredicate<Row>(query, readRow);
    const keys = [...new Set<TaskKey>(['msg_id', ...columns, ...columnsOf(query)])];
    for (let at = 0; at < rows.length; at += SCAN_ROWS) {
      const ids = rows.slice(at, at + SCAN_ROWS);
      const found = this.#readSeparately(
        ids,
        (wanted) => this.#selectCells('t.rowid = j.value', JSON.stringify(wanted), keys),
        (id) => `row ${id}`,
      );
      const packed = packRows(found);
      let i = 0;
      for (const cells of unpackRows(packed)) {
        const rowid = found[i++]?.[2] ?? 0;
        let row: Row;
        try {
          row = { rowid, task: decodeTask(keys, cells), dates: {} };
        } catch (error) {
          this.#onUnreadableRow(`row ${rowid}`, messageOf(error));
          continue;
        }
        if (matches(row)) yield row;
      }
      await nextTurn();
    }
  }
}

function selectsOneId(node: QueryNode): boolean {
  if (node.kind !== 'test' || node.field.column !== 'msg_id' || node.field.path.length > 0) return false;
  const { comparison } = node;
  if (comparison.op === '$eq') return comparison.value !== null;
  return comparison.op === '$in' && comparison.values.length === 1 && comparison.values[0] !== null;
}

const asPackedRow = (row: unknown[]): PackedRow => row as unknown as PackedRow;

interface Row {
  readonly rowid: number;
  readonly task: FoundTask;
  readonly dates: Partial<Record<TaskKey, Date>>;
}

function readRow({ task, dates }: Row, key: TaskKey): unknown {
  const value = task[key] ?? null;
  if (TASK_COLUMNS[key] !== 'date' || typeof value !== 'string') return value;
  dates[key] ??= new Date(`${value.slice(0, 23)}Z`);
  return dates[key];
}

function intersect(
  a: { readonly sql: string; readonly params: readonly (string | null)[] },
  b: { readonly sql: string; readonly params: readonly (string | null)[] },
) {
  return { sql: `(${a.sql}) AND (${b.sql})`, params: [...a.params, ...b.params] };
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
