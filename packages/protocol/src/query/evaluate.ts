import { type Dict, getOwn, isDict } from '../common/dict.js';
import type { TaskKey } from '../tasks/task-record.js';
import { compileGlob } from './glob.js';
import { listTest } from './list-test.js';
import { isPosition } from './paths.js';
import { compileRegex } from './regex.js';
import type { Comparison, ElementNode, QueryNode } from './tree.js';
import { bsonType, typeSet } from './type-names.js';
import { compareValues } from './values.js';

/** Reads one column of a record; it must return a Date or null for a date column. */
export type ColumnReader<R> = (record: R, column: TaskKey) => unknown;

/** Whether a record matches. */
export type Predicate<R> = (record: R) => boolean;

/** Compiles a validated query to a predicate with MongoDB's semantics, including those of null, missing fields and arrays. */
export function compilePredicate<R>(node: QueryNode, read: ColumnReader<R>): Predicate<R> {
  if (node.kind !== 'test')
    return junction(
      node.kind,
      node.nodes.map((child) => compilePredicate(child, read)),
    );
  const { column, path } = node.field;
  const test = compileField(node.comparison, path.length === 0 ? someAtColumn : someAtPath(path));
  return (record) => test(read(record, column));
}

/** Compiles a predicate for {@link TaskRecord}s, with Dates in the date columns. */
export function recordPredicate(node: QueryNode): Predicate<{ readonly [key: string]: unknown }> {
  return compilePredicate(node, (record, column) => getOwn(record, column));
}

function junction<R>(kind: 'and' | 'or' | 'nor', tests: readonly Predicate<R>[]): Predicate<R> {
  const [only] = tests;
  if (only !== undefined && tests.length === 1) return kind === 'nor' ? (record) => !only(record) : only;
  const expected = kind === 'and';
  const defaultResult = kind !== 'or';
  // The first test that fails decides an `and`; the first that passes decides an `or` or `nor`.
  return (record) => {
    for (const test of tests) if (test(record) !== expected) return !defaultResult;
    return defaultResult;
  };
}

/** A test of one value; a missing field is `undefined`. */
type ValueTest = (value: unknown) => boolean;

/**
 * Whether any value of a field passes the test. If `items` is set and the value is an array, its items are tested as
 * well as the array itself.
 */
type SomeValue = (root: unknown, test: ValueTest, items: boolean) => boolean;

const someAtColumn: SomeValue = (root, test, items) => {
  if (items && Array.isArray(root)) return root.some(test) || test(root);
  return test(root);
};

function someAtPath(path: readonly string[]): SomeValue {
  return (root, test, items) => someAt(root, path, 0, test, items);
}

function someAt(
  value: unknown,
  path: readonly string[],
  at: number,
  test: ValueTest,
  items: boolean,
): boolean {
  if (at === path.length) return someAtColumn(value, test, items);
  const step = path[at] as string;
  if (Array.isArray(value)) {
    // A number selects an item by position. The path also continues in every object of the array.
    if (isPosition(step, value)) {
      const item: unknown = value[Number(step)];
      if (at + 1 === path.length) {
        if (test(item)) return true;
      } else if ((isDict(item) || Array.isArray(item)) && someAt(item, path, at + 1, test, items)) {
        return true;
      }
    }
    for (const item of value) if (isDict(item) && someAt(item, path, at, test, items)) return true;
    return false;
  }
  if (isDict(value) && Object.hasOwn(value, step)) {
    return someAt((value as Dict)[step], path, at + 1, test, items);
  }
  return test(undefined);
}

// `$elemMatch` treats an array inside an array as an object whose keys are the positions.
function someAtItem(path: readonly string[]): SomeValue {
  const [first = ''] = path;
  return (root, test, items) => {
    if (!Array.isArray(root)) return someAt(root, path, 0, test, items);
    return isPosition(first, root) ? someAt(root[Number(first)], path, 1, test, items) : test(undefined);
  };
}

