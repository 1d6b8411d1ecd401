import type { AnyMessage } from '@ipyparallel-js/protocol';
import { BoundedSet, getOwnString } from '@ipyparallel-js/protocol/internal';

/** A received task, and a function that sends its reply. */
export interface Task {
  readonly request: AnyMessage;
  readonly reply: (frames: Buffer[]) => void;
}

/** How many ids each set holds. */
const MAX_REMEMBERED = 10_000;

/** One queue for the tasks of all schedulers, in the order of their arrival. */
export class TaskQueue {
  #queued: Task[] = [];
  /** Tasks that were aborted before they arrived. */
  readonly #aborted = new BoundedSet(MAX_REMEMBERED);
  readonly #received = new BoundedSet(MAX_REMEMBERED);
  readonly #lost = new BoundedSet(MAX_REMEMBERED);

  get length(): number {
    return this.#queued.length;
  }

  /** Queues a task, unless it was aborted before it arrived, or was failed as lost. */
  push(task: Task): 'queued' | 'aborted' | 'lost' {
    const { msg_id: id } = task.request;
    this.#received.add(id);
    if (this.#lost.has(id)) return 'lost';
    if (this.#aborted.delete(id)) return 'aborted';
    this.#queued.push(task);
    return 'queued';
  }

  /** Returns the given ids that were neither received nor marked as lost. The last 10,000 ids of each kind are stored. */
  notReceived(msgIds: readonly string[]): string[] {
    // The queue may be longer than the set of received ids.
    const queued = new Set(this.#queued.map(({ request }) => request.msg_id));
    return msgIds.filter((id) => !this.#received.has(id) && !this.#lost.has(id) && !queued.has(id));
  }

  /** Marks a task that has not arrived as lost: it must not run if it arrives later. */
  markLost(msgId: string): void {
    this.#lost.add(msgId);
  }

  shift(): Task | undefined {
    return this.#queued.shift();
  }

  /** Removes and returns the queued tasks with these ids. Tasks that arrive later are aborted on arrival. */
  abort(msgIds: readonly string[]): Task[] {
    const requested = new Set(msgIds);
    const aborted: Task[] = [];
    this.#queued = this.#queued.filter((task) => {
      if (!isOneOf(task, requested)) return true;
      aborted.push(task);
      return false;
    });
    for (const id of requested) {
      if (!this.#received.has(id)) this.#aborted.add(id);
    }
    return aborted;
  }

  /** Removes and returns all queued tasks. */
  drain(): Task[] {
    const all = this.#queued;
    this.#queued = [];
    return all;
  }
}

/** Whether a task has one of these ids. */
export function isOneOf({ request }: Task, msgIds: ReadonlySet<string>): boolean {
  const { msg_id: id, metadata } = request;
  // Each part of a broadcast has its own id; the client knows only the original id.
  const original = getOwnString(metadata, 'original_msg_id');
  return msgIds.has(id) || (original !== undefined && msgIds.has(original));
}
