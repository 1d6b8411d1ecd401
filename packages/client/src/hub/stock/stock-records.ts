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
import { describePlan, type Extent, type QueryPlan } from '../explain.js';
import { type HubPlan, type HubTraits, neverMatches, planQuery } from '../query-planner.js';
import {
  byIds,
  columnsOfSort,
  type RecordQuery,
  type Row,
  readColumn,
  requestedColumns,
} from '../record-query.js';
import type { RecordReader } from '../record-reader.js';
import type { RecordRequests } from '../record-requests.js';
import { SliceSize } from './slice-size.js';
import { MAX_LIST } from './stock-plan.js';

// A Python hub puts the whole result of a query into one message and serves no other client until then. Measured costs:
// 250 µs per full record of SQLite, 30 µs per date, 150 µs per match of DictDB, which copies whole records for any keys. Ids
// without dates, and the history, cost about 1 µs each. A query of unknown size is therefore sent in slices of ids, whose
// size follows the measured time of the replies.

/** A database with at most this many records is queried in one request. */
const SMALL_DATABASE = 500;
/** How long the client relies on a small record count, in ms. */
const COUNT_TTL_MS = 2_000;

const SLICES = { initial: 50, min: 20, max: MAX_LIST };

/** The highest number of requests per slice. */
const MAX_REQUESTS_PER_SLICE = 2;

const NOT_SUBMITTED = parseQuery({ submitted: null });

/** The ids among which the matches of a query are requested. */
interface Candidates {
  /** Undefined to request all matches at once. */
  readonly ids: readonly string[] | undefined;
  /** Whether the ids are in the order of submission. */
  readonly inOrder: boolean;
}

const ALL_CANDIDATES: Candidates = { ids: undefined, inOrder: false };

/** Reads records of a hub that does not sort, skip, limit or count; the client does this work itself, in portions. */
export class StockRecords implements RecordReader {
  readonly #requests: RecordRequests;
  /** The time of a recent request with a small reply, in ms. */
  #roundTrip: number | undefined;
  #count: { readonly ids: number; readonly at: number } | undefined;

  constructor(requests: RecordRequests) {
    this.#requests = requests;
  }

  /** Yields the matches in order, in portions. A record that exists throughout is returned once, whatever else changes. */
  async *pages(query: RecordQuery, newDeadline: () => Deadline): AsyncGenerator<Row[], void, undefined> {
    const { node, sort } = query;
    if (neverMatches(node)) return;
    const candidates = await this.#candidates(node, newDeadline());
    const { ids } = candidates;
    if (ids === undefined && query.limit > SMALL_DATABASE) {
      const columns = [...requestedColumns(query), ...columnsOfSort(sort)];
      const rows = await this.#matches(node, columns, query.keys === undefined, newDeadline());
      yield* applyRange([sortRecords(rows, sort, readColumn)], query);
    } else if (
      ids !== undefined &&
      candidates.inOrder &&
      sort[0]?.field.name === 'submitted' &&
      sort.length === 2
    ) {
      yield* applyRange(this.#inSubmissionOrder(query, ids, newDeadline), query);
    } else {
      yield* this.#bySortKeys(query, ids, newDeadline);
    }
  }

  async count(node: QueryNode, newDeadline: () => Deadline): Promise<number> {
    if (neverMatches(node)) return 0;
    let count = 0;
    const { ids } = await this.#candidates(node, newDeadline());
    const slices = this.#slices(node, ids, [], false, newDeadline);
    for await (const rows of slices) count += rows.length;
    return count;
  }

  async explain(query: RecordQuery, deadline: Deadline): Promise<QueryPlan> {
    const { node } = query;
    const traits = await this.#requests.traits(columnsOf(node).has('label'), deadline);
    const plan = planQuery(node, traits);
    const extent = plan.queries.length === 0 ? undefined : await this.#extent(node, deadline);
    return describePlan(query, traits, plan, { paged: false, extent });
  }

  matches(node: QueryNode, columns: readonly TaskKey[], deadline: Deadline): Promise<Row[]> {
    return this.#matches(node, columns, false, deadline);
  }

  async #matches(
    node: QueryNode,
    columns: readonly TaskKey[],
    allKeys: boolean,
    deadline: Deadline,
  ): Promise<Row[]> {
    if (neverMatches(node)) return [];
    const traits = await this.#traits(node, columns, deadline);
    return this.#execute(planQuery(node, traits), traits, node, columns, allKeys, deadline);
  }

