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

/** What a reconciliation works with. */
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
/** Of the time that goes by at most one part in so many is spent on asking. */
const SHARE = 5;
/** A hub that fails questions so often in a row, after the time of grace, is believed to go on doing so. */
const MOST_FAILURES = 5;

/**
 * Finds out what became of the tasks that were outstanding when the connection broke: their replies went to sockets that
 * are no more. A task that has a record is handed over to the asking of the hub, which also finds those that a
 * controller of an earlier life left unfinished; one that has none fails with TaskLostError. It may still have been on
 * its way when the connection broke, and a hub may still be taking in what it has missed, hence a time of grace.
 */
export class Reconciliation {
  readonly #parts: ReconciliationParts;
  readonly #grace: number;
  /** Not known yet what became of them. */
  readonly #open = new Map<string, Task>();
  #stop = new AbortController();
  #sameController = false;

  /** `grace` in ms: after a reconnection no task is taken for lost before. */
  constructor(parts: ReconciliationParts, grace: number) {
    this.#parts = parts;
    this.#grace = grace;
  }

  /** The connection broke: these were submitted, and have no result. */
  interrupt(tasks: Iterable<Task>): void {
    this.#stop.abort();
    for (const task of tasks) {
      this.#open.set(task.msgId, task);
      this.#parts.submittedTasks.followByHub([task]);
    }
  }

  /** A task's message left just now, so its reply will come by itself. */
  onSent(msgId: string): void {
    if (this.#open.size === 0 || this.#open.delete(msgId)) return;
    // A broadcast is one message for the tasks of all its engines.
    for (const id of [...this.#open.keys()]) if (id.startsWith(`${msgId}_`)) this.#open.delete(id);
  }

  /** The connection is back; `newController` as in Reconnection. */
  start(newController: boolean | undefined): void {
    this.#stop.abort();
    this.#stop = new AbortController();
    this.#sameController = newController === false;
    if (this.#open.size > 0) void this.#run(this.#stop.signal);
  }

  /** Ends it; what is open must have been failed. */
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
        await this.#ask(late, signal);
        failures = 0;
      } catch (error) {
        // The next life of the connection begins the reconciliation anew.
        if (signal.aborted) return;
        failures++;
        const broken = error instanceof TransportError || error instanceof TimeoutError;
        if (error instanceof NoDatabaseError) this.#loseAll('this controller keeps no Task Database', error);
        else if (late && !broken && failures >= MOST_FAILURES)
          this.#loseAll(`the hub fails to tell of it: ${(error as Error).message}`, error);
      }
      if (signal.aborted) return;
      await pause(Math.max(wait, SHARE * (performance.now() - began)), signal);
      wait = Math.min(1.5 * wait, LONGEST_PAUSE_MS);
    }
  }

  async #ask(late: boolean, signal: AbortSignal): Promise<void> {
    const { database, requests } = this.#parts;
    for (const ids of chunked([...this.#open.keys()])) {
      const rows = await database.byId(ids, COLUMNS, requests.deadline({ signal }));
      for (const id of ids) {
        const task = this.#open.get(id);
        const row = rows.get(id);
        if (task === undefined) continue;
        if (row !== undefined) this.#known(task, row, late);
        else if (late)
          this.#lose(task, 'the hub has no record of it; it may never have reached the controller');
      }
    }
  }

  /** The hub has a record of it. */
  #known(task: Task, row: Row, late: boolean): void {
    const { submittedTasks, followedTasks, registry } = this.#parts;
    const ended = (row.completed ?? null) !== null || (row.result_content ?? null) !== null;
    const { engineUuid } = task;
    if (
      !ended &&
      submittedTasks.isDirect(task.msgId) &&
      engineUuid !== undefined &&
      !registry.has(engineUuid)
    ) {
      // Its engine may come back with it, to a controller that has been started again.
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
