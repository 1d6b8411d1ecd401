import { type Dict, parseWireDate, type TaskKey } from '@ipyparallel-js/protocol';
import { type ProjectedKey, parseKeys, TASK_COLUMNS } from '@ipyparallel-js/protocol/internal';
import type { FoundTask } from '../../db/task-database.js';

/** The columns that a message carries as buffers. */
export const BUFFER_KEYS = ['buffers', 'result_buffers'] as const;

/** The columns of a record if a request names no keys. */
export const DEFAULT_KEYS = (Object.keys(TASK_COLUMNS) as TaskKey[]).filter(
  (key) => TASK_COLUMNS[key] !== 'buffers',
);

/** The keys of a request; undefined for all columns but buffers, also for an empty list, as in a Python hub. */
export function requestedKeys(keys: unknown): ProjectedKey[] | undefined {
  if (keys === null || keys === undefined || (Array.isArray(keys) && keys.length === 0)) return undefined;
  return parseKeys(keys);
}

/** The requested keys of a task under their requested names: an older name of a column is returned as that name. */
export function projectTask(task: FoundTask, keys: readonly ProjectedKey[]): Dict {
  const record: Record<string, unknown> = {};
  for (const { name, column } of keys) {
    if (TASK_COLUMNS[column] !== 'buffers') record[name] = task[column] ?? null;
  }
  return record;
}

/** Omits `display_data` from a task that displayed nothing, as Python hubs do. */
export function withoutEmptyDisplay(task: FoundTask): Dict {
  const { display_data, ...rest } = task;
  return display_data === null || display_data === undefined ? rest : { ...rest, display_data };
}

/** The value of a column as queries and sorts compare it: a date is a Date. */
export function readStored(task: FoundTask, column: TaskKey): unknown {
  const value = task[column];
  if (TASK_COLUMNS[column] !== 'date' || typeof value !== 'string') return value;
  return parseWireDate(value)?.date ?? null;
}
