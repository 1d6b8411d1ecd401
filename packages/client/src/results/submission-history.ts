/** How many ids are kept. */
const MAX_HISTORY = 10_000;

/** The ids of what was submitted, in order; the newest 10,000 of them. */
export class SubmissionHistory {
  // A set keeps the order in which ids came.
  readonly #ids = new Set<string>();

  get ids(): string[] {
    return [...this.#ids];
  }

  get length(): number {
    return this.#ids.size;
  }

  add(msgId: string): void {
    this.#ids.add(msgId);
    if (this.#ids.size <= MAX_HISTORY) return;
    for (const oldest of this.#ids) {
      this.#ids.delete(oldest);
      break;
    }
  }

  delete(msgId: string): void {
    this.#ids.delete(msgId);
  }
}
