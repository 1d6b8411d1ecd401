import type { Session } from '@ipyparallel-js/protocol';
import { parseQuery, parseSort } from '@ipyparallel-js/protocol/internal';
import type { TaskDatabase } from '../../db/task-database.js';
import type { Schedulers } from '../../thread-link/schedulers.js';
import type { TaskTracker } from './task-tracker.js';

/** How many unfinished tasks are loaded; the latest ones if there are more. */
const MAX_TASKS = 65_536;

/** The client identity of probes. No client has it: the hub sees the replies as copies of the traffic. */
const PROBE_IDENTITY = 'hub-probe';
/** Delay before a probe without a reply is sent again, in ms; each further delay is twice as long, up to the maximum. */
const FIRST_PROBE_INTERVAL = 2000;
const MAX_PROBE_INTERVAL = 300_000;
/** How long a reply on one socket of an engine may arrive after a later reply on another socket, in ms. */
const REORDERING_TIME = 1000;

export interface OrphanedTasksOptions {
  readonly db: TaskDatabase;
  readonly tracker: TaskTracker;
  readonly session: Session;
  readonly schedulers: Schedulers;
  /** Called for a task that its engine no longer has, because the engine has replied to all its other tasks. */
  readonly onTaskLost: (msgId: string, engine: string) => void;
}

/**
 * Tasks that the previous run of this controller left unfinished. Engines that are still connected may have them, and
 * the hub accepts their results. A probe shows which tasks an engine no longer has, because their results were lost
 * with the controller: it is an empty task, which the engine runs after all its other tasks.
 */
export class OrphanedTasks {
  readonly #options: OrphanedTasksOptions;
  /** The engine of each task; null if the database names none. */
  readonly #tasks = new Map<string, string | null>();
  readonly #directTasks = new Set<string>();
  /** Engines of the previous run whose tasks no probe has checked yet. */
  readonly #uncheckedEngines = new Set<string>();
  /** The engine of each probe, by msg_id. */
  readonly #probes = new Map<string, string>();
  readonly #timers = new Map<string, NodeJS.Timeout>();

  constructor(options: OrphanedTasksOptions) {
    this.#options = options;
  }

  /** Loads the unfinished tasks; `engines` are those that were registered when the previous run ended. */
  async load(engines: readonly string[]): Promise<void> {
    const { db, tracker } = this.#options;
    for (const uuid of engines) this.#uncheckedEngines.add(uuid);
    if (db.kind === 'none') return;
    const query = parseQuery({ completed: null, submitted: { $ne: null } });
    const options = {
      keys: ['engine_uuid', 'queue'] as const,
      sort: parseSort({ submitted: -1 }),
      limit: MAX_TASKS,
    };
    for await (const tasks of db.find(query, options)) {
      for (const { msg_id: msgId, engine_uuid, queue } of tasks) {
        const engine = engine_uuid === undefined || engine_uuid === '' ? null : engine_uuid;
        this.#tasks.set(msgId, engine);
        if (queue === 'mux') this.#directTasks.add(msgId);
        if (engine !== null && this.#uncheckedEngines.has(engine)) tracker.pendingIds.add(msgId);
        // The previous run may have assigned the task to an engine before it recorded that.
        else if (engine === null && this.#uncheckedEngines.size > 0) tracker.submitTask(msgId);
      }
    }
  }

  close(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  /** Removes a task whose result has arrived. @returns whether it was an orphaned task */
  remove(msgId: string): boolean {
    this.#directTasks.delete(msgId);
    return this.#tasks.delete(msgId);
  }

  /** Restores the tasks of an engine that has registered again, and probes which of them the engine still has. */
  restoreEngine(uuid: string): void {
    const msgIds = this.#tasksOf(uuid);
    if (msgIds.length === 0 && !this.#uncheckedEngines.has(uuid)) return;
    if (this.#tasks.size === 0) {
      this.#markChecked(uuid);
      return;
    }
    for (const msgId of msgIds) this.#options.tracker.restore(msgId, uuid, this.#directTasks.has(msgId));
    this.#uncheckedEngines.add(uuid);
    this.#probe(uuid, FIRST_PROBE_INTERVAL);
  }

  /** Removes an engine that was unregistered or did not return. @returns the tasks that it leaves unfinished */
  removeEngine(uuid: string): string[] {
    const msgIds = this.#tasksOf(uuid);
    for (const msgId of msgIds) this.remove(msgId);
    this.#markChecked(uuid);
    return msgIds;
  }

  /** Handles the reply to a probe. @returns false when `msgId` is not a probe */
  handleProbeReply(msgId: string): boolean {
    const uuid = this.#probes.get(msgId);
    if (uuid === undefined) return false;
    this.#stopProbing(uuid);
    this.#timers.set(
      uuid,
      setTimeout(() => {
        this.#timers.delete(uuid);
        for (const msgId of this.#tasksOf(uuid)) this.#options.onTaskLost(msgId, uuid);
        this.#markChecked(uuid);
      }, REORDERING_TIME),
    );
    return true;
  }

  #tasksOf(uuid: string): string[] {
    return [...this.#tasks].filter(([, engine]) => engine === uuid).map(([msgId]) => msgId);
  }

  #probe(uuid: string, interval: number): void {
    const { session, schedulers } = this.#options;
    const probe = session.message('execute_request', {
      ...{ code: '', silent: true, store_history: false, user_expressions: {} },
      ...{ allow_stdin: false, stop_on_error: false },
    });
    this.#probes.set(probe.msg_id, uuid);
    schedulers.submitDirect(session.encode(probe, [uuid, PROBE_IDENTITY]));
    const timer = setTimeout(() => this.#probe(uuid, Math.min(2 * interval, MAX_PROBE_INTERVAL)), interval);
    this.#timers.set(uuid, timer);
  }

  #stopProbing(uuid: string): void {
    clearTimeout(this.#timers.get(uuid));
    this.#timers.delete(uuid);
    for (const [msgId, engine] of this.#probes) if (engine === uuid) this.#probes.delete(msgId);
  }

  /** Once all engines are checked, no engine has the tasks without an engine, so they are no longer pending. */
  #markChecked(uuid: string): void {
    this.#stopProbing(uuid);
    if (!this.#uncheckedEngines.delete(uuid) || this.#uncheckedEngines.size > 0) return;
    const { tracker } = this.#options;
    for (const [msgId, engine] of this.#tasks) {
      if (engine !== null) continue;
      tracker.pendingIds.delete(msgId);
      tracker.unassignedIds.delete(msgId);
    }
  }
}
