import { InvalidQueryError } from '../common/errors.js';
import { type ColumnKind, TASK_COLUMNS, type TaskKey } from '../tasks/task-record.js';
import { listTest } from './list-test.js';
import type { Comparison, Field } from './tree.js';
import { typeSet } from './type-names.js';
import { equalValues } from './values.js';

const TYPES: { readonly [K in ColumnKind]: string } = {
  text: 'string',
  date: 'date',
  dict: 'object',
  buffers: 'array',
};

/**
 * Columns that some hubs' records do not have at all; a reply cannot tell them from null, so null counts as missing.
 * Every other column is in each record, null or not, as in the documents of ipyparallel's MongoDB backend.
 */
const MAY_BE_MISSING: ReadonlySet<TaskKey> = new Set(['label', 'display_data']);

const EVERY: Comparison = { op: '$nin', values: [] };
const NONE: Comparison = { op: '$in', values: [] };
const NULL: Comparison = { op: '$eq', value: null };
const NOT_NULL: Comparison = { op: '$ne', value: null };

/**
 * Says a comparison of a column in the operators that every store has: what a column holds is known, so `$exists`,
 * `$type` and `$all` are questions of null and equality.
 * @throws InvalidQueryError for what no column of its kind can answer
 */
export function columnComparison({ name, column }: Field, comparison: Comparison): Comparison {
  const kind = TASK_COLUMNS[column];
  switch (comparison.op) {
    case '$exists':
      if (MAY_BE_MISSING.has(column)) return comparison.value ? NOT_NULL : NULL;
      return comparison.value ? EVERY : NONE;
    case '$type': {
      const types = typeSet(comparison.types);
      const value = types.has(TYPES[kind]);
      const nulls = types.has('null') && !MAY_BE_MISSING.has(column);
      if (value) return nulls ? EVERY : NOT_NULL;
      return nulls ? NULL : NONE;
    }
    case '$all': {
      const [first, ...more] = comparison.values;
      if (comparison.values.length === 0 || more.some((value) => !equalValues(value, first))) return NONE;
      return { op: '$eq', value: first };
    }
    case '$mod':
    case '$size':
    case '$elemMatch':
      throw new InvalidQueryError(
        `${comparison.op} of "${name}": the key holds ${kind === 'buffers' ? 'buffers' : `a ${kind}`}, never ${
          comparison.op === '$mod' ? 'a number' : 'a list to look into'
        }; a path into a dict may`,
      );
    default:
      return comparison;
  }
}

/**
 * The same tests of a column with at most one `$in` and one `$nin` for all that ask for equality. A column's value is
 * one value, so lists can be joined; inside `$not`, an object of operators has room for each name once.
 */
export function mergeEquality(comparisons: readonly Comparison[]): Comparison[] {
  let listed: readonly unknown[] | undefined;
  let unlisted: readonly unknown[] | undefined;
  const others: Comparison[] = [];
  for (const comparison of comparisons) {
    if (!('values' in comparison) && comparison.op !== '$eq' && comparison.op !== '$ne') {
      others.push(comparison);
      continue;
    }
    const values = 'values' in comparison ? comparison.values : [comparison.value];
    if (comparison.op === '$eq' || comparison.op === '$in') {
      listed = listed === undefined ? values : listed.filter(listTest(values));
    } else {
      unlisted = [...(unlisted ?? []), ...values];
    }
  }
  return [
    ...others,
    ...(listed === undefined ? [] : [{ op: '$in', values: listed } as const]),
    ...(unlisted === undefined ? [] : [{ op: '$nin', values: unlisted } as const]),
  ];
}
