// What a question's answer is: our evaluator's, in the order that the documentation promises.
import type { StoredTask } from '@ipyparallel-js/hub/internal';
import type { Dict, TaskRecord } from '@ipyparallel-js/protocol';
import {
  type DateForm,
  decodeRecord,
  parseQuery,
  parseSort,
  recordPredicate,
  sortRecords,
  TASK_KEYS,
  toWireQuery,
  toWireSort,
} from '@ipyparallel-js/protocol/internal';
import type { Question, Subject } from './subject.js';

/** Stored tasks as queries see them: dates as Dates. */
export function recordsOf(tasks: readonly StoredTask[]): TaskRecord[] {
  return tasks.map((task) => {
    const { buffers, result_buffers } = task;
    return decodeRecord(task as unknown as Dict, TASK_KEYS, {
      ...(buffers === null ? {} : { buffers }),
      ...(result_buffers === null ? {} : { result_buffers }),
    }) as TaskRecord;
  });
}

/** Answers questions about these tasks. @throws InvalidQueryError for a question that cannot be asked */
export function answerTo(
  tasks: readonly StoredTask[],
  dates: DateForm = 'date',
): (question: Question) => string[] {
  const records = recordsOf(tasks);
  return ({ query, sort, skip = 0, limit }) => {
    const matches = recordPredicate(parseQuery(query, { dates }));
    const found = records.filter((record) => matches(record as unknown as Dict));
    const sorted = sortRecords(found, parseSort(sort), (record, key) => record[key]);
    return sorted.slice(skip, limit === undefined ? undefined : skip + limit).map(({ msg_id }) => msg_id);
  };
}

/** The reference once more, on each question as our client sends it and our hub reads it. */
export class WireSubject implements Subject {
  readonly name = 'questions as they travel';
  readonly atOnce = 1;
  #answers = answerTo([]);

  async load(tasks: readonly StoredTask[]): Promise<readonly StoredTask[]> {
    this.#answers = answerTo(tasks, 'text');
    return tasks;
  }

  async ids({ query, sort, ...page }: Question): Promise<readonly string[]> {
    const wire = JSON.stringify({
      query: toWireQuery(parseQuery(query)),
      ...(sort === undefined ? {} : { sort: toWireSort(parseSort(sort)) }),
    });
    return this.#answers({ ...(JSON.parse(wire) as Question), ...page });
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
