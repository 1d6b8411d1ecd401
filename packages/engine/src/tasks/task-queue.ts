import type { AnyMessage } from '@ipyparallel-js/protocol';
import { BoundedSet, getOwnString } from '@ipyparallel-js/protocol/internal';

/** A received task, and a function that sends its reply. */
export interface Task {
  readonly request: AnyMessage;
  readonly reply: (frames: Buffer[]) => void;
}

/** How many ids each set holds. */
const MAX_IDS = 10_000;

/** One queue for the tasks of all schedulers, in the order of their arrival. */
export class TaskQueue {
  #queuedTasks: Task[] = [];
  /** Tasks that were aborted before they arrived. */
  readonly #abortedIds = new BoundedSet(MAX_IDS);
  readonly #receivedIds = new BoundedSet(MAX_IDS);
  readonly #lostIds = new BoundedSet(MAX_IDS);

  get length(): number {
    return this.#queuedTasks.length;
  }

  /** Queues a task, unless it was aborted before it arrived, or was failed as lost. */
  push(task: Task): 'queued' | 'aborted' | 'lost' {
    const { msg_id: id } = task.request;
    this.#receivedIds.add(id);
    if (this.#lostIds.has(id)) return 'lost';
    if (this.#abortedIds.delete(id)) return 'aborted';
    this.#queuedTasks.push(task);
    return 'queued';
  }

  /** Returns the given ids that were neither received nor marked as lost. The last 10,000 ids of each kind are stored. */
  findUnreceived(msgIds: readonly string[]): string[] {
    // The queue may be longer than the set of received ids.
    const queued = new Set(this.#queuedTasks.map(({ request }) => request.msg_id));
    return msgIds.filter((id) => !this.#receivedIds.has(id) && !this.#lostIds.has(id) && !queued.has(id));
  }

  /** Marks a task that has not arrived as lost: it must not run if it arrives later. */
  markLost(msgId: string): void {
    this.#lostIds.add(msgId);
  }

  shift(): Task | undefined {
    return this.#queuedTasks.shift();
  }

  /** Removes and returns the queued tasks with these ids. Tasks that arrive later are aborted on arrival. */
  abort(msgIds: readonly string[]): Task[] {
    const requested = new Set(msgIds);
    const aborted: Task[] = [];
    this.#queuedTasks = this.#queuedTasks.filter((task) => {
      if (!hasIdIn(task, requested)) return true;
      aborted.push(task);
      return false;
    });
    for (const id of requested) {
      if (!this.#receivedIds.has(id)) this.#abortedIds.add(id);
    }
    return aborted;
  }

  /** Removes and returns all queued tasks. */
  drain(): Task[] {
    const tasks = this.#queuedTasks;
    this.#queuedTasks = [];
    return tasks;
  }
}

/** Whether a task has one of these ids. */
export function hasIdIn({ request }: Task, msgIds: ReadonlySet<string>): boolean {
  const { msg_id: id, metadata } = request;
  // Each part of a broadcast has its own id; the client has only the original id.
  const originalId = getOwnString(metadata, 'original_msg_id');
  return msgIds.has(id) || (originalId !== undefined && msgIds.has(originalId));
}
