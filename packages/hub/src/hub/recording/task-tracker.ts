import { BoundedSet } from '@ipyparallel-js/protocol/internal';

/** How many ids of completed tasks are stored per engine; the count has no limit. */
const MAX_COMPLETED_IDS = 10_000;

/** How many running tasks are stored; an engine runs one task at a time. */
const MAX_RUNNING = 65_536;

/** One engine's tasks. */
export class EngineTasks {
  /** Direct tasks without a reply, oldest first. */
  readonly queue = new Set<string>();
  /** Tasks of the task queue without a reply. */
  readonly tasks = new Set<string>();
  readonly #completed = new BoundedSet(MAX_COMPLETED_IDS);
  #completedCount = 0;

  complete(msgId: string): void {
    this.#completed.add(msgId);
    this.#completedCount++;
  }

  /** Counts, or with `verbose` the msg_ids (the latest ones of completed tasks). */
  status(verbose: boolean): {
    queue: number | string[];
    completed: number | string[];
    tasks: number | string[];
  } {
    return verbose
      ? { queue: [...this.queue], completed: [...this.#completed], tasks: [...this.tasks] }
      : { queue: this.queue.size, completed: this.#completedCount, tasks: this.tasks.size };
  }
}

/** The location of every unfinished task, in memory: it needs no query of the Task Database. */
export class TaskTracker {
  /** Tasks without a result. */
  readonly pending = new Set<string>();
  /** Tasks of the task queue that are assigned to no engine. */
  readonly unassigned = new Set<string>();
  /** Tasks that ended recently. */
  readonly completed = new BoundedSet(65_536);
  /** Tasks that were purged or culled recently; a request for one of them gets an error of its own. */
  readonly removed = new BoundedSet(65_536);
  /** Failed tasks whose engine was considered dead; a result that still arrives replaces the failure. */
  readonly stranded = new BoundedSet(4096);
  /** When each running task began. */
  readonly running = new Map<string, string>();
  readonly #engines = new Map<string, EngineTasks>();
  /** The engine of each task of the task queue. */
  readonly #assigned = new Map<string, string>();

  addEngine(uuid: string): void {
    this.#engines.set(uuid, new EngineTasks());
  }

  /** Removes an engine. @returns its direct tasks without a reply */
  removeEngine(uuid: string): string[] {
    const unanswered = [...(this.#engines.get(uuid)?.queue ?? [])];
    this.#engines.delete(uuid);
    return unanswered;
  }

  engine(uuid: string): EngineTasks | undefined {
    return this.#engines.get(uuid);
  }

  submitDirect(msgId: string, engine: string): void {
    this.pending.add(msgId);
    this.removed.delete(msgId);
    this.#engines.get(engine)?.queue.add(msgId);
  }

  submitTask(msgId: string): void {
    this.pending.add(msgId);
    this.removed.delete(msgId);
    this.unassigned.add(msgId);
  }

  /** Records that the task queue assigned a task to an engine, perhaps after it failed on another engine. */
  assign(msgId: string, engine: string): void {
    this.unassigned.delete(msgId);
    this.running.delete(msgId);
    this.#unassign(msgId);
    this.#assigned.set(msgId, engine);
    this.#engines.get(engine)?.tasks.add(msgId);
  }

  /** Restores a task of the previous run that a registered engine may still have. */
  restore(msgId: string, engine: string, direct: boolean): void {
    if (direct) {
      this.submitDirect(msgId, engine);
      return;
    }
    this.pending.add(msgId);
    this.assign(msgId, engine);
  }

  /** Records that an engine has begun to run a task. @returns false when this was already recorded */
  begin(msgId: string, when: string): boolean {
    if (!this.pending.has(msgId) || this.running.has(msgId) || this.running.size >= MAX_RUNNING) return false;
    this.running.set(msgId, when);
    return true;
  }

  /** Records a result. `counted` is false for a task that the engine did not run, for example an aborted one. */
  finish(msgId: string, engine: string | undefined, counted: boolean): void {
    this.pending.delete(msgId);
    this.running.delete(msgId);
    this.unassigned.delete(msgId);
    this.completed.add(msgId);
    this.#unassign(msgId);
    const tasks = engine === undefined ? undefined : this.#engines.get(engine);
    tasks?.queue.delete(msgId);
    if (counted) tasks?.complete(msgId);
  }

  remove(msgIds: Iterable<string>): void {
    for (const msgId of msgIds) {
      this.completed.delete(msgId);
      this.stranded.delete(msgId);
      this.removed.add(msgId);
    }
  }

  #unassign(msgId: string): void {
    const engine = this.#assigned.get(msgId);
    if (engine === undefined) return;
    this.#assigned.delete(msgId);
    this.#engines.get(engine)?.tasks.delete(msgId);
  }
}
