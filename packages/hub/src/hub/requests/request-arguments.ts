import type { Dict } from '@ipyparallel-js/protocol';
import { describe } from '@ipyparallel-js/protocol/internal';
import { pyRepr, ReportedError } from '../../common/errors.js';
import type { RegisteredEngine } from '../engines/engine-registry.js';
import type { TaskTracker } from '../recording/task-tracker.js';
import type { HubState } from './hub-state.js';

/**
 * The engines that a request names; all registered engines for null.
 * @throws {ReportedError} IndexError when an engine is not registered
 */
export function targetsOf(state: HubState, targets: unknown): RegisteredEngine[] {
  if (targets === null || targets === undefined) return state.engines.list;
  const list: readonly unknown[] = Array.isArray(targets) ? targets : [targets];
  if (list.length === 0) throw new ReportedError('IndexError', 'No Engines Registered');
  const unknownTargets: unknown[] = [];
  const engines: RegisteredEngine[] = [];
  for (const target of list) {
    const id = typeof target === 'string' ? state.engines.idOf(target) : target;
    const engine = typeof id === 'number' ? state.engines.get(id) : undefined;
    if (engine === undefined) unknownTargets.push(target);
    else engines.push(engine);
  }
  if (unknownTargets.length > 0) {
    const names = unknownTargets.map((target) =>
      typeof target === 'string' ? pyRepr(target) : String(target),
    );
    throw new ReportedError('IndexError', `No Such Engine: [${names.join(', ')}]`);
  }
  return engines;
}

/**
 * The msg_ids of a request, without duplicates.
 * @throws {ReportedError} TypeError when they are not a list of strings
 */
export function msgIdsOf(content: Dict): string[] {
  const ids = content['msg_ids'] ?? [];
  const list: unknown = typeof ids === 'string' ? [ids] : ids;
  if (!Array.isArray(list) || !list.every((id): id is string => typeof id === 'string')) {
    const invalid: unknown = Array.isArray(list) ? list.find((id) => typeof id !== 'string') : list;
    throw new ReportedError(
      'TypeError',
      `msg_ids must be a list of strings, got ${Array.isArray(list) ? 'the item ' : ''}${describe(invalid)}`,
    );
  }
  return [...new Set(list)];
}

/**
 * The error for ids without a record: TaskPurged if `tracker` lists all of them as purged or culled, otherwise the error
 * of `createUnknownError`.
 */
export function notFoundError(
  tracker: TaskTracker,
  msgIds: readonly string[],
  createUnknownError: () => ReportedError,
): ReportedError {
  const removedIds = msgIds.filter((id) => tracker.removedIds.has(id));
  if (removedIds.length < msgIds.length) return createUnknownError();
  return new ReportedError(
    'TaskPurged',
    `these tasks were purged or culled: ${removedIds.map(pyRepr).join(', ')}`,
  );
}
