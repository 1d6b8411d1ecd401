// What a question's answer is: our evaluator's, in the order that the documentation promises.
import type { StoredTask } from '@ipyparallel-js/hub/internal';
import type { Dict, TaskRecord } from '@ipyparallel-js/protocol';
import {
  decodeRecord,
  parseQuery,
  parseSort,
  recordPredicate,
  sortRecords,
  TASK_KEYS,
} from '@ipyparallel-js/protocol/internal';
import type { Question } from './subject.js';

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
export function answerTo(tasks: readonly StoredTask[]): (question: Question) => string[] {
  const records = recordsOf(tasks);
  return ({ query, sort, skip = 0, limit }) => {
    const matches = recordPredicate(parseQuery(query));
    const found = records.filter((record) => matches(record as unknown as Dict));
    const sorted = sortRecords(found, parseSort(sort), (record, key) => record[key]);
    return sorted.slice(skip, limit === undefined ? undefined : skip + limit).map(({ msg_id }) => msg_id);
  };
}
