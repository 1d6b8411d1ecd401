import type { AnyMessage } from '@ipyparallel-js/protocol';
import { BoundedSet, getOwnString } from '@ipyparallel-js/protocol/internal';

/** A task that has come in, and the way back for its reply. */
export interface Task {
  readonly request: AnyMessage;
  readonly reply: (frames: Buffer[]) => void;
}

/** How many ids are remembered: of aborted tasks that have not come yet, of tasks that have, of lost ones. */
const MAX_REMEMBERED = 10_000;

/** The tasks of all schedulers in one line, in the order of their arrival. */
export class TaskQueue {
  #waiting: Task[] = [];
  readonly #aborted = new BoundedSet(MAX_REMEMBERED);
  readonly #came = new BoundedSet(MAX_REMEMBERED);
  readonly #lost = new BoundedSet(MAX_REMEMBERED);

  get length(): number {
    return this.#waiting.length;
  }

  /** Queues a task, unless it was aborted before it came, or was given up as lost and has been answered. */
  push(task: Task): 'queued' | 'aborted' | 'lost' {
    const { msg_id: id } = task.request;
    this.#came.add(id);
    if (this.#lost.has(id)) return 'lost';
    if (this.#aborted.delete(id)) return 'aborted';
    this.#waiting.push(task);
    return 'queued';
  }

  /** Those of these ids that have not come and were not given up, as far as that is remembered. */
  missing(msgIds: readonly string[]): string[] {
    // More may wait than is remembered of what came.
    const waiting = new Set(this.#waiting.map(({ request }) => request.msg_id));
    return msgIds.filter((id) => !this.#came.has(id) && !this.#lost.has(id) && !waiting.has(id));
  }

  /** Gives up a task that has not come: it must not run if it comes after all. */
  lose(msgId: string): void {
    this.#lost.add(msgId);
  }

  shift(): Task | undefined {
    return this.#waiting.shift();
  }

  /** Takes the waiting tasks with these ids out; an id that has not come yet is remembered for when it does. */
  abort(msgIds: readonly string[]): Task[] {
    const wanted = new Set(msgIds);
    const aborted: Task[] = [];
    this.#waiting = this.#waiting.filter((task) => {
      if (!isOneOf(task, wanted)) return true;
      aborted.push(task);
      return false;
    });
    for (const id of wanted) {
      if (!this.#came.has(id)) this.#aborted.add(id);
    }
    return aborted;
  }

  /** Takes all waiting tasks out. */
  drain(): Task[] {
    const all = this.#waiting;
    this.#waiting = [];
    return all;
  }
}

/** Whether a task has one of these ids. */
export function isOneOf({ request }: Task, msgIds: ReadonlySet<string>): boolean {
  const { msg_id: id, metadata } = request;
  // A broadcast's parts have ids of their own; the client knows the original one.
  const original = getOwnString(metadata, 'original_msg_id');
  return msgIds.has(id) || (original !== undefined && msgIds.has(original));
}
