import { ConnectionClosedError, type NewMessage } from '@ipyparallel-js/protocol';
import type { WorkChannel } from './sockets.js';

export type { WorkChannel } from './sockets.js';

/** The message of one or several tasks, and the channel that it is for. */
export interface Submission {
  readonly channel: WorkChannel;
  readonly message: NewMessage;
  readonly idents: readonly string[];
}

/** The engine uuids that a submission names: a list for the task scheduler, pairs with ids for the broadcast scheduler. */
export function targetsOf({ message }: Submission): string[] {
  const { targets } = message.metadata;
  if (!Array.isArray(targets)) return [];
  return targets.map((target: unknown) => String(Array.isArray(target) ? target[0] : target));
}

/** The ids of a submission's tasks: a broadcast has one task for each engine. */
export function taskIds(work: Submission): string[] {
  const { msg_id } = work.message;
  return work.channel === 'broadcast' ? targetsOf(work).map((uuid) => `${msg_id}_${uuid}`) : [msg_id];
}

const MAX_MESSAGES = 10_000;
const MAX_BYTES = 256 * 1024 * 1024;
/** The size assumed for a message without buffers; its code is rarely larger. */
const BASE_BYTES = 4_096;

/** A bounded list of submissions that have not been sent, in the order of their submission. */
export class Outbox {
  readonly #submissions = new Map<string, Submission>();
  #bytes = 0;

  get size(): { readonly count: number; readonly bytes: number } {
    return { count: this.#submissions.size, bytes: this.#bytes };
  }

  /**
   * Adds a submission. `reason`: why there is no connection; undefined if the submission waits for engines.
   * @throws {ConnectionClosedError} when the list is full
   */
  add(work: Submission, reason: string | undefined): void {
    const size = sizeOf(work.message);
    if (this.#submissions.size >= MAX_MESSAGES || this.#bytes + size > MAX_BYTES) {
      const [cause, awaited] =
        reason === undefined
          ? ['the engines have not registered again yet', 'them']
          : [`not connected (${reason})`, 'the connection'];
      throw new ConnectionClosedError(
        `${cause}, and ${this.#submissions.size} submissions wait for ${awaited} already; this one was not sent`,
      );
    }
    this.#submissions.set(work.message.msg_id, work);
    this.#bytes += size;
  }

  /** Whether the message of a task is in the list. The message of a broadcast stands for the tasks of all its engines. */
  has(msgId: string): boolean {
    return this.#submissions.has(msgId) || this.#submissions.has(msgId.slice(0, msgId.lastIndexOf('_')));
  }

  /** Removes and returns the submissions that match, in their order. */
  remove(matches: (work: Submission) => boolean): Submission[] {
    const removed = [...this.#submissions.values()].filter(matches);
    for (const { message } of removed) {
      this.#submissions.delete(message.msg_id);
      this.#bytes -= sizeOf(message);
    }
    return removed;
  }
}

function sizeOf({ content, buffers }: NewMessage): number {
  const code = (content as { readonly code?: unknown }).code;
  let size = BASE_BYTES + (typeof code === 'string' ? code.length : 0);
  for (const buffer of buffers ?? []) size += buffer.byteLength;
  return size;
}
