import {
  type AnyMessage,
  IpyparallelError,
  isMessageOf,
  type PickleLimits,
  parentId,
  type TaskKey,
  TaskLostError,
  TaskNotFoundError,
} from '@ipyparallel-js/protocol';
import { getOwnString } from '@ipyparallel-js/protocol/internal';
import { type Deadline, pause } from '@ipyparallel-js/wire';
import type { EngineRegistry } from '../engines/engine-registry.js';
import { chunked, type HubDatabase } from '../hub/hub-database.js';
import type { HubProfile } from '../hub/hub-profile.js';
import type { HubRequests } from '../hub/hub-requests.js';
import type { Row } from '../hub/record-query.js';
import type { RequestLane } from '../hub/request-lane.js';
import { LostTasks, type OpenTask } from './lost-tasks.js';
import { describeFromRecord, METADATA_COLUMNS } from './metadata-of-record.js';
import { dateOf, readOutput } from './read-output.js';
import { Task, type TaskOwner } from './task.js';
import { RECORD_DELAYS, TaskFollower } from './task-follower.js';
import { readOutcome } from './task-outcome.js';

const STATUS_COLUMNS: readonly TaskKey[] = ['engine_uuid', 'completed', 'result_content'];
const RESULT_COLUMNS: readonly TaskKey[] = [
  ...new Set<TaskKey>([...STATUS_COLUMNS, ...METADATA_COLUMNS, 'header', 'result_header', 'result_buffers']),
];
const RESULT_COLUMNS_OF_OURS: readonly TaskKey[] = [...RESULT_COLUMNS, 'display_data'];
/** The interval in ms at which an incomplete record is read again. */
const OUTPUT_MS = 25;
const SOON_MS = 5;
/** The hub records a task after its submission: how long an unknown id may still become known. */
const UNKNOWN_GRACE_MS = 1_000;
/** A probe task must have begun within this time; an older one may have been purged. */
const PROBE_MAX_AGE_MS = 10_000;

export interface FollowedTasksContext {
  readonly database: HubDatabase;
  readonly requests: HubRequests;
  readonly profile: HubProfile;
  readonly registry: EngineRegistry;
  /** Serializes requests that are not urgent. */
  readonly lane: RequestLane;
  readonly owner?: TaskOwner;
  /** Whether there is a connection; without one, polling failures are ignored. */
  readonly connected?: () => boolean;
  /** The polling interval in ms. */
  readonly interval: number;
  readonly pickleLimits?: Partial<PickleLimits>;
}

interface Followed {
  readonly task: Task;
  /** Whether this client submitted it, and its reply may have been lost. */
  readonly submittedHere: boolean;
  /** Whether it is known to have been submitted: by this client, or according to the hub. */
  exists: boolean;
  /** Whether it was followed before a reconnection, so that a restarted controller may not know it. */
  beforeReconnection: boolean;
  /** The number of subscribers to its status; undefined once its result is wanted. */
  listeners: number | undefined;
  /** When the hub first reported it as unknown (`performance.now()`). */
  unknownSince: number | undefined;
  /** Another task that an engine has begun: while the hub does not know that one either, it lags behind. */
  probeId: string | undefined;
  readonly follower: TaskFollower;
  /** When its end was first known while its output was incomplete. */
  endedSince: number | undefined;
}

/**
 * Tasks whose results are read from their records at the hub: those of other clients, and resubmitted ones. One loop polls
 * all of them at once; an `idle` status on iopub triggers the next poll early. Mirrors ipyparallel `AsyncHubResult`.
 */
export class FollowedTasks {
  readonly #context: FollowedTasksContext;
  readonly #database: HubDatabase;
  readonly #requests: HubRequests;
  readonly #pending = new Map<string, Followed>();
  #lost: LostTasks;
  #stop = new AbortController();
  #wake = new AbortController();
  #running = false;
  /** The task that an engine began last, of any client. */
  #lastBegun: { readonly id: string; readonly at: number } | undefined;
  /** Whether the record of an ended task was incomplete. */
  #incompleteRecord = false;

  constructor(context: FollowedTasksContext) {
    this.#context = context;
    this.#database = context.database;
    this.#requests = context.requests;
    this.#lost = this.#newLostTasks();
    // Another controller may be there after each connection.
    context.profile.onUpdate(() => {
      this.#lost = this.#newLostTasks();
    });
  }

