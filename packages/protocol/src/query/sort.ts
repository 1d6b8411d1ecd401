import { clip, describe } from '../common/describe.js';
import { isDict } from '../common/dict.js';
import { InvalidQueryError } from '../common/errors.js';
import { TASK_COLUMNS } from '../tasks/task-record.js';
import type { ColumnReader, Predicate } from './evaluate.js';
import { parseField } from './field.js';
import { isPosition } from './paths.js';
import type { Comparison, Field, QueryNode } from './tree.js';
import { compareAnyType } from './values.js';

/** One field that records are sorted by. */
export interface SortField {
  readonly field: Field;
  readonly descending: boolean;
}

/** A sort order. It always ends with `msg_id`, so that no two records are equal. */
export type Sort = readonly SortField[];

/** The maximum number of fields, the limit of MongoDB. */
const MAX_FIELDS = 32;

const column = (name: 'submitted' | 'msg_id'): SortField => ({
  field: { name, column: name, path: [] },
  descending: false,
});

/** The default sort: by `submitted`, nulls first, then by `msg_id`. */
export const DEFAULT_SORT: Sort = [column('submitted'), column('msg_id')];

/**
 * Validates a sort such as `{ completed: -1 }` or `[['completed', -1], …]`, and adds `msg_id` to break ties. Without a
 * sort, returns {@link DEFAULT_SORT}.
 * @throws {InvalidQueryError} when the sort is invalid
 */
export function parseSort(sort: unknown): Sort {
  if (sort === undefined || sort === null) return DEFAULT_SORT;
  const pairs = isDict(sort) ? Object.entries(sort) : sort;
  if (!Array.isArray(pairs)) {
    throw new InvalidQueryError(
      `sort must be an object like { completed: -1 } or an array of pairs, got ${describe(sort)}`,
    );
  }
  if (pairs.length > MAX_FIELDS)
    throw new InvalidQueryError(`sort must have at most ${MAX_FIELDS} keys, got ${pairs.length}`);
  const fields = new Map<string, SortField>();
  for (const pair of Array.from(pairs as unknown[])) {
    if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== 'string')
      throw new InvalidQueryError(
        `every item of sort must be a pair like ['completed', -1], got ${describe(pair)}`,
      );
    const [name, direction] = pair as [string, unknown];
    if (name.startsWith('$'))
      throw new InvalidQueryError(`sort keys must be TaskRecord keys or paths, got "${clip(name)}"`);
    const field = parseField(name);
    if (direction !== 1 && direction !== -1) {
      throw new InvalidQueryError(
        `the sort of "${clip(name)}" must be 1 (ascending) or -1 (descending), got ${describe(direction)}`,
      );
    }
    if (fields.has(field.name)) throw new InvalidQueryError(`sort has the key "${clip(field.name)}" twice`);
    const kind = TASK_COLUMNS[field.column];
    if (kind === 'buffers') throw new InvalidQueryError(`cannot sort by "${name}", because it holds buffers`);
    if (kind === 'dict' && field.path.length === 0)
      throw new InvalidQueryError(`cannot sort by "${name}", because it is a dict; sort by a path inside it`);
    fields.set(field.name, { field, descending: direction === -1 });
  }
  if (fields.size === 0) return DEFAULT_SORT;
  return endWithId([...fields.values()]);
}

// Fields after `msg_id` are dropped, because `msg_id` is unique.
function endWithId(fields: readonly SortField[]): Sort {
  const at = fields.findIndex(({ field }) => field.name === 'msg_id');
  return at === -1 ? [...fields, column('msg_id')] : fields.slice(0, at + 1);
}

/** Converts a sort to the pairs of a message, which {@link parseSort} reads. */
export function toWireSort(sort: Sort): [string, 1 | -1][] {
  return sort.map(({ field, descending }) => [field.name, descending ? -1 : 1]);
}

/**
 * The sort keys of a record: one value for each field of the sort. A missing value is null. An empty list is undefined,
 * because MongoDB sorts it before null.
 */
export type SortKeys = readonly unknown[];

/** Creates a function that reads the sort keys of a record; `read` must return Dates or null for date columns. */
export function sortKeyReader<R>(sort: Sort, read: ColumnReader<R>): (record: R) => SortKeys {
  return (record) =>
    sort.map(({ field, descending }) => {
      const value = read(record, field.column);
      if (field.path.length === 0) return value ?? null;
      return keyAt(value, field.path, descending);
    });
}

