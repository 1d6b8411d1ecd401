import type { Header, Session } from '@ipyparallel-js/protocol';
import type { Clock } from '../../common/clock.js';
import { keyError, pyRepr } from '../../common/errors.js';
import type { FoundTask } from '../../db/task-database.js';
import { type Request, taskOfRequest } from '../recording/task-records.js';
import type { HubState } from './hub-state.js';
import type { RequestHandler } from './reply.js';
import { msgIdsOf, notFoundError } from './request-arguments.js';

/** The client identity of resubmitted tasks. No client has it: the hub sees the replies as copies of the traffic. */
const HUB_IDENTITY = 'hub-resubmit';

/**
 * `resubmit_request`: runs tasks again under new ids with their complete requests (Python hubs drop the metadata: label,
 * retries, targets, dependencies). A direct task returns to its engine if that is still registered; all other tasks go
 * to the task queue.
 */
export function resubmitRequest(state: HubState, session: Session, clock: Clock): RequestHandler {
  return async (request) => {
    const msgIds = msgIdsOf(request);
    const tasks = await state.db.get(msgIds, [
      'header',
      'metadata',
      'content',
      'buffers',
      'queue',
      'engine_uuid',
    ]);
    // A task of which only output was recorded has no request to send again.
    const missingIds = msgIds.filter((id) => (tasks.get(id)?.header ?? null) === null);
    if (missingIds.length > 0) {
      throw notFoundError(state.tracker, missingIds, () =>
        keyError(`No such msg(s): [${missingIds.map(pyRepr).join(', ')}]`),
      );
    }
    const resubmitted: Record<string, string> = Object.create(null);
    for (const [msgId, task] of tasks) {
      const copy = copyRequest(task, session, clock.wireNow());
      resubmitted[msgId] = copy.header.msg_id;
      submit(state, session, task, copy, clock.wireNow());
      state.writer.push({ op: 'update', msgId, set: { resubmitted: copy.header.msg_id } });
    }
    await state.writer.flush();
    return { content: { status: 'ok', resubmitted } };
  };
}

function copyRequest(task: FoundTask, session: Session, now: string): Request {
  // The session remains that of the client that submitted the task.
  const header = {
    ...(task.header as Header),
    msg_id: session.header('apply_request').msg_id,
    date: now,
  };
  return { header, metadata: task.metadata ?? {}, content: task.content ?? {}, buffers: task.buffers ?? [] };
}

function submit(state: HubState, session: Session, task: FoundTask, request: Request, now: string): void {
  const { engines, tracker, writer, schedulers } = state;
  const engine = task.engine_uuid ?? '';
  const isDirect = task.queue === 'mux' && engines.idOf(engine) !== undefined;
  writer.push({
    op: 'add',
    task: taskOfRequest(request, isDirect ? 'mux' : 'task', isDirect ? engine : null, now),
  });
  const message = { ...request, parent_header: {} };
  if (isDirect) {
    tracker.submitDirect(request.header.msg_id, engine);
    schedulers.submitDirect(session.encode(message, [engine, HUB_IDENTITY]));
  } else {
    tracker.submitTask(request.header.msg_id);
    schedulers.submitTask(session.encode(message, [HUB_IDENTITY]));
  }
}
