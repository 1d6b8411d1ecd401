import { parseQuery } from '@ipyparallel-js/protocol/internal';
import { pyRepr, ReportedError } from '../errors.js';
import { type Handler, type HubState, msgIdsOf } from './requests.js';

/**
 * `purge_request`: forgets tasks by id, all that have ended, or those of engines. Nothing is purged if a task is named
 * that has not ended, or an engine that is not there.
 */
export function purgeRequest(state: HubState): Handler {
  return async (request) => {
    const all = request['msg_ids'] === 'all';
    const msgIds = all ? [] : msgIdsOf(request);
    const pending = msgIds.find((id) => state.tracker.pending.has(id));
    if (pending !== undefined) throw new ReportedError('IndexError', `msg pending: ${pyRepr(pending)}`);
    const uuids = enginesOf(state, request['engine_ids']);
    const ended = { completed: { $ne: null } };
    const removals = [
      ...(all ? [{ query: parseQuery(ended) }] : []),
      ...(msgIds.length > 0 ? [{ msgIds }] : []),
      ...(uuids.length > 0 ? [{ query: parseQuery({ engine_uuid: { $in: uuids }, ...ended }) }] : []),
    ];
    for (const removal of removals) {
      const { msgIds: removed } = await state.db.remove(removal);
      state.tracker.remove(removed);
    }
    return { content: { status: 'ok' } };
  };
}

function enginesOf(state: HubState, ids: unknown): string[] {
  if (!Array.isArray(ids)) return [];
  return ids.map((id: unknown) => {
    const engine = typeof id === 'number' ? state.engines.get(id) : undefined;
    if (engine === undefined) throw new ReportedError('IndexError', `No such engine: ${String(id)}`);
    return engine.uuid;
  });
}
