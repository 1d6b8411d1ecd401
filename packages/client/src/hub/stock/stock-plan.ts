import type { Dict, TaskKey } from '@ipyparallel-js/protocol';
import {
  type Comparison,
  globPrefix,
  isDict,
  type QueryNode,
  regexPrefix,
  TASK_COLUMNS,
  type TestNode,
} from '@ipyparallel-js/protocol/internal';
import { branchesOf } from './query-branches.js';

// Plans queries for Python hubs. DictDB, SQLiteDB and MongoDB each misinterpret or refuse a part of the query language.
// A query therefore becomes requests that none of them refuses and that together return a superset of the matches; the
// client then applies the query itself. Each rule avoids a bug that was measured on a real hub:
// - every condition is an operator object, because DictDB compares all plain values with the last one;
// - `$ne: null` comes first, because DictDB raises when it orders null;
// - `$gt` becomes `$gte`, and the client drops the value itself, because DictDB inverts `$gt`;
// - dates become half-open ranges of milliseconds, because hubs store microseconds;
// - `$ne` and `$nin` of a value become two requests, because SQLite omits nulls;
// - no list is empty or longer than 900, because SQLite refuses both;
// - `$or` becomes one request per branch, because DictDB finds nothing for it and SQLite refuses it.

/** The differences between Python hubs that a plan depends on. */
export interface StockTraits {
  /** Whether records have `label` (ipyparallel 9 and later). */
  readonly label: boolean;
}

/** The longest list in a request: SQLite allows 999 values in one expression. */
export const MAX_LIST = 900;

type Condition = Dict;

/** The alternative conditions of one column, each of which becomes a request. None means that no record can match. */
type Alternatives = readonly Condition[];

const MATCH_ALL: Dict = { msg_id: { $ne: null } };

/**
 * Plans the requests that together return every match; none when no record can match. Requests for nulls come first, so
 * that a record which changes between two requests is in the reply to at least one of them.
 */
export function planForStockHub(node: QueryNode, traits: StockTraits): Dict[] {
  const requests = new Map<string, Dict>();
  for (const tests of branchesOf(node)) {
    for (const request of planBranch(tests, traits)) {
      if (request === MATCH_ALL) return [MATCH_ALL];
      requests.set(JSON.stringify(request), request);
    }
  }
  return nullsFirst([...requests.values()]);
}

/** Plans the requests for tests that must all hold. */
function planBranch(tests: readonly TestNode[], traits: StockTraits): Dict[] {
  const columns = new Map<TaskKey, Comparison[]>();
  for (const { field, comparison } of tests) {
    // Only the client can test paths inside dicts and keys that this hub does not store.
    if (field.path.length > 0 || field.column === 'display_data') continue;
    if (field.column === 'label' && !traits.label) continue;
    // SQLite stores an empty list of buffers as null, and a reply returns null as an empty list.
    if (TASK_COLUMNS[field.column] === 'buffers') continue;
    columns.set(field.column, [...(columns.get(field.column) ?? []), simplify(comparison)]);
  }
  const conditions: [TaskKey, Condition][] = [];
  let split: [TaskKey, Alternatives] | undefined;
  for (const [column, comparisons] of columns) {
    const alternatives = planColumn(column, comparisons);
    if (alternatives === 'any') continue;
    const [only, ...more] = alternatives;
    if (only === undefined) return [];
    if (more.length === 0) conditions.push([column, only]);
    // Only one column may multiply the requests; the client tests any other.
    else if (split === undefined || alternatives.length < split[1].length) split = [column, alternatives];
  }
  const base = Object.fromEntries(conditions);
  if (split === undefined) return [conditions.length === 0 ? MATCH_ALL : base];
  const [column, alternatives] = split;
  return alternatives.map((condition) => ({ ...base, [column]: condition }));
}

/**
 * Orders requests for null before requests for values of the same column. A hub fills a column in and never empties it, so
 * a record that changes between two requests is in at least one of the replies.
 */
function nullsFirst(requests: readonly Dict[]): Dict[] {
  // Requests that differ only in their values need no order. There may be many, so they are ordered as one group.
  const groups = new Map<string, Dict[]>();
  for (const request of requests) {
    const kind = JSON.stringify(
      Object.entries(request).map(([column, condition]) => [column, requiresNull(condition)]),
    );
    groups.set(kind, [...(groups.get(kind) ?? []), request]);
  }
  const remaining = [...groups.values()];
  const ordered: Dict[] = [];
  while (remaining.length > 0) {
    const next = remaining.findIndex(
      ([request = {}]) =>
        !remaining.some(([other = {}]) => precedes(other, request) && !precedes(request, other)),
    );
    for (const group of remaining.splice(Math.max(next, 0), 1)) ordered.push(...group);
  }
  return ordered;
}

