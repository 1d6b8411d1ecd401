import type { Dict, HubInfo } from '@ipyparallel-js/protocol';
import { VERSION } from '../../common/version.js';
import type { HubState } from './hub-state.js';
import type { RequestHandler } from './reply.js';
import { targetsOf } from './request-arguments.js';

/**
 * The identity of this hub and its features beyond those of Python hubs. The JavaScript client selects its requests by
 * these features.
 */
const HUB_INFO: HubInfo = {
  name: 'ipyparallel-js',
  version: VERSION,
  features: [
    // Queries have the semantics of MongoDB on every key and path.
    'query',
    // db_request accepts sort, skip, limit, after and count, and replies in pages.
    'page',
    // purge_request accepts a query and a dry run.
    'purge-query',
    // A purged or culled task gets a different error than an unknown one.
    'purged',
    // Resubmission keeps the metadata, and returns a direct task to its engine.
    'resubmit-metadata',
    // purge_request by engine removes the tasks of the engine.
    'purge-engines',
    // The EngineError of a direct task is in its record as soon as the engine is unregistered.
    'engine-error',
    // Changes of the matches of a query are pushed to subscribers.
    'subscribe',
    // result_reply lists unfinished tasks that no engine or queue has.
    'lost',
  ],
};

/** `connection_request`: the registered engines. */
export function connectionRequest(state: HubState): RequestHandler {
  return () => {
    const engines: Record<string, string> = {};
    for (const { id, uuid } of state.engines.list) engines[String(id)] = uuid;
    return { content: { status: 'ok', engines, hub: { ...HUB_INFO, epoch: state.epoch } } };
  };
}

/** `queue_request`: the tasks of each engine. Unlike a Python hub, it does not list unregistered engines. */
export function queueRequest(state: HubState): RequestHandler {
  return (request) => {
    const verbose = request['verbose'] === true;
    const content: Record<string, unknown> = { status: 'ok' };
    for (const { id, uuid } of targetsOf(state, request['targets'])) {
      content[String(id)] = state.tracker.engine(uuid)?.status(verbose);
    }
    const { unassignedIds } = state.tracker;
    content['unassigned'] = verbose ? [...unassignedIds] : unassignedIds.size;
    return { content };
  };
}

/** `load_request`: for each engine, the number of tasks without a reply. */
export function loadRequest(state: HubState): RequestHandler {
  return (request) => {
    const content: Record<string, unknown> = { status: 'ok' };
    for (const { id, uuid } of targetsOf(state, request['targets'])) content[String(id)] = load(state, uuid);
    return { content: content as Dict };
  };
}

function load(state: HubState, uuid: string): number {
  const engine = state.tracker.engine(uuid);
  return (engine?.queue.size ?? 0) + (engine?.tasks.size ?? 0);
}
