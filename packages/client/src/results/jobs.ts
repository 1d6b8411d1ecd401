import { UsageError } from '@ipyparallel-js/protocol';
import { AsyncResult } from './async-result.js';

/** Tasks, named by a msg_id, by a position in the history (-1 is the last), or by their AsyncResult. */
export type Job = string | number | AsyncResult<unknown>;

/** One job or a list of jobs. */
export type Jobs = Job | readonly Job[];

/** Returns the ids of tasks. Numbers are positions in the `history` of `owner`. @throws {UsageError} for other values */
export function idsOf(jobs: Jobs, history: readonly string[], owner = 'the client'): string[] {
  const all: readonly Job[] = Array.isArray(jobs) ? jobs : [jobs as Job];
  return all.flatMap((job) => {
    if (typeof job === 'string') return [job];
    if (job instanceof AsyncResult) return job.msgIds;
    if (typeof job !== 'number')
      throw new UsageError(
        `a task must be named by its msg_id (string), its position in the history (number) or its AsyncResult, got ${typeof job}`,
      );
    const id = Number.isInteger(job) ? history.at(job) : undefined;
    if (id === undefined)
      throw new UsageError(
        `${owner} has no task at position ${job}; it has ${history.length} in its history`,
      );
    return [id];
  });
}