  /** The number of followed tasks. */
  get size(): number {
    return this.#pending.size;
  }

  /** The followed tasks that have no result yet. */
  unfinished(): Task[] {
    return [...this.#pending.values()].flatMap(({ task }) => (task.outcome === undefined ? [task] : []));
  }

  /** Handles a reconnection: a new controller may not know the followed tasks. */
  onReconnected(newController: boolean | undefined): void {
    if (newController !== false)
      for (const followed of this.#pending.values()) followed.beforeReconnection = true;
  }

  /** Polls the hub for a task until it has ended. `exists`: the task is known to have been submitted. */
  follow(msgId: string, exists = false): Task {
    const followed = this.#follow(msgId);
    followed.listeners = undefined;
    if (exists) followed.exists = true;
    return followed.task;
  }

  /** Polls the hub for a task until the caller calls `release`. */
  listen(msgId: string): { readonly task: Task; readonly release: () => void } {
    const followed = this.#follow(msgId);
    if (followed.listeners !== undefined) followed.listeners++;
    return {
      task: followed.task,
      release: () => {
        if (followed.listeners === undefined || --followed.listeners > 0) return;
        if (this.#pending.get(msgId) === followed) this.#pending.delete(msgId);
      },
    };
  }

  /** Polls the hub for a task of this client whose reply may have been lost, and settles the same object. */
  followOwn(task: Task): void {
    if (task.outcome !== undefined) return;
    this.#add(task.msgId, {
      ...{ task, submittedHere: true, exists: true, beforeReconnection: false },
      ...{ listeners: undefined, unknownSince: undefined, probeId: undefined },
      ...{ follower: new TaskFollower(), endedSince: undefined },
    });
    // Its reply may still arrive.
    void task.done.then(() => {
      if (this.#pending.get(task.msgId)?.task === task) this.#pending.delete(task.msgId);
    });
  }

  /** Handles a message of the iopub socket. */
  onOutput(message: AnyMessage): void {
    const id = parentId(message) ?? '';
    if (isRecordedBeginning(message, id)) this.#lastBegun = { id, at: performance.now() };
    const followed = this.#pending.get(id);
    if (followed !== undefined) followed.exists = true;
    if (followed === undefined || followed.submittedHere) {
      if (followed !== undefined && isIdle(message)) this.#wake.abort();
      return;
    }
    const { task, follower } = followed;
    follower.noteMessage(message);
    if (isMessageOf(message, 'status')) {
      task.assign(getOwnString(message.metadata, 'engine') ?? '');
      if (message.content.execution_state === 'busy') task.begin(dateOf(message));
      else if (isIdle(message)) this.#wake.abort();
      return;
    }
    // Published data is in no record; all other output is.
    if (message.msg_type !== 'data_message') return;
    try {
      const output = readOutput(message);
      if (output !== undefined) task.emit(output);
    } catch {
      // Data of another client's task that cannot be decoded is not an error of this client.
    }
  }

  /** Fails all followed tasks. */
  failAll(error: Error): void {
    const all = [...this.#pending.values()];
    this.#pending.clear();
    for (const { task } of all) task.settle({ ok: false, error }, task.status);
    this.#wake.abort();
  }

  /** Stops polling; the followed tasks must have been failed before. */
  close(): void {
    this.#stop.abort();
    this.#wake.abort();
  }

  #follow(msgId: string): Followed {
    const known = this.#pending.get(msgId);
    if (known !== undefined) return known;
    const { owner, registry } = this.#context;
    const task = new Task(msgId, {
      engineId: (uuid) => registry.idOf(uuid),
      ...(owner === undefined ? {} : { owner }),
    });
    return this.#add(msgId, {
      ...{ task, submittedHere: false, exists: false, beforeReconnection: false },
      ...{ listeners: 0, unknownSince: undefined, probeId: undefined },
      ...{ follower: new TaskFollower(), endedSince: undefined },
    });
  }

  #add(msgId: string, followed: Followed): Followed {
    this.#pending.set(msgId, followed);
    this.#lost.restart();
    if (!this.#running) this.#run().catch((error: unknown) => this.#broken(error));
    return followed;
  }

