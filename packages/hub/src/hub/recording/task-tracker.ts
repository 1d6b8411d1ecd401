import { BoundedSet } from '@ipyparallel-js/protocol/internal';

/** Ids remembered of what an engine completed; its count goes on. */
const COMPLETED_REMEMBERED = 10_000;

/** How many tasks may be known to have begun; engines run one at a time each. */
const MOST_BEGUN = 65_536;

/** One engine's tasks. */
export class EngineTasks {
  /** Direct tasks that it has not answered, oldest first. */
  readonly queue = new Set<string>();
  /** Tasks of the task queue that it has not answered. */
  readonly tasks = new Set<string>();
  readonly #completed = new BoundedSet(COMPLETED_REMEMBERED);
  #completedCount = 0;

  complete(msgId: string): void {
    this.#completed.add(msgId);
    this.#completedCount++;
  }

  /** Counts, or with `verbose` the msg_ids (of those completed, the latest). */
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

/** Where every unfinished task is, without asking the Task Database. */
export class TaskTracker {
  /** Tasks whose result has not come. */
  readonly pending = new Set<string>();
  /** Tasks of the task queue that no engine has. */
  readonly unassigned = new Set<string>();
  /** Tasks that ended lately. */
  readonly completed = new BoundedSet(65_536);
  /** Tasks that were purged or culled lately: asking for one of these is not asking for an unknown one. */
  readonly removed = new BoundedSet(65_536);
  /** Direct tasks whose engine was taken for dead: a result that still comes is the truth. */
  readonly stranded = new BoundedSet(4096);
  /** Unfinished tasks that their engines have begun with, and when. */
  readonly begun = new Map<string, string>();
  readonly #engines = new Map<string, EngineTasks>();
  /** Which engine has a task of the task queue. */
  readonly #assigned = new Map<string, string>();

  addEngine(uuid: string): void {
    this.#engines.set(uuid, new EngineTasks());
  }

  /** Forgets the engine, and gives the direct tasks that it leaves unanswered. */
  removeEngine(uuid: string): string[] {
    const left = [...(this.#engines.get(uuid)?.queue ?? [])];
    this.#engines.delete(uuid);
    return left;
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

  /** The task queue gave a task to an engine; a second time, if it failed at the first. */
  assign(msgId: string, engine: string): void {
    this.unassigned.delete(msgId);
    this.begun.delete(msgId);
    this.#unassign(msgId);
    this.#assigned.set(msgId, engine);
    this.#engines.get(engine)?.tasks.add(msgId);
  }

  /** A task of an earlier life that a registered engine may still have. */
  inherit(msgId: string, engine: string, direct: boolean): void {
    if (direct) {
      this.submitDirect(msgId, engine);
      return;
    }
    this.pending.add(msgId);
    this.assign(msgId, engine);
  }

  /** An engine has begun with a task; whether that is news. */
  begin(msgId: string, when: string): boolean {
    if (!this.pending.has(msgId) || this.begun.has(msgId) || this.begun.size >= MOST_BEGUN) return false;
    this.begun.set(msgId, when);
    return true;
  }

  /** A result has come. `counted` is false for what the engine did not do, as an aborted task. */
  finish(msgId: string, engine: string | undefined, counted: boolean): void {
    this.pending.delete(msgId);
    this.begun.delete(msgId);
    this.unassigned.delete(msgId);
    this.completed.add(msgId);
    this.#unassign(msgId);
    const at = engine === undefined ? undefined : this.#engines.get(engine);
    at?.queue.delete(msgId);
    if (counted) at?.complete(msgId);
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