/** Whether a record can move between two requests, because `from` requires null in a column where `to` requires a value. */
function precedes(from: Dict, to: Dict): boolean {
  return Object.keys(from).some(
    (column) => requiresNull(from[column]) && isDict(to[column]) && !requiresNull(to[column]),
  );
}

const requiresNull = (condition: unknown): boolean => isDict(condition) && condition['$eq'] === null;

function planColumn(column: TaskKey, comparisons: readonly Comparison[]): Alternatives | 'any' {
  switch (TASK_COLUMNS[column]) {
    case 'text':
      return plan(comparisons, textBounds);
    case 'date':
      return plan(comparisons, dateBounds);
    default:
      return plan(comparisons, () => 'any');
  }
}

/** Derives the condition on non-null values from a comparison; nulls are planned separately. */
type Bounds = (comparison: Comparison) => Condition | 'any';

const isNull = (value: unknown): boolean => value === null;

/** Removes negations where the meaning stays the same. */
function simplify(comparison: Comparison): Comparison {
  if (comparison.op !== '$not' || comparison.comparisons.length !== 1) return comparison;
  const inner = simplify(comparison.comparisons[0] as Comparison);
  switch (inner.op) {
    case '$eq':
      return { op: '$ne', value: inner.value };
    case '$ne':
      return { op: '$eq', value: inner.value };
    case '$in':
      return { op: '$nin', values: inner.values };
    case '$nin':
      return { op: '$in', values: inner.values };
    case '$not':
      return inner.comparisons.length === 1 ? simplify(inner.comparisons[0] as Comparison) : comparison;
    default:
      return { op: '$not', comparisons: [inner] };
  }
}

const OPPOSITES = { $gt: '$lte', $gte: '$lt', $lt: '$gte', $lte: '$gt' } as const;

/** The comparison of non-null values: in a column of one type, a value that is not greater is less or equal. */
function onValues(comparison: Comparison): Comparison {
  const [inner, ...more] = comparison.op === '$not' ? comparison.comparisons : [];
  if (more.length > 0) return comparison;
  switch (inner?.op) {
    case '$gt':
    case '$gte':
    case '$lt':
    case '$lte':
      return isNull(inner.value) ? comparison : { op: OPPOSITES[inner.op], value: inner.value };
    default:
      return comparison;
  }
}

/** Whether null, and therefore a missing value, satisfies a comparison. */
function acceptsNull(comparison: Comparison): boolean {
  switch (comparison.op) {
    case '$eq':
    case '$gte':
    case '$lte':
      return isNull(comparison.value);
    case '$ne':
      return !isNull(comparison.value);
    case '$in':
      return comparison.values.some(isNull);
    case '$nin':
      return !comparison.values.some(isNull);
    case '$not':
      return !comparison.comparisons.every(acceptsNull);
    // No default case: an operator that is missing here must not compile, because its records would be missing.
    case '$gt':
    case '$lt':
    case '$glob':
    case '$regex':
    case '$exists':
    case '$mod':
    case '$all':
    case '$size':
    case '$type':
    case '$elemMatch':
      return false;
  }
}

/** Whether a value other than null can satisfy a comparison. */
function acceptsValues(comparison: Comparison): boolean {
  switch (comparison.op) {
    case '$ne':
    case '$nin':
    case '$glob':
      return true;
    case '$in':
      return !comparison.values.every(isNull);
    case '$eq':
    case '$gt':
    case '$gte':
    case '$lt':
    case '$lte':
      return !isNull(comparison.value);
    default:
      return true;
  }
}

function plan(comparisons: readonly Comparison[], boundsOf: Bounds): Alternatives | 'any' {
  const alternatives: Condition[] = [];
  // Nulls come first, because a hub fills a column in between two requests, and never empties it.
  const nulls = comparisons.every(acceptsNull);
  if (nulls) alternatives.push({ $eq: null });

  if (!comparisons.every(acceptsValues)) return alternatives;
  const all: Record<string, unknown> = { $ne: null };
  let list: readonly unknown[] | undefined;
  for (const comparison of comparisons) {
    const bounds = boundsOf(onValues(comparison));
    if (bounds === 'any') continue;
    for (const [operator, operand] of Object.entries(bounds)) {
      if (operator === '$in') {
        const values = operand as readonly unknown[];
        if (list === undefined || values.length < list.length) list = values;
        // An object has room for one bound per operator; the client applies a second one.
      } else if (!Object.hasOwn(all, operator)) all[operator] = operand;
    }
  }
  if (list !== undefined) {
    for (let i = 0; i < list.length; i += MAX_LIST) {
      alternatives.push({ ...all, $in: list.slice(i, i + MAX_LIST) });
    }
    return alternatives;
  }
  // Nulls match and values are unrestricted, so the column needs no condition.
  if (nulls && Object.keys(all).length === 1) return 'any';
  alternatives.push(all);
  return alternatives;
}

