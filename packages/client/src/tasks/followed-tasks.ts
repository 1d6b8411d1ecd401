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
import { describeFromRecord, FACT_COLUMNS } from './metadata-of-record.js';
import { ObservedOutput } from './observed-output.js';
import { dateOf, readOutput } from './read-output.js';
import { Task, type TaskOwner } from './task.js';
import { readOutcome } from './task-outcome.js';

const STATUS_COLUMNS: readonly TaskKey[] = ['engine_uuid', 'completed', 'result_content'];
const RESULT_COLUMNS: readonly TaskKey[] = [
  ...new Set<TaskKey>([...STATUS_COLUMNS, ...FACT_COLUMNS, 'header', 'result_header', 'result_buffers']),
];
const RESULT_COLUMNS_OF_OURS: readonly TaskKey[] = [...RESULT_COLUMNS, 'display_data'];
/** A record that is not whole yet is looked at again after this. */
const OUTPUT_MS = 25;
const SOON_MS = 5;
/** The hub watches the traffic: it may learn of a task a moment after its id is known to others. */
const UNKNOWN_GRACE_MS = 1_000;
/** A stock hub that does not know what an engine was heard to begin with is behind; so long it may be. */
const BEHIND_MS = 20_000;
/** What was heard of longer ago may have been purged. */
const HEARD_MS = 10_000;

/** What following by the hub needs of its surroundings. */
export interface FollowedTasksContext {
  readonly database: HubDatabase;
  readonly requests: HubRequests;
  readonly profile: HubProfile;
  readonly registry: EngineRegistry;
  /** In which questions are asked that can wait. */
  readonly lane: RequestLane;
  readonly owner?: TaskOwner;
  /** Whether there is a connection; without one what is followed waits. */
  readonly connected?: () => boolean;
  /** How often the hub is asked, in ms. */
  readonly interval: number;
  readonly pickleLimits?: Partial<PickleLimits>;
}

interface Followed {
  readonly task: Task;
  /** Whether it is one of this client's, whose reply may have been lost. */
  readonly adopted: boolean;
  /** Whether it is known to have been submitted: it is ours, or the hub has spoken of it. */
  exists: boolean;
  /** Whether it was asked for before the connection broke, so that a controller which started anew may have forgotten it. */
  earlier: boolean;
  /** How many want only its status, for as long as they listen; undefined once somebody wants its result. */
  listeners: number | undefined;
  /** Since when the hub has said that it does not know it, by the clock of `performance`. */
  unknownSince: number | undefined;
  /** A task that was heard of when it had been unknown for a while: the hub has to know that first. */
  touchstone: string | undefined;
  /** What was seen of its output. */
  readonly signs: ObservedOutput;
  /** Since when it has been known to have ended, while output was still awaited. */
  endedSince: number | undefined;
}

