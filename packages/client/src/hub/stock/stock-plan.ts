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

// What a stock hub can be asked. DictDB, SQLiteDB and MongoDB each get some of the language wrong or refuse it, so
// a query becomes requests that none of them refuses and that together bring a superset of the answer; the client
// then applies the query itself. Every rule below avoids a fault that was measured on a real hub:
// - every condition is an operator object: DictDB compares all plain values with the last one;
// - `$ne: null` comes first: DictDB raises when it orders null;
// - `$gt` is `$gte` without the value itself: DictDB has it reversed;
// - dates go as half-open ranges of milliseconds: hubs keep microseconds;
// - `$ne`/`$nin` of a value is asked in two requests: SQLite drops nulls from it;
// - no list is empty or longer than 900: SQLite refuses both;
// - `$or` becomes a request for each of its branches: DictDB answers nothing to it, SQLite refuses it.

/** What differs between stock hubs and is known of the one at hand. */
export interface StockTraits {
  /** Whether records have `label` (ipyparallel 9 and later). */
  readonly label: boolean;
}

/** SQLite allows 999 values in one expression. */
export const MAX_LIST = 900;

type Condition = Dict;

/** The alternatives of one column: requests are made for each. None: nothing can match. */
type Alternatives = readonly Condition[];

const EVERYTHING: Dict = { msg_id: { $ne: null } };

/**
 * The requests whose answers together hold every match; none when nothing can match. A record that changes while they
 * are asked one after another is in the answer of one of them: those that want nulls come first.
 */
export function planForStockHub(node: QueryNode, traits: StockTraits): Dict[] {
  const requests = new Map<string, Dict>();
  for (const tests of branchesOf(node)) {
    for (const request of planBranch(tests, traits)) {
      if (request === EVERYTHING) return [EVERYTHING];
      requests.set(JSON.stringify(request), request);
    }
  }
  return nullsFirst([...requests.values()]);
}

// Of tests that must all hold.
function planBranch(tests: readonly TestNode[], traits: StockTraits): Dict[] {
  const columns = new Map<TaskKey, Comparison[]>();
  for (const { field, comparison } of tests) {
    // Inside dicts, and what this hub does not keep, only the client can look.
    if (field.path.length > 0 || field.column === 'display_data') continue;
    if (field.column === 'label' && !traits.label) continue;
    // SQLite keeps an empty list of buffers as null, and a reply shows null as an empty list.
    if (TASK_COLUMNS[field.column] === 'buffers') continue;
    columns.set(field.column, [...(columns.get(field.column) ?? []), simplified(comparison)]);
  }
  const conditions: [TaskKey, Condition][] = [];
  let split: [TaskKey, Alternatives] | undefined;
  for (const [column, comparisons] of columns) {
    const alternatives = planColumn(column, comparisons);
    if (alternatives === 'any') continue;
    const [only, ...more] = alternatives;
    if (only === undefined) return [];
    if (more.length === 0) conditions.push([column, only]);
    // One column may multiply the requests; a further one is left to the client.
    else if (split === undefined || alternatives.length < split[1].length) split = [column, alternatives];
  }
  const base = Object.fromEntries(conditions);
  if (split === undefined) return [conditions.length === 0 ? EVERYTHING : base];
  const [column, alternatives] = split;
  return alternatives.map((condition) => ({ ...base, [column]: condition }));
}

// A value may be filled in between two requests, never emptied. So of two requests between which a record can move,
// the one that it moves out of is asked first.
function nullsFirst(requests: readonly Dict[]): Dict[] {
  // Requests that differ in values alone have no order among them, and may be many.
  const kinds = new Map<string, Dict[]>();
  for (const request of requests) {
    const kind = JSON.stringify(Object.entries(request).map(([column, asked]) => [column, wantsNull(asked)]));
    kinds.set(kind, [...(kinds.get(kind) ?? []), request]);
  }
  const waiting = [...kinds.values()];
  const ordered: Dict[] = [];
  while (waiting.length > 0) {
    const free = waiting.findIndex(
      ([kind = {}]) => !waiting.some(([other = {}]) => leadsTo(other, kind) && !leadsTo(kind, other)),
    );
    for (const next of waiting.splice(Math.max(free, 0), 1)) ordered.push(...next);
  }
  return ordered;
}

function leadsTo(from: Dict, to: Dict): boolean {
  return Object.keys(from).some(
    (column) => wantsNull(from[column]) && isDict(to[column]) && !wantsNull(to[column]),
  );
}

const wantsNull = (condition: unknown): boolean => isDict(condition) && condition['$eq'] === null;

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

/** What a comparison that some value other than null satisfies asks of such values; null is handled apart. */
type Bounds = (comparison: Comparison) => Condition | 'any';

const isNull = (value: unknown): boolean => value === null;

/** Takes away what negations can be taken away from without a change of meaning. */
function simplified(comparison: Comparison): Comparison {
  if (comparison.op !== '$not' || comparison.comparisons.length !== 1) return comparison;
  const inner = simplified(comparison.comparisons[0] as Comparison);
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
      return inner.comparisons.length === 1 ? simplified(inner.comparisons[0] as Comparison) : comparison;
    default:
      return { op: '$not', comparisons: [inner] };
  }
}

