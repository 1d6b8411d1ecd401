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
import { getOwnString, STATUS_KEYS } from '@ipyparallel-js/protocol/internal';
import { type Deadline, pause } from '@ipyparallel-js/wire';
import type { EngineRegistry } from '../engines/engine-registry.js';
import { chunked, type HubDatabase } from '../hub/hub-database.js';
import type { HubProfile } from '../hub/hub-profile.js';
import type { HubRequests } from '../hub/hub-requests.js';
import type { Row } from '../hub/record-query.js';
import type { RequestLane } from '../hub/request-lane.js';
import { LostTasks, type OpenTask } from './lost-tasks.js';
import { describeFromRecord, METADATA_COLUMNS } from './metadata-of-record.js';
import { MissingRecords, type UnrecordedTask } from './missing-records.js';
import { dateOf, readOutput } from './read-output.js';
import { Task, type TaskOwner } from './task.js';
import { TaskFollower } from './task-follower.js';
import { readOutcome } from './task-outcome.js';

const RESULT_COLUMNS: readonly TaskKey[] = [
  ...new Set<TaskKey>([...STATUS_KEYS, ...METADATA_COLUMNS, 'header', 'result_header', 'result_buffers']),
];
const RESULT_COLUMNS_OF_OUR_HUB: readonly TaskKey[] = [...RESULT_COLUMNS, 'display_data'];
/** The interval in ms at which an incomplete record is read again. */
const OUTPUT_INTERVAL_MS = 25;
const EARLY_INTERVAL_MS = 5;

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

interface FollowedTask extends UnrecordedTask {
  /** Whether this client submitted it, and its reply may have been lost. */
  readonly submittedHere: boolean;
  /** The number of subscribers to its status; undefined once a caller has requested its result. */
  listenerCount: number | undefined;
  /** When a poll first found it ended (`performance.now()`), although its record may still lack output. */
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
  readonly #tasks = new Map<string, FollowedTask>();
  readonly #missingRecords: MissingRecords;
  #lostTasks: LostTasks;
  readonly #stopController = new AbortController();
  #wakeController = new AbortController();
  #isRunning = false;
  /** Whether the record of an ended task was incomplete. */
  #hasIncompleteRecord = false;

  constructor(context: FollowedTasksContext) {
    this.#context = context;
    this.#database = context.database;
    this.#requests = context.requests;
    this.#missingRecords = new MissingRecords(context, this.#stopController.signal);
    this.#lostTasks = this.#newLostTasks();
    // Each connection may lead to another controller.
    context.profile.onUpdate(() => {
      this.#lostTasks = this.#newLostTasks();
    });
  }

  /** The number of followed tasks. */
  get size(): number {
    return this.#tasks.size;
  }

