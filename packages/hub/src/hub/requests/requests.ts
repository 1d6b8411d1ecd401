import type { AnyMessage, Dict } from '@ipyparallel-js/protocol';
import { pyRepr, ReportedError } from '../../common/errors.js';
import type { TaskDatabase } from '../../db/task-database.js';
import type { Schedulers } from '../../thread-link/schedulers.js';
import type { EngineRegistry, RegisteredEngine } from '../engines/engine-registry.js';
import type { ChangeWriter } from '../recording/change-writer.js';
import type { TaskTracker } from '../recording/task-tracker.js';
import type { Subscriptions } from '../subscriptions/subscriptions.js';

/** What the answer to a request is. */
export interface Answer {
  readonly content: Dict;
  /** The content's bytes where they are made already; `content` is not looked at then. */
  readonly packedContent?: Buffer;
  readonly buffers?: readonly Uint8Array[];
}

/** Answers one type of request. A {@link ReportedError} becomes the reply's content. */
export type Handler = (content: Dict, request: AnyMessage) => Promise<Answer> | Answer;

/** What handlers of requests work with. */
export interface HubState {
  readonly engines: EngineRegistry;
  readonly tracker: TaskTracker;
  readonly db: TaskDatabase;
  readonly writer: ChangeWriter;
  readonly schedulers: Schedulers;
  readonly subscriptions: Subscriptions;
  /** An id of this hub's life. */
  readonly epoch: string;
}

/** The engines that a request names, all of them for null. @throws ReportedError IndexError for one that is not there */
export function targetsOf(state: HubState, targets: unknown): RegisteredEngine[] {
  if (targets === null || targets === undefined) return state.engines.all;
  const list: readonly unknown[] = Array.isArray(targets) ? targets : [targets];
  if (list.length === 0) throw new ReportedError('IndexError', 'No Engines Registered');
  const missing: unknown[] = [];
  const found: RegisteredEngine[] = [];
  for (const target of list) {
    const id = typeof target === 'string' ? state.engines.idOf(target) : target;
    const engine = typeof id === 'number' ? state.engines.get(id) : undefined;
    if (engine === undefined) missing.push(target);
    else found.push(engine);
  }
  if (missing.length > 0) {
    const names = missing.map((target) => (typeof target === 'string' ? pyRepr(target) : String(target)));
    throw new ReportedError('IndexError', `No Such Engine: [${names.join(', ')}]`);
  }
  return found;
}

/** The msg_ids of a request. @throws ReportedError TypeError when they are no list of texts */
export function msgIdsOf(content: Dict): string[] {
  const ids = content['msg_ids'] ?? [];
  const list: unknown = typeof ids === 'string' ? [ids] : ids;
  if (!Array.isArray(list) || !list.every((id): id is string => typeof id === 'string')) {
    throw new ReportedError('TypeError', 'msg_ids must be a list of msg_ids');
  }
  return [...new Set(list)];
}

/** The error for ids of which there is no record: purged or culled, as far as is remembered, or unknown. */
export function notFound(
  tracker: TaskTracker,
  msgIds: readonly string[],
  unknown: () => ReportedError,
): ReportedError {
  const removed = msgIds.filter((id) => tracker.removed.has(id));
  if (removed.length < msgIds.length) return unknown();
  return new ReportedError('TaskPurged', `purged or culled: ${removed.map(pyRepr).join(', ')}`);
}
