import {
  IpyparallelError,
  type TaskKey,
  TaskLostError,
  TaskNotFoundError,
  taskStatus,
} from '@ipyparallel-js/protocol';
import { pause } from '@ipyparallel-js/wire';
import type { EngineRegistry } from './engine-registry.js';
import { chunked, type HubDatabase } from './hub-database.js';
import type { HubRequests } from './hub-requests.js';
import type { Row } from './question.js';
import { Task } from './task.js';
import { readOutcome } from './task-results.js';

const STATUS_COLUMNS: readonly TaskKey[] = ['engine_uuid', 'completed', 'result_content'];
const RESULT_COLUMNS: readonly TaskKey[] = [
  ...STATUS_COLUMNS,
  'header',
  'result_header',
  'result_buffers',
  'execute_result',
  'stdout',
  'stderr',
];
/** Output may reach the hub after the reply; an `execute` without a result is read once more after this. */
const OUTPUT_GRACE_MS = 50;
const SOON_MS = 5;
/** The hub watches the traffic: it may learn of a task a moment after its id is known to others. */
const UNKNOWN_GRACE_MS = 1_000;

/**
 * Tasks of other clients, and resubmitted ones: their results come only by asking the hub. One loop asks for all of
 * them at once; output seen on iopub brings its next question forward. Mirrors ipyparallel `AsyncHubResult`.
 */
export class HubTasks {
  readonly #database: HubDatabase;
  readonly #requests: HubRequests;
  readonly #registry: EngineRegistry;
  readonly #interval: number;
  readonly #pending = new Map<string, Task>();
  /** Those of this client. */
  readonly #adopted = new Set<string>();
  /** Since when the hub has said of a task that it does not know it, by the clock of `performance`. */
  readonly #unknownSince = new Map<string, number>();
  #stop = new AbortController();
  #wake = new AbortController();
  #running = false;

  constructor(database: HubDatabase, requests: HubRequests, registry: EngineRegistry, interval: number) {
    this.#database = database;
    this.#requests = requests;
    this.#registry = registry;
    this.#interval = interval;
  }

