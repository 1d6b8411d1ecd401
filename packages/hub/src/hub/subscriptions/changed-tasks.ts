import { BoundedSet } from '@ipyparallel-js/protocol/internal';
import type { TaskChange } from '../../db/task-database.js';
import type { TaskTracker } from '../recording/task-tracker.js';
import { ChangeLog } from './change-log.js';

/** The latest change of a task, without its content. */
export interface ChangedTask {
  /** The task was removed, and not added since. */
  readonly isRemoved: boolean;
  /** The task's output created its record before its request arrived. */
  readonly hadOutputFirst: boolean;
  /** The sequence number at which the task was added, if the hub recorded that. */
  readonly addedSeq?: number | undefined;
}

/** How many tasks with output but without a request are stored. */
const MAX_OUTPUT_ONLY_TASKS = 4096;

/** The log of changed tasks. Each change gets the next sequence number. */
export class ChangedTasks {
  readonly log: ChangeLog<ChangedTask>;
  readonly #tracker: TaskTracker;
  /** Tasks whose output arrived before their request. */
  readonly #outputOnlyIds = new BoundedSet(MAX_OUTPUT_ONLY_TASKS);
  #latestSeq = 0;

  /** `limit` is the maximum number of tasks in the log. */
  constructor(tracker: TaskTracker, limit: number) {
    this.#tracker = tracker;
    this.log = new ChangeLog(limit);
  }

  /** The sequence number of the latest change. */
  get latestSeq(): number {
    return this.#latestSeq;
  }

  hasOutputOnly(msgId: string): boolean {
    return this.#outputOnlyIds.has(msgId);
  }

  /** Records changes that are in the Task Database now. */
  recordWrite(changes: readonly TaskChange[]): void {
    for (const change of changes) {
      if (change.op === 'add') {
        const msgId = change.task.msg_id;
        const hadOutputFirst = this.#outputOnlyIds.delete(msgId);
        const addedSeq = hadOutputFirst ? undefined : this.#latestSeq + 1;
        this.#add(msgId, { isRemoved: false, hadOutputFirst, addedSeq });
        continue;
      }
      const { msgId } = change;
      const { pendingIds, completedIds } = this.#tracker;
      if (change.orAdd === true && !pendingIds.has(msgId) && !completedIds.has(msgId))
        this.#outputOnlyIds.add(msgId);
      this.#add(msgId);
    }
    this.log.trim();
  }

  /** Records that tasks were removed from the Task Database. */
  recordRemoval(msgIds: readonly string[]): void {
    for (const msgId of msgIds) this.#add(msgId, { isRemoved: true, hadOutputFirst: false });
    this.log.trim();
  }

  /** Records that an engine has begun to run a task. */
  recordStart(msgId: string): void {
    this.#add(msgId);
    this.log.trim();
  }

  #add(msgId: string, change?: ChangedTask): void {
    const previous = this.log.latestEntry(msgId)?.value;
    const value = change ?? previous ?? { isRemoved: false, hadOutputFirst: false };
    const hadOutputFirst = value.hadOutputFirst || (previous?.hadOutputFirst === true && !value.isRemoved);
    const addedSeq = value.addedSeq ?? previous?.addedSeq;
    this.log.add(++this.#latestSeq, msgId, { isRemoved: value.isRemoved, hadOutputFirst, addedSeq });
  }
}
