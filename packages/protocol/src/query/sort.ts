import { isDict } from '../common/dict.js';
import { InvalidQueryError } from '../common/errors.js';
import { TASK_COLUMNS } from '../tasks/task-record.js';
import { clip, describe } from './describe.js';
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

/** The order of an answer. It always ends with `msg_id`, so no two records are equal in it. */
export type Sort = readonly SortField[];

/** As many fields as MongoDB allows. */
const MAX_FIELDS = 32;

const column = (name: 'submitted' | 'msg_id'): SortField => ({
  field: { name, column: name, path: [] },
  descending: false,
});

/** The order of an answer when none is asked for: by `submitted`, unknown ones first, then by `msg_id`. */
export const DEFAULT_SORT: Sort = [column('submitted'), column('msg_id')];

/**
 * Validates a sort: `{ completed: -1 }` or `[['completed', -1], …]`, 1 or -1 for each key or path; nothing for the
 * default order. `msg_id` is added to break ties.
 * @throws InvalidQueryError
 */
export function parseSort(sort: unknown): Sort {
  if (sort === undefined || sort === null) return DEFAULT_SORT;
  const pairs = isDict(sort) ? Object.entries(sort) : sort;
  if (!Array.isArray(pairs)) {
    throw new InvalidQueryError(
      `a sort is an object like { completed: -1 } or a list of pairs, not ${describe(sort)}`,
    );
  }
  if (pairs.length > MAX_FIELDS)
    throw new InvalidQueryError(`a sort has ${pairs.length} keys, more than ${MAX_FIELDS}`);
  const fields = new Map<string, SortField>();
  for (const pair of Array.from(pairs as unknown[])) {
    if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== 'string')
      throw new InvalidQueryError("a sort as a list holds pairs like ['completed', -1]");
    const [name, direction] = pair as [string, unknown];
    if (name.startsWith('$')) throw new InvalidQueryError(`"${clip(name)}" is no key to sort by`);
    const field = parseField(name);
    if (direction !== 1 && direction !== -1) {
      throw new InvalidQueryError(
        `the sort of "${clip(name)}" is 1 (ascending) or -1 (descending), not ${describe(direction)}`,
      );
    }
    if (fields.has(field.name)) throw new InvalidQueryError(`the sort names "${clip(field.name)}" twice`);
    const kind = TASK_COLUMNS[field.column];
    if (kind === 'buffers') throw new InvalidQueryError(`"${name}" holds buffers, which have no order`);
    if (kind === 'dict' && field.path.length === 0)
      throw new InvalidQueryError(`"${name}" is a dict; sort by a path inside it`);
    fields.set(field.name, { field, descending: direction === -1 });
  }
  if (fields.size === 0) return DEFAULT_SORT;
  return endWithId([...fields.values()]);
}

// What comes after `msg_id` decides nothing.
function endWithId(fields: readonly SortField[]): Sort {
  const at = fields.findIndex(({ field }) => field.name === 'msg_id');
  return at === -1 ? [...fields, column('msg_id')] : fields.slice(0, at + 1);
}

/** A sort as it travels: pairs that {@link parseSort} reads. */
export function toWireSort(sort: Sort): [string, 1 | -1][] {
  return sort.map(({ field, descending }) => [field.name, descending ? -1 : 1]);
}

/**
 * What a record is sorted by: one value for each field of the sort. A missing value is null; an empty list, which
 * MongoDB sorts before null, is undefined.
 */
export type SortKeys = readonly unknown[];

/** Reads the keys of a record; date columns must come as Dates (or null). */
export function sortKeyReader<R>(sort: Sort, read: ColumnReader<R>): (record: R) => SortKeys {
  return (record) =>
    sort.map(({ field, descending }) => {
      const value = read(record, field.column);
      if (field.path.length === 0) return value ?? null;
      return keyAt(value, field.path, descending);
    });
}

/** Orders keys: nulls first (last where a field descends), dates at the millisecond, texts by code point. */
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

/** Orders records of one sort; for a long list, {@link sortRecords} reads each record once only. */
export function compareRecords<R>(sort: Sort, read: ColumnReader<R>): (a: R, b: R) => number {
  const keysOf = sortKeyReader(sort, read);
  const compare = compareSortKeys(sort);
  return (a, b) => compare(keysOf(a), keysOf(b));
}

/** A sorted copy. */
export function sortRecords<R>(records: Iterable<R>, sort: Sort, read: ColumnReader<R>): R[] {
  const keysOf = sortKeyReader(sort, read);
  const compare = compareSortKeys(sort);
  const rows = Array.from(records, (record) => {
    const keys = keysOf(record);
    return { record, keys, first: momentOf(keys[0]) };
  });
  // Nearly always dates come first, and numbers are quicker to compare.
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

function momentOf(key: unknown): number | undefined {
  if (key instanceof Date) return key.getTime();
  return key === null ? Number.NEGATIVE_INFINITY : undefined;
}

/** The records that come after a place in the order, whether or not a record is (still) there. */
export function isAfterKeys<R>(sort: Sort, keys: SortKeys, read: ColumnReader<R>): Predicate<R> {
  const keysOf = sortKeyReader(sort, read);
  const compare = compareSortKeys(sort);
  return (record) => compare(keysOf(record), keys) > 0;
}

/**
 * The same as a query, which a store or a stock hub can be asked like any other; undefined for a sort by paths, whose
 * values may be of any type.
 */
export function afterQuery(sort: Sort, keys: SortKeys): QueryNode | undefined {
  if (sort.some(({ field }) => field.path.length > 0)) return undefined;
  const ways: QueryNode[] = [];
  const equal: QueryNode[] = [];
  sort.forEach(({ field, descending }, i) => {
    const value = keys[i] ?? null;
    const test = (comparison: Comparison): QueryNode => ({ kind: 'test', field, comparison });
    let beyond: QueryNode | undefined;
    if (!descending) beyond = test(value === null ? { op: '$ne', value } : { op: '$gt', value });
    else if (value !== null) {
      const less = test({ op: '$lt', value });
      beyond =
        field.name === 'msg_id' ? less : { kind: 'or', nodes: [less, test({ op: '$eq', value: null })] };
    }
    if (beyond !== undefined) ways.push({ kind: 'and', nodes: [...equal, beyond] });
    equal.push(test({ op: '$eq', value }));
  });
  return { kind: 'or', nodes: ways };
}

function compareKey(a: unknown, b: unknown): number {
  if (a === undefined || b === undefined) return a === b ? 0 : a === undefined ? -1 : 1;
  return compareAnyType(a, b);
}

// A list sorts by its least item, or its greatest where the field descends; as do all values that a path meets.
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
