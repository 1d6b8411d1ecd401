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

/** A record with the columns that were asked for. */
export type Row = Partial<TaskRecord> & { readonly msg_id: string };

/** A validated question to the Task Database. */
export interface RecordQuery {
  readonly node: QueryNode;
  /** The keys of the answer; undefined for all but the buffers. */
  readonly keys: readonly ProjectedKey[] | undefined;
  readonly sort: Sort;
  readonly skip: number;
  /** Infinity for no limit. */
  readonly limit: number;
}

/** A validated record as it is handed out: its keys are those asked for. */
export type ProjectedRow = { readonly [key: string]: unknown };

/** The part of a question that says which of the matches are wanted, and in which order. */
export type Range = Pick<RecordQuery, 'sort' | 'skip' | 'limit'>;

/** Every match in the default order. */
export const WHOLE_RANGE: Range = { sort: parseSort(undefined), skip: 0, limit: Number.POSITIVE_INFINITY };

const FULL_KEYS: readonly ProjectedKey[] = TASK_KEYS.filter((key) => TASK_COLUMNS[key] !== 'buffers').map(
  (column) => ({ name: column, column }),
);

/** Validates `sort`, `skip` and `limit`. @throws InvalidQueryError */
export function parseRange(options: {
  readonly sort?: unknown;
  readonly skip?: unknown;
  readonly limit?: unknown;
}): Range {
  return {
    sort: parseSort(options.sort),
    skip: wholeNumber('skip', options.skip, 0, WHOLE_RANGE.skip),
    limit: wholeNumber('limit', options.limit, 1, WHOLE_RANGE.limit),
  };
}

function wholeNumber(name: string, value: unknown, least: number, otherwise: number): number {
  if (value === undefined || value === Number.POSITIVE_INFINITY) return otherwise;
  if (Number.isSafeInteger(value) && Number(value) >= least) return Number(value);
  throw new InvalidQueryError(`${name} is a whole number, ${least} or more; not ${String(value)}`);
}

/** The columns of the answer. */
export function columnsAsked({ keys }: Pick<RecordQuery, 'keys'>): TaskKey[] {
  return (keys ?? FULL_KEYS).map(({ column }) => column);
}

/** The columns that a sort reads. */
export function columnsOfSort(sort: Sort): TaskKey[] {
  return sort.map(({ field }) => field.column);
}

/** A column of a row, for sorts. */
export const readRow = (row: Row, column: TaskKey): unknown => getOwn(row, column);

/** Rows with just the keys asked for, under the names asked for. */
export function projectAll(
  rows: readonly Row[],
  { keys = FULL_KEYS }: Pick<RecordQuery, 'keys'>,
): ProjectedRow[] {
  // Rows that hold just what was asked for, under its own names, are the answer as they are.
  const [first] = rows;
  const same = keys.every(({ name, column }) => name === column);
  if (first !== undefined && same && Object.keys(first).length === keys.length) return [...rows];
  return rows.map((row) => projectRecord(row, keys));
}

/** The query for records by id. */
export function byIds(ids: readonly string[]): QueryNode {
  return {
    kind: 'test',
    field: { name: 'msg_id', column: 'msg_id', path: [] },
    comparison: { op: '$in', values: ids },
  };
}
