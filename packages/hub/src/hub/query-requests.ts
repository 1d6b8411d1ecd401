import type { Dict, TaskKey } from '@ipyparallel-js/protocol';
import { type ProjectedKey, parseKeys, parseQuery, TASK_COLUMNS } from '@ipyparallel-js/protocol/internal';
import type { FoundTask } from '../db/task-database.js';
import type { Handler, HubState } from './requests.js';

const BUFFER_KEYS = ['buffers', 'result_buffers'] as const;
const DEFAULT_KEYS = (Object.keys(TASK_COLUMNS) as TaskKey[]).filter(
  (key) => TASK_COLUMNS[key] !== 'buffers',
);

/** `db_request`: the records that match a query, in the order of arrival. */
export function dbRequest(state: HubState): Handler {
  return async (request) => {
    const query = parseQuery(request['query'] ?? {}, { dates: 'text' });
    const asked = askedFor(request['keys']);
    const keys = asked?.map(({ column }) => column) ?? DEFAULT_KEYS;
    const records: Dict[] = [];
    const buffers: Uint8Array[] = [];
    const lengths = { buffers: [] as number[], result_buffers: [] as number[] };
    for await (const tasks of state.db.find(query, { keys })) {
      for (const task of tasks) {
        for (const key of BUFFER_KEYS) {
          if (!keys.includes(key)) continue;
          const own = task[key] ?? [];
          lengths[key].push(own.length);
          buffers.push(...own);
        }
        records.push(asked === undefined ? withoutEmptyDisplay(task) : project(task, asked));
      }
    }
    return {
      content: {
        status: 'ok',
        records,
        buffer_lens: keys.includes('buffers') ? lengths.buffers : null,
        result_buffer_lens: keys.includes('result_buffers') ? lengths.result_buffers : null,
      },
      buffers,
    };
  };
}

/** `history_request`: all msg_ids in the order of submission. */
export function historyRequest(state: HubState): Handler {
  return async () => ({ content: { status: 'ok', history: await state.db.history() } });
}

// An empty list means what it means to a stock hub: everything but the buffers.
function askedFor(keys: unknown): ProjectedKey[] | undefined {
  if (keys === null || keys === undefined || (Array.isArray(keys) && keys.length === 0)) return undefined;
  return parseKeys(keys);
}

/** The keys under the names asked for: an older name comes back as that name. */
function project(task: FoundTask, asked: readonly ProjectedKey[]): Dict {
  const record: Record<string, unknown> = {};
  for (const { name, column } of asked) {
    if (TASK_COLUMNS[column] !== 'buffers') record[name] = task[column] ?? null;
  }
  return record;
}

// Stock hubs have this key in the records that displayed something, and in no others.
function withoutEmptyDisplay(task: FoundTask): Dict {
  const { display_data, ...rest } = task;
  return display_data === null || display_data === undefined ? rest : { ...rest, display_data };
}
