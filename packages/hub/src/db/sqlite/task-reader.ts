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
import type { FoundTask, JsonField } from '../task-database.js';
import type { Connection } from './driver.js';
import { type JsonSelection, jsonOf, jsonSelection, selectJson, soundJson } from './json-records.js';
import type { Layout } from './layout.js';
import { cellsOf, type PackedRow, type PackedRows, packRows, taskOf } from './packed-rows.js';
import { compileAfter, compileQuery, compileSort } from './query-sql.js';
import { Statements } from './statements.js';

/** A question as it goes to the reader's thread; plain data. */
export interface Search {
  readonly query: QueryNode;
  readonly sort?: Sort;
  readonly after?: SortKeys;
  readonly skip?: number;
  readonly limit?: number;
}

/** A page as it is asked for. */
export interface PageSearch extends Search {
  readonly fields: readonly JsonField[];
  readonly bytes: number;
}

/** A page as it goes from one thread to another. */
export interface PackedPage {
  readonly json: readonly Uint8Array[];
  /** The last record's `columns`, when there may be more. */
  readonly last: PackedRows | undefined;
  readonly columns: readonly TaskKey[];
}

/** Some records of a page, and the sort fields of the last one. */
interface JsonPart {
  readonly json: Uint8Array;
  readonly last: PackedRow;
}

/** See {@link selectJson}; behind it what is packed of the last row. */
type JsonRow = [
  json: ArrayBuffer | null,
  count: number,
  odd: number,
  last: number,
  lengths: string,
  cells: ArrayBuffer,
];

/** Rows that are made into JSON at a time: few at first, since they may be large. */
const FIRST_ROWS = 64;
const MOST_ROWS = 1024;
const MOST_SMALL_ROWS = 5000;
/** Where a row is odd, this many are read with care. */
const CAREFUL_ROWS = 8;

/** Texts of SQL for some fields. */
interface PreparedFields {
  /** {@link selectJson}. */
  readonly many: string;
  /** One row's object, and whether it is odd. */
  readonly one: string;
  /** Whole statements for one row, by their condition. */
  readonly ones: Map<string, string>;
}

/** Texts kept of each kind; keys and conditions have no end of forms. */
const MOST_TEXTS = 100;

/** Told of each row that cannot be read: which, and why. */
export type OnBadRow = (row: string, problem: string) => void;

/** Rows that are taken apart at a time while a residual is applied. */
const STEP = 256;

const pause = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Reads tasks through one connection. What may take long pauses now and then, so that others get their turn. */
export class TaskReader {
  readonly #connection: Connection;
  readonly #statements: Statements;
  readonly #layout: Layout;
  readonly #onBadRow: OnBadRow;
  readonly #selections = new Map<string, PreparedFields>();
  readonly #known = new WeakMap<readonly JsonField[], PreparedFields>();

  constructor(connection: Connection, layout: Layout, onBadRow: OnBadRow) {
    this.#connection = connection;
    this.#statements = new Statements(connection);
    this.#layout = layout;
    this.#onBadRow = onBadRow;
  }

