import type { Dict, TaskKey } from '@ipyparallel-js/protocol';
import type { QueryNode } from '@ipyparallel-js/protocol/internal';
import type { Deadline } from '@ipyparallel-js/wire';
import type { QueryPlan } from './explain.js';
import type { HubProfile } from './hub-profile.js';
import type { HubRequests } from './hub-requests.js';
import { PagedRecords } from './paged-records.js';
import { byIds, type ProjectedRow, projectRows, type RecordQuery, type Row } from './record-query.js';
import type { RecordReader } from './record-reader.js';
import { RecordRequests } from './record-requests.js';
import { MAX_LIST } from './stock/stock-plan.js';
import { StockRecords } from './stock/stock-records.js';

/** The objects that are valid for one connected hub; an update of the profile replaces them. */
interface Readers {
  readonly requests: RecordRequests;
  readonly reader: RecordReader;
  /** The reader of a hub that pages its replies; undefined for other hubs. */
  readonly paged: PagedRecords | undefined;
}

/** The hub's Task Database. A query has the same meaning on every hub. */
export class HubDatabase {
  #readers: Readers;

  constructor(requests: HubRequests, profile: HubProfile) {
    this.#readers = createReaders(requests, profile);
    profile.onUpdate(() => {
      this.#readers = createReaders(requests, profile);
    });
  }

  /** Reads the matches that a query selects, in its order. */
  async find(query: RecordQuery, deadline: Deadline): Promise<ProjectedRow[]> {
    const all: ProjectedRow[][] = [];
    for await (const rows of this.pages(query, () => deadline)) all.push(rows);
    return all.flat();
  }

  /** Yields the records that a query selects in portions, so that neither the hub nor the client holds all of them. */
  async *pages(
    query: RecordQuery,
    newDeadline: () => Deadline,
  ): AsyncGenerator<ProjectedRow[], void, undefined> {
    for await (const rows of this.#readers.reader.pages(query, newDeadline)) yield projectRows(rows, query);
  }

  /** Counts the matches of a condition. */
  count(node: QueryNode, newDeadline: () => Deadline): Promise<number> {
    return this.#readers.reader.count(node, newDeadline);
  }

  /** Reads the ids of the matches, in order. */
  async ids(query: Omit<RecordQuery, 'keys'>, newDeadline: () => Deadline): Promise<string[]> {
    const ids: string[] = [];
    const keys = [{ name: 'msg_id', column: 'msg_id' }] as const;
    for await (const rows of this.pages({ ...query, keys }, newDeadline))
      for (const row of rows) ids.push(String(row.msg_id));
    return ids;
  }

  /** The condition in wire form for a hub that executes whole queries; undefined for others, and when nothing can match. */
  wireQuery(node: QueryNode): Dict | undefined {
    return this.#readers.paged?.wireQuery(node);
  }

  /** Describes how a query is executed, without requesting records. */
  explain(query: RecordQuery, deadline: Deadline): Promise<QueryPlan> {
    return this.#readers.reader.explain(query, deadline);
  }

  /** Reads records by id; ids without a record are missing from the result. */
  async byId(
    ids: readonly string[],
    columns: readonly TaskKey[],
    deadline: Deadline,
  ): Promise<Map<string, Row>> {
    const rows = await this.#readers.reader.matches(byIds(ids), columns, deadline);
    return new Map(rows.map((row) => [row.msg_id, row]));
  }

  /** Reads the given columns of all matches, in no particular order. */
  matches(node: QueryNode, columns: readonly TaskKey[], deadline: Deadline): Promise<Row[]> {
    return this.#readers.reader.matches(node, columns, deadline);
  }

  /** Reads all ids in the order of submission: cheap on every hub. Records created from output alone may be missing. */
  history(deadline: Deadline): Promise<string[]> {
    return this.#readers.requests.history(deadline);
  }
}

function createReaders(hubRequests: HubRequests, profile: HubProfile): Readers {
  const answersQueries = profile.supports('query');
  const requests = new RecordRequests(hubRequests, answersQueries);
  const paged = answersQueries && profile.supports('page') ? new PagedRecords(requests) : undefined;
  return { requests, paged, reader: paged ?? new StockRecords(requests) };
}

/** Splits ids into lists that every hub accepts. */
export function chunked(ids: readonly string[]): string[][] {
  const chunks: string[][] = [];
  for (let i = 0; i < ids.length; i += MAX_LIST) chunks.push(ids.slice(i, i + MAX_LIST));
  return chunks;
}