  /** The followed tasks that have no result yet. */
  unfinished(): Task[] {
    return [...this.#tasks.values()].flatMap(({ task }) => (task.outcome === undefined ? [task] : []));
  }

  /** Handles a reconnection: a new controller may not know the followed tasks. */
  onReconnected(newController: boolean | undefined): void {
    if (newController !== false)
      for (const followed of this.#tasks.values()) followed.beforeReconnection = true;
  }

  /** Polls the hub for a task until it has ended. `exists`: the task is known to have been submitted. */
  follow(msgId: string, exists = false): Task {
    const followed = this.#follow(msgId);
    followed.listenerCount = undefined;
    if (exists) followed.exists = true;
    return followed.task;
  }

  /** Polls the hub for a task until the caller calls `release`. */
  listen(msgId: string): { readonly task: Task; readonly release: () => void } {
    const followed = this.#follow(msgId);
    if (followed.listenerCount !== undefined) followed.listenerCount++;
    return {
      task: followed.task,
      release: () => {
        if (followed.listenerCount === undefined || --followed.listenerCount > 0) return;
        if (this.#tasks.get(msgId) === followed) this.#tasks.delete(msgId);
      },
    };
  }

  /** Polls the hub for a task of this client whose reply may have been lost, and settles the same object. */
  followOwn(task: Task): void {
    if (task.outcome !== undefined) return;
    this.#add(task.msgId, {
      ...{ task, submittedHere: true, exists: true, beforeReconnection: false },
      ...{ listenerCount: undefined, unknownReplies: undefined, probeId: undefined },
      ...{ follower: new TaskFollower(), endedSince: undefined },
    });
    // The reply of the task may still arrive and settle it.
    void task.done.then(() => {
      if (this.#tasks.get(task.msgId)?.task === task) this.#tasks.delete(task.msgId);
    });
  }

  /** Handles a message of the iopub socket. */
  onOutput(message: AnyMessage): void {
    const id = parentId(message) ?? '';
    this.#missingRecords.noteMessage(message, id);
    const followed = this.#tasks.get(id);
    if (followed !== undefined) followed.exists = true;
    if (followed === undefined || followed.submittedHere) {
      if (followed !== undefined && isIdle(message)) this.#wakeController.abort();
      return;
    }
    const { task, follower } = followed;
    follower.noteMessage(message);
    if (isMessageOf(message, 'status')) {
      task.assign(getOwnString(message.metadata, 'engine') ?? '');
      if (message.content.execution_state === 'busy') task.begin(dateOf(message));
      else if (isIdle(message)) this.#wakeController.abort();
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
    const tasks = [...this.#tasks.values()];
    this.#tasks.clear();
    for (const { task } of tasks) task.settle({ ok: false, error }, task.status);
    this.#wakeController.abort();
  }

  /** Stops polling; the caller must fail the followed tasks before. */
  close(): void {
    this.#stopController.abort();
    this.#wakeController.abort();
  }

  #follow(msgId: string): FollowedTask {
    const existing = this.#tasks.get(msgId);
    if (existing !== undefined) return existing;
    const { owner, registry } = this.#context;
    const task = new Task(msgId, {
      engineId: (uuid) => registry.idOf(uuid),
      ...(owner === undefined ? {} : { owner }),
    });
    return this.#add(msgId, {
      ...{ task, submittedHere: false, exists: false, beforeReconnection: false },
      ...{ listenerCount: 0, unknownReplies: undefined, probeId: undefined },
      ...{ follower: new TaskFollower(), endedSince: undefined },
    });
  }

  #add(msgId: string, followed: FollowedTask): FollowedTask {
    this.#tasks.set(msgId, followed);
    this.#lostTasks.restart();
    if (!this.#isRunning) this.#run().catch((error: unknown) => this.#onLoopError(error));
    return followed;
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    // Tasks that are followed in the same iteration of the event loop are polled together.
    await pause(0);
    while (this.#tasks.size > 0 && !this.#stopController.signal.aborted) {
      const isEarly = this.#wakeController.signal.aborted;
      if (isEarly) this.#wakeController = new AbortController();
      const openTasks: OpenTask[] = [];
      this.#hasIncompleteRecord = false;
      for (const ids of chunked([...this.#tasks.keys()])) openTasks.push(...(await this.#poll(ids)));
      if (openTasks.length > 0 && this.#lostTasks.isDue) await this.#failLostTasks(openTasks);
      if (this.#tasks.size === 0) break;
      const next = this.#hasIncompleteRecord
        ? Math.min(OUTPUT_INTERVAL_MS, this.#context.interval)
        : this.#context.interval;
      await pause(isEarly ? Math.min(EARLY_INTERVAL_MS, next) : next, this.#wakeController.signal);
    }
    this.#isRunning = false;
  }

  /** Fails all followed tasks, because the loop ended with an internal error. */
  #onLoopError(error: unknown): void {
    this.#isRunning = false;
    this.failAll(error instanceof Error ? error : new Error(String(error)));
  }

  #newLostTasks(): LostTasks {
    const { requests, registry, lane, profile } = this.#context;
    return new LostTasks(requests, registry, lane, profile.isOurs);
  }

  /** Omits `display_data` for a stock hub, which stores it in some records only and would have to send complete records. */
  get #resultColumns(): readonly TaskKey[] {
    return this.#context.profile.isOurs ? RESULT_COLUMNS_OF_OUR_HUB : RESULT_COLUMNS;
  }

  #deadline(): Deadline {
    return this.#requests.deadline({ signal: this.#stopController.signal });
  }

  /** Polls tasks. Returns those that have a record and have not ended. */
  async #poll(ids: readonly string[]): Promise<OpenTask[]> {
    const openTasks: OpenTask[] = [];
    try {
      const rows = await this.#database.byId(ids, STATUS_KEYS, this.#deadline());
      const endedIds: string[] = [];
      for (const id of ids) {
        const row = rows.get(id);
        if (row === undefined) await this.#checkMissingRecord(id);
        else if (row.completed !== null) endedIds.push(id);
        else {
          const engineUuid = row.engine_uuid ?? null;
          openTasks.push({ msgId: id, engineUuid });
          const followed = this.#tasks.get(id);
          if (followed !== undefined) {
            followed.exists = true;
            followed.unknownReplies = undefined;
          }
          if (engineUuid !== null) followed?.task.assign(engineUuid);
        }
      }
      await this.#read(endedIds);
    } catch (error) {
      this.#failAllPolled(ids, error);
    }
    return openTasks;
  }

  async #read(endedIds: readonly string[]): Promise<void> {
    if (endedIds.length === 0) return;
    const results = await this.#database.byId(endedIds, this.#resultColumns, this.#deadline());
    for (const row of results.values()) {
      if (this.#awaitsOutput(row)) this.#hasIncompleteRecord = true;
      else this.#settle(row);
    }
  }

  /** Whether the record must be read again, because it may lack output that has not reached the hub yet. */
  #awaitsOutput(row: Row): boolean {
    const followed = this.#tasks.get(row.msg_id);
    if (followed === undefined) return false;
    const now = performance.now();
    followed.endedSince ??= now;
    return now - followed.endedSince < followed.follower.waitTime(row);
  }

  /** Fails tasks whose records will never be completed. */
  async #failLostTasks(openTasks: readonly OpenTask[]): Promise<void> {
    try {
      const lostTasks = await this.#lostTasks.find(openTasks, { signal: this.#stopController.signal });
      if (lostTasks.size === 0) return;
      const rows = await this.#context.lane.run(() =>
        this.#database.byId([...lostTasks.keys()], STATUS_KEYS, this.#deadline()),
      );
      for (const [id, why] of lostTasks) {
        // The task may have ended or been purged in the meantime; the next poll shows it.
        const row = rows.get(id);
        if (row === undefined || row.completed !== null) continue;
        const task = this.#remove(id)?.task;
        task?.settle({ ok: false, error: new TaskLostError([id], why) }, 'lost');
      }
    } catch (error) {
      // The search for lost tasks can wait; if the hub cannot be reached, the next poll fails.
      if (!(error instanceof IpyparallelError) && !this.#stopController.signal.aborted) throw error;
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

  async #checkMissingRecord(id: string): Promise<void> {
    const followed = this.#tasks.get(id);
    const error = followed === undefined ? undefined : await this.#missingRecords.check(followed);
    if (error !== undefined) this.#fail(id, error);
  }

  #failAllPolled(ids: readonly string[], error: unknown): void {
    if (this.#stopController.signal.aborted || this.#context.connected?.() === false) return;
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

  #remove(id: string): FollowedTask | undefined {
    const followed = this.#tasks.get(id);
    this.#tasks.delete(id);
    return followed;
  }
}

function isIdle(message: AnyMessage): boolean {
  return isMessageOf(message, 'status') && message.content.execution_state === 'idle';
}
