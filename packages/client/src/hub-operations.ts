import {
  type Dict,
  ProtocolError,
  type QueueStatusContent,
  TaskNotFoundError,
  TaskPendingError,
  type TaskStatus,
  taskStatus,
  UsageError,
} from '@ipyparallel-js/protocol';
import { isDict, parseQuery } from '@ipyparallel-js/protocol/internal';
import type { Deadline, WaitOptions } from '@ipyparallel-js/wire';
import type { EngineRegistry } from './engine-registry.js';
import { chunked, type HubDatabase } from './hub-database.js';
import type { HubRequests } from './hub-requests.js';

/** Where tasks are. */
export interface ResultStatus {
  /** Those that have not ended. */
  readonly pending: readonly string[];
  /** Those that have, well or not. */
  readonly completed: readonly string[];
  /** The status of each. */
  readonly statuses: { readonly [msgId: string]: TaskStatus };
}

/** What one engine has to do: counts, or msg_ids when verbose. */
export interface EngineQueueStatus<V = number> {
  /** Direct tasks that wait or run. */
  readonly queue: V;
  /** Load-balanced tasks that wait or run. */
  readonly tasks: V;
  /** What has ended. */
  readonly completed: V;
}

/** What the engines have to do, and what no engine has yet. */
export interface QueueStatus<V = number> {
  readonly engines: { readonly [id: number]: EngineQueueStatus<V> };
  readonly unassigned: V;
}

/** What is asked of the hub beside queries. Each method keeps clear of what stock hubs get wrong. */
export class HubOperations {
  readonly #requests: HubRequests;
  readonly #database: HubDatabase;
  readonly #registry: EngineRegistry;

  constructor(requests: HubRequests, database: HubDatabase, registry: EngineRegistry) {
    this.#requests = requests;
    this.#database = database;
    this.#registry = registry;
  }

  async queueStatus(
    ids: readonly number[],
    verbose: boolean,
    options: WaitOptions,
  ): Promise<QueueStatus<unknown>> {
    // Asked without targets, since a stock hub then lists dead engines too and fails on none.
    const { content } = await this.#requests.request('queue_request', { targets: null, verbose }, options);
    const reply = content as Dict;
    const engines: Record<number, EngineQueueStatus<unknown>> = {};
    for (const id of ids) {
      const line = reply[String(id)];
      if (!isDict(line)) continue;
      const { queue, tasks, completed } = line as unknown as QueueStatusContent;
      engines[id] = { queue, tasks, completed };
    }
    return { engines, unassigned: reply.unassigned };
  }

  async history(options: WaitOptions): Promise<string[]> {
    const { content } = await this.#requests.request('history_request', {}, options);
    if (!Array.isArray(content.history)) throw new ProtocolError('a history_reply holds no list');
    return content.history.map(String);
  }

  async resultStatus(ids: readonly string[], options: WaitOptions): Promise<ResultStatus> {
    const deadline = this.#requests.deadline(options);
    const statuses: Record<string, TaskStatus> = {};
    const rows = await this.#database.byId(ids, ['engine_uuid', 'completed', 'result_content'], deadline);
    const missing = ids.filter((id) => !rows.has(id));
    if (missing.length > 0) throw new TaskNotFoundError(missing, 'unknown');
    const pending: string[] = [];
    const completed: string[] = [];
    for (const id of ids) {
      const row = rows.get(id);
      const { engine_uuid = null, completed: end = null, result_content = null } = row ?? {};
      statuses[id] = taskStatus({ engine_uuid, completed: end, result_content });
      (end === null ? pending : completed).push(id);
    }
    return { pending, completed, statuses };
  }

  /** Old id → new id. All or none: an unknown id is found before anything is sent again. */
  async resubmit(ids: readonly string[], options: WaitOptions): Promise<Map<string, string>> {
    const deadline = this.#requests.deadline(options);
    const chunks = chunked([...new Set(ids)]);
    if (chunks.length > 1) {
      const rows = await this.#database.byId(ids, ['msg_id'], deadline);
      const missing = ids.filter((id) => !rows.has(id));
      if (missing.length > 0) throw new TaskNotFoundError(missing, 'unknown');
    }
    const renamed = new Map<string, string>();
    for (const msgIds of chunks) {
      const { content } = await this.#requests.request(
        'resubmit_request',
        { msg_ids: msgIds },
        { ...left(deadline), msgIds },
      );
      if (!isDict(content.resubmitted)) throw new ProtocolError('a resubmit_reply holds no ids');
      for (const [old, fresh] of Object.entries(content.resubmitted)) renamed.set(old, String(fresh));
    }
    return renamed;
  }

  /** Purges records by id; what is unknown is no error. */
  async purgeIds(ids: readonly string[], options: WaitOptions): Promise<void> {
    const deadline = this.#requests.deadline(options);
    const chunks = chunked([...new Set(ids)]);
    if (chunks.length > 1) {
      // The hub checks each request by itself; only all of them together are all or nothing.
      const rows = await this.#database.byId(ids, ['completed'], deadline);
      const pending = [...rows.values()].filter((row) => row.completed === null).map((row) => row.msg_id);
      if (pending.length > 0) throw new TaskPendingError(pending);
    }
    for (const msgIds of chunks) {
      await this.#requests.request(
        'purge_request',
        { msg_ids: msgIds, engine_ids: [] },
        { ...left(deadline), msgIds },
      );
    }
  }

  /** Purges every record that has ended. */
  async purgeAll(options: WaitOptions): Promise<void> {
    await this.#requests.request('purge_request', { msg_ids: 'all', engine_ids: [] }, options);
  }

  /** The ids of all that has ended on these engines: stock hubs purge nothing when asked by engine. */
  async endedOn(engineIds: readonly number[], options: WaitOptions): Promise<string[]> {
    const uuids = engineIds.map((id) => {
      const uuid = this.#registry.engines.get(id);
      if (uuid === undefined)
        throw new UsageError(`no engine ${id}; registered: ${this.#registry.ids.join(', ')}`);
      return uuid;
    });
    const node = parseQuery({ engine_uuid: { $in: uuids }, completed: { $ne: null } });
    const rows = await this.#database.find(
      { node, keys: [{ name: 'msg_id', column: 'msg_id' }] },
      this.#requests.deadline(options),
    );
    return rows.map((row) => String(row.msg_id));
  }
}

function left(deadline: Deadline): WaitOptions {
  return {
    timeout: deadline.remaining(),
    ...(deadline.signal === undefined ? {} : { signal: deadline.signal }),
  };
}
