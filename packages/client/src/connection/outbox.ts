import { ConnectionClosedError, type NewMessage } from '@ipyparallel-js/protocol';
import type { SendingChannel } from './sockets.js';

/** Work that waits for a connection. */
export interface HeldWork {
  readonly channel: SendingChannel;
  readonly message: NewMessage;
  readonly idents: readonly string[];
}

/** The uuids that work names: a list of them for the task scheduler, of pairs with ids for the broadcast scheduler. */
export function targetsOf({ message }: HeldWork): string[] {
  const { targets } = message.metadata;
  if (!Array.isArray(targets)) return [];
  return targets.map((target: unknown) => String(Array.isArray(target) ? target[0] : target));
}

/** The tasks of work: a broadcast has one for each engine. */
export function taskIds(work: HeldWork): string[] {
  const { msg_id } = work.message;
  return work.channel === 'broadcast' ? targetsOf(work).map((uuid) => `${msg_id}_${uuid}`) : [msg_id];
}

const MOST_MESSAGES = 10_000;
const MOST_BYTES = 256 * 1024 * 1024;
/** What a message without buffers is counted as; its code is rarely more. */
const PLAIN_BYTES = 4_096;

/** What was submitted while the controller was out of reach, in its order: never sent, so it may still be. */
export class Outbox {
  readonly #held = new Map<string, HeldWork>();
  #bytes = 0;

  /** How much waits. */
  get size(): { readonly count: number; readonly bytes: number } {
    return { count: this.#held.size, bytes: this.#bytes };
  }

  /** `reason` is why there is no connection. @throws ConnectionClosedError when too much waits already */
  hold(work: HeldWork, reason: string | undefined): void {
    const size = sizeOf(work.message);
    if (this.#held.size >= MOST_MESSAGES || this.#bytes + size > MOST_BYTES) {
      const [why, what] =
        reason === undefined
          ? ['the engines are not back at the controller yet', 'them']
          : [`not connected (${reason})`, 'the connection'];
      throw new ConnectionClosedError(
        `${why}, and ${this.#held.size} submissions wait for ${what} already; this one was not sent`,
      );
    }
    this.#held.set(work.message.msg_id, work);
    this.#bytes += size;
  }

  /** Whether a task's message waits here. That of a broadcast stands for the tasks of all its engines. */
  has(msgId: string): boolean {
    return this.#held.has(msgId) || this.#held.has(msgId.slice(0, msgId.lastIndexOf('_')));
  }

  /** Takes out what is wanted, in its order. */
  take(wanted: (work: HeldWork) => boolean): HeldWork[] {
    const taken = [...this.#held.values()].filter(wanted);
    for (const { message } of taken) {
      this.#held.delete(message.msg_id);
      this.#bytes -= sizeOf(message);
    }
    return taken;
  }
}

function sizeOf({ content, buffers }: NewMessage): number {
  const code = (content as { readonly code?: unknown }).code;
  let size = PLAIN_BYTES + (typeof code === 'string' ? code.length : 0);
  for (const buffer of buffers ?? []) size += buffer.byteLength;
  return size;
}
