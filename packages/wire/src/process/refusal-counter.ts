import type { Logger } from './log.js';

const MAX_REASONS = 100;

/** Counts refused messages by reason. It logs the first of each reason, then at most one line a minute. */
export class RefusalCounter {
  readonly #counts = new Map<string, { total: number; loggedAt: number }>();
  readonly #log: Logger;
  readonly #now: () => number;

  constructor(log: Logger, now: () => number = () => performance.now()) {
    this.#log = log;
    this.#now = now;
  }

  /** Counts one refused message. `detail` is logged with the first message of its reason. */
  count(reasonText: string, detail = ''): void {
    // Limits the number of reasons, because a peer may be able to cause arbitrarily many.
    const reason =
      this.#counts.has(reasonText) || this.#counts.size < MAX_REASONS ? reasonText : 'other reasons';
    const entry = this.#counts.get(reason);
    const now = this.#now();
    if (entry === undefined) {
      this.#counts.set(reason, { total: 1, loggedAt: now });
      this.#log.warn(
        `refused: ${reason}${detail === '' ? '' : ` (${detail})`}; further ones are counted and logged once a minute`,
      );
      return;
    }
    entry.total++;
    if (now - entry.loggedAt > 60_000) {
      entry.loggedAt = now;
      this.#log.warn(`refused: ${reason}, ${entry.total} times so far`);
    }
  }

  /** The number of refused messages of each reason. */
  get counts(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#counts].map(([reason, { total }]) => [reason, total]));
  }
}
