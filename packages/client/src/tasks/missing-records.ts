import { type AnyMessage, IpyparallelError, isMessageOf, TaskNotFoundError } from '@ipyparallel-js/protocol';
import { getOwnString, STATUS_KEYS } from '@ipyparallel-js/protocol/internal';
import type { HubDatabase } from '../hub/hub-database.js';
import type { HubProfile } from '../hub/hub-profile.js';
import type { HubRequests } from '../hub/hub-requests.js';
import type { Task } from './task.js';
import { RECORD_DELAYS, type TaskFollower } from './task-follower.js';

/** The minimum time for which an id must be unknown: the hub records a task some time after its submission. */
const MIN_UNKNOWN_MS = 1_000;
/** The number of replies in which an id must be unknown. Time alone proves nothing if this process or the controller paused. */
const MIN_UNKNOWN_REPLIES = 3;
/** A probe task must have begun within this time; an older one may have been purged. */
const PROBE_MAX_AGE_MS = 10_000;

export interface MissingRecordsContext {
  readonly database: HubDatabase;
  readonly requests: HubRequests;
  readonly profile: HubProfile;
}

/** A followed task without a record, and the observations that show whether the hub can still record it. */
export interface UnrecordedTask {
  readonly task: Task;
  /** Whether it is known to have been submitted: by this client, or according to the hub. */
  exists: boolean;
  /** Whether it was followed before a reconnection, so that a restarted controller may not know it. */
  beforeReconnection: boolean;
  /** When the hub first reported it as unknown (`performance.now()`), and how often it has done so since. */
  unknownReplies: { readonly since: number; readonly count: number } | undefined;
  /** Another task that an engine has begun: while the hub has no record of that task either, the hub lags behind. */
  probeId: string | undefined;
  readonly follower: TaskFollower;
}

/** Decides about followed tasks without a record: the record may still follow, was purged, or will never exist. */
export class MissingRecords {
  readonly #context: MissingRecordsContext;
  readonly #signal: AbortSignal;
  /** The task that an engine began last, of any client. */
  #lastBegun: { readonly id: string; readonly at: number } | undefined;

  constructor(context: MissingRecordsContext, signal: AbortSignal) {
    this.#context = context;
    this.#signal = signal;
  }

  /** Notes a message of the iopub socket that belongs to the task `id`. */
  noteMessage(message: AnyMessage, id: string): void {
    if (isStartOfRecordedTask(message, id)) this.#lastBegun = { id, at: performance.now() };
  }

  /**
   * Checks a task without a record: a `result_request` shows whether the hub never recorded it or removed its record.
   * The request follows the query, so the hub may have recorded the task in the meantime.
   * @returns the error that ends the task; undefined if its record may still follow
   */
  async check(unrecorded: UnrecordedTask): Promise<IpyparallelError | undefined> {
    const id = unrecorded.task.msgId;
    try {
      const { content } = await this.#context.requests.request(
        'result_request',
        { msg_ids: [id], status_only: true },
        { msgIds: [id], signal: this.#signal },
      );
      unrecorded.exists = true;
      unrecorded.unknownReplies = undefined;
      // The task was submitted in the meantime, or the hub culled its record while it runs; the next poll shows which.
      if (Array.isArray(content.pending) && content.pending.includes(id)) return undefined;
      return (await this.#hasRecord(id)) ? undefined : new TaskNotFoundError([id], 'purged');
    } catch (error) {
      if (!(error instanceof IpyparallelError)) throw error;
      if (!(error instanceof TaskNotFoundError) || error.reason !== 'unknown') return error;
      const now = performance.now();
      const { since = now, count = 0 } = unrecorded.unknownReplies ?? {};
      unrecorded.unknownReplies = { since, count: count + 1 };
      const unknownTime = now - since;
      if (unknownTime < MIN_UNKNOWN_MS || unrecorded.unknownReplies.count < MIN_UNKNOWN_REPLIES)
        return undefined;
      if (unknownTime < RECORD_DELAYS.missingRecord && (await this.#isBehind(unrecorded))) return undefined;
      // The hub may have recorded the task, and then the probe, since the query for the task.
      if (unrecorded.probeId !== undefined && (await this.#hasRecord(id))) return undefined;
      return error;
    }
  }

  /** Whether a busy stock hub lags behind: it replies to requests before it has processed the traffic of tasks. */
  async #isBehind(unrecorded: UnrecordedTask): Promise<boolean> {
    if (this.#context.profile.isOurs) return false;
    // An engine has begun the task, so its record will follow.
    if (unrecorded.follower.hasMessages && !unrecorded.beforeReconnection) return true;
    const lastBegun = this.#lastBegun;
    if (lastBegun !== undefined && performance.now() - lastBegun.at < PROBE_MAX_AGE_MS)
      unrecorded.probeId ??= lastBegun.id;
    const { probeId } = unrecorded;
    return probeId !== undefined && !(await this.#hasRecord(probeId));
  }

  async #hasRecord(id: string): Promise<boolean> {
    const { database, requests } = this.#context;
    const rows = await database.byId([id], STATUS_KEYS, requests.deadline({ signal: this.#signal }));
    return rows.has(id);
  }
}

/** Whether a message reports the start of a task that will have a record; control requests and broadcasts have none. */
function isStartOfRecordedTask(message: AnyMessage, id: string): boolean {
  if (!isMessageOf(message, 'status') || message.content.execution_state !== 'busy') return false;
  const request = getOwnString(message.parent_header, 'msg_type');
  const isTask = request === 'execute_request' || request === 'apply_request';
  return isTask && !id.endsWith(`_${getOwnString(message.metadata, 'engine')}`);
}
