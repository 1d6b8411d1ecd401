import type { TaskKey } from '@ipyparallel-js/protocol';
import { conjunctsOf, type QueryNode, TASK_COLUMNS } from '@ipyparallel-js/protocol/internal';
import { messageOf } from '../../common/errors.js';
import { nextTurn } from '../../common/event-loop.js';
import type { JsonField } from '../task-database.js';
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
import { compileQuery } from './query-sql.js';
import { Statements } from './statements.js';
import type { OnUnreadableRow, Search, TaskReader } from './task-reader.js';

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

/** Reads pages of records as JSON, which SQLite builds. */
export class JsonPageReader {
  readonly #statements: Statements;
  readonly #layout: Layout;
  readonly #reader: TaskReader;
  readonly #onUnreadableRow: OnUnreadableRow;
  readonly #sqlByKey = new Map<string, FieldsSql>();
  readonly #sqlByFields = new WeakMap<readonly JsonField[], FieldsSql>();

  constructor(connection: Connection, layout: Layout, reader: TaskReader, onUnreadableRow: OnUnreadableRow) {
    this.#statements = new Statements(connection);
    this.#layout = layout;
    this.#reader = reader;
    this.#onUnreadableRow = onUnreadableRow;
  }

  /** Reads the first records of a search as JSON, until the page has its size. */
  async readPage(search: PageSearch): Promise<PackedPage> {
    const { fields, bytes, sort = [], skip = 0 } = search;
    const single = skip === 0 && search.after === undefined ? this.#readSingleRecord(search) : undefined;
    if (single !== undefined) return single;
    // Records with dicts fill the page soon, so do not search for more rowids than needed.
    const hasDicts = fields.some(({ column }) => TASK_COLUMNS[column] === 'dict');
    const limit = Math.min(search.limit ?? Number.POSITIVE_INFINITY, hasDicts ? MAX_ROWS : MAX_SMALL_ROWS);
    const rowids = await this.#reader.findRowids({ ...search, limit });
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
      // Decode the rows below to find the row and its error.
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
      for (const cells of unpackRows(this.#reader.readRows([rowid], keys))) {
        try {
          const json = encodeJson(decodeTask(keys, cells), fields);
          return this.#reader.selectRows([rowid], columns).map((last) => ({ json, last }));
        } catch (error) {
          const id = cells[0]?.toString('utf8');
          this.#onUnreadableRow(id === undefined ? `row ${rowid}` : `the task ${id}`, messageOf(error));
        }
      }
      return [];
    });
  }
}

function selectsOneId(node: QueryNode): boolean {
  if (node.kind !== 'test' || node.field.column !== 'msg_id' || node.field.path.length > 0) return false;
  const { comparison } = node;
  if (comparison.op === '$eq') return comparison.value !== null;
  return comparison.op === '$in' && comparison.values.length === 1 && comparison.values[0] !== null;
}
