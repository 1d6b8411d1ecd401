// The reference result of a query: that of our evaluator, in the documented order.
import type { StoredTask } from '@ipyparallel-js/hub/internal';
import type { Dict, TaskRecord } from '@ipyparallel-js/protocol';
import {
  type DateFormat,
  decodeRecord,
  parseQuery,
  parseSort,
  recordPredicate,
  sortRecords,
  TASK_KEYS,
  toWireQuery,
  toWireSort,
} from '@ipyparallel-js/protocol/internal';
import { naivelyMatches } from '../naive-evaluator.js';
import type { PagedQuery, Subject } from './subject.js';

/** Converts stored tasks to records as queries compare them: dates as `Date`s. */
export function recordsOf(tasks: readonly StoredTask[]): TaskRecord[] {
  return tasks.map((task) => {
    const { buffers, result_buffers } = task;
    return decodeRecord(task as unknown as Dict, TASK_KEYS, {
      ...(buffers === null ? {} : { buffers }),
      ...(result_buffers === null ? {} : { result_buffers }),
    }) as TaskRecord;
  });
}

/**
 * Returns a function that evaluates queries on these tasks.
 * @throws {InvalidQueryError} (the returned function) when a query is not valid
 */
export function createReference(
  tasks: readonly StoredTask[],
  dates: DateFormat = 'date',
): (pagedQuery: PagedQuery) => string[] {
  const records = recordsOf(tasks);
  return ({ query, sort, skip = 0, limit }) => {
    const matches = recordPredicate(parseQuery(query, { dates }));
    const found = records.filter((record) => matches(record as unknown as Dict));
    const sorted = sortRecords(found, parseSort(sort), (record, key) => record[key]);
    return sorted.slice(skip, limit === undefined ? undefined : skip + limit).map(({ msg_id }) => msg_id);
  };
}

/** An independent reference: a readable evaluator and its own sort order. */
export class NaiveSubject implements Subject {
  readonly name = 'naive evaluator';
  readonly concurrency = 1;
  #records: TaskRecord[] = [];

  async load(tasks: readonly StoredTask[]): Promise<readonly StoredTask[]> {
    this.#records = recordsOf(tasks);
    return tasks;
  }

  async ids({ query, sort, skip = 0, limit }: PagedQuery): Promise<readonly string[]> {
    const found = this.#records.filter((record) => naivelyMatches(query, record as unknown as Dict));
    // Only the default order has an independent implementation.
    const sorted =
      sort === undefined
        ? found.sort((a, b) => bySubmission(a, b) || Buffer.compare(utf8(a.msg_id), utf8(b.msg_id)))
        : sortRecords(found, parseSort(sort), (record, key) => record[key]);
    return sorted.slice(skip, limit === undefined ? undefined : skip + limit).map(({ msg_id }) => msg_id);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

const utf8 = (text: string): Buffer => Buffer.from(text, 'utf8');

function bySubmission({ submitted: a }: TaskRecord, { submitted: b }: TaskRecord): number {
  if (a === null || b === null) return Number(a !== null) - Number(b !== null);
  return a.getTime() - b.getTime();
}

/** The reference on each query after conversion to wire form and back. */
export class WireSubject implements Subject {
  readonly name = 'queries in wire form';
  readonly concurrency = 1;
  #reference = createReference([]);

  async load(tasks: readonly StoredTask[]): Promise<readonly StoredTask[]> {
    this.#reference = createReference(tasks, 'text');
    return tasks;
  }

  async ids({ query, sort, ...page }: PagedQuery): Promise<readonly string[]> {
    const wire = JSON.stringify({
      query: toWireQuery(parseQuery(query)),
      ...(sort === undefined ? {} : { sort: toWireSort(parseSort(sort)) }),
    });
    return this.#reference({ ...(JSON.parse(wire) as PagedQuery), ...page });
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
