import type { Dict, HubInfo } from '@ipyparallel-js/protocol';
import { VERSION } from '../../common/version.js';
import type { HubState } from './hub-state.js';
import type { RequestHandler } from './reply.js';
import { targetsOf } from './request-arguments.js';

/** What this hub is and can do beyond a stock hub; clients of ours plan by it. */
export const HUB_INFO: HubInfo = {
  name: 'ipyparallel-js',
  version: VERSION,
  features: [
    // Queries mean what they mean in MongoDB, on every key and path.
    'query',
    // db_request takes sort, skip, limit, after and count, and answers in pages.
    'page',
    // purge_request takes a query, and tells what it would purge.
    'purge-query',
    // A purged or culled task is told from an unknown one.
    'purged',
    // Resubmission keeps metadata, and gives a direct task back to its engine.
    'resubmit-metadata',
    // purge_request by engine removes what it says.
    'purge-engines',
    // A direct task's EngineError is in its record as soon as the engine is unregistered.
    'engine-error',
    // What changes of a query's matches is pushed to those who subscribe to it.
    'subscribe',
    // result_reply says which tasks are unfinished and nowhere to be found.
    'lost',
  ],
};

/** `connection_request`: who is registered. */
export function connectionRequest(state: HubState): RequestHandler {
  return () => {
    const engines: Record<string, string> = {};
    for (const { id, uuid } of state.engines.all) engines[String(id)] = uuid;
    return { content: { status: 'ok', engines, hub: { ...HUB_INFO, epoch: state.epoch } } };
  };
}

/** `queue_request`: what each engine has and has done. Unlike a stock hub, engines that are gone are not listed. */
export function queueRequest(state: HubState): RequestHandler {
  return (request) => {
    const verbose = request['verbose'] === true;
    const content: Record<string, unknown> = { status: 'ok' };
    for (const { id, uuid } of targetsOf(state, request['targets'])) {
      content[String(id)] = state.tracker.engine(uuid)?.status(verbose);
    }
    const { unassigned } = state.tracker;
    content['unassigned'] = verbose ? [...unassigned] : unassigned.size;
    return { content };
  };
}

/** `load_request`: how many tasks each engine has not answered. */
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
