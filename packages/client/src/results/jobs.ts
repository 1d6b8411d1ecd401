import { UsageError } from '@ipyparallel-js/protocol';
import { AsyncResult } from './async-result.js';

/** Tasks, named by their ids or by a result that stands for them. */
export type Jobs = string | readonly string[] | AsyncResult<unknown>;

/** The ids of tasks. @throws UsageError when something else names one */
export function idsOf(jobs: Jobs): readonly string[] {
  if (typeof jobs === 'string') return [jobs];
  const ids = jobs instanceof AsyncResult ? jobs.msgIds : jobs;
  for (const id of ids) {
    if (typeof id !== 'string')
      throw new UsageError(`a task is named by its msg_id, a text, not by ${typeof id}`);
  }
  return ids;
}