/** Compiles a comparison of a field: any of its values must pass, or for a negated operator, none of them may. */
function compileField(comparison: Comparison, some: SomeValue): ValueTest {
  switch (comparison.op) {
    case '$ne':
      return none(some, equalTo(comparison.value));
    case '$nin':
      return none(some, listTest(comparison.values));
    case '$not': {
      const test = every(comparison.comparisons.map((inner) => compileField(inner, some)));
      return (root) => !test(root);
    }
    case '$all':
      if (comparison.values.length === 0) return () => false;
      return every(comparison.values.map((value) => any(some, equalTo(value), true)));
    case '$exists':
      return comparison.value ? any(some, isPresent, true) : none(some, isPresent);
    case '$size':
    case '$elemMatch':
      return any(some, compileValue(comparison), false);
    default:
      return any(some, compileValue(comparison), true);
  }
}

function any(some: SomeValue, test: ValueTest, items: boolean): ValueTest {
  return (root) => some(root, test, items);
}

function none(some: SomeValue, test: ValueTest): ValueTest {
  return (root) => !some(root, test, true);
}

function every(tests: readonly ValueTest[]): ValueTest {
  return junction('and', tests);
}

/** Compiles a comparison of one value; the items of an array are not tested. */
function compileValue(comparison: Comparison): ValueTest {
  switch (comparison.op) {
    case '$eq':
      return equalTo(comparison.value);
    case '$ne':
      return not(equalTo(comparison.value));
    case '$gt':
    case '$gte':
    case '$lt':
    case '$lte':
      return ordered(comparison.op, comparison.value);
    case '$in':
      return listTest(comparison.values);
    case '$nin':
      return not(listTest(comparison.values));
    case '$glob': {
      const matches = compileGlob(comparison.pattern);
      return (value) => typeof value === 'string' && matches(value);
    }
    case '$regex': {
      const regex = compileRegex(comparison.pattern, comparison.flags);
      return (value) => typeof value === 'string' && regex.test(value);
    }
    case '$exists':
      return comparison.value ? isPresent : not(isPresent);
    case '$mod':
      return hasRemainder(comparison.divisor, comparison.remainder);
    case '$all':
      if (comparison.values.length === 0) return () => false;
      return every(comparison.values.map(equalTo));
    case '$size':
      return (value) => Array.isArray(value) && value.length === comparison.size;
    case '$type': {
      const types = typeSet(comparison.types);
      return (value) => {
        const type = bsonType(value);
        return type !== undefined && types.has(type);
      };
    }
    case '$elemMatch': {
      const test =
        'element' in comparison
          ? elementTest(comparison.element)
          : every(comparison.comparisons.map(compileValue));
      return (value) => Array.isArray(value) && value.some(test);
    }
    case '$not':
      return not(every(comparison.comparisons.map(compileValue)));
  }
}

function elementTest(node: ElementNode): ValueTest {
  const test = compileElement(node);
  return (item) => (isDict(item) || Array.isArray(item)) && test(item);
}

function compileElement(node: ElementNode): ValueTest {
  if (node.kind !== 'test') return junction(node.kind, node.nodes.map(compileElement));
  return compileField(node.comparison, someAtItem(node.path));
}

const isPresent: ValueTest = (value) => value !== undefined;

function not(test: ValueTest): ValueTest {
  return (value) => !test(value);
}

function equalTo(expected: unknown): ValueTest {
  if (expected === null) return (value) => value === null || value === undefined;
  if (typeof expected === 'string' || typeof expected === 'boolean') return (value) => value === expected;
  return (value) => compareValues(value, expected) === 0;
}

function ordered(op: '$gt' | '$gte' | '$lt' | '$lte', bound: unknown): ValueTest {
  const less = op === '$lt' || op === '$lte';
  const equal = op === '$gte' || op === '$lte';
  return (value) => {
    const order = compareValues(value, bound);
    if (order === undefined) return false;
    if (order === 0) return equal;
    // compareValues orders NaN for sorting, but NaN is neither less nor greater than any number.
    return order < 0 === less && !Number.isNaN(value) && !Number.isNaN(bound);
  };
}

const INT64_BOUND = 2 ** 63;

// As in C, fractions are truncated and the remainder has the sign of the value.
function hasRemainder(divisor: number, remainder: number): ValueTest {
  return (value) => {
    if (typeof value === 'bigint') {
      return (
        value >= -BigInt(INT64_BOUND) &&
        value < BigInt(INT64_BOUND) &&
        value % BigInt(divisor) === BigInt(remainder)
      );
    }
    if (typeof value !== 'number' || !(value >= -INT64_BOUND && value < INT64_BOUND)) return false;
    return (Math.trunc(value) % divisor) + 0 === remainder;
  };
}
