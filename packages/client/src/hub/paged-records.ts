import type { Dict, HubInfo, TaskKey } from '@ipyparallel-js/protocol';
import { type QueryNode, toWireSort } from '@ipyparallel-js/protocol/internal';
import type { Deadline } from '@ipyparallel-js/wire';
import { type HubPlan, neverMatches, planQuery } from './query-planner.js';
import { columnsAsked, type RecordQuery, type Row } from './record-query.js';
import type { RecordPage, RecordRequests } from './record-requests.js';

/** Records of a hub of ours: it sorts, skips, limits and counts, and answers in pages whose size it bounds itself. */
export class PagedRecords {
  readonly #requests: RecordRequests;

  readonly #info: HubInfo;

  constructor(requests: RecordRequests, info: HubInfo) {
    this.#requests = requests;
    this.#info = info;
  }

  /** Whether nothing of a query is left to be done here: only then can the hub cut the answer. */
  takes(node: QueryNode): boolean {
    return !this.#plan(node).residual;
  }

  /**
   * The matches in order, a page at a time, the next one under way while one is read. Each begins after the last record
   * of the one before, so that none is missed or repeated when others come or go.
   */
  async *pages(question: RecordQuery, newDeadline: () => Deadline): AsyncGenerator<Row[], void, undefined> {
    const query = this.query(question.node);
    if (query === undefined) return;
    const { skip, limit, sort } = question;
    const everything = question.keys === undefined;
    const asked = columnsAsked(question);
    const columns = everything ? asked : [...new Set<TaskKey>(['msg_id', 'submitted', ...asked])];
    // What is sorted by may change while it is read: such a record would come again.
    const fixed = sort.every(({ field }) => FIXED.has(field.column));
    const seen = new Set<string>();
    // Nobody can leave before the first page is there.
    let abort: AbortController | undefined;
    const ask = (left: number, after: string | undefined): Promise<RecordPage> => {
      const deadline = newDeadline();
      if (after !== undefined) abort ??= new AbortController();
      const signals = [abort?.signal, deadline.signal].filter((given) => given !== undefined);
      const signal = signals.length > 1 ? AbortSignal.any(signals) : signals[0];
      const page = this.#requests.page(
        {
          ...{ query, keys: everything ? null : columns, sort: toWireSort(sort) },
          ...(after === undefined ? (skip > 0 ? { skip } : {}) : { after }),
          ...(left === Number.POSITIVE_INFINITY ? {} : { limit: left }),
        },
        columns,
        { ...deadline, signal },
      );
      // Nobody may ever wait for it.
      page.catch(() => undefined);
      return page;
    };
    let left = limit;
    let coming: Promise<RecordPage> | undefined = ask(left, undefined);
    try {
      while (coming !== undefined) {
        const { rows, next }: RecordPage = await coming;
        left -= rows.length;
        coming = next === undefined || left <= 0 ? undefined : ask(left, next);
        const fresh = rows.filter((row) => {
          const known = seen.has(row.msg_id);
          if (!fixed || row.submitted === null) seen.add(row.msg_id);
          return !known;
        });
        if (fresh.length > 0) yield fresh;
      }
    } finally {
      if (coming !== undefined) abort?.abort();
    }
  }

  /** How many match. */
  async count(node: QueryNode, newDeadline: () => Deadline): Promise<number> {
    const query = this.query(node);
    return query === undefined ? 0 : this.#requests.count(query, newDeadline());
  }

  /** The query as the hub is asked it; undefined when nothing can match. */
  query(node: QueryNode): Dict | undefined {
    return neverMatches(node) ? undefined : this.#plan(node).queries[0];
  }

  #plan(node: QueryNode): HubPlan {
    return planQuery(node, { kind: 'ours', info: this.#info });
  }
}

/** What never changes once it is there; `submitted` is unknown as long as only output of a task has come. */
const FIXED: ReadonlySet<TaskKey> = new Set<TaskKey>([
  ...(['msg_id', 'submitted', 'client_uuid', 'queue', 'header', 'metadata', 'content'] as const),
  ...(['execute_input', 'label'] as const),
]);
