import type { TaskKey } from '@ipyparallel-js/protocol';
import { compareText } from '@ipyparallel-js/protocol/internal';
import { errorContent, keyError } from '../../common/errors.js';
import type { FoundTask, StoredTask } from '../../db/task-database.js';
import type { HubState } from './hub-state.js';
import type { RequestHandler } from './reply.js';
import { msgIdsOf, notFoundError } from './request-arguments.js';

const STATUS_KEYS: readonly TaskKey[] = ['completed', 'submitted'];
const IO_KEYS = ['execute_input', 'execute_result', 'error', 'stdout', 'stderr'] as const;
const PART_KEYS = [
  'header',
  'metadata',
  'result_metadata',
  'result_header',
  'result_content',
  'received',
] as const;
const RESULT_KEYS: readonly TaskKey[] = [...PART_KEYS, ...IO_KEYS, ...STATUS_KEYS, 'result_buffers'];

/**
 * `result_request`: which tasks have ended and, unless `status_only`, their results, with buffers in the order of the
 * ids. An unfinished task that no engine or queue has (a previous controller had it queued) is `lost`: it is listed as
 * completed with an error, so that no client waits for it.
 */
export function resultRequest(state: HubState): RequestHandler {
  return async (request) => {
    const msgIds = msgIdsOf(request).sort(compareText);
    const statusOnly = request['status_only'] === true;
    const otherIds = msgIds.filter((id) => !state.tracker.pendingIds.has(id));
    // A status request must work without a Task Database, too.
    const idsToRead = statusOnly ? otherIds.filter((id) => !state.tracker.completedIds.has(id)) : otherIds;
    const tasks =
      idsToRead.length === 0
        ? new Map<string, FoundTask>()
        : await state.db.get(idsToRead, statusOnly ? STATUS_KEYS : RESULT_KEYS);
    const unknownIds = idsToRead.filter((id) => !tasks.has(id));
    const first = unknownIds[0];
    if (first !== undefined) {
      throw notFoundError(state.tracker, [first], () => keyError(`No such message: ${first}`));
    }
    const pendingIds: string[] = [];
    const completedIds: string[] = [];
    const lostIds: string[] = [];
    const buffers: Uint8Array[] = [];
    // Peers choose the ids, which are keys here, so the object must not inherit properties.
    const content: Record<string, unknown> = Object.create(null);
    content['status'] = 'ok';
    content['pending'] = pendingIds;
    content['completed'] = completedIds;
    const reservedKeys = new Set([...Object.keys(content), 'lost']);
    for (const id of msgIds) {
      const task = tasks.get(id);
      const isLost = task !== undefined && isLostTask(task, state);
      const hasEnded =
        task === undefined ? !state.tracker.pendingIds.has(id) : (task.completed ?? null) !== null;
      if (isLost) lostIds.push(id);
      (hasEnded || isLost ? completedIds : pendingIds).push(id);
      if (isLost && !statusOnly && !reservedKeys.has(id))
        content[id] = partsOf({ ...task, ...lostResult(id) });
      if (!hasEnded || statusOnly || task === undefined || reservedKeys.has(id)) continue;
      content[id] = partsOf(task);
      buffers.push(...(task.result_buffers ?? []));
    }
    if (lostIds.length > 0) content['lost'] = lostIds;
    return { content, buffers };
  };
}

function isLostTask({ msg_id, submitted, completed }: FoundTask, { tracker }: HubState): boolean {
  // The request of a task of which only output was recorded may still arrive.
  return (completed ?? null) === null && (submitted ?? null) !== null && !tracker.pendingIds.has(msg_id);
}

function lostResult(msgId: string): Pick<StoredTask, 'result_content' | 'result_header' | 'result_metadata'> {
  const evalue = `task '${msgId}' was lost: the controller that queued it has ended, and the task is pending on no engine of this controller`;
  return { result_content: errorContent('TaskLost', evalue), result_header: {}, result_metadata: {} };
}

function partsOf(task: FoundTask): Record<string, unknown> {
  const parts: Record<string, unknown> = {};
  for (const key of PART_KEYS) parts[key] = task[key] ?? null;
  const io: Record<string, unknown> = {};
  for (const key of IO_KEYS) io[key] = task[key] ?? null;
  return { ...parts, io };
}
