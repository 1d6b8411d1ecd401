import { type Dict, isDict } from '../common/dict.js';
import type { TaskRecord } from './task-record.js';

/**
 * One word for where a task is: no engine yet; an engine, not finished; finished in one of three ways; its record gone
 * (`purged`); or never to be heard of again (`lost`: a controller that ended had it).
 */
export type TaskStatus = 'unassigned' | 'assigned' | 'completed' | 'failed' | 'aborted' | 'purged' | 'lost';

/** Every {@link TaskStatus}, in the order of a task's life. */
export const TASK_STATUSES = [
  'unassigned',
  'assigned',
  'completed',
  'failed',
  'aborted',
  'purged',
  'lost',
] as const satisfies readonly TaskStatus[];

/** The keys that {@link taskStatus} looks at. */
export const STATUS_KEYS = ['engine_uuid', 'completed', 'result_content'] as const;

/**
 * The status of a task, derived from what every record has. Never `purged`, which is said of tasks that have no record;
 * `lost` where our hub has ended the record so, of others that will not change any more it is for the client to say.
 */
export function taskStatus(
  record: Pick<TaskRecord, (typeof STATUS_KEYS)[number]>,
): Exclude<TaskStatus, 'purged'> {
  if (record.completed !== null || record.result_content !== null) {
    return outcome(record.result_content ?? {});
  }
  return record.engine_uuid === null || record.engine_uuid === '' ? 'unassigned' : 'assigned';
}

/** How a task ended, from the content of its reply. */
export function outcome(content: Dict): 'completed' | 'failed' | 'aborted' | 'lost' {
  const status = isDict(content) ? content['status'] : undefined;
  if (status === 'aborted' || content['ename'] === 'TaskAborted') return 'aborted';
  // As our hub ends a record whose task a restart has lost.
  if (content['ename'] === 'TaskLost') return 'lost';
  return status === 'error' ? 'failed' : 'completed';
}

/** Whether a task will not change its status any more. */
export function isDone(status: TaskStatus): boolean {
  return status !== 'unassigned' && status !== 'assigned';
}
