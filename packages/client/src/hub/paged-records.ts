import type { Dict, TaskKey } from '@ipyparallel-js/protocol';
import { type QueryNode, toWireSort } from '@ipyparallel-js/protocol/internal';
import type { Deadline } from '@ipyparallel-js/wire';
import { describePlan, type QueryPlan } from './explain.js';
import { OUR_TRAITS, planQuery } from './query-planner.js';
import { FULL_RANGE, keysOf, type RecordQuery, type Row, requestedColumns } from './record-query.js';
import type { RecordReader } from './record-reader.js';
import type { RecordPage, RecordRequests } from './record-requests.js';

/** Reads records of a hub that sorts, skips, limits and counts, and that returns pages whose size it limits itself. */
export class PagedRecords implements RecordReader {
  readonly #requests: RecordRequests;

  constructor(requests: RecordRequests) {
    this.#requests = requests;
  }

  /**
   * Yields the matches in order, a page at a time, and requests the next page while one is being read. Each page begins
   * after the last record of the previous one, so no record is missed or repeated when others are added or removed.
   */
  async *pages(query: RecordQuery, newDeadline: () => Deadline): AsyncGenerator<Row[], void, undefined> {
    const wireQuery = this.wireQuery(query.node);
    if (wireQuery === undefined) return;
    const { skip, limit, sort } = query;
    const allKeys = query.keys === undefined;
    const requested = requestedColumns(query);
    const columns = allKeys ? requested : [...new Set<TaskKey>(['msg_id', 'submitted', ...requested])];
    // A record whose sort key changes between two pages can be returned twice.
    const stableOrder = sort.every(({ field }) => IMMUTABLE_COLUMNS.has(field.column));
    const seen = new Set<string>();
    // The caller cannot leave the generator before the first page, so that request needs no signal of its own.
    let abort: AbortController | undefined;
    const requestPage = (remaining: number, after: string | undefined): Promise<RecordPage> => {
      const deadline = newDeadline();
      if (after !== undefined) abort ??= new AbortController();
      const signals = [abort?.signal, deadline.signal].filter((signal) => signal !== undefined);
      const signal = signals.length > 1 ? AbortSignal.any(signals) : signals[0];
      const page = this.#requests.page(
        {
          ...{ query: wireQuery, keys: allKeys ? null : columns, sort: toWireSort(sort) },
          ...(after === undefined ? (skip > 0 ? { skip } : {}) : { after }),
          ...(remaining === Number.POSITIVE_INFINITY ? {} : { limit: remaining }),
        },
        columns,
        { ...deadline, signal },
      );
      // A caller that leaves early never awaits this promise; its rejection must not count as unhandled.
      page.catch(() => undefined);
      return page;
    };
    let remaining = limit;
    let nextPage: Promise<RecordPage> | undefined = requestPage(remaining, undefined);
    try {
      while (nextPage !== undefined) {
        const { rows, next }: RecordPage = await nextPage;
        remaining -= rows.length;
        nextPage = next === undefined || remaining <= 0 ? undefined : requestPage(remaining, next);
        const newRows = rows.filter((row) => {
          const known = seen.has(row.msg_id);
          if (!stableOrder || row.submitted === null) seen.add(row.msg_id);
          return !known;
        });
        if (newRows.length > 0) yield newRows;
      }
    } finally {
      if (nextPage !== undefined) abort?.abort();
    }
  }

  async count(node: QueryNode, newDeadline: () => Deadline): Promise<number> {
    const wireQuery = this.wireQuery(node);
    return wireQuery === undefined ? 0 : this.#requests.count(wireQuery, newDeadline());
  }

  async matches(node: QueryNode, columns: readonly TaskKey[], deadline: Deadline): Promise<Row[]> {
    const rows: Row[] = [];
    const query = { ...FULL_RANGE, node, keys: keysOf(columns) };
    for await (const page of this.pages(query, () => deadline)) rows.push(...page);
    return rows;
  }

  async explain(query: RecordQuery): Promise<QueryPlan> {
    return describePlan(query, OUR_TRAITS, planQuery(query.node, OUR_TRAITS), { paged: true });
  }

  /** The condition in wire form; undefined when no record can match. */
  wireQuery(node: QueryNode): Dict | undefined {
    return planQuery(node, OUR_TRAITS).queries[0];
  }
}

/** Columns that never change once set. `submitted` is null while the hub has seen only output of a task. */
const IMMUTABLE_COLUMNS: ReadonlySet<TaskKey> = new Set<TaskKey>([
  ...(['msg_id', 'submitted', 'client_uuid', 'queue', 'header', 'metadata', 'content'] as const),
  ...(['execute_input', 'label'] as const),
]);