/**
 * Tasks of other clients, and resubmitted ones: their results come only by asking the hub. One loop asks for all of
 * them at once; output seen on iopub brings its next question forward. Mirrors ipyparallel `AsyncHubResult`.
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
  /** The task that an engine was last heard to begin with, whoever submitted it, and when. */
  #heard: { readonly id: string; readonly at: number } | undefined;
  /** Whether the record of a task that has ended was not whole. */
  #unwhole = false;

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

  /** How many tasks are followed. */
  get size(): number {
    return this.#pending.size;
  }

  /** The tasks that are followed and have no result yet. */
  unfinished(): Task[] {
    return [...this.#pending.values()].flatMap(({ task }) => (task.outcome === undefined ? [task] : []));
  }

  /** The connection is back; with the same controller nothing is forgotten. */
  onReconnected(newController: boolean | undefined): void {
    if (newController !== false) for (const followed of this.#pending.values()) followed.earlier = true;
  }

  /** Follows a task by asking the hub until it has ended; `exists` where it is known to have been submitted. */
  follow(msgId: string, exists = false): Task {
    const followed = this.#follow(msgId);
    followed.listeners = undefined;
    if (exists) followed.exists = true;
    return followed.task;
  }

  /** Follows a task for as long as the caller listens: `release` is called when it does no longer. */
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

  /** Follows a task of this client whose reply may have been lost: the same object is settled from the hub's record. */
  followOwn(task: Task): void {
    if (task.outcome !== undefined) return;
    this.#add(task.msgId, {
      ...{ task, adopted: true, exists: true, earlier: false },
      ...{ listeners: undefined, unknownSince: undefined, touchstone: undefined },
      ...{ signs: new ObservedOutput(), endedSince: undefined },
    });
    // Its reply may come all the same.
    void task.done.then(() => {
      if (this.#pending.get(task.msgId)?.task === task) this.#pending.delete(task.msgId);
    });
  }

  /** Takes a message of the iopub socket: signs of what is followed here. */
  onOutput(message: AnyMessage): void {
    const id = parentId(message) ?? '';
    if (isRecordedBeginning(message, id)) this.#heard = { id, at: performance.now() };
    const followed = this.#pending.get(id);
    if (followed !== undefined) followed.exists = true;
    if (followed === undefined || followed.adopted) {
      if (followed !== undefined && isIdle(message)) this.#wake.abort();
      return;
    }
    const { task, signs } = followed;
    signs.take(message);
    if (isMessageOf(message, 'status')) {
      task.assign(getOwnString(message.metadata, 'engine') ?? '');
      if (message.content.execution_state === 'busy') task.begin(dateOf(message));
      else if (isIdle(message)) this.#wake.abort();
      return;
    }
    // The rest of its output is in its record; this is in none.
    if (message.msg_type !== 'data_message') return;
    try {
      const output = readOutput(message);
      if (output !== undefined) task.emit(output);
    } catch {
      // What another client's task has published and we cannot read is no failure of ours.
    }
  }

  /** Everything followed fails. */
  failAll(error: Error): void {
    const all = [...this.#pending.values()];
    this.#pending.clear();
    for (const { task } of all) task.settle({ ok: false, error }, task.status);
    this.#wake.abort();
  }

  /** Stops asking; what is followed must have been failed. */
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
      ...{ task, adopted: false, exists: false, earlier: false },
      ...{ listeners: 0, unknownSince: undefined, touchstone: undefined },
      ...{ signs: new ObservedOutput(), endedSince: undefined },
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
    // Everything followed in one go is asked for in one go.
    await pause(0);
    while (this.#pending.size > 0 && !this.#stop.signal.aborted) {
      const woken = this.#wake.signal.aborted;
      if (woken) this.#wake = new AbortController();
      const open: OpenTask[] = [];
      this.#unwhole = false;
      for (const ids of chunked([...this.#pending.keys()])) open.push(...(await this.#ask(ids)));
      if (open.length > 0 && this.#lost.due) await this.#giveUp(open);
      if (this.#pending.size === 0) break;
      const next = this.#unwhole ? Math.min(OUTPUT_MS, this.#context.interval) : this.#context.interval;
      await pause(woken ? Math.min(SOON_MS, next) : next, this.#wake.signal);
    }
    this.#running = false;
  }

  /** The loop ended by a fault of our own: nobody is left waiting for it. */
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

  /** Asks after tasks; gives those that have a record and have not ended. */
  async #ask(ids: readonly string[]): Promise<OpenTask[]> {
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
      if (this.#awaitsOutput(row)) this.#unwhole = true;
      else this.#settle(row);
    }
  }

  /** Whether the record is to be read again, since output on its way to the hub is missing in it. */
  #awaitsOutput(row: Row): boolean {
    const followed = this.#pending.get(row.msg_id);
    if (followed === undefined) return false;
    const now = performance.now();
    followed.endedSince ??= now;
    return now - followed.endedSince < followed.signs.grace(row);
  }

  /** What the hub has a record of and will never finish fails. */
  async #giveUp(open: readonly OpenTask[]): Promise<void> {
    try {
      const lost = await this.#lost.find(open, { signal: this.#stop.signal });
      if (lost.size === 0) return;
      const rows = await this.#context.lane.run(() =>
        this.#database.byId([...lost.keys()], STATUS_COLUMNS, this.#deadline()),
      );
      for (const [id, why] of lost) {
        // It may have ended in the meantime, or been purged: the next question tells.
        const row = rows.get(id);
        if (row === undefined || row.completed !== null) continue;
        const task = this.#take(id)?.task;
        task?.settle({ ok: false, error: new TaskLostError([id], why) }, 'lost');
      }
    } catch (error) {
      // Whether something is lost can wait; that the hub cannot be asked shows with the next question.
      if (!(error instanceof IpyparallelError) && !this.#stop.signal.aborted) throw error;
    }
  }

  #settle(record: Row): void {
    const followed = this.#take(record.msg_id);
    if (followed === undefined) return;
    const { task, signs } = followed;
    const row = signs.complete(record);
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
   * No record: the hub's own words tell a task that it does not know from one whose record is gone. It is asked after
   * the database, so it may know by now what was not there a moment ago.
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
      // Submitted in the meantime, or its record was culled while it runs: either shows when it is asked again.
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
        if (unknown < BEHIND_MS && (await this.#isBehind(followed))) return;
      }
      this.#fail(id, error);
    }
  }

  /** A busy stock hub answers questions before it has taken in what it was told: it may be seconds behind. */
  async #isBehind(followed: Followed): Promise<boolean> {
    if (this.#context.profile.isOurs) return false;
    // An engine has it, so its record is still to come.
    if (followed.signs.any && !followed.earlier) return true;
    const heard = this.#heard;
    if (heard !== undefined && performance.now() - heard.at < HEARD_MS) followed.touchstone ??= heard.id;
    const { touchstone } = followed;
    if (touchstone === undefined) return false;
    const rows = await this.#database.byId([touchstone], STATUS_COLUMNS, this.#deadline());
    return !rows.has(touchstone);
  }

  #failed(ids: readonly string[], error: unknown): void {
    if (this.#stop.signal.aborted || this.#context.connected?.() === false) return;
    const failure = error instanceof Error ? error : new Error(String(error));
    for (const id of ids) this.#fail(id, failure);
  }

  #fail(id: string, error: Error): void {
    const followed = this.#take(id);
    if (followed === undefined) return;
    const { task, exists, earlier } = followed;
    if (!(error instanceof TaskNotFoundError)) task.settle({ ok: false, error }, task.status);
    else if ((exists || earlier) && error.reason === 'unknown') {
      const why = exists
        ? 'it was submitted, and the hub has no record of it: the controller was started again and has forgotten it, or its record was purged'
        : 'it was asked for before the connection broke, and the controller that is there now does not know it: it was forgotten when that was started again, or there never was such a task';
      task.settle({ ok: false, error: new TaskLostError([id], why, { cause: error }) }, 'lost');
    } else task.settle({ ok: false, error }, error.reason === 'purged' ? 'purged' : task.status);
  }

  #take(id: string): Followed | undefined {
    const followed = this.#pending.get(id);
    this.#pending.delete(id);
    return followed;
  }
}

/** Whether an engine begins with a task of which there is a record: what is asked on the control socket has none, nor a broadcast. */
function isRecordedBeginning(message: AnyMessage, id: string): boolean {
  if (!isMessageOf(message, 'status') || message.content.execution_state !== 'busy') return false;
  const request = getOwnString(message.parent_header, 'msg_type');
  const isTask = request === 'execute_request' || request === 'apply_request';
  return isTask && !id.endsWith(`_${getOwnString(message.metadata, 'engine')}`);
}

function isIdle(message: AnyMessage): boolean {
  return isMessageOf(message, 'status') && message.content.execution_state === 'idle';
}
