import {
  type Dict,
  type HubInfo,
  ProtocolError,
  type QueueStatusContent,
  type TaskKey,
  TaskNotFoundError,
  TaskPendingError,
  type TaskStatus,
  taskStatus,
} from '@ipyparallel-js/protocol';
import { isDict, type OptionNames, parseQuery } from '@ipyparallel-js/protocol/internal';
import { type Deadline, WAIT_OPTIONS, type WaitOptions } from '@ipyparallel-js/wire';
import { chunked, type HubDatabase } from './hub-database.js';
import type { HubRequests } from './hub-requests.js';
import type { PurgeReport } from './purge.js';
import { type Row, WHOLE_RANGE } from './record-query.js';
import { left } from './record-requests.js';
import { MAX_LIST } from './stock/stock-plan.js';

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

export const QUEUE_STATUS_OPTIONS: OptionNames<WaitOptions & { verbose?: boolean }> = {
  verbose: true,
  ...WAIT_OPTIONS,
};

/** What a resubmission made. */
export interface Resubmission {
  /** Old id → new id. */
  readonly renamed: ReadonlyMap<string, string>;
  /** What was lost, by new id. */
  readonly dropped: ReadonlyMap<string, readonly string[]>;
}

/** What is asked of the hub beside queries. Each method keeps clear of what stock hubs get wrong. */
export class HubOperations {
  readonly #requests: HubRequests;
  readonly #database: HubDatabase;

  #hub: HubInfo | undefined;

  constructor(requests: HubRequests, database: HubDatabase) {
    this.#requests = requests;
    this.#database = database;
  }

  /** What the hub says of itself; undefined for a stock one. Told at each connection. */
  setHub(hub: HubInfo | undefined): void {
    this.#hub = hub;
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

  /** Runs tasks again. All or none: an unknown id is found before anything is sent again. */
  async resubmit(ids: readonly string[], options: WaitOptions): Promise<Resubmission> {
    const deadline = this.#requests.deadline(options);
    const chunks = chunked([...new Set(ids)]);
    const lost = this.keepsMetadata ? undefined : await this.#losses(ids, deadline);
    if (lost === undefined && chunks.length > 1) {
      const rows = await this.#database.byId(ids, ['msg_id'], deadline);
      const missing = ids.filter((id) => !rows.has(id));
      if (missing.length > 0) throw new TaskNotFoundError(missing, 'unknown');
    }
    const renamed = new Map<string, string>();
    const dropped = new Map<string, readonly string[]>();
    for (const msgIds of chunks) {
      const { content } = await this.#requests.request(
        'resubmit_request',
        { msg_ids: msgIds },
        { ...left(deadline), msgIds },
      );
      if (!isDict(content.resubmitted)) throw new ProtocolError('a resubmit_reply holds no ids');
      for (const [old, fresh] of Object.entries(content.resubmitted)) {
        renamed.set(old, String(fresh));
        const names = lost?.get(old) ?? [];
        if (names.length > 0) dropped.set(String(fresh), names);
      }
    }
    return { renamed, dropped };
  }

  /** What is needed to submit tasks once more. @throws TaskNotFoundError when one of them has no request on record */
  async requestsOf(ids: readonly string[], options: WaitOptions): Promise<Row[]> {
    const rows = await this.#rows(ids, this.#requests.deadline(options), [
      ...(['header', 'metadata', 'content', 'buffers', 'queue', 'engine_uuid'] as const),
    ]);
    const missing = ids.filter((id) => (rows.get(id)?.header ?? null) === null);
    if (missing.length > 0) throw new TaskNotFoundError(missing, 'unknown');
    return ids.flatMap((id) => rows.get(id) ?? []);
  }

  /** Whether the hub runs a task again with all that its metadata said. */
  get keepsMetadata(): boolean {
    return this.#hub?.features.includes('resubmit-metadata') === true;
  }

  async #losses(ids: readonly string[], deadline: Deadline): Promise<Map<string, readonly string[]>> {
    const rows = await this.#rows(ids, deadline, ['metadata', 'queue']);
    const missing = ids.filter((id) => !rows.has(id));
    if (missing.length > 0) {
      // One of them: the hub itself says whether it was purged.
      if (ids.length <= MAX_LIST) return new Map();
      throw new TaskNotFoundError(missing, 'unknown');
    }
    return new Map([...rows.values()].map((row) => [row.msg_id, lossesOf(row)]));
  }

  async #rows(
    ids: readonly string[],
    deadline: Deadline,
    keys: readonly TaskKey[],
  ): Promise<Map<string, Row>> {
    const all = new Map<string, Row>();
    const unique = [...new Set(ids)];
    for (let at = 0; at < unique.length; at += ROWS_AT_ONCE) {
      const some = await this.#database.byId(unique.slice(at, at + ROWS_AT_ONCE), keys, deadline);
      for (const [id, row] of some) all.set(id, row);
    }
    return all;
  }

  /** Purges the matches of a query that have ended, on a hub of ours. */
  async purgeQuery(query: Dict, dryRun: boolean, deadline: Deadline): Promise<PurgeReport> {
    const { content } = await this.#requests.request(
      'purge_request',
      { msg_ids: [], engine_ids: [], query, dry_run: dryRun },
      left(deadline),
    );
    const { count, bytes, pending, msg_ids } = content as Dict;
    if (![count, bytes, pending].every(Number.isSafeInteger))
      throw new ProtocolError('a purge_reply does not say how many records went');
    const msgIds = Array.isArray(msg_ids) ? { msgIds: msg_ids.map(String) } : {};
    return { count: Number(count), bytes: Number(bytes), pending: Number(pending), ...msgIds, dryRun };
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
  async endedOn(uuids: readonly string[], options: WaitOptions): Promise<string[]> {
    const node = parseQuery({ engine_uuid: { $in: uuids }, completed: { $ne: null } });
    const deadline = this.#requests.deadline(options);
    return this.#database.ids({ ...WHOLE_RANGE, node }, () => deadline);
  }
}

/** Records read at a time where they may be big. */
const ROWS_AT_ONCE = 200;

/** What is lost when only header, content and buffers of a task are sent again. */
function lossesOf({ metadata, queue }: Row): string[] {
  const said = Object.entries(metadata ?? {}).filter(([, value]) => saysSomething(value));
  return [...(queue === 'mux' ? ['engine'] : []), ...said.map(([name]) => name)];
}

function saysSomething(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  // Dependencies that depend on nothing.
  if (isDict(value) && 'dependencies' in value) return saysSomething(value.dependencies);
  if (isDict(value)) return Object.keys(value).length > 0;
  return Boolean(value);
}