  /** Reads the matches among a few ids. */
  async #matchesAmong(
    ids: readonly string[],
    node: QueryNode,
    columns: readonly TaskKey[],
    allKeys: boolean,
    deadline: Deadline,
  ): Promise<Row[]> {
    const matching = allOf([byIds(ids), node]);
    const traits = await this.#traits(node, columns, deadline);
    const plan = planQuery(matching, traits);
    // A query with many branches needs as many requests; the ids alone need one, and the client filters.
    const slicePlan = plan.queries.length > MAX_REQUESTS_PER_SLICE ? planQuery(byIds(ids), traits) : plan;
    return this.#execute(slicePlan, traits, matching, columns, allKeys, deadline);
  }

  /** Sends the requests of a plan and keeps the rows that match; the plan may cover a superset of the matches. */
  async #execute(
    plan: HubPlan,
    traits: HubTraits,
    node: QueryNode,
    requested: readonly TaskKey[],
    allKeys: boolean,
    deadline: Deadline,
  ): Promise<Row[]> {
    const tested = columnsOf(node);
    const columns = [...new Set<TaskKey>(['msg_id', ...requested, ...(plan.residual ? tested : [])])];
    const rows = new Map<string, Row>();
    const matches = plan.residual ? recordPredicate(node) : undefined;
    const buffers = plan.residual ? [...tested].filter((column) => TASK_COLUMNS[column] === 'buffers') : [];
    for (const query of plan.queries) {
      const found = await this.#requests.records(query, columns, allKeys, traits, deadline);
      const comparedRows =
        buffers.length === 0 ? found : await this.#withNulls(found, buffers, traits, deadline);
      for (const [i, row] of found.entries()) {
        // A record in two replies counts as it is in the later one.
        if (matches === undefined || matches(comparedRows[i] ?? row)) rows.set(row.msg_id, row);
        else rows.delete(row.msg_id);
      }
    }
    return [...rows.values()];
  }

  #traits(node: QueryNode, columns: readonly TaskKey[], deadline: Deadline): Promise<HubTraits> {
    return this.#requests.traits(columnsOf(node).has('label') || columns.includes('label'), deadline);
  }

  async #extent(node: QueryNode, deadline: Deadline): Promise<Extent> {
    const idsInQuery = namedIds(node);
    const ids =
      idsInQuery === undefined ? (await this.#requests.history(deadline)).length : idsInQuery.length;
    return { ids, sliced: ids > SMALL_DATABASE };
  }

  // A reply returns null and an empty list of buffers alike. DictDB distinguishes the two in queries. SQLite does not,
  // and stores null for the empty list that the hub received.
  async #withNulls(
    rows: readonly Row[],
    columns: readonly TaskKey[],
    traits: HubTraits,
    deadline: Deadline,
  ): Promise<Row[]> {
    let comparedRows = [...rows];
    for (const column of columns) {
      const empty = comparedRows.filter((row) => Array.isArray(row[column]) && row[column].length === 0);
      const [first] = empty;
      if (first === undefined || (await this.#requests.hasIndex(first.msg_id, deadline))) continue;
      const ids = empty.length <= MAX_LIST ? { msg_id: { $in: empty.map((row) => row.msg_id) } } : {};
      const query = { ...ids, [column]: { $eq: null } };
      const nullRows = await this.#requests.records(query, ['msg_id'], false, traits, deadline);
      const nulls = new Set(nullRows.map((row) => row.msg_id));
      comparedRows = comparedRows.map((row) => (nulls.has(row.msg_id) ? { ...row, [column]: null } : row));
    }
    return comparedRows;
  }

  async #candidates(node: QueryNode, deadline: Deadline): Promise<Candidates> {
    const idsInQuery = namedIds(node);
    if (idsInQuery !== undefined)
      return idsInQuery.length <= SMALL_DATABASE ? ALL_CANDIDATES : { ids: idsInQuery, inOrder: false };
    const cached = this.#count;
    if (cached !== undefined && cached.ids <= SMALL_DATABASE && performance.now() - cached.at < COUNT_TTL_MS)
      return ALL_CANDIDATES;
    const history = await this.#requests.history(deadline);
    this.#count = { ids: history.length, at: performance.now() };
    const [first] = history;
    if (first === undefined || history.length <= SMALL_DATABASE) return ALL_CANDIDATES;
    // SQLite's history contains records that were created from output alone, DictDB's does not.
    const traits = await this.#requests.traits(false, deadline);
    const [query = {}] = planQuery(NOT_SUBMITTED, traits).queries;
    const since = performance.now();
    const outputOnly = await this.#requests.records(query, ['msg_id'], false, traits, deadline);
    this.#roundTrip = performance.now() - since;
    const unsubmitted = new Set(outputOnly.map((row) => row.msg_id).sort(compareText));
    const all = [...unsubmitted, ...history.filter((id) => !unsubmitted.has(id))];
    const indexed = await this.#requests.hasIndex(first, deadline);
    const superset = indexed ? await this.#supersetOfIds(node, deadline) : undefined;
    return { ids: superset === undefined ? all : all.filter((id) => superset.has(id)), inOrder: true };
  }

  /** Reads ids that include those of all matches: cheap on a database that does not copy whole records. */
  async #supersetOfIds(node: QueryNode, deadline: Deadline): Promise<Set<string> | undefined> {
    const traits = await this.#requests.traits(columnsOf(node).has('label'), deadline);
    const { queries } = planQuery(node, traits);
    if (queries.some(selectsEverything)) return undefined;
    const ids = new Set<string>();
    for (const query of queries) {
      for (const row of await this.#requests.records(query, ['msg_id'], false, traits, deadline))
        ids.add(row.msg_id);
    }
    return ids;
  }

  /** Yields the matches among some ids, a slice at a time; with `ids` undefined, all at once. */
  async *#slices(
    node: QueryNode,
    ids: readonly string[] | undefined,
    columns: readonly TaskKey[],
    allKeys: boolean,
    newDeadline: () => Deadline,
  ): AsyncGenerator<Row[], void, undefined> {
    if (ids === undefined) {
      yield await this.#matches(node, columns, allKeys, newDeadline());
      return;
    }
    const sliceSize = new SliceSize(SLICES, this.#roundTrip);
    for (let at = 0; at < ids.length; ) {
      const slice = ids.slice(at, at + sliceSize.current);
      at += slice.length;
      const since = performance.now();
      // The condition is sent again, because a record may have been removed or changed since its id was read.
      const rows = await this.#matchesAmong(slice, node, columns, allKeys, newDeadline());
      sliceSize.record(slice.length, performance.now() - since);
      yield rows;
    }
  }

  // The history is ordered by the microsecond, so records of the same millisecond must be sorted again.
  async *#inSubmissionOrder(
    query: RecordQuery,
    ids: readonly string[],
    newDeadline: () => Deadline,
  ): AsyncGenerator<Row[], void, undefined> {
    const { node, sort } = query;
    const columns = [...requestedColumns(query), 'submitted' as const];
    const ordered = sort[0]?.descending === true ? ids.toReversed() : ids;
    let tied: Row[] = [];
    for await (const rows of this.#slices(node, ordered, columns, query.keys === undefined, newDeadline)) {
      const sorted = sortRecords([...tied, ...rows], sort, readColumn);
      const last = sorted.at(-1)?.submitted?.getTime();
      const firstTied = sorted.findIndex((row) => row.submitted?.getTime() === last);
      tied = firstTied === -1 ? [] : sorted.slice(firstTied);
      if (firstTied > 0) yield sorted.slice(0, firstTied);
    }
    if (tied.length > 0) yield tied;
  }

  /** Reads the sort keys of all matches first, and then the selected records by id. */
  async *#bySortKeys(
    query: RecordQuery,
    ids: readonly string[] | undefined,
    newDeadline: () => Deadline,
  ): AsyncGenerator<Row[], void, undefined> {
    const { node, sort, skip, limit } = query;
    const sortKeysOf = sortKeyReader(sort, readColumn);
    const matches: { readonly id: string; readonly keys: SortKeys }[] = [];
    for await (const rows of this.#slices(node, ids, columnsOfSort(sort), false, newDeadline)) {
      for (const row of rows) matches.push({ id: row.msg_id, keys: sortKeysOf(row) });
    }
    const compare = compareSortKeys(sort);
    const selected = matches
      .sort((a, b) => compare(a.keys, b.keys))
      .slice(skip)
      .map(({ id }) => id);
    const sliceSize = new SliceSize(SLICES, this.#roundTrip);
    let yielded = 0;
    for (let at = 0; at < selected.length && yielded < limit; ) {
      const slice = selected.slice(at, at + Math.min(sliceSize.current, limit - yielded));
      at += slice.length;
      const since = performance.now();
      const found = new Map<string, Row>();
      const allKeys = query.keys === undefined;
      for (const row of await this.#matchesAmong(
        slice,
        node,
        requestedColumns(query),
        allKeys,
        newDeadline(),
      ))
        found.set(row.msg_id, row);
      sliceSize.record(slice.length, performance.now() - since);
      yielded += found.size;
      yield slice.flatMap((id) => found.get(id) ?? []);
    }
  }
}

/** Whether a wire query selects every record. */
function selectsEverything(query: HubPlan['queries'][number]): boolean {
  return JSON.stringify(query) === '{"msg_id":{"$ne":null}}';
}

/** The ids to which a query restricts its matches, if it names any. */
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

/** Applies `skip` and `limit` to portions of rows. */
async function* applyRange(
  pages: Iterable<Row[]> | AsyncIterable<Row[]>,
  { skip, limit }: Pick<RecordQuery, 'skip' | 'limit'>,
): AsyncGenerator<Row[], void, undefined> {
  let at = 0;
  for await (const rows of pages) {
    const selected = rows.slice(Math.max(0, skip - at), Math.max(0, skip + limit - at));
    at += rows.length;
    if (selected.length > 0) yield selected;
    if (at >= skip + limit) return;
  }
}
