import {
  type Dict,
  ProtocolError,
  type QueueStatusContent,
  type TaskKey,
  TaskNotFoundError,
  TaskPendingError,
  type TaskStatus,
  taskStatus,
} from '@ipyparallel-js/protocol';
import { describe, isDict, type OptionNames, parseQuery } from '@ipyparallel-js/protocol/internal';
import { type Deadline, WAIT_OPTIONS, type WaitOptions } from '@ipyparallel-js/wire';
import { chunked, type HubDatabase } from './hub-database.js';
import type { HubProfile } from './hub-profile.js';
import type { HubRequests } from './hub-requests.js';
import { FULL_RANGE, type Row } from './record-query.js';
import { remainingWait } from './record-requests.js';
import { MAX_LIST } from './stock/stock-plan.js';

/** The status of several tasks, as returned by `Client.resultStatus`. */
export interface ResultStatus {
  /** Tasks that have not ended. */
  readonly pending: readonly string[];
  /** Tasks that have ended, successfully or not. */
  readonly completed: readonly string[];
  readonly statuses: { readonly [msgId: string]: TaskStatus };
}

/** The work of one engine: counts, or msg_ids with `verbose`. */
export interface EngineQueueStatus<V = number> {
  /** Direct tasks that wait or run. */
  readonly queue: V;
  /** Load-balanced tasks that wait or run. */
  readonly tasks: V;
  /** Tasks that have ended. */
  readonly completed: V;
}

/** The work of all engines, and the tasks that no engine has received. */
export interface QueueStatus<V = number> {
  readonly engines: { readonly [id: number]: EngineQueueStatus<V> };
  readonly unassigned: V;
}

export const QUEUE_STATUS_OPTIONS: OptionNames<WaitOptions & { verbose?: boolean }> = {
  verbose: true,
  ...WAIT_OPTIONS,
};

/** The result of a purge by query, or of its dry run. */
export interface PurgeReport {
  /** The number of purged records. */
  readonly count: number;
  /** Their estimated size: as stored on a hub of this project, as sent by a Python hub. */
  readonly bytes: number;
  /** The number of matches that stay because their tasks have not ended. */
  readonly pending: number;
  /** The ids of the purged records; missing where the hub purged more than it lists (10,000). */
  readonly msgIds?: readonly string[];
  readonly dryRun: boolean;
}

/** The result of a resubmission. */
export interface Resubmission {
  /** The new id of each old id. */
  readonly renamed: ReadonlyMap<string, string>;
  /** The parts of a task's metadata that the hub dropped, by new id. */
  readonly dropped: ReadonlyMap<string, readonly string[]>;
}

/** Sends hub requests other than queries. Each method works around known bugs of Python hubs. */
export class HubOperations {
  readonly #requests: HubRequests;
  readonly #database: HubDatabase;
  readonly #profile: HubProfile;

  constructor(requests: HubRequests, database: HubDatabase, profile: HubProfile) {
    this.#requests = requests;
    this.#database = database;
    this.#profile = profile;
  }

  async queueStatus(
    ids: readonly number[],
    verbose: boolean,
    options: WaitOptions,
  ): Promise<QueueStatus<unknown>> {
    // With explicit targets a Python hub fails on dead engines. Without targets it lists them, too, so they are filtered here.
    const { content } = await this.#requests.request('queue_request', { targets: null, verbose }, options);
    const reply = content as Dict;
    const engines: Record<number, EngineQueueStatus<unknown>> = {};
    for (const id of ids) {
      const status = reply[String(id)];
      if (!isDict(status)) continue;
      const { queue, tasks, completed } = status as unknown as QueueStatusContent;
      engines[id] = { queue, tasks, completed };
    }
    return { engines, unassigned: reply.unassigned };
  }

  async history(options: WaitOptions): Promise<string[]> {
    const { content } = await this.#requests.request('history_request', {}, options);
    if (!Array.isArray(content.history))
      throw new ProtocolError(
        `history of a history_reply must be a list of msg_ids, got ${describe(content.history)}`,
      );
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

  /**
   * Runs tasks again under new ids: all of them, or none.
   * @throws {TaskNotFoundError} when an id is unknown, before any task is sent
   */
  async resubmit(ids: readonly string[], options: WaitOptions): Promise<Resubmission> {
    const deadline = this.#requests.deadline(options);
    const chunks = chunked([...new Set(ids)]);
    const droppedNames = this.keepsMetadata ? undefined : await this.#droppedMetadata(ids, deadline);
    if (droppedNames === undefined && chunks.length > 1) {
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
        { ...remainingWait(deadline), msgIds },
      );
      if (!isDict(content.resubmitted))
        throw new ProtocolError(
          `resubmitted of a resubmit_reply must be an object that maps old ids to new ids, got ${describe(content.resubmitted)}`,
        );
      for (const [oldId, newId] of Object.entries(content.resubmitted)) {
        renamed.set(oldId, String(newId));
        const names = droppedNames?.get(oldId) ?? [];
        if (names.length > 0) dropped.set(String(newId), names);
      }
    }
    return { renamed, dropped };
  }

