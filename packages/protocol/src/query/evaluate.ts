import { type Dict, isDict, own } from '../dict.js';
import { InvalidQueryError } from '../errors.js';
import type { TaskKey } from '../task-record.js';
import { compileGlob } from './glob.js';
import type { Comparison, QueryNode } from './tree.js';
import { compareValues, equalValues } from './values.js';

/** Reads one column of a record; date columns must come as Dates (or null). */
export type ColumnReader<R> = (record: R, column: TaskKey) => unknown;

/** Whether a record matches. */
export type Predicate<R> = (record: R) => boolean;

/** Compiles a validated query to a predicate with MongoDB's meaning: nulls, missing fields and arrays included. */
export function compilePredicate<R>(node: QueryNode, read: ColumnReader<R>): Predicate<R> {
  if (node.kind !== 'test') {
    const predicates = node.nodes.map((child) => compilePredicate(child, read));
    if (node.kind === 'and') return (record) => predicates.every((matches) => matches(record));
    if (node.kind === 'or') return (record) => predicates.some((matches) => matches(record));
    return (record) => !predicates.some((matches) => matches(record));
  }
  const test = compileTest(node.comparison);
  const { column, path } = node.field;
  if (path.length === 0) return (record) => test(candidates(read(record, column)));
  return (record) => test(candidatesAt(read(record, column), path));
}

/** A predicate over records as {@link TaskRecord} has them (Dates in date columns). */
export function recordPredicate(node: QueryNode): Predicate<{ readonly [key: string]: unknown }> {
  return compilePredicate(node, (record, column) => own(record, column));
}

// A field stands for its value and, if that is an array, for each of its items as well. A missing field stands
// for `undefined`, which equals null and is ordered with null only.
type Candidates = readonly unknown[];

function candidates(value: unknown): Candidates {
  return Array.isArray(value) ? [value, ...value] : [value];
}

function candidatesAt(root: unknown, path: readonly string[]): Candidates {
  const found: unknown[] = [];
  collect(root, path, 0, found);
  return found;
}

function collect(value: unknown, path: readonly string[], at: number, found: unknown[]): void {
  if (at === path.length) {
    found.push(...candidates(value));
    return;
  }
  const step = path[at] as string;
  if (Array.isArray(value)) {
    // A number addresses an item; and every object in an array is looked into.
    if (/^(0|[1-9]\d{0,8})$/.test(step) && Number(step) < value.length)
      collect(value[Number(step)], path, at + 1, found);
    for (const item of value) {
      if (isDict(item)) collect(item, path, at, found);
    }
    return;
  }
  if (isDict(value) && Object.hasOwn(value, step)) {
    collect((value as Dict)[step], path, at + 1, found);
    return;
  }
  found.push(undefined);
}

function compileTest(comparison: Comparison): (values: Candidates) => boolean {
  switch (comparison.op) {
    case '$eq':
      return anyEqual(comparison.value);
    case '$ne': {
      const equal = anyEqual(comparison.value);
      return (values) => !equal(values);
    }
    case '$in':
      return anyListed(comparison.values);
    case '$nin': {
      const listed = anyListed(comparison.values);
      return (values) => !listed(values);
    }
    case '$gt':
      return anyOrdered(comparison.value, (order) => order > 0);
    case '$gte':
      return anyOrdered(comparison.value, (order) => order >= 0);
    case '$lt':
      return anyOrdered(comparison.value, (order) => order < 0);
    case '$lte':
      return anyOrdered(comparison.value, (order) => order <= 0);
    case '$glob': {
      const matches = compileGlob(comparison.pattern);
      return (values) => values.some((value) => typeof value === 'string' && matches(value));
    }
    case '$not': {
      const tests = comparison.comparisons.map(compileTest);
      return (values) => !tests.every((test) => test(values));
    }
    default:
      throw new InvalidQueryError(`${comparison.op} cannot be evaluated yet`);
  }
}

function anyEqual(wanted: unknown): (values: Candidates) => boolean {
  return (values) => values.some((value) => equalValues(value, wanted));
}

function anyOrdered(bound: unknown, accept: (order: number) => boolean): (values: Candidates) => boolean {
  return (values) =>
    values.some((value) => {
      const order = compareValues(value, bound);
      return order !== undefined && accept(order);
    });
}

function anyListed(wanted: readonly unknown[]): (values: Candidates) => boolean {
  // Texts and dates, the common case, by hash: a list of 5,000 must not be walked for every record.
  const keys = new Set<unknown>();
  const others: unknown[] = [];
  for (const value of wanted) {
    if (typeof value === 'string') keys.add(value);
    else if (value instanceof Date) keys.add(value.getTime());
    else others.push(value);
  }
  return (values) =>
    values.some((value) => {
      if (typeof value === 'string') return keys.has(value);
      if (value instanceof Date && keys.has(value.getTime())) return true;
      return others.some((other) => equalValues(value, other));
    });
}
