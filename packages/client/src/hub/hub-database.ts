import type { Dict, HubInfo, TaskKey } from '@ipyparallel-js/protocol';
import { columnsOf, type QueryNode } from '@ipyparallel-js/protocol/internal';
import type { Deadline } from '@ipyparallel-js/wire';
import { describePlan, type QueryPlan } from './explain.js';
import type { HubRequests } from './hub-requests.js';
import { PagedRecords } from './paged-records.js';
import { neverMatches, planQuery } from './query-planner.js';
import {
  byIds,
  type ProjectedRow,
  projectAll,
  type RecordQuery,
  type Row,
  WHOLE_RANGE,
} from './record-query.js';
import { RecordRequests } from './record-requests.js';
import { MAX_LIST } from './stock/stock-plan.js';
import { StockRecords } from './stock/stock-records.js';

/** The hub's Task Database as a client sees it: one meaning of a query, whatever the hub makes of it. */
export class HubDatabase {
  readonly #hubRequests: HubRequests;
  #requests: RecordRequests;
  #whole: StockRecords;
  #paged: PagedRecords | undefined;

  constructor(requests: HubRequests) {
    this.#hubRequests = requests;
    this.#requests = new RecordRequests(requests, undefined);
    this.#whole = new StockRecords(this.#requests);
  }

  /** What the hub says of itself; undefined for a stock one. Told at each connection, since another may be there. */
  setHub(hub: HubInfo | undefined): void {
    const records = new RecordRequests(this.#hubRequests, hub);
    this.#requests = records;
    this.#whole = new StockRecords(records);
    const { ours } = records;
    this.#paged = ours?.features.includes('page') === true ? new PagedRecords(records, ours) : undefined;
  }

  /** The matches that a question wants, in its order. */
  async find(question: RecordQuery, deadline: Deadline): Promise<ProjectedRow[]> {
    const all: ProjectedRow[][] = [];
    for await (const rows of this.pages(question, () => deadline)) all.push(rows);
    return all.flat();
  }

  /** The same, some at a time, so that neither side holds all of them. */
  async *pages(
    question: RecordQuery,
    newDeadline: () => Deadline,
  ): AsyncGenerator<ProjectedRow[], void, undefined> {
    for await (const rows of this.#records(question.node).pages(question, newDeadline))
      yield projectAll(rows, question);
  }

  /** How many records match, whatever the range. */
  async count(node: QueryNode, newDeadline: () => Deadline): Promise<number> {
    return this.#records(node).count(node, newDeadline);
  }

  /** The ids of the matches, in order. */
  async ids(question: Omit<RecordQuery, 'keys'>, newDeadline: () => Deadline): Promise<string[]> {
    const ids: string[] = [];
    const keys = [{ name: 'msg_id', column: 'msg_id' }] as const;
    for await (const rows of this.pages({ ...question, keys }, newDeadline))
      for (const row of rows) ids.push(String(row.msg_id));
    return ids;
  }

  /** A query as our hub takes it whole; undefined for a stock hub, or one that would leave something to do here. */
  sendable(node: QueryNode): Dict | undefined {
    return this.#paged?.takes(node) === true ? this.#paged.query(node) : undefined;
  }

  /** How a question would be asked; asks for no records. */
  async explain(question: RecordQuery, deadline: Deadline): Promise<QueryPlan> {
    const { node } = question;
    const traits = await this.#requests.traits(columnsOf(node).has('label'), deadline);
    const plan = planQuery(node, traits);
    const paged = this.#records(node) === this.#paged;
    const asked = neverMatches(node) ? { ...plan, queries: [] } : plan;
    const extent = paged || asked.queries.length === 0 ? undefined : await this.#whole.extent(node, deadline);
    return describePlan(question, traits, asked, paged, extent);
  }

  /** Records by id: those that exist, in no particular order. */
  async byId(
    ids: readonly string[],
    columns: readonly TaskKey[],
    deadline: Deadline,
  ): Promise<Map<string, Row>> {
    const found = new Map<string, Row>();
    if (this.#paged !== undefined) {
      const keys = columns.map((column) => ({ name: column, column }));
      const question = {
        ...WHOLE_RANGE,
        node: byIds(ids),
        keys: [{ name: 'msg_id', column: 'msg_id' } as const, ...keys],
      };
      for await (const rows of this.#paged.pages(question, () => deadline))
        for (const row of rows) found.set(row.msg_id, row);
    } else {
      for (const row of await this.#whole.matches(byIds(ids), columns, false, deadline))
        found.set(row.msg_id, row);
    }
    return found;
  }

  /** The matches with these columns, in no order. */
  async matches(node: QueryNode, columns: readonly TaskKey[], deadline: Deadline): Promise<Row[]> {
    if (this.#paged?.takes(node) !== true) return this.#whole.matches(node, columns, false, deadline);
    const keys = columns.map((column) => ({ name: column, column }));
    const rows: Row[] = [];
    for await (const page of this.#paged.pages({ ...WHOLE_RANGE, node, keys }, () => deadline))
      rows.push(...page);
    return rows;
  }

  /** All ids in the order of submission. Cheap on every hub; records known by their output alone may be missing. */
  history(deadline: Deadline): Promise<string[]> {
    return this.#requests.history(deadline);
  }

  #records(node: QueryNode): PagedRecords | StockRecords {
    return this.#paged?.takes(node) === true ? this.#paged : this.#whole;
  }
}

/** Splits ids into lists that every hub takes. */
export function chunked(ids: readonly string[]): string[][] {
  const chunks: string[][] = [];
  for (let i = 0; i < ids.length; i += MAX_LIST) chunks.push(ids.slice(i, i + MAX_LIST));
  return chunks;
}
