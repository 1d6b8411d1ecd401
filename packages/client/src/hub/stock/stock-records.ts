import type { TaskKey } from '@ipyparallel-js/protocol';
import {
  allOf,
  columnsOf,
  compareSortKeys,
  compareText,
  conjunctsOf,
  parseQuery,
  type QueryNode,
  recordPredicate,
  type SortKeys,
  sortKeyReader,
  sortRecords,
  TASK_COLUMNS,
} from '@ipyparallel-js/protocol/internal';
import type { Deadline } from '@ipyparallel-js/wire';
import { type HubPlan, type HubTraits, neverMatches, planQuery } from '../query-planner.js';
import { byIds, columnsAsked, columnsOfSort, type RecordQuery, type Row, readRow } from '../record-query.js';
import type { RecordRequests } from '../record-requests.js';
import { SliceSize } from './slice-size.js';
import { MAX_LIST } from './stock-plan.js';

// What a stock hub answers it answers in one message, and nobody else meanwhile: a quarter of a millisecond for each
// full record of SQLite's, 30 µs for each date, 150 µs for each match of DictDB's (which copies it whole, whatever the
// keys). Ids without dates, and the history, cost about 1 µs each. So a question of unknown size is asked in slices of
// ids, whose size follows the time that answers take.

/** A database of no more records than this is asked in one go. */
const SMALL = 500;
/** How long a small count is believed, in ms. */
const COUNT_BELIEVED = 2_000;

const SLICES = { first: 50, least: 20, most: MAX_LIST };

/** More requests than this are not made for one slice. */
const MAX_WAYS = 2;

const NO_SUBMISSION = parseQuery({ submitted: null });

/** What is known of the size of a question. */
export interface Extent {
  /** How many ids the hub knows of, or the query names. */
  readonly ids: number;
  /** Whether it is asked in slices of ids. */
  readonly sliced: boolean;
}

/** Which ids a question is to be asked for. */
interface Candidates {
  /** Undefined to ask for all matches in one go. */
  readonly ids: readonly string[] | undefined;
  /** Whether they are in the order of submission. */
  readonly inOrder: boolean;
}

const IN_ONE_GO: Candidates = { ids: undefined, inOrder: false };

/** Records of a hub that sorts, skips, limits and counts nothing: its answers are put in order here, bit by bit. */
export class StockRecords {
  readonly #requests: RecordRequests;
  /** What a question of small answer took lately, in ms. */
  #way: number | undefined;
  #count: { readonly ids: number; readonly at: number } | undefined;

  constructor(requests: RecordRequests) {
    this.#requests = requests;
  }

