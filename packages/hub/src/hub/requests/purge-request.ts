import type { Dict } from '@ipyparallel-js/protocol';
import { allOf, parseQuery, type QueryNode } from '@ipyparallel-js/protocol/internal';
import { pyRepr, ReportedError } from '../../common/errors.js';
import type { HubState } from './hub-state.js';
import type { Reply, RequestHandler } from './reply.js';
import { msgIdsOf } from './request-arguments.js';

/**
 * `purge_request`: removes tasks by id, all ended tasks, the ended tasks of engines, or the ended matches of a query. It
 * removes nothing if a named task has not ended or a named engine is not registered.
 */
export function purgeRequest(state: HubState): RequestHandler {
  return async (request) => {
    if (request['query'] !== undefined) return purgeMatches(state, request);
    const purgesAll = request['msg_ids'] === 'all';
    const msgIds = purgesAll ? [] : msgIdsOf(request);
    const pending = msgIds.find((id) => state.tracker.pendingIds.has(id));
    if (pending !== undefined) throw new ReportedError('IndexError', `msg pending: ${pyRepr(pending)}`);
    const uuids = uuidsOf(state, request['engine_ids']);
    const ended = { completed: { $ne: null } };
    const removals = [
      ...(purgesAll ? [{ query: parseQuery(ended) }] : []),
      ...(msgIds.length > 0 ? [{ msgIds }] : []),
      ...(uuids.length > 0 ? [{ query: parseQuery({ engine_uuid: { $in: uuids }, ...ended }) }] : []),
    ];
    for (const removal of removals) {
      await state.subscriptions.beforeRemoval(removal);
      const { msgIds: removedIds } = await state.db.remove(removal);
      recordRemoval(state, removedIds);
    }
    return { content: { status: 'ok' } };
  };
}

/** Ended tasks, and tasks of which only output was recorded, which will never end. */
const ENDED_TASKS: QueryNode = {
  kind: 'or',
  nodes: [parseQuery({ completed: { $ne: null } }), parseQuery({ submitted: null })],
};
const PENDING_TASKS = parseQuery({ completed: null, submitted: { $ne: null } });

/** A reply lists at most this many ids. */
const MAX_LISTED_IDS = 10_000;

/**
 * Purges the ended matches of a query. The reply describes the removed tasks, or those that a dry run would remove, and
 * has the number of pending matches.
 */
async function purgeMatches(state: HubState, request: Dict): Promise<Reply> {
  const query = parseQuery(request['query'], { dates: 'text' });
  const dryRun = request['dry_run'] === true;
  // Count first: a task that ends in between is then reported twice rather than not at all.
  const pending = await state.db.count(allOf([query, PENDING_TASKS]));
  const selection = { query: allOf([query, ENDED_TASKS]) };
  if (!dryRun) await state.subscriptions.beforeRemoval(selection);
  const { count, bytes, msgIds } = await state.db.remove(selection, { dryRun });
  if (!dryRun) recordRemoval(state, msgIds);
  const listedIds = msgIds.length <= MAX_LISTED_IDS ? msgIds : null;
  return { content: { status: 'ok', count, bytes, pending, msg_ids: listedIds } };
}

function recordRemoval({ tracker, subscriptions }: HubState, msgIds: readonly string[]): void {
  tracker.remove(msgIds);
  subscriptions.onRemoved(msgIds);
}

function uuidsOf(state: HubState, ids: unknown): string[] {
  if (!Array.isArray(ids)) return [];
  return ids.map((id: unknown) => {
    const engine = typeof id === 'number' ? state.engines.get(id) : undefined;
    if (engine === undefined) throw new ReportedError('IndexError', `No such engine: ${String(id)}`);
    return engine.uuid;
  });
}