  count(query: QueryNode): Promise<number> | number {
    const { where, residual } = compileQuery(query, this.#layout);
    if (residual !== undefined) return this.matches({ query }).then((rows) => rows.length);
    const sql = `SELECT count(*) FROM ${this.#layout.table} t WHERE ${where.sql}`;
    return Number(
      this.#connection
        .prepare(sql)
        .pluck()
        .all(...where.params)[0],
    );
  }

  /** The rowids of all matches, in the order asked for. */
  async matches(search: Search): Promise<number[]> {
    const { sort, after, skip = 0, limit = Number.POSITIVE_INFINITY } = search;
    const { where, residual } = compileQuery(search.query, this.#layout);
    const place = after === undefined || sort === undefined ? undefined : { sort, after };
    const start = place === undefined ? undefined : compileAfter(place.sort, place.after, this.#layout);
    const order = compileSort(sort, this.#layout);
    const exact = residual === undefined && start?.residual === undefined && order !== undefined;
    const from = start === undefined ? where : both(where, start.where);
    const sql = [
      `SELECT t.rowid FROM ${this.#layout.table} t WHERE ${from.sql}`,
      order === undefined ? '' : `ORDER BY ${order}`,
      exact && (skip > 0 || limit !== Number.POSITIVE_INFINITY) ? 'LIMIT ? OFFSET ?' : '',
    ].join(' ');
    const page = sql.endsWith('OFFSET ?') ? [Math.min(limit, Number.MAX_SAFE_INTEGER), skip] : [];
    const rows = this.#statements.column(sql, [...from.params, ...page]) as number[];
    if (exact) return rows;
    const parts = [residual, start?.residual].filter((part) => part !== undefined);
    if (order !== undefined) return this.#filtered(rows, parts, skip, limit);
    return this.#sorted(rows, parts, search, skip, limit);
  }

  /** These rows; what is gone is left out. */
  rows(rowids: readonly number[], keys: readonly TaskKey[]): PackedRows {
    const read = (ids: readonly number[]): PackedRow[] =>
      this.#select('t.rowid = j.value', JSON.stringify(ids), keys);
    return packRows(this.#carefully(rowids, read, (id) => `row ${id}`));
  }

  /** The first records of a search as JSON, until they are enough. */
  async page(search: PageSearch): Promise<PackedPage> {
    const { fields, bytes, sort = [], skip = 0 } = search;
    const only = skip === 0 && search.after === undefined ? this.#onlyOne(search) : undefined;
    if (only !== undefined) return only;
    // Records with dicts are as large as the page soon; the ids of more would be read for nothing.
    const large = fields.some(({ column }) => TASK_COLUMNS[column] === 'dict');
    const limit = Math.min(search.limit ?? Number.POSITIVE_INFINITY, large ? MOST_ROWS : MOST_SMALL_ROWS);
    const rowids = await this.matches({ ...search, limit });
    const columns = [...new Set<TaskKey>(['msg_id', ...sort.map(({ field }) => field.column)])];
    const json: Uint8Array[] = [];
    let size = 0;
    let at = 0;
    let last: PackedRow | undefined;
    while (at < rowids.length && size < bytes) {
      if (at > 0) await pause();
      const enough = size === 0 ? FIRST_ROWS : Math.ceil(((bytes - size) * at) / size);
      const ids = rowids.slice(at, at + Math.min(enough, MOST_ROWS));
      at += ids.length;
      for (const part of this.#json(ids, fields, columns)) {
        json.push(part.json);
        size += part.json.byteLength;
        last = part.last;
      }
    }
    if (at === rowids.length && at < limit) return { json, last: undefined, columns };
    // None of these could be read: the page is what comes behind them.
    if (last === undefined) return this.page({ ...search, skip: skip + at });
    return { json, last: packRows([last]), columns };
  }

  /** The page of a question that names one id and no more than SQL says; undefined where it takes more. */
  #onlyOne({ query, fields }: PageSearch): PackedPage | undefined {
    if (!conjunctsOf(query).some(namesOne)) return undefined;
    const { where, residual } = compileQuery(query, this.#layout);
    if (residual !== undefined) return undefined;
    const { ones, one } = this.#prepared(fields);
    // The same text each time: its statement is found by it.
    let sql = ones.get(where.sql);
    if (sql === undefined) {
      sql = `${one} FROM ${this.#layout.table} t WHERE ${where.sql}`;
      if (ones.size < MOST_TEXTS) ones.set(where.sql, sql);
    }
    try {
      const row = this.#statements.row(sql, where.params) as [ArrayBuffer, number] | undefined;
      if (row === undefined) return { json: [], last: undefined, columns: [] };
      const json = row[1] === 0 ? soundJson(row[0]) : undefined;
      return json === undefined ? undefined : { json: [json], last: undefined, columns: [] };
    } catch {
      // What is wrong with it is found out with care.
      return undefined;
    }
  }

  #prepared(fields: readonly JsonField[]): PreparedFields {
    // Those of whole records are the same object each time.
    const known = this.#known.get(fields);
    if (known !== undefined) return known;
    const key = fields.map(({ name, column, optional }) => `${name} ${column} ${optional === true}`).join();
    let prepared = this.#selections.get(key);
    if (prepared === undefined) {
      const selection: JsonSelection = jsonSelection(this.#layout, fields);
      prepared = {
        many: `SELECT ${selectJson(selection)}`,
        one: `SELECT CAST(${selection.object} AS BLOB), ${selection.odd}`,
        ones: new Map(),
      };
      if (this.#selections.size >= MOST_TEXTS) this.#selections.clear();
      this.#selections.set(key, prepared);
    }
    this.#known.set(fields, prepared);
    return prepared;
  }

  #json(
    rowids: readonly number[],
    fields: readonly JsonField[],
    columns: readonly TaskKey[],
  ): readonly JsonPart[] {
    const { many } = this.#prepared(fields);
    const sql = `${many}, ${this.#layout.packed(columns)}
      FROM json_each(?) j CROSS JOIN ${this.#layout.table} t WHERE t.rowid = j.value`;
    try {
      const [row] = this.#statements.rows(sql, [JSON.stringify(rowids)]) as JsonRow[];
      if (row === undefined || row[1] === 0) return [];
      const json = row[2] === 0 ? soundJson(row[0]) : undefined;
      if (json !== undefined) return [{ json, last: [row[4], row[5], 0] }];
    } catch {
      // Read with care below, where what is wrong with which row is found out.
    }
    if (rowids.length <= CAREFUL_ROWS) return this.#carefulJson(rowids, fields, columns);
    // One odd row must not cost all the others their short way.
    const middle = rowids.length >> 1;
    return [rowids.slice(0, middle), rowids.slice(middle)].flatMap((half) =>
      this.#json(half, fields, columns),
    );
  }

  #carefulJson(
    rowids: readonly number[],
    fields: readonly JsonField[],
    columns: readonly TaskKey[],
  ): readonly JsonPart[] {
    const keys = [...new Set<TaskKey>([...columns, ...fields.map(({ column }) => column)])];
    return rowids.flatMap((rowid) => {
      for (const cells of cellsOf(this.rows([rowid], keys))) {
        try {
          const json = jsonOf(taskOf(keys, cells), fields);
          return this.#select('t.rowid = j.value', `[${rowid}]`, columns).map((last) => ({ json, last }));
        } catch (error) {
          const id = cells[0]?.toString('utf8');
          this.#onBadRow(id === undefined ? `row ${rowid}` : `the task ${id}`, messageOf(error));
        }
      }
      return [];
    });
  }

  /** The tasks of these ids that exist. */
  tasks(msgIds: readonly string[], keys: readonly TaskKey[]): PackedRows {
    const read = (ids: readonly string[]): PackedRow[] =>
      this.#select('t.msg_id = j.value', JSON.stringify(ids), keys);
    return packRows(this.#carefully(msgIds, read, (id) => `the task ${id}`));
  }

  /** All ids by the moment of submission, in all its digits. */
  history(): PackedRows {
    const { table } = this.#layout;
    const submitted = this.#layout.comparable('submitted');
    const sql = `SELECT ${this.#layout.packed(['msg_id'])}, t.rowid FROM ${table} t
      WHERE ${submitted} IS NOT NULL ORDER BY ${submitted}, t.submitted, t.msg_id`;
    return packRows(this.#statements.rows(sql).map(asPackedRow));
  }

  checkpoint(): void {
    this.#statements.rows('PRAGMA wal_checkpoint(PASSIVE)');
  }

  close(): void {
    this.#connection.close();
  }

  #select(condition: string, list: string, keys: readonly TaskKey[]): PackedRow[] {
    const sql = `SELECT ${this.#layout.packed(keys)}, t.rowid FROM json_each(?) j CROSS JOIN ${this.#layout.table} t
      WHERE ${condition}`;
    return this.#statements.rows(sql, [list]).map(asPackedRow);
  }

  // Where a page of the file is damaged, the rows beside it may still be read.
  #carefully<Id>(
    ids: readonly Id[],
    read: (ids: readonly Id[]) => PackedRow[],
    name: (id: Id) => string,
  ): PackedRow[] {
    try {
      return read(ids);
    } catch (error) {
      if (ids.length <= 1) {
        for (const id of ids) this.#onBadRow(name(id), messageOf(error));
        return [];
      }
    }
    return ids.flatMap((id) => this.#carefully([id], read, name));
  }

  async #filtered(
    rows: readonly number[],
    parts: readonly QueryNode[],
    skip: number,
    limit: number,
  ): Promise<number[]> {
    const found: number[] = [];
    for await (const { rowid } of this.#matching(rows, parts, [])) {
      if (found.push(rowid) >= skip + limit) break;
    }
    return found.slice(skip);
  }

  async #sorted(
    rows: readonly number[],
    parts: readonly QueryNode[],
    { sort = [], after }: Search,
    skip: number,
    limit: number,
  ): Promise<number[]> {
    const isAfter = after === undefined ? () => true : isAfterKeys<Row>(sort, after, readRow);
    const all: Row[] = [];
    const columns = sort.map(({ field }) => field.column);
    for await (const row of this.#matching(rows, parts, columns)) if (isAfter(row)) all.push(row);
    return sortRecords(all, sort, readRow)
      .slice(skip, skip + limit)
      .map(({ rowid }) => rowid);
  }

  async *#matching(
    rows: readonly number[],
    parts: readonly QueryNode[],
    columns: readonly TaskKey[],
  ): AsyncGenerator<Row> {
    const query: QueryNode = { kind: 'and', nodes: parts };
    const matches = compilePredicate<Row>(query, readRow);
    const keys = [...new Set<TaskKey>(['msg_id', ...columns, ...columnsOf(query)])];
    for (let at = 0; at < rows.length; at += STEP) {
      const ids = rows.slice(at, at + STEP);
      const found = this.#carefully(
        ids,
        (wanted) => this.#select('t.rowid = j.value', JSON.stringify(wanted), keys),
        (id) => `row ${id}`,
      );
      const packed = packRows(found);
      let i = 0;
      for (const cells of cellsOf(packed)) {
        const rowid = found[i++]?.[2] ?? 0;
        let row: Row;
        try {
          row = { rowid, task: taskOf(keys, cells), dates: {} };
        } catch (error) {
          this.#onBadRow(`row ${rowid}`, messageOf(error));
          continue;
        }
        if (matches(row)) yield row;
      }
      await pause();
    }
  }
}

function namesOne(node: QueryNode): boolean {
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

function both(
  a: { readonly sql: string; readonly params: readonly (string | null)[] },
  b: { readonly sql: string; readonly params: readonly (string | null)[] },
) {
  return { sql: `(${a.sql}) AND (${b.sql})`, params: [...a.params, ...b.params] };
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
