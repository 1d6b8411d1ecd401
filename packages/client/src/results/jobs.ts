import { UsageError } from '@ipyparallel-js/protocol';
import { AsyncResult } from './async-result.js';

/** Tasks, named by a msg_id, by a place in the history (-1 is the last), or by a result that stands for them. */
export type Job = string | number | AsyncResult<unknown>;

/** Tasks, named one by one or together. */
export type Jobs = Job | readonly Job[];

/** The ids of tasks; numbers are places in `history`, which is `whose`. @throws UsageError when something else names one */
export function idsOf(jobs: Jobs, history: readonly string[], whose = 'the client'): string[] {
  const all: readonly Job[] = Array.isArray(jobs) ? jobs : [jobs as Job];
  return all.flatMap((job) => {
    if (typeof job === 'string') return [job];
    if (job instanceof AsyncResult) return job.msgIds;
    if (typeof job !== 'number')
      throw new UsageError(
        `a task is named by its msg_id, a text, by its place in the history, or by its result, not by ${typeof job}`,
      );
    const id = Number.isInteger(job) ? history.at(job) : undefined;
    if (id === undefined) throw new UsageError(`${whose} has no task at ${job}; it has ${history.length}`);
    return [id];
  });
}