  async #run(): Promise<void> {
    this.#running = true;
    // Tasks that are followed in the same turn of the event loop are polled together.
    await pause(0);
    while (this.#pending.size > 0 && !this.#stop.signal.aborted) {
      const woken = this.#wake.signal.aborted;
      if (woken) this.#wake = new AbortController();
      const open: OpenTask[] = [];
      this.#incompleteRecord = false;
      for (const ids of chunked([...this.#pending.keys()])) open.push(...(await this.#poll(ids)));
      if (open.length > 0 && this.#lost.due) await this.#giveUp(open);
      if (this.#pending.size === 0) break;
      const next = this.#incompleteRecord
        ? Math.min(OUTPUT_MS, this.#context.interval)
        : this.#context.interval;
      await pause(woken ? Math.min(SOON_MS, next) : next, this.#wake.signal);
    }
    this.#running = false;
  }

  /** Fails all followed tasks, because the loop ended with an internal error. */
  #broken(error: unknown): void {
    this.#running = false;
    this.failAll(error instanceof Error ? error : new Error(String(error)));
  }

  #newLostTasks(): LostTasks {
    const { requests, registry, lane, profile } = this.#context;
    return new LostTasks(requests, registry, lane, profile.isOurs);
  }

  /** A stock hub has display data in some records only, and would have to send complete records for it. */
  get #resultColumns(): readonly TaskKey[] {
    return this.#context.profile.isOurs ? RESULT_COLUMNS_OF_OURS : RESULT_COLUMNS;
  }

  #deadline(): Deadline {
    return this.#requests.deadline({ signal: this.#stop.signal });
  }

  /** Polls tasks. Returns those that have a record and have not ended. */
  async #poll(ids: readonly string[]): Promise<OpenTask[]> {
    const open: OpenTask[] = [];
    try {
      const rows = await this.#database.byId(ids, STATUS_COLUMNS, this.#deadline());
      const done: string[] = [];
      for (const id of ids) {
        const row = rows.get(id);
        if (row === undefined) await this.#missing(id);
        else if (row.completed !== null) done.push(id);
        else {
          const engineUuid = row.engine_uuid ?? null;
          open.push({ msgId: id, engineUuid });
          const followed = this.#pending.get(id);
          if (followed !== undefined) {
            followed.exists = true;
            followed.unknownSince = undefined;
          }
          if (engineUuid !== null) followed?.task.assign(engineUuid);
        }
      }
      await this.#read(done);
    } catch (error) {
      this.#failed(ids, error);
    }
    return open;
  }

  async #read(done: readonly string[]): Promise<void> {
    if (done.length === 0) return;
    const results = await this.#database.byId(done, this.#resultColumns, this.#deadline());
    for (const row of results.values()) {
      if (this.#awaitsOutput(row)) this.#incompleteRecord = true;
      else this.#settle(row);
    }
  }

  /** Whether the record must be read again, because it lacks output that is still on its way to the hub. */
  #awaitsOutput(row: Row): boolean {
    const followed = this.#pending.get(row.msg_id);
    if (followed === undefined) return false;
    const now = performance.now();
    followed.endedSince ??= now;
    return now - followed.endedSince < followed.follower.waitTime(row);
  }

