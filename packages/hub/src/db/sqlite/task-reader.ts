import type { TaskKey } from '@ipyparallel-js/protocol';
import {
  columnsOf,
  compilePredicate,
  isAfterKeys,
  type QueryNode,
  type Sort,
  type SortKeys,
  sortRecords,
  TASK_COLUMNS,
} from '@ipyparallel-js/protocol/internal';
import { messageOf } from '../../common/errors.js';
import { nextTurn } from '../../common/event-loop.js';
import type { FoundTask } from '../task-database.js';
import type { Connection } from './driver.js';
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
    const read = (ids: readonly number[]): PackedRow[] => this.selectRows(ids, keys);
    return packRows(this.#readSeparately(rowids, read, (id) => `row ${id}`));
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

  /** Selects rows by their rowids. @throws the driver's error if one of them cannot be read */
  selectRows(rowids: readonly number[], keys: readonly TaskKey[]): PackedRow[] {
    return this.#selectCells('t.rowid = j.value', JSON.stringify(rowids), keys);
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
        (rowids) => this.selectRows(rowids, keys),
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
