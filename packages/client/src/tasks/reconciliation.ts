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
const MAX_PAUSE_MS = 1_000;
/** After a query the loop pauses for this many times its duration, to limit the load of the hub. */
const LOAD_FACTOR = 5;
/** After the arrival time, this many failed queries in a row end the reconciliation. */
const MAX_FAILURES = 5;

/**
 * Determines the outcome of tasks that were outstanding when the connection broke, because their replies went to sockets
 * that are closed. A task with a record is polled by FollowedTasks, which also finds tasks that a previous run of the
 * controller left unfinished; a task without a record fails with TaskLostError. A message may have been on its way when
 * the connection broke, and the hub may still be processing it, so no task counts as lost before the arrival time is over.
 */
export class Reconciliation {
  readonly #parts: ReconciliationParts;
  readonly #arrivalMs: number;
  /** The tasks whose outcome is not determined yet. */
  readonly #undeterminedTasks = new Map<string, Task>();
  #stopController = new AbortController();
  #isSameController = false;

  /** `arrivalMs`: the time after a reconnection within which sent messages may still reach the hub. */
  constructor(parts: ReconciliationParts, arrivalMs: number) {
    this.#parts = parts;
    this.#arrivalMs = arrivalMs;
  }

  /** Adds the tasks that were outstanding when the connection broke. */
  interrupt(tasks: Iterable<Task>): void {
    this.#stopController.abort();
    for (const task of tasks) {
      this.#undeterminedTasks.set(task.msgId, task);
      this.#parts.submittedTasks.followByHub([task]);
    }
  }

  /** Removes a task whose message was sent on the current connection, where its reply will arrive. */
  onSent(msgId: string): void {
    if (this.#undeterminedTasks.size === 0 || this.#undeterminedTasks.delete(msgId)) return;
    // A broadcast is one message for several tasks.
    for (const id of [...this.#undeterminedTasks.keys()])
      if (id.startsWith(`${msgId}_`)) this.#undeterminedTasks.delete(id);
  }

  /** Starts after a reconnection; `newController` as in Reconnection. */
  start(newController: boolean | undefined): void {
    this.#stopController.abort();
    this.#stopController = new AbortController();
    this.#isSameController = newController === false;
    if (this.#undeterminedTasks.size > 0) void this.#run(this.#stopController.signal);
  }

  /** Stops the queries; the caller must fail the outstanding tasks before. */
  close(): void {
    this.#stopController.abort();
    this.#undeterminedTasks.clear();
  }

  async #run(signal: AbortSignal): Promise<void> {
    const arrivalEndTime = performance.now() + this.#arrivalMs;
    let wait = FIRST_PAUSE_MS;
    let failures = 0;
    for (;;) {
      for (const [msgId, { outcome }] of this.#undeterminedTasks)
        if (outcome !== undefined) this.#undeterminedTasks.delete(msgId);
      if (this.#undeterminedTasks.size === 0) return;
      const startTime = performance.now();
      const isArrivalOver = startTime >= arrivalEndTime;
      try {
        await this.#query(isArrivalOver, signal);
        failures = 0;
      } catch (error) {
        // The next reconnection starts the reconciliation again.
        if (signal.aborted) return;
        failures++;
        const isBroken = error instanceof TransportError || error instanceof TimeoutError;
        if (error instanceof NoDatabaseError)
          this.#failAllAsLost('this controller keeps no Task Database', error);
        else if (isArrivalOver && !isBroken && failures >= MAX_FAILURES)
          this.#failAllAsLost(`the hub replied to queries with an error: ${(error as Error).message}`, error);
      }
      if (signal.aborted) return;
      await pause(Math.max(wait, LOAD_FACTOR * (performance.now() - startTime)), signal);
      wait = Math.min(1.5 * wait, MAX_PAUSE_MS);
    }
  }

  async #query(isArrivalOver: boolean, signal: AbortSignal): Promise<void> {
    const { database, requests } = this.#parts;
    for (const ids of chunked([...this.#undeterminedTasks.keys()])) {
      const rows = await database.byId(ids, COLUMNS, requests.deadline({ signal }));
      for (const id of ids) {
        const task = this.#undeterminedTasks.get(id);
        const row = rows.get(id);
        if (task === undefined) continue;
        if (row !== undefined) this.#settleFromRecord(task, row, isArrivalOver);
        else if (isArrivalOver)
          this.#failAsLost(task, 'the hub has no record of it; it may never have reached the controller');
      }
    }
  }

  /** Handles a task that has a record. */
  #settleFromRecord(task: Task, row: Row, isArrivalOver: boolean): void {
    const { submittedTasks, followedTasks, registry } = this.#parts;
    const hasEnded = (row.completed ?? null) !== null || (row.result_content ?? null) !== null;
    const { engineUuid } = task;
    if (
      !hasEnded &&
      submittedTasks.isDirect(task.msgId) &&
      engineUuid !== undefined &&
      !registry.has(engineUuid)
    ) {
      // Its engine may register again at a restarted controller and continue the task.
      if (!isArrivalOver && !this.#isSameController) return;
      this.#undeterminedTasks.delete(task.msgId);
      const error = engineDied(task.msgId, engineUuid, registry.idOf(engineUuid));
      task.settle({ ok: false, error }, 'failed');
      return;
    }
    this.#undeterminedTasks.delete(task.msgId);
    followedTasks.followOwn(task);
  }

  #failAsLost(task: Task, reason: string, cause?: unknown): void {
    this.#undeterminedTasks.delete(task.msgId);
    const options = cause === undefined ? {} : { cause };
    const error = new TaskLostError(
      [task.msgId],
      `the connection broke while it was outstanding, and ${reason}`,
      options,
    );
    task.settle({ ok: false, error }, 'lost');
  }

  #failAllAsLost(reason: string, cause: unknown): void {
    for (const task of [...this.#undeterminedTasks.values()]) this.#failAsLost(task, reason, cause);
  }
}
