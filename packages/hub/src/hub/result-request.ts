import type { TaskKey } from '@ipyparallel-js/protocol';
import { compareText } from '@ipyparallel-js/protocol/internal';
import type { FoundTask } from '../db/task-database.js';
import { keyError } from '../errors.js';
import { type Handler, type HubState, msgIdsOf, notFound } from './requests.js';

const STATUS_KEYS: readonly TaskKey[] = ['completed'];
const IO_KEYS = ['execute_input', 'execute_result', 'error', 'stdout', 'stderr'] as const;
const PART_KEYS = [
  'header',
  'metadata',
  'result_metadata',
  'result_header',
  'result_content',
  'received',
] as const;
const RESULT_KEYS: readonly TaskKey[] = [...PART_KEYS, ...IO_KEYS, 'completed', 'result_buffers'];

/** `result_request`: which tasks have ended, and unless `status_only` their results; buffers in the order of the ids. */
export function resultRequest(state: HubState): Handler {
  return async (request) => {
    const msgIds = msgIdsOf(request).sort(compareText);
    const statusOnly = request['status_only'] === true;
    const open = msgIds.filter((id) => !state.tracker.pending.has(id));
    // Asking for a status must work without a Task Database too.
    const toRead = statusOnly ? open.filter((id) => !state.tracker.completed.has(id)) : open;
    const found =
      toRead.length === 0
        ? new Map<string, FoundTask>()
        : await state.db.get(toRead, statusOnly ? STATUS_KEYS : RESULT_KEYS);
    const unknown = toRead.filter((id) => !found.has(id));
    const first = unknown[0];
    if (first !== undefined) {
      throw notFound(state.tracker, [first], () => keyError(`No such message: ${first}`));
    }
    const pending: string[] = [];
    const completed: string[] = [];
    const buffers: Uint8Array[] = [];
    // Ids are keys here, and a peer chooses them: nothing may be inherited.
    const content: Record<string, unknown> = Object.create(null);
    content['status'] = 'ok';
    content['pending'] = pending;
    content['completed'] = completed;
    const reserved = new Set(Object.keys(content));
    for (const id of msgIds) {
      const task = found.get(id);
      const done = task === undefined ? !state.tracker.pending.has(id) : (task.completed ?? null) !== null;
      (done ? completed : pending).push(id);
      if (!done || statusOnly || task === undefined || reserved.has(id)) continue;
      content[id] = partsOf(task);
      buffers.push(...(task.result_buffers ?? []));
    }
    return { content, buffers };
  };
}

function partsOf(task: FoundTask): Record<string, unknown> {
  const parts: Record<string, unknown> = {};
  for (const key of PART_KEYS) parts[key] = task[key] ?? null;
  const io: Record<string, unknown> = {};
  for (const key of IO_KEYS) io[key] = task[key] ?? null;
  return { ...parts, io };
}
