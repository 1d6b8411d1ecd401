import {
  NoDatabaseError,
  type TaskKey,
  TaskLostError,
  TimeoutError,
  TransportError,
} from '@ipyparallel-js/protocol';
import { pause } from '@ipyparallel-js/wire';
import { engineDied } from '../engines/engine-died.js';
import type { EngineRegistry } from '../engines/engine-registry.js';
import { chunked, type HubDatabase } from '../hub/hub-database.js';
import type { HubRequests } from '../hub/hub-requests.js';
import type { Row } from '../hub/record-query.js';
import type { FollowedTasks } from './followed-tasks.js';
import type { SubmittedTasks } from './submitted-tasks.js';
import type { Task } from './task.js';

export interface ReconciliationParts {
  readonly database: HubDatabase;
  readonly requests: HubRequests;
  readonly registry: EngineRegistry;
  readonly submittedTasks: SubmittedTasks;
  readonly followedTasks: FollowedTasks;
}

const COLUMNS: readonly TaskKey[] = ['engine_uuid', 'completed', 'result_content'];
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1_000;
/** At most 1/SHARE of the elapsed time is spent querying the hub. */
const SHARE = 5;
/** After the grace period, this many failed queries in a row end the reconciliation. */
const MOST_FAILURES = 5;

/**
 * Determines the outcome of tasks that were outstanding when the connection broke, because their replies went to sockets
 * that are closed. A task with a record is polled by FollowedTasks, which also finds tasks that a previous run of the
 * controller left unfinished; a task without a record fails with TaskLostError. A message may have been on its way when
 * the connection broke, and the hub may still be processing it, therefore there is a grace period.
 */
export class Reconciliation {
  readonly #parts: ReconciliationParts;
  readonly #grace: number;
  /** The tasks whose outcome is not determined yet. */
  readonly #open = new Map<string, Task>();
  #stop = new AbortController();
  #sameController = false;

  /** `grace` in ms: no task counts as lost earlier after a reconnection. */
  constructor(parts: ReconciliationParts, grace: number) {
    this.#parts = parts;
    this.#grace = grace;
  }

  /** Adds the tasks that were outstanding when the connection broke. */
  interrupt(tasks: Iterable<Task>): void {
    this.#stop.abort();
    for (const task of tasks) {
      this.#open.set(task.msgId, task);
      this.#parts.submittedTasks.followByHub([task]);
    }
  }

  /** Removes a task whose message was sent now: its reply will arrive. */
  onSent(msgId: string): void {
    if (this.#open.size === 0 || this.#open.delete(msgId)) return;
    // A broadcast is one message for several tasks.
    for (const id of [...this.#open.keys()]) if (id.startsWith(`${msgId}_`)) this.#open.delete(id);
  }

  /** Starts after a reconnection; `newController` as in Reconnection. */
  start(newController: boolean | undefined): void {
    this.#stop.abort();
    this.#stop = new AbortController();
    this.#sameController = newController === false;
    if (this.#open.size > 0) void this.#run(this.#stop.signal);
  }

  /** Stops; the open tasks must have been failed before. */
  close(): void {
    this.#stop.abort();
    this.#open.clear();
  }

  async #run(signal: AbortSignal): Promise<void> {
    const graceEnds = performance.now() + this.#grace;
    let wait = FIRST_PAUSE_MS;
    let failures = 0;
    for (;;) {
      for (const [msgId, { outcome }] of this.#open) if (outcome !== undefined) this.#open.delete(msgId);
      if (this.#open.size === 0) return;
      const began = performance.now();
      const late = began >= graceEnds;
      try {
        await this.#query(late, signal);
        failures = 0;
      } catch (error) {
        // The next reconnection starts the reconciliation again.
        if (signal.aborted) return;
        failures++;
        const broken = error instanceof TransportError || error instanceof TimeoutError;
        if (error instanceof NoDatabaseError) this.#loseAll('this controller keeps no Task Database', error);
        else if (late && !broken && failures >= MOST_FAILURES)
          this.#loseAll(`the hub fails queries: ${(error as Error).message}`, error);
      }
      if (signal.aborted) return;
      await pause(Math.max(wait, SHARE * (performance.now() - began)), signal);
      wait = Math.min(1.5 * wait, LONGEST_PAUSE_MS);
    }
  }

  async #query(late: boolean, signal: AbortSignal): Promise<void> {
    const { database, requests } = this.#parts;
    for (const ids of chunked([...this.#open.keys()])) {
      const rows = await database.byId(ids, COLUMNS, requests.deadline({ signal }));
      for (const id of ids) {
        const task = this.#open.get(id);
        const row = rows.get(id);
        if (task === undefined) continue;
        if (row !== undefined) this.#settleFromRecord(task, row, late);
        else if (late)
          this.#lose(task, 'the hub has no record of it; it may never have reached the controller');
      }
    }
  }

  /** Handles a task that has a record. */
  #settleFromRecord(task: Task, row: Row, late: boolean): void {
    const { submittedTasks, followedTasks, registry } = this.#parts;
    const ended = (row.completed ?? null) !== null || (row.result_content ?? null) !== null;
    const { engineUuid } = task;
    if (
      !ended &&
      submittedTasks.isDirect(task.msgId) &&
      engineUuid !== undefined &&
      !registry.has(engineUuid)
    ) {
      // Its engine may register again at a restarted controller and continue the task.
      if (!late && !this.#sameController) return;
      this.#open.delete(task.msgId);
      const error = engineDied(task.msgId, engineUuid, registry.idOf(engineUuid));
      task.settle({ ok: false, error }, 'failed');
      return;
    }
    this.#open.delete(task.msgId);
    followedTasks.followOwn(task);
  }

  #lose(task: Task, why: string, cause?: unknown): void {
    this.#open.delete(task.msgId);
    const options = cause === undefined ? {} : { cause };
    const error = new TaskLostError(
      [task.msgId],
      `the connection broke while it was outstanding, and ${why}`,
      options,
    );
    task.settle({ ok: false, error }, 'lost');
  }

  #loseAll(why: string, cause: unknown): void {
    for (const task of [...this.#open.values()]) this.#lose(task, why, cause);
  }
}