  /** Follows a task by asking the hub until it has ended. */
  follow(msgId: string): Task {
    const known = this.#pending.get(msgId);
    if (known !== undefined) return known;
    const task = new Task(msgId, { engineId: (uuid) => this.#registry.idOf(uuid) });
    this.#pending.set(msgId, task);
    if (!this.#running) void this.#run();
    return task;
  }

  /** Follows a task of this client whose reply may have been lost: the same object is settled from the hub's record. */
  adopt(task: Task): void {
    if (task.outcome !== undefined || this.#pending.has(task.msgId)) return;
    this.#pending.set(task.msgId, task);
    this.#adopted.add(task.msgId);
    if (!this.#running) void this.#run();
  }

  /** A sign that a task is about to end. */
  onIdle(msgId: string): void {
    if (this.#pending.has(msgId)) this.#wake.abort();
  }

  /** Everything followed fails. */
  failAll(error: Error): void {
    for (const task of this.#pending.values()) task.settle({ ok: false, error }, task.status);
    this.#pending.clear();
    this.#adopted.clear();
    this.#unknownSince.clear();
    this.#wake.abort();
  }

  /** Stops asking; what is followed must have been failed. */
  close(): void {
    this.#stop.abort();
    this.#wake.abort();
  }

  async #run(): Promise<void> {
    this.#running = true;
    // Everything followed in one go is asked for in one go.
    await pause(0);
    while (this.#pending.size > 0 && !this.#stop.signal.aborted) {
      const woken = this.#wake.signal.aborted;
      if (woken) this.#wake = new AbortController();
      for (const ids of chunked([...this.#pending.keys()])) await this.#ask(ids);
      if (this.#pending.size > 0) await pause(woken ? SOON_MS : this.#interval, this.#wake.signal);
    }
    this.#running = false;
  }

  async #ask(ids: readonly string[]): Promise<void> {
    try {
      const deadline = () => this.#requests.deadline({ signal: this.#stop.signal });
      const rows = await this.#database.byId(ids, STATUS_COLUMNS, deadline());
      const done: string[] = [];
      for (const id of ids) {
        const row = rows.get(id);
        if (row === undefined) await this.#missing(id);
        else if (row.completed !== null) done.push(id);
        else if (typeof row.engine_uuid === 'string') this.#pending.get(id)?.assign(row.engine_uuid);
      }
      if (done.length === 0) return;
      let results = await this.#database.byId(done, RESULT_COLUMNS, deadline());
      if ([...results.values()].some(mayLackOutput)) {
        await pause(OUTPUT_GRACE_MS, this.#stop.signal);
        results = await this.#database.byId(done, RESULT_COLUMNS, deadline());
      }
      for (const row of results.values()) this.#settle(row);
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      const failure = error instanceof Error ? error : new Error(String(error));
      for (const id of ids) this.#fail(id, failure);
    }
  }

  #settle(row: Row): void {
    const task = this.#pending.get(row.msg_id);
    if (task === undefined) return;
    const engineUuid = row.engine_uuid ?? undefined;
    if (engineUuid !== undefined) task.engineUuid = engineUuid;
    if (task.stdout === '' && typeof row.stdout === 'string') task.emit({ type: 'stdout', text: row.stdout });
    if (task.stderr === '' && typeof row.stderr === 'string') task.emit({ type: 'stderr', text: row.stderr });
    const { outcome, status } = readOutcome({
      msgType: String(row.result_header?.msg_type ?? row.header?.msg_type ?? 'apply_reply'),
      content: row.result_content ?? {},
      buffers: row.result_buffers ?? [],
      executeResult: row.execute_result ?? null,
      stdout: task.stdout,
      stderr: task.stderr,
      engineUuid,
      engineId: engineUuid === undefined ? undefined : this.#registry.idOf(engineUuid),
    });
    this.#pending.delete(row.msg_id);
    this.#adopted.delete(row.msg_id);
    task.settle(outcome, status);
  }

  /**
   * No record: the hub's own words tell a task that it does not know from one whose record is gone. It is asked after
   * the database, so it may know by now what was not there a moment ago.
   */
  async #missing(id: string): Promise<void> {
    try {
      const { content } = await this.#requests.request(
        'result_request',
        { msg_ids: [id], status_only: true },
        { msgIds: [id], signal: this.#stop.signal },
      );
      this.#unknownSince.delete(id);
      // Submitted in the meantime, or its record was culled while it runs: either shows when it is asked again.
      if (Array.isArray(content.pending) && content.pending.includes(id)) return;
      const deadline = this.#requests.deadline({ signal: this.#stop.signal });
      const rows = await this.#database.byId([id], STATUS_COLUMNS, deadline);
      if (!rows.has(id)) this.#fail(id, new TaskNotFoundError([id], 'purged'));
    } catch (error) {
      if (!(error instanceof IpyparallelError)) throw error;
      if (error instanceof TaskNotFoundError && error.reason === 'unknown') {
        const now = performance.now();
        const since = this.#unknownSince.get(id) ?? now;
        this.#unknownSince.set(id, since);
        if (now - since < UNKNOWN_GRACE_MS) return;
      }
      this.#fail(id, error);
    }
  }

  #fail(id: string, error: Error): void {
    const task = this.#pending.get(id);
    this.#pending.delete(id);
    this.#unknownSince.delete(id);
    if (task === undefined) return;
    const adopted = this.#adopted.delete(id);
    if (!(error instanceof TaskNotFoundError)) task.settle({ ok: false, error }, task.status);
    else if (adopted && error.reason === 'unknown') {
      const why =
        'its reply may have gone while the controller was out of reach, and the hub has no record of it';
      task.settle({ ok: false, error: new TaskLostError([id], why, { cause: error }) }, 'lost');
    } else task.settle({ ok: false, error }, error.reason === 'purged' ? 'purged' : 'lost');
  }
}

function mayLackOutput(row: Row): boolean {
  return (
    row.header?.msg_type === 'execute_request' &&
    (row.execute_result ?? null) === null &&
    taskStatus({
      engine_uuid: row.engine_uuid ?? null,
      completed: row.completed ?? null,
      result_content: row.result_content ?? null,
    }) === 'completed'
  );
}