  /** Fails tasks whose records will never be completed. */
  async #giveUp(open: readonly OpenTask[]): Promise<void> {
    try {
      const lost = await this.#lost.find(open, { signal: this.#stop.signal });
      if (lost.size === 0) return;
      const rows = await this.#context.lane.run(() =>
        this.#database.byId([...lost.keys()], STATUS_COLUMNS, this.#deadline()),
      );
      for (const [id, why] of lost) {
        // The task may have ended or been purged in the meantime; the next poll shows it.
        const row = rows.get(id);
        if (row === undefined || row.completed !== null) continue;
        const task = this.#remove(id)?.task;
        task?.settle({ ok: false, error: new TaskLostError([id], why) }, 'lost');
      }
    } catch (error) {
      // The search for lost tasks can wait; if the hub cannot be reached, the next poll fails.
      if (!(error instanceof IpyparallelError) && !this.#stop.signal.aborted) throw error;
    }
  }

  #settle(record: Row): void {
    const followed = this.#remove(record.msg_id);
    if (followed === undefined) return;
    const { task, follower } = followed;
    const row = follower.complete(record);
    describeFromRecord(task, row);
    const { outcome, status } = readOutcome({
      msgType: String(row.result_header?.msg_type ?? row.header?.msg_type ?? 'apply_reply'),
      content: row.result_content ?? {},
      buffers: row.result_buffers ?? [],
      executeResult: row.execute_result ?? null,
      stdout: task.stdout,
      stderr: task.stderr,
      engineUuid: task.engineUuid,
      engineId: task.metadata.engineId ?? undefined,
      pickleLimits: this.#context.pickleLimits,
    });
    task.settle(outcome, status);
  }

  /**
   * Handles a task without a record: a `result_request` shows whether the hub does not know it or its record is gone. The
   * request follows the query, so the hub may know the task by now.
   */
  async #missing(id: string): Promise<void> {
    const followed = this.#pending.get(id);
    if (followed === undefined) return;
    try {
      const { content } = await this.#requests.request(
        'result_request',
        { msg_ids: [id], status_only: true },
        { msgIds: [id], signal: this.#stop.signal },
      );
      followed.exists = true;
      followed.unknownSince = undefined;
      // It was submitted in the meantime, or its record was culled while it runs: the next poll shows which.
      if (Array.isArray(content.pending) && content.pending.includes(id)) return;
      const rows = await this.#database.byId([id], STATUS_COLUMNS, this.#deadline());
      if (!rows.has(id)) this.#fail(id, new TaskNotFoundError([id], 'purged'));
    } catch (error) {
      if (!(error instanceof IpyparallelError)) throw error;
      if (error instanceof TaskNotFoundError && error.reason === 'unknown') {
        const now = performance.now();
        followed.unknownSince ??= now;
        const unknown = now - followed.unknownSince;
        if (unknown < UNKNOWN_GRACE_MS) return;
        if (unknown < RECORD_DELAYS.missingRecord && (await this.#isBehind(followed))) return;
        // The hub may have recorded the task, and then the probe, since the query for the task.
        if (followed.probeId !== undefined) {
          const rows = await this.#database.byId([id], STATUS_COLUMNS, this.#deadline());
          if (rows.has(id)) return;
        }
      }
      this.#fail(id, error);
    }
  }

  /** Whether a busy stock hub lags behind: it replies to requests before it has processed the traffic of tasks. */
  async #isBehind(followed: Followed): Promise<boolean> {
    if (this.#context.profile.isOurs) return false;
    // An engine has begun the task, so its record will follow.
    if (followed.follower.observed && !followed.beforeReconnection) return true;
    const begun = this.#lastBegun;
    if (begun !== undefined && performance.now() - begun.at < PROBE_MAX_AGE_MS) followed.probeId ??= begun.id;
    const { probeId } = followed;
    if (probeId === undefined) return false;
    const rows = await this.#database.byId([probeId], STATUS_COLUMNS, this.#deadline());
    return !rows.has(probeId);
  }

  #failed(ids: readonly string[], error: unknown): void {
    if (this.#stop.signal.aborted || this.#context.connected?.() === false) return;
    const failure = error instanceof Error ? error : new Error(String(error));
    for (const id of ids) this.#fail(id, failure);
  }

  #fail(id: string, error: Error): void {
    const followed = this.#remove(id);
    if (followed === undefined) return;
    const { task, exists, beforeReconnection } = followed;
    if (!(error instanceof TaskNotFoundError)) task.settle({ ok: false, error }, task.status);
    else if ((exists || beforeReconnection) && error.reason === 'unknown') {
      const why = exists
        ? 'it was submitted, but the hub has no record of it: the controller was restarted without its records, or the record was purged'
        : 'it was followed before the connection broke, and the present controller does not know it: the controller was restarted without its records, or there never was such a task';
      task.settle({ ok: false, error: new TaskLostError([id], why, { cause: error }) }, 'lost');
    } else task.settle({ ok: false, error }, error.reason === 'purged' ? 'purged' : task.status);
  }

  #remove(id: string): Followed | undefined {
    const followed = this.#pending.get(id);
    this.#pending.delete(id);
    return followed;
  }
}

/** Whether an engine begins a task that will have a record; control requests and parts of a broadcast have none. */
function isRecordedBeginning(message: AnyMessage, id: string): boolean {
  if (!isMessageOf(message, 'status') || message.content.execution_state !== 'busy') return false;
  const request = getOwnString(message.parent_header, 'msg_type');
  const isTask = request === 'execute_request' || request === 'apply_request';
  return isTask && !id.endsWith(`_${getOwnString(message.metadata, 'engine')}`);
}

function isIdle(message: AnyMessage): boolean {
  return isMessageOf(message, 'status') && message.content.execution_state === 'idle';
}
