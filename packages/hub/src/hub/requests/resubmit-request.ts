import type { Header, Session } from '@ipyparallel-js/protocol';
import type { Clock } from '../../common/clock.js';
import { keyError, pyRepr } from '../../common/errors.js';
import type { FoundTask } from '../../db/task-database.js';
import { type Request, taskOfRequest } from '../recording/task-records.js';
import type { HubState } from './hub-state.js';
import type { RequestHandler } from './reply.js';
import { msgIdsOf, notFound } from './request-arguments.js';

/** Whom replies to the hub's own requests are addressed to: nobody. The hub sees them as copies. */
const HUB_IDENTITY = 'hub-resubmit';

/**
 * `resubmit_request`: runs tasks again under new ids, with all that their requests carried (a stock hub drops the
 * metadata: label, retries, targets, dependencies). A direct task goes back to its engine if that still lives, any
 * other task to the task queue.
 */
export function resubmitRequest(state: HubState, session: Session, clock: Clock): RequestHandler {
  return async (request) => {
    const msgIds = msgIdsOf(request);
    const found = await state.db.get(msgIds, [
      'header',
      'metadata',
      'content',
      'buffers',
      'queue',
      'engine_uuid',
    ]);
    // What is known by its output only cannot be sent again.
    const missing = msgIds.filter((id) => (found.get(id)?.header ?? null) === null);
    if (missing.length > 0) {
      throw notFound(state.tracker, missing, () =>
        keyError(`No such msg(s): [${missing.map(pyRepr).join(', ')}]`),
      );
    }
    const resubmitted: Record<string, string> = Object.create(null);
    for (const [msgId, task] of found) {
      const again = requestAgain(task, session, clock.exact());
      resubmitted[msgId] = again.header.msg_id;
      submit(state, session, task, again, clock.exact());
      state.writer.push({ op: 'update', msgId, set: { resubmitted: again.header.msg_id } });
    }
    await state.writer.settled();
    return { content: { status: 'ok', resubmitted } };
  };
}

function requestAgain(task: FoundTask, session: Session, now: string): Request {
  // A fresh msg_id and date; the session stays that of the client whose task it is.
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
  const direct = task.queue === 'mux' && engines.idOf(engine) !== undefined;
  writer.push({
    op: 'add',
    task: taskOfRequest(request, direct ? 'mux' : 'task', direct ? engine : null, now),
  });
  const message = { ...request, parent_header: {} };
  if (direct) {
    tracker.submitDirect(request.header.msg_id, engine);
    schedulers.submitDirect(session.encode(message, [engine, HUB_IDENTITY]));
  } else {
    tracker.submitTask(request.header.msg_id);
    schedulers.submitTask(session.encode(message, [HUB_IDENTITY]));
  }
}