/** Compares sort keys: nulls first (last in a descending field), dates to the millisecond, strings by code point. */
export function compareSortKeys(sort: Sort): (a: SortKeys, b: SortKeys) => number {
  const descending = sort.map((field) => field.descending);
  return (a, b) => {
    for (let i = 0; i < descending.length; i++) {
      const order = compareKey(a[i], b[i]);
      if (order !== 0) return descending[i] === true ? -order : order;
    }
    return 0;
  };
}

/** Compares records. To sort a long list, use {@link sortRecords}, which reads each record only once. */
export function compareRecords<R>(sort: Sort, read: ColumnReader<R>): (a: R, b: R) => number {
  const keysOf = sortKeyReader(sort, read);
  const compare = compareSortKeys(sort);
  return (a, b) => compare(keysOf(a), keysOf(b));
}

/** Returns a sorted copy. */
export function sortRecords<R>(records: Iterable<R>, sort: Sort, read: ColumnReader<R>): R[] {
  const keysOf = sortKeyReader(sort, read);
  const compare = compareSortKeys(sort);
  const rows = Array.from(records, (record) => {
    const keys = keysOf(record);
    return { record, keys, first: timeOf(keys[0]) };
  });
  // Fast path: the first field is nearly always a date, and comparing its time is faster.
  if (rows.some(({ first }) => first === undefined)) rows.sort((a, b) => compare(a.keys, b.keys));
  else {
    const sign = sort[0]?.descending === true ? -1 : 1;
    rows.sort((a, b) => {
      const x = a.first as number;
      const y = b.first as number;
      return x === y ? compare(a.keys, b.keys) : x < y ? -sign : sign;
    });
  }
  return rows.map(({ record }) => record);
}

function timeOf(key: unknown): number | undefined {
  if (key instanceof Date) return key.getTime();
  return key === null ? Number.NEGATIVE_INFINITY : undefined;
}

/** Compiles a predicate for the records after a position in the sort. The position need not be that of a record. */
export function isAfterKeys<R>(sort: Sort, keys: SortKeys, read: ColumnReader<R>): Predicate<R> {
  const keysOf = sortKeyReader(sort, read);
  const compare = compareSortKeys(sort);
  return (record) => compare(keysOf(record), keys) > 0;
}

/**
 * The query for the records after a position in the sort, for a store or a stock hub; undefined when the sort has a path,
 * because values at a path may be of any type.
 */
export function afterQuery(sort: Sort, keys: SortKeys): QueryNode | undefined {
  if (sort.some(({ field }) => field.path.length > 0)) return undefined;
  const alternatives: QueryNode[] = [];
  const equal: QueryNode[] = [];
  sort.forEach(({ field, descending }, i) => {
    const value = keys[i] ?? null;
    const test = (comparison: Comparison): QueryNode => ({ kind: 'test', field, comparison });
    let afterTest: QueryNode | undefined;
    if (!descending) afterTest = test(value === null ? { op: '$ne', value } : { op: '$gt', value });
    else if (value !== null) {
      const less = test({ op: '$lt', value });
      afterTest =
        field.name === 'msg_id' ? less : { kind: 'or', nodes: [less, test({ op: '$eq', value: null })] };
    }
    if (afterTest !== undefined) alternatives.push({ kind: 'and', nodes: [...equal, afterTest] });
    equal.push(test({ op: '$eq', value }));
  });
  return { kind: 'or', nodes: alternatives };
}

function compareKey(a: unknown, b: unknown): number {
  if (a === undefined || b === undefined) return a === b ? 0 : a === undefined ? -1 : 1;
  return compareAnyType(a, b);
}

// A list sorts by its smallest item, in a descending field by its greatest. The same applies to several values at a path.
function keyAt(value: unknown, path: readonly string[], descending: boolean): unknown {
  let key: unknown;
  let found = false;
  for (const candidate of valuesAt(value, path, 0)) {
    const order = found ? compareKey(candidate, key) : -1;
    if (!found || (descending ? order > 0 : order < 0)) key = candidate;
    found = true;
  }
  return found ? key : null;
}

function* valuesAt(value: unknown, path: readonly string[], at: number): Generator<unknown> {
  const step = path[at];
  if (Array.isArray(value)) {
    if (step === undefined) {
      if (value.length === 0) yield undefined;
      else yield* value.map((item: unknown) => item ?? null);
    } else if (isPosition(step, value)) yield* valuesAt(value[Number(step)], path, at + 1);
    else for (const item of value) yield* isDict(item) ? valuesAt(item, path, at) : [null];
  } else if (step === undefined) yield value ?? null;
  else if (isDict(value) && Object.hasOwn(value, step)) yield* valuesAt(value[step], path, at + 1);
  else yield null;
}
