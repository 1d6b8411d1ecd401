import { BoundedSet } from '@ipyparallel-js/protocol/internal';

/** How many ids of completed tasks are stored per engine; the count has no limit. */
const MAX_COMPLETED_IDS = 10_000;

/** How many running tasks are stored; an engine runs one task at a time. */
const MAX_RUNNING_TASKS = 65_536;

/** One engine's tasks. */
export class EngineTasks {
  /** Direct tasks without a reply, oldest first. */
  readonly queue = new Set<string>();
  /** Tasks of the task queue without a reply. */
  readonly tasks = new Set<string>();
  readonly #completedIds = new BoundedSet(MAX_COMPLETED_IDS);
  #completedCount = 0;

  complete(msgId: string): void {
    this.#completedIds.add(msgId);
    this.#completedCount++;
  }

  /** Counts, or with `verbose` the msg_ids (the latest ones of completed tasks). */
  status(verbose: boolean): {
    queue: number | string[];
    completed: number | string[];
    tasks: number | string[];
  } {
    return verbose
      ? { queue: [...this.queue], completed: [...this.#completedIds], tasks: [...this.tasks] }
      : { queue: this.queue.size, completed: this.#completedCount, tasks: this.tasks.size };
  }
}

/**
 * Tracks in memory on which engine every unfinished task is pending, so that requests for it need no query of the Task
 * Database.
 */
export class TaskTracker {
  /** Tasks without a result. */
  readonly pendingIds = new Set<string>();
  /** Tasks of the task queue that are assigned to no engine. */
  readonly unassignedIds = new Set<string>();
  /** Tasks that ended recently. */
  readonly completedIds = new BoundedSet(65_536);
  /** Tasks that were purged or culled recently; a request for one of them fails with TaskPurged. */
  readonly removedIds = new BoundedSet(65_536);
  /** Failed tasks whose engine was considered dead; a result that still arrives replaces the failure. */
  readonly strandedIds = new BoundedSet(4096);
  /** When each running task began. */
  readonly startTimes = new Map<string, string>();
  readonly #engines = new Map<string, EngineTasks>();
  /** The engine of each task of the task queue. */
  readonly #assignedEngines = new Map<string, string>();

  addEngine(uuid: string): void {
    this.#engines.set(uuid, new EngineTasks());
  }

  /** Removes an engine. @returns its direct tasks without a reply */
  removeEngine(uuid: string): string[] {
    const msgIds = [...(this.#engines.get(uuid)?.queue ?? [])];
    this.#engines.delete(uuid);
    return msgIds;
  }

  engine(uuid: string): EngineTasks | undefined {
    return this.#engines.get(uuid);
  }

  submitDirect(msgId: string, engine: string): void {
    this.pendingIds.add(msgId);
    this.removedIds.delete(msgId);
    this.#engines.get(engine)?.queue.add(msgId);
  }

  submitTask(msgId: string): void {
    this.pendingIds.add(msgId);
    this.removedIds.delete(msgId);
    this.unassignedIds.add(msgId);
  }

  /** Records that the task queue assigned a task to an engine, perhaps after it failed on another engine. */
  assign(msgId: string, engine: string): void {
    this.unassignedIds.delete(msgId);
    this.startTimes.delete(msgId);
    this.#unassign(msgId);
    this.#assignedEngines.set(msgId, engine);
    this.#engines.get(engine)?.tasks.add(msgId);
  }

  /** Restores a task of the previous run that a registered engine may still have. */
  restore(msgId: string, engine: string, isDirect: boolean): void {
    if (isDirect) {
      this.submitDirect(msgId, engine);
      return;
    }
    this.pendingIds.add(msgId);
    this.assign(msgId, engine);
  }

  /** Records that an engine has begun to run a task. @returns false when this was already recorded */
  begin(msgId: string, startTime: string): boolean {
    if (
      !this.pendingIds.has(msgId) ||
      this.startTimes.has(msgId) ||
      this.startTimes.size >= MAX_RUNNING_TASKS
    )
      return false;
    this.startTimes.set(msgId, startTime);
    return true;
  }

  /** Records a result. `isCounted` is false for a task that the engine did not run, for example an aborted one. */
  finish(msgId: string, engine: string | undefined, isCounted: boolean): void {
    this.pendingIds.delete(msgId);
    this.startTimes.delete(msgId);
    this.unassignedIds.delete(msgId);
    this.completedIds.add(msgId);
    this.#unassign(msgId);
    const tasks = engine === undefined ? undefined : this.#engines.get(engine);
    tasks?.queue.delete(msgId);
    if (isCounted) tasks?.complete(msgId);
  }

  remove(msgIds: Iterable<string>): void {
    for (const msgId of msgIds) {
      this.completedIds.delete(msgId);
      this.strandedIds.delete(msgId);
      this.removedIds.add(msgId);
    }
  }

  #unassign(msgId: string): void {
    const engine = this.#assignedEngines.get(msgId);
    if (engine === undefined) return;
    this.#assignedEngines.delete(msgId);
    this.#engines.get(engine)?.tasks.delete(msgId);
  }
}