// A hub converts any text that looks like a date, in every column and with digits of any script. SQLite and orjson refuse
// lone surrogates. Such texts are not sent.
const UNSENDABLE_TEXT = /^\p{Nd}{4}-\p{Nd}{2}-\p{Nd}{2}[T ]|\p{Cs}/u;

const isSendable = (value: unknown): value is string =>
  typeof value === 'string' && !UNSENDABLE_TEXT.test(value);

const textBounds: Bounds = (comparison) => {
  switch (comparison.op) {
    case '$eq':
      return isSendable(comparison.value) ? { $eq: comparison.value } : 'any';
    case '$ne':
      return isSendable(comparison.value) ? { $nin: [comparison.value] } : 'any';
    case '$gte':
    case '$gt':
      return isSendable(comparison.value) ? { $gte: comparison.value } : 'any';
    case '$lt':
    case '$lte':
      return isSendable(comparison.value) ? { [comparison.op]: comparison.value } : 'any';
    case '$in': {
      const values = comparison.values.filter((value) => !isNull(value));
      return values.every(isSendable) ? { $in: [...new Set(values)] } : 'any';
    }
    case '$nin': {
      const values = comparison.values.filter(isSendable);
      return values.length > 0 && values.length <= MAX_LIST ? { $nin: values } : 'any';
    }
    case '$glob':
      return withPrefix(globPrefix(comparison.pattern));
    case '$regex':
      return withPrefix(regexPrefix(comparison.pattern, comparison.flags));
    default:
      return 'any';
  }
};

/** Selects the texts with a prefix; the client matches the rest of the pattern. */
function withPrefix(prefix: string): Condition | 'any' {
  if (prefix === '' || !isSendable(prefix)) return 'any';
  const chars = [...prefix];
  const last = chars.pop()?.codePointAt(0) ?? 0;
  // The next code point must be no surrogate, and must exist.
  const next = last === 0xd7ff ? 0xe000 : last + 1;
  const until = next > 0x10ffff ? undefined : chars.join('') + String.fromCodePoint(next);
  return until === undefined || !isSendable(until) ? { $gte: prefix } : { $gte: prefix, $lt: until };
}

// Hubs read years of four digits and convert between time zones, so dates near the ends of that range are not sent.
const EARLIEST_DATE = Date.UTC(1000, 0);
const LATEST_DATE = Date.UTC(9000, 0);

/** Selects the dates from one millisecond up to another, exclusive; a bound that cannot be sent is omitted. */
function dateRange(from: number | undefined, until: number | undefined): Condition | 'any' {
  const bounds: Record<string, Date> = {};
  const fits = (ms: number | undefined): ms is number =>
    ms !== undefined && ms >= EARLIEST_DATE && ms <= LATEST_DATE;
  if (fits(from)) bounds.$gte = new Date(from);
  if (fits(until)) bounds.$lt = new Date(until);
  return Object.keys(bounds).length === 0 ? 'any' : bounds;
}

const dateBounds: Bounds = (comparison) => {
  switch (comparison.op) {
    case '$eq':
      return dateRange(msOf(comparison.value), msOf(comparison.value) + 1);
    case '$gt':
      return dateRange(msOf(comparison.value) + 1, undefined);
    case '$gte':
      return dateRange(msOf(comparison.value), undefined);
    case '$lt':
      return dateRange(undefined, msOf(comparison.value));
    case '$lte':
      return dateRange(undefined, msOf(comparison.value) + 1);
    case '$in': {
      const dates = comparison.values.filter((value) => value instanceof Date).map(msOf);
      // Math.min(...dates) fails for long lists, because a call has a limited number of arguments.
      const first = dates.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
      const last = dates.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
      return dateRange(first, last + 1);
    }
    default:
      return 'any';
  }
};

const msOf = (value: unknown): number => (value as Date).getTime();
