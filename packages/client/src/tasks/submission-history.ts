import { BoundedSet } from '@ipyparallel-js/protocol/internal';

/** The maximum number of ids. */
const MAX_HISTORY = 10_000;

/** The ids of the newest 10,000 submitted tasks, in order. */
export class SubmissionHistory {
  readonly #ids = new BoundedSet(MAX_HISTORY);

  get ids(): string[] {
    return [...this.#ids];
  }

  get length(): number {
    return this.#ids.size;
  }

  has(msgId: string): boolean {
    return this.#ids.has(msgId);
  }

  add(msgId: string): void {
    this.#ids.add(msgId);
  }

  delete(msgId: string): void {
    this.#ids.delete(msgId);
  }
}
