import type { Extras } from './document.js';
import type { KnownTask } from './fold-changes.js';

/** What a writer has to know of a stored task in order to change it. */
export interface StoredState extends KnownTask {
  /** The document's `_id`. */
  readonly id: unknown;
  readonly extras: Extras;
}

const MAX_TASKS = 20_000;
const MAX_BYTES = 16 << 20;

/**
 * The tasks written last, so that a change of one is a write and not a question before it. Bounded: those not written for
 * longest are forgotten, and asked for when they change again.
 */
export class KnownTasks {
  readonly #tasks = new Map<string, StoredState>();
  #bytes = 0;

  get(msgId: string): StoredState | undefined {
    return this.#tasks.get(msgId);
  }

  set(msgId: string, state: StoredState): void {
    this.forget(msgId);
    this.#tasks.set(msgId, state);
    this.#bytes += sizeOf(msgId, state);
    for (const oldest of this.#tasks.keys()) {
      if (this.#tasks.size <= MAX_TASKS && this.#bytes <= MAX_BYTES) break;
      this.forget(oldest);
    }
  }

  forget(msgId: string): void {
    const state = this.#tasks.get(msgId);
    if (state === undefined) return;
    this.#tasks.delete(msgId);
    this.#bytes -= sizeOf(msgId, state);
  }
}

function sizeOf(msgId: string, { stdout = '', stderr = '' }: StoredState): number {
  return 512 + 2 * (msgId.length + stdout.length + stderr.length);
}