  /**
   * Reads the columns from which the client can submit tasks again itself.
   * @throws {TaskNotFoundError} when a task has no request on record
   */
  async requestsOf(ids: readonly string[], options: WaitOptions): Promise<Row[]> {
    const rows = await this.#rowsOf(ids, this.#requests.deadline(options), [
      ...(['header', 'metadata', 'content', 'buffers', 'queue', 'engine_uuid'] as const),
    ]);
    const missing = ids.filter((id) => (rows.get(id)?.header ?? null) === null);
    if (missing.length > 0) throw new TaskNotFoundError(missing, 'unknown');
    return ids.flatMap((id) => rows.get(id) ?? []);
  }

  /** Whether the hub keeps the metadata of the tasks that it resubmits. */
  get keepsMetadata(): boolean {
    return this.#profile.supports('resubmit-metadata');
  }

  /** Purges the ended matches of a query, on a hub with the feature `purge-query`. */
  async purgeQuery(query: Dict, dryRun: boolean, deadline: Deadline): Promise<PurgeReport> {
    const { content } = await this.#requests.request(
      'purge_request',
      { msg_ids: [], engine_ids: [], query, dry_run: dryRun },
      remainingWait(deadline),
    );
    const { count, bytes, pending, msg_ids } = content as Dict;
    if (![count, bytes, pending].every(Number.isSafeInteger))
      throw new ProtocolError(
        `count, bytes and pending of a purge_reply must be integers, got ${[count, bytes, pending].map(describe).join(', ')}`,
      );
    const msgIds = Array.isArray(msg_ids) ? { msgIds: msg_ids.map(String) } : {};
    return { count: Number(count), bytes: Number(bytes), pending: Number(pending), ...msgIds, dryRun };
  }

  /**
   * Purges records by id and ignores unknown ids.
   * @throws {TaskPendingError} when a task has not ended
   */
  async purgeIds(ids: readonly string[], options: WaitOptions): Promise<void> {
    const deadline = this.#requests.deadline(options);
    const chunks = chunked([...new Set(ids)]);
    if (chunks.length > 1) {
      // The hub checks each request separately, so the client checks all of them before it sends the first.
      const rows = await this.#database.byId(ids, ['completed'], deadline);
      const pending = [...rows.values()].filter((row) => row.completed === null).map((row) => row.msg_id);
      if (pending.length > 0) throw new TaskPendingError(pending);
    }
    for (const msgIds of chunks) {
      await this.#requests.request(
        'purge_request',
        { msg_ids: msgIds, engine_ids: [] },
        { ...remainingWait(deadline), msgIds },
      );
    }
  }

  /** Purges every record whose task has ended. */
  async purgeAll(options: WaitOptions): Promise<void> {
    await this.#requests.request('purge_request', { msg_ids: 'all', engine_ids: [] }, options);
  }

  /** Reads the ids of all tasks that ended on the given engines, because Python hubs purge nothing by engine. */
  async endedOn(engineUuids: readonly string[], options: WaitOptions): Promise<string[]> {
    const node = parseQuery({ engine_uuid: { $in: engineUuids }, completed: { $ne: null } });
    const deadline = this.#requests.deadline(options);
    return this.#database.ids({ ...FULL_RANGE, node }, () => deadline);
  }

  async #droppedMetadata(
    ids: readonly string[],
    deadline: Deadline,
  ): Promise<Map<string, readonly string[]>> {
    const rows = await this.#rowsOf(ids, deadline, ['metadata', 'queue']);
    const missing = ids.filter((id) => !rows.has(id));
    if (missing.length > 0) {
      // A single request fails as a whole, and the hub's error reports whether the record was purged.
      if (ids.length <= MAX_LIST) return new Map();
      throw new TaskNotFoundError(missing, 'unknown');
    }
    return new Map([...rows.values()].map((row) => [row.msg_id, metadataNamesOf(row)]));
  }

  async #rowsOf(
    ids: readonly string[],
    deadline: Deadline,
    columns: readonly TaskKey[],
  ): Promise<Map<string, Row>> {
    const all = new Map<string, Row>();
    const unique = [...new Set(ids)];
    for (let at = 0; at < unique.length; at += ROWS_PER_REQUEST) {
      const rows = await this.#database.byId(unique.slice(at, at + ROWS_PER_REQUEST), columns, deadline);
      for (const [id, row] of rows) all.set(id, row);
    }
    return all;
  }
}

/** The number of records in one request whose records may be large. */
const ROWS_PER_REQUEST = 200;

/** The names of the settings that are lost when only header, content and buffers of a task are sent again. */
function metadataNamesOf({ metadata, queue }: Row): string[] {
  const settings = Object.entries(metadata ?? {}).filter(([, value]) => isSet(value));
  return [...(queue === 'mux' ? ['engine'] : []), ...settings.map(([name]) => name)];
}

function isSet(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  // A dependency object without tasks has no effect.
  if (isDict(value) && 'dependencies' in value) return isSet(value.dependencies);
  if (isDict(value)) return Object.keys(value).length > 0;
  return Boolean(value);
}
