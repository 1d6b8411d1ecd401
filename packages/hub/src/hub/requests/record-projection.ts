import { type Dict, parseWireDate, type TaskKey } from '@ipyparallel-js/protocol';
import { type ProjectedKey, parseKeys, TASK_COLUMNS } from '@ipyparallel-js/protocol/internal';
import type { FoundTask } from '../../db/task-database.js';

/** The columns that travel as buffers beside a message. */
export const BUFFER_KEYS = ['buffers', 'result_buffers'] as const;

/** What a record has when no keys are asked for. */
export const DEFAULT_KEYS = (Object.keys(TASK_COLUMNS) as TaskKey[]).filter(
  (key) => TASK_COLUMNS[key] !== 'buffers',
);

/** The keys of a request. An empty list means what it means to a stock hub: everything but the buffers. */
export function askedFor(keys: unknown): ProjectedKey[] | undefined {
  if (keys === null || keys === undefined || (Array.isArray(keys) && keys.length === 0)) return undefined;
  return parseKeys(keys);
}

/** The keys under the names asked for: an older name comes back as that name. */
export function projectTask(task: FoundTask, asked: readonly ProjectedKey[]): Dict {
  const record: Record<string, unknown> = {};
  for (const { name, column } of asked) {
    if (TASK_COLUMNS[column] !== 'buffers') record[name] = task[column] ?? null;
  }
  return record;
}

/** Stock hubs have this key in the records that displayed something, and in no others. */
export function withoutEmptyDisplay(task: FoundTask): Dict {
  const { display_data, ...rest } = task;
  return display_data === null || display_data === undefined ? rest : { ...rest, display_data };
}

/** A column as queries and sorts compare it: dates as Dates. */
export function readStored(task: FoundTask, column: TaskKey): unknown {
  const value = task[column];
  if (TASK_COLUMNS[column] !== 'date' || typeof value !== 'string') return value;
  return parseWireDate(value)?.date ?? null;
}
