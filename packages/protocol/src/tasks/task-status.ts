import { type Dict, isDict } from '../common/dict.js';
import type { TaskRecord } from './task-record.js';

/**
 * The status of a task: `unassigned` (no engine yet), `assigned` (an engine has it), `completed`, `failed`, `aborted`,
 * `purged` (its record was removed) or `lost` (its controller ended and its outcome cannot be known).
 */
export type TaskStatus = 'unassigned' | 'assigned' | 'completed' | 'failed' | 'aborted' | 'purged' | 'lost';

/** Every {@link TaskStatus}, in the order in which a task goes through them. */
export const TASK_STATUSES = [
  'unassigned',
  'assigned',
  'completed',
  'failed',
  'aborted',
  'purged',
  'lost',
] as const satisfies readonly TaskStatus[];

/** The keys that {@link taskStatus} reads. */
export const STATUS_KEYS = ['engine_uuid', 'completed', 'result_content'] as const;

/**
 * Derives the status of a task from its record. The result is never `purged`, because a purged task has no record. It is
 * `lost` when our hub recorded the loss; only the client can detect the other lost tasks.
 */
export function taskStatus(
  record: Pick<TaskRecord, (typeof STATUS_KEYS)[number]>,
): Exclude<TaskStatus, 'purged'> {
  if (record.completed !== null || record.result_content !== null) {
    return outcome(record.result_content ?? {});
  }
  return record.engine_uuid === null || record.engine_uuid === '' ? 'unassigned' : 'assigned';
}

/** Derives how a task ended from the content of its reply. */
export function outcome(content: Dict): 'completed' | 'failed' | 'aborted' | 'lost' {
  const status = isDict(content) ? content['status'] : undefined;
  if (status === 'aborted' || content['ename'] === 'TaskAborted') return 'aborted';
  // Our hub writes this ename into the record of a task that a restart lost.
  if (content['ename'] === 'TaskLost') return 'lost';
  return status === 'error' ? 'failed' : 'completed';
}

/** Whether a status is final. */
export function isDone(status: TaskStatus): boolean {
  return status !== 'unassigned' && status !== 'assigned';
}