  /** The matches in order, some at a time. Those that are there throughout come once, whatever else comes and goes. */
  async *pages(question: RecordQuery, newDeadline: () => Deadline): AsyncGenerator<Row[], void, undefined> {
    const { node, sort } = question;
    if (neverMatches(node)) return;
    const candidates = await this.#candidates(node, newDeadline());
    const { ids } = candidates;
    if (ids === undefined && question.limit > SMALL) {
      const columns = [...columnsAsked(question), ...columnsOfSort(sort)];
      const rows = await this.matches(node, columns, question.keys === undefined, newDeadline());
      yield* cut([sortRecords(rows, sort, readRow)], question);
    } else if (
      ids !== undefined &&
      candidates.inOrder &&
      sort[0]?.field.name === 'submitted' &&
      sort.length === 2
    ) {
      yield* cut(this.#bySubmission(question, ids, newDeadline), question);
    } else {
      yield* this.#idsFirst(question, ids, newDeadline);
    }
  }

  /** How many match. */
  async count(node: QueryNode, newDeadline: () => Deadline): Promise<number> {
    if (neverMatches(node)) return 0;
    let count = 0;
    const { ids } = await this.#candidates(node, newDeadline());
    const slices = this.#slices(node, ids, [], false, newDeadline);
    for await (const rows of slices) count += rows.length;
    return count;
  }

  /** How a question would be asked; asks for no records. */
  async extent(node: QueryNode, deadline: Deadline): Promise<Extent> {
    const named = namedIds(node);
    const ids = named === undefined ? (await this.#requests.history(deadline)).length : named.length;
    return { ids, sliced: ids > SMALL };
  }

  /** The matches in one go, in no order. The hub may be asked for a superset of them. */
  async matches(
    node: QueryNode,
    asked: readonly TaskKey[],
    everything: boolean,
    deadline: Deadline,
    superset = node,
  ): Promise<Row[]> {
    if (neverMatches(node)) return [];
    const read = columnsOf(node);
    const traits = await this.#requests.traits(read.has('label') || asked.includes('label'), deadline);
    const plan = planQuery(superset, traits);
    const columns = [...new Set<TaskKey>(['msg_id', ...asked, ...(plan.residual ? read : [])])];
    const rows = new Map<string, Row>();
    const matches = plan.residual ? recordPredicate(node) : undefined;
    const buffers = plan.residual ? [...read].filter((column) => TASK_COLUMNS[column] === 'buffers') : [];
    for (const query of plan.queries) {
      const found = await this.#requests.records(query, columns, everything, traits, deadline);
      const compared = buffers.length === 0 ? found : await this.#withNulls(found, buffers, traits, deadline);
      for (const [i, row] of found.entries()) {
        // Asked later is seen later: a record of two answers is kept as it is now.
        if (matches === undefined || matches(compared[i] ?? row)) rows.set(row.msg_id, row);
        else rows.delete(row.msg_id);
      }
    }
    return [...rows.values()];
  }

  // A reply shows no buffers and an empty list of buffers alike; DictDB knows them apart. SQLite does not, and there
  // it is the list that its hub was given.
  async #withNulls(
    rows: readonly Row[],
    columns: readonly TaskKey[],
    traits: HubTraits,
    deadline: Deadline,
  ): Promise<Row[]> {
    let compared = [...rows];
    for (const column of columns) {
      const empty = compared.filter((row) => Array.isArray(row[column]) && row[column].length === 0);
      const [first] = empty;
      if (first === undefined || (await this.#requests.hasIndex(first.msg_id, deadline))) continue;
      const ids = empty.length <= MAX_LIST ? { msg_id: { $in: empty.map((row) => row.msg_id) } } : {};
      const query = { ...ids, [column]: { $eq: null } };
      const none = await this.#requests.records(query, ['msg_id'], false, traits, deadline);
      const nulls = new Set(none.map((row) => row.msg_id));
      compared = compared.map((row) => (nulls.has(row.msg_id) ? { ...row, [column]: null } : row));
    }
    return compared;
  }

  /** The matches among a few ids. */
  async #among(
    ids: readonly string[],
    node: QueryNode,
    asked: readonly TaskKey[],
    everything: boolean,
    deadline: Deadline,
  ): Promise<Row[]> {
    const matches = allOf([byIds(ids), node]);
    const traits = await this.#requests.traits(columnsOf(node).has('label'), deadline);
    // A query of many ways to match would be as many requests; the ids alone are one.
    const ways = planQuery(matches, traits).queries.length;
    return this.matches(matches, asked, everything, deadline, ways > MAX_WAYS ? byIds(ids) : matches);
  }

  async #candidates(node: QueryNode, deadline: Deadline): Promise<Candidates> {
    const named = namedIds(node);
    if (named !== undefined) return named.length <= SMALL ? IN_ONE_GO : { ids: named, inOrder: false };
    const known = this.#count;
    if (known !== undefined && known.ids <= SMALL && performance.now() - known.at < COUNT_BELIEVED)
      return IN_ONE_GO;
    const history = await this.#requests.history(deadline);
    this.#count = { ids: history.length, at: performance.now() };
    const [first] = history;
    if (first === undefined || history.length <= SMALL) return IN_ONE_GO;
    // What is known by its output alone is in SQLite's history, and not in DictDB's.
    const traits = await this.#requests.traits(false, deadline);
    const [missing = {}] = planQuery(NO_SUBMISSION, traits).queries;
    const since = performance.now();
    const ghosts = await this.#requests.records(missing, ['msg_id'], false, traits, deadline);
    this.#way = performance.now() - since;
    const unsubmitted = new Set(ghosts.map((row) => row.msg_id).sort(compareText));
    const all = [...unsubmitted, ...history.filter((id) => !unsubmitted.has(id))];
    const indexed = await this.#requests.hasIndex(first, deadline);
    const superset = indexed ? await this.#superset(node, deadline) : undefined;
    return { ids: superset === undefined ? all : all.filter((id) => superset.has(id)), inOrder: true };
  }

  /** Ids that hold every match's: ids alone are cheap to ask for where nothing else is copied. */
  async #superset(node: QueryNode, deadline: Deadline): Promise<Set<string> | undefined> {
    const traits = await this.#requests.traits(columnsOf(node).has('label'), deadline);
    const { queries } = planQuery(node, traits);
    if (queries.some(asksForEverything)) return undefined;
    const ids = new Set<string>();
    for (const query of queries) {
      for (const row of await this.#requests.records(query, ['msg_id'], false, traits, deadline))
        ids.add(row.msg_id);
    }
    return ids;
  }

  /** The matches among some ids, a slice at a time; with `ids` undefined all in one go. */
  async *#slices(
    node: QueryNode,
    ids: readonly string[] | undefined,
    columns: readonly TaskKey[],
    everything: boolean,
    newDeadline: () => Deadline,
  ): AsyncGenerator<Row[], void, undefined> {
    if (ids === undefined) {
      yield await this.matches(node, columns, everything, newDeadline());
      return;
    }
    const pace = new SliceSize(SLICES, this.#way);
    for (let at = 0; at < ids.length; ) {
      const slice = ids.slice(at, at + pace.size);
      at += slice.length;
      const since = performance.now();
      // A record may have gone, or have ceased to match, since its id was read.
      const rows = await this.#among(slice, node, columns, everything, newDeadline());
      pace.record(slice.length, performance.now() - since);
      yield rows;
    }
  }

  // The history has the order but for records of one millisecond, which it orders by the microsecond.
  async *#bySubmission(
    question: RecordQuery,
    ids: readonly string[],
    newDeadline: () => Deadline,
  ): AsyncGenerator<Row[], void, undefined> {
    const { node, sort } = question;
    const columns = [...columnsAsked(question), 'submitted' as const];
    const ordered = sort[0]?.descending === true ? ids.toReversed() : ids;
    let held: Row[] = [];
    for await (const rows of this.#slices(node, ordered, columns, question.keys === undefined, newDeadline)) {
      const sorted = sortRecords([...held, ...rows], sort, readRow);
      const last = sorted.at(-1)?.submitted?.getTime();
      const tied = sorted.findIndex((row) => row.submitted?.getTime() === last);
      held = tied === -1 ? [] : sorted.slice(tied);
      if (tied > 0) yield sorted.slice(0, tied);
    }
    if (held.length > 0) yield held;
  }

