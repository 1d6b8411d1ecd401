import { InvalidQueryError, type TaskKey, type TaskRecord } from '@ipyparallel-js/protocol';
import {
  getOwn,
  type ProjectedKey,
  parseSort,
  projectRecord,
  type QueryNode,
  type Sort,
  TASK_COLUMNS,
  TASK_KEYS,
} from '@ipyparallel-js/protocol/internal';

/** A record with the requested columns. */
export type Row = Partial<TaskRecord> & { readonly msg_id: string };

/** A validated query of the Task Database. */
export interface RecordQuery {
  readonly node: QueryNode;
  /** The keys to return; undefined for all except the buffers. */
  readonly keys: readonly ProjectedKey[] | undefined;
  readonly sort: Sort;
  readonly skip: number;
  /** Infinity for no limit. */
  readonly limit: number;
}

/** A record as the user receives it: with the requested keys only. */
export type ProjectedRow = { readonly [key: string]: unknown };

/** The part of a query that selects among the matches and orders them. */
export type Range = Pick<RecordQuery, 'sort' | 'skip' | 'limit'>;

/** Every match in the default order. */
export const FULL_RANGE: Range = { sort: parseSort(undefined), skip: 0, limit: Number.POSITIVE_INFINITY };

const FULL_KEYS: readonly ProjectedKey[] = TASK_KEYS.filter((key) => TASK_COLUMNS[key] !== 'buffers').map(
  (column) => ({ name: column, column }),
);

/**
 * Validates `sort`, `skip` and `limit`.
 * @throws {InvalidQueryError} when one of them is malformed
 */
export function parseRange(options: {
  readonly sort?: unknown;
  readonly skip?: unknown;
  readonly limit?: unknown;
}): Range {
  return {
    sort: parseSort(options.sort),
    skip: parseCount('skip', options.skip, 0, FULL_RANGE.skip),
    limit: parseCount('limit', options.limit, 1, FULL_RANGE.limit),
  };
}

function parseCount(name: string, value: unknown, min: number, fallback: number): number {
  if (value === undefined || value === Number.POSITIVE_INFINITY) return fallback;
  if (Number.isSafeInteger(value) && Number(value) >= min) return Number(value);
  throw new InvalidQueryError(`${name} must be an integer >= ${min}, got ${String(value)}`);
}

/** Whether a query has neither `skip` nor `limit`. */
export function isUnlimited({ skip, limit }: RecordQuery): boolean {
  return skip === FULL_RANGE.skip && limit === FULL_RANGE.limit;
}

/** The columns that a query returns. */
export function requestedColumns({ keys }: Pick<RecordQuery, 'keys'>): TaskKey[] {
  return (keys ?? FULL_KEYS).map(({ column }) => column);
}

/** The columns that a sort reads. */
export function columnsOfSort(sort: Sort): TaskKey[] {
  return sort.map(({ field }) => field.column);
}

/** Columns as the keys of a query, under their own names. */
export function keysOf(columns: readonly TaskKey[]): ProjectedKey[] {
  return columns.map((column) => ({ name: column, column }));
}

/** Reads a column of a row, for sorting. */
export const readColumn = (row: Row, column: TaskKey): unknown => getOwn(row, column);

/** Cuts rows to the requested keys and renames the keys as requested. */
export function projectRows(
  rows: readonly Row[],
  { keys = FULL_KEYS }: Pick<RecordQuery, 'keys'>,
): ProjectedRow[] {
  // Rows that hold exactly the requested columns under their own names need no projection.
  const [first] = rows;
  const keepsNames = keys.every(({ name, column }) => name === column);
  if (first !== undefined && keepsNames && Object.keys(first).length === keys.length) return [...rows];
  return rows.map((row) => projectRecord(row, keys));
}

/** The condition that selects records by id. */
export function byIds(ids: readonly string[]): QueryNode {
  return {
    kind: 'test',
    field: { name: 'msg_id', column: 'msg_id', path: [] },
    comparison: { op: '$in', values: ids },
  };
}