const OPPOSITES = { $gt: '$lte', $gte: '$lt', $lt: '$gte', $lte: '$gt' } as const;

/** What a comparison asks of values other than null: what is not greater is less or equal, in a column of one type. */
function ofValues(comparison: Comparison): Comparison {
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

/** Whether null (and so a missing value) satisfies a comparison. */
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
    default:
      return false;
  }
}

/** Whether anything but null can satisfy a comparison. */
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
  // First the nulls: a value may be filled in between two requests, never emptied.
  const nulls = comparisons.every(acceptsNull);
  if (nulls) alternatives.push({ $eq: null });

  if (!comparisons.every(acceptsValues)) return alternatives;
  const all: Record<string, unknown> = { $ne: null };
  let list: readonly unknown[] | undefined;
  for (const comparison of comparisons) {
    const bounds = boundsOf(ofValues(comparison));
    if (bounds === 'any') continue;
    for (const [operator, operand] of Object.entries(bounds)) {
      if (operator === '$in') {
        const values = operand as readonly unknown[];
        if (list === undefined || values.length < list.length) list = values;
        // A second bound of one kind cannot stand in the same object; the client applies it.
      } else if (!Object.hasOwn(all, operator)) all[operator] = operand;
    }
  }
  if (list !== undefined) {
    for (let i = 0; i < list.length; i += MAX_LIST) {
      alternatives.push({ ...all, $in: list.slice(i, i + MAX_LIST) });
    }
    return alternatives;
  }
  // Nothing was said of values, and nulls are wanted too: no condition at all.
  if (nulls && Object.keys(all).length === 1) return 'any';
  alternatives.push(all);
  return alternatives;
}

// A hub turns what looks like a date into one, whatever the column and the script of its digits; and SQLite and
// orjson refuse half a character. Such texts are not sent.
const UNFIT = /^\p{Nd}{4}-\p{Nd}{2}-\p{Nd}{2}[T ]|\p{Cs}/u;

const sendable = (value: unknown): value is string => typeof value === 'string' && !UNFIT.test(value);

const textBounds: Bounds = (comparison) => {
  switch (comparison.op) {
    case '$eq':
      return sendable(comparison.value) ? { $eq: comparison.value } : 'any';
    case '$ne':
      return sendable(comparison.value) ? { $nin: [comparison.value] } : 'any';
    case '$gte':
    case '$gt':
      return sendable(comparison.value) ? { $gte: comparison.value } : 'any';
    case '$lt':
    case '$lte':
      return sendable(comparison.value) ? { [comparison.op]: comparison.value } : 'any';
    case '$in': {
      const values = comparison.values.filter((value) => !isNull(value));
      return values.every(sendable) ? { $in: [...new Set(values)] } : 'any';
    }
    case '$nin': {
      const values = comparison.values.filter(sendable);
      return values.length > 0 && values.length <= MAX_LIST ? { $nin: values } : 'any';
    }
    case '$glob':
      return beginningWith(globPrefix(comparison.pattern));
    case '$regex':
      return beginningWith(regexPrefix(comparison.pattern, comparison.flags));
    default:
      return 'any';
  }
};

/** The texts with a beginning; what is left over the client filters. */
function beginningWith(prefix: string): Condition | 'any' {
  if (prefix === '' || !sendable(prefix)) return 'any';
  const chars = [...prefix];
  const last = chars.pop()?.codePointAt(0) ?? 0;
  // The next code point is no half of a character, and is one at all.
  const next = last === 0xd7ff ? 0xe000 : last + 1;
  const until = next > 0x10ffff ? undefined : chars.join('') + String.fromCodePoint(next);
  return until === undefined || !sendable(until) ? { $gte: prefix } : { $gte: prefix, $lt: until };
}

// Hubs read years of four digits, and convert between zones; dates at the ends of that range are not sent.
const EARLIEST = Date.UTC(1000, 0);
const LATEST = Date.UTC(9000, 0);

/** The moments from a millisecond on, and before another; what cannot be sent is left out. */
function between(from: number | undefined, until: number | undefined): Condition | 'any' {
  const bounds: Record<string, Date> = {};
  const fits = (ms: number | undefined): ms is number => ms !== undefined && ms >= EARLIEST && ms <= LATEST;
  if (fits(from)) bounds.$gte = new Date(from);
  if (fits(until)) bounds.$lt = new Date(until);
  return Object.keys(bounds).length === 0 ? 'any' : bounds;
}

const dateBounds: Bounds = (comparison) => {
  switch (comparison.op) {
    case '$eq':
      return between(msOf(comparison.value), msOf(comparison.value) + 1);
    case '$gt':
      return between(msOf(comparison.value) + 1, undefined);
    case '$gte':
      return between(msOf(comparison.value), undefined);
    case '$lt':
      return between(undefined, msOf(comparison.value));
    case '$lte':
      return between(undefined, msOf(comparison.value) + 1);
    case '$in': {
      const dates = comparison.values.filter((value) => value instanceof Date).map(msOf);
      // Not Math.min(...dates): a call takes only so many arguments.
      const first = dates.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
      const last = dates.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
      return between(first, last + 1);
    }
    default:
      return 'any';
  }
};

const msOf = (value: unknown): number => (value as Date).getTime();