  /** First what is sorted by of all, then the records of those wanted. */
  async *#idsFirst(
    question: RecordQuery,
    ids: readonly string[] | undefined,
    newDeadline: () => Deadline,
  ): AsyncGenerator<Row[], void, undefined> {
    const { node, sort, skip, limit } = question;
    const keysOf = sortKeyReader(sort, readRow);
    const places: { readonly id: string; readonly keys: SortKeys }[] = [];
    for await (const rows of this.#slices(node, ids, columnsOfSort(sort), false, newDeadline)) {
      for (const row of rows) places.push({ id: row.msg_id, keys: keysOf(row) });
    }
    const compare = compareSortKeys(sort);
    const wanted = places
      .sort((a, b) => compare(a.keys, b.keys))
      .slice(skip)
      .map(({ id }) => id);
    const pace = new SliceSize(SLICES, this.#way);
    let given = 0;
    for (let at = 0; at < wanted.length && given < limit; ) {
      const slice = wanted.slice(at, at + Math.min(pace.size, limit - given));
      at += slice.length;
      const since = performance.now();
      const found = new Map<string, Row>();
      const everything = question.keys === undefined;
      for (const row of await this.#among(slice, node, columnsAsked(question), everything, newDeadline()))
        found.set(row.msg_id, row);
      pace.record(slice.length, performance.now() - since);
      given += found.size;
      yield slice.flatMap((id) => found.get(id) ?? []);
    }
  }
}

/** Whether a request names no condition but that there is a record. */
function asksForEverything(query: HubPlan['queries'][number]): boolean {
  return JSON.stringify(query) === '{"msg_id":{"$ne":null}}';
}

/** The ids that every match must be among, if the query names any. */
export function namedIds(node: QueryNode): string[] | undefined {
  for (const part of conjunctsOf(node)) {
    if (part.kind !== 'test' || part.field.column !== 'msg_id') continue;
    const { comparison } = part;
    const values =
      comparison.op === '$in' ? comparison.values : comparison.op === '$eq' ? [comparison.value] : undefined;
    if (values !== undefined) return [...new Set(values.filter((value) => typeof value === 'string'))];
  }
  return undefined;
}

/** Skips and limits pages of rows. */
async function* cut(
  pages: Iterable<Row[]> | AsyncIterable<Row[]>,
  { skip, limit }: Pick<RecordQuery, 'skip' | 'limit'>,
): AsyncGenerator<Row[], void, undefined> {
  let at = 0;
  for await (const rows of pages) {
    const wanted = rows.slice(Math.max(0, skip - at), Math.max(0, skip + limit - at));
    at += rows.length;
    if (wanted.length > 0) yield wanted;
    if (at >= skip + limit) return;
  }
}
