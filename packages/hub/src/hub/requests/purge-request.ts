import type { Dict } from '@ipyparallel-js/protocol';
import { allOf, parseQuery, type QueryNode } from '@ipyparallel-js/protocol/internal';
import { pyRepr, ReportedError } from '../../common/errors.js';
import type { HubState } from './hub-state.js';
import type { Reply, RequestHandler } from './reply.js';
import { msgIdsOf } from './request-arguments.js';

/**
 * `purge_request`: forgets tasks by id, all that have ended, those of engines, or what has ended of a query's matches. Nothing is purged if a task is named
 * that has not ended, or an engine that is not there.
 */
export function purgeRequest(state: HubState): RequestHandler {
  return async (request) => {
    if (request['query'] !== undefined) return purgeMatches(state, request);
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
      await state.subscriptions.beforeRemoval(removal);
      const { msgIds: removed } = await state.db.remove(removal);
      forget(state, removed);
    }
    return { content: { status: 'ok' } };
  };
}

/** What has ended; what is known by its output alone will never end, and goes with it. */
const ENDED: QueryNode = {
  kind: 'or',
  nodes: [parseQuery({ completed: { $ne: null } }), parseQuery({ submitted: null })],
};
const PENDING = parseQuery({ completed: null, submitted: { $ne: null } });

/** A reply lists the ids of no more than this. */
const IDS_TOLD = 10_000;

/** Purges what matches a query and has ended; says what of it went, or would go, and how much is left as pending. */
async function purgeMatches(state: HubState, request: Dict): Promise<Reply> {
  const query = parseQuery(request['query'], { dates: 'text' });
  const dryRun = request['dry_run'] === true;
  // First, so that what ends in between is reported twice rather than not at all.
  const pending = await state.db.count(allOf([query, PENDING]));
  const selection = { query: allOf([query, ENDED]) };
  if (!dryRun) await state.subscriptions.beforeRemoval(selection);
  const { count, bytes, msgIds } = await state.db.remove(selection, { dryRun });
  if (!dryRun) forget(state, msgIds);
  const told = msgIds.length <= IDS_TOLD ? msgIds : null;
  return { content: { status: 'ok', count, bytes, pending, msg_ids: told } };
}

function forget({ tracker, subscriptions }: HubState, msgIds: readonly string[]): void {
  tracker.remove(msgIds);
  subscriptions.removed(msgIds);
}

function enginesOf(state: HubState, ids: unknown): string[] {
  if (!Array.isArray(ids)) return [];
  return ids.map((id: unknown) => {
    const engine = typeof id === 'number' ? state.engines.get(id) : undefined;
    if (engine === undefined) throw new ReportedError('IndexError', `No such engine: ${String(id)}`);
    return engine.uuid;
  });
}
