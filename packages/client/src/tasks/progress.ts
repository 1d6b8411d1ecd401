import { isDone, type TaskStatus } from '@ipyparallel-js/protocol';

/** The progress of several tasks, counted in elements: a chunk of a map counts for all its elements. */
export interface Progress {
  readonly total: number;
  /** Elements whose task has ended in any way. */
  readonly done: number;
  readonly completed: number;
  readonly failed: number;
  readonly aborted: number;
  readonly purged: number;
  readonly lost: number;
}

/** Counts statuses, weighted by the number of elements of each task. */
export function countProgress(statuses: readonly TaskStatus[], sizes?: readonly number[]): Progress {
  const counts: Record<TaskStatus, number> = {
    unassigned: 0,
    assigned: 0,
    completed: 0,
    failed: 0,
    aborted: 0,
    purged: 0,
    lost: 0,
  };
  let total = 0;
  let done = 0;
  for (const [i, status] of statuses.entries()) {
    const size = sizes?.[i] ?? 1;
    total += size;
    counts[status] += size;
    if (isDone(status)) done += size;
  }
  const { completed, failed, aborted, purged, lost } = counts;
  return { total, done, completed, failed, aborted, purged, lost };
}
