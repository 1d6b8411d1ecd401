import { InvalidQueryError } from '../common/errors.js';
import { type ColumnKind, TASK_COLUMNS, type TaskKey } from '../tasks/task-record.js';
import { listTest } from './list-test.js';
import type { Comparison, Field } from './tree.js';
import { typeSet } from './type-names.js';
import { equalValues } from './values.js';

/** MongoDB's type of a column's values. */
const TYPES: { readonly [K in ColumnKind]: string } = {
  text: 'string',
  date: 'date',
  dict: 'object',
  buffers: 'array',
};

/**
 * Columns that the records of some hubs do not have. A reply does not distinguish missing from null, so null counts as
 * missing. Every other column exists in each record, as in the documents of ipyparallel's MongoDB backend.
 */
const OPTIONAL_COLUMNS: ReadonlySet<TaskKey> = new Set(['label', 'display_data']);

const MATCH_ALL: Comparison = { op: '$nin', values: [] };
const MATCH_NONE: Comparison = { op: '$in', values: [] };
const IS_NULL: Comparison = { op: '$eq', value: null };
const IS_NOT_NULL: Comparison = { op: '$ne', value: null };

/**
 * Rewrites a comparison of a column with the operators that every store supports. The type of a column is known, so
 * `$exists`, `$type` and `$all` become tests for null or equality.
 * @throws {InvalidQueryError} for an operator that can never match a column
 */
export function columnComparison({ name, column }: Field, comparison: Comparison): Comparison {
  const kind = TASK_COLUMNS[column];
  switch (comparison.op) {
    case '$exists':
      if (OPTIONAL_COLUMNS.has(column)) return comparison.value ? IS_NOT_NULL : IS_NULL;
      return comparison.value ? MATCH_ALL : MATCH_NONE;
    case '$type': {
      const types = typeSet(comparison.types);
      const matchesValues = types.has(TYPES[kind]);
      const matchesNull = types.has('null') && !OPTIONAL_COLUMNS.has(column);
      if (matchesValues) return matchesNull ? MATCH_ALL : IS_NOT_NULL;
      return matchesNull ? IS_NULL : MATCH_NONE;
    }
    case '$all': {
      const [first, ...more] = comparison.values;
      if (comparison.values.length === 0 || more.some((value) => !equalValues(value, first)))
        return MATCH_NONE;
      return { op: '$eq', value: first };
    }
    case '$mod':
    case '$size':
    case '$elemMatch':
      throw new InvalidQueryError(
        `${comparison.op} cannot be used on "${name}", which holds ${kind === 'buffers' ? 'buffers' : `a ${kind}`}, never ${
          comparison.op === '$mod' ? 'a number' : 'a list that a query can search'
        }; use it on a path inside a dict, for example "result_content.data"`,
      );
    default:
      return comparison;
  }
}

/**
 * Merges all equality tests of one column into at most one `$in` and one `$nin`. This is exact because a column holds a
 * single value, and necessary inside `$not`, whose object can hold each operator only once.
 */
export function mergeEquality(comparisons: readonly Comparison[]): Comparison[] {
  let included: readonly unknown[] | undefined;
  let excluded: readonly unknown[] | undefined;
  const otherComparisons: Comparison[] = [];
  for (const comparison of comparisons) {
    if (!('values' in comparison) && comparison.op !== '$eq' && comparison.op !== '$ne') {
      otherComparisons.push(comparison);
      continue;
    }
    const values = 'values' in comparison ? comparison.values : [comparison.value];
    if (comparison.op === '$eq' || comparison.op === '$in') {
      included = included === undefined ? values : included.filter(listTest(values));
    } else {
      excluded = [...(excluded ?? []), ...values];
    }
  }
  return [
    ...otherComparisons,
    ...(included === undefined ? [] : [{ op: '$in', values: included } as const]),
    ...(excluded === undefined ? [] : [{ op: '$nin', values: excluded } as const]),
  ];
}
