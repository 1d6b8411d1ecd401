import type { Logger } from './log.js';

const MAX_REASONS = 100;

/** What was refused, by reason; the first of a reason is logged, then one line a minute while more come. */
export class RefusalCounter {
  readonly #counts = new Map<string, { total: number; loggedAt: number }>();
  readonly #log: Logger;
  readonly #now: () => number;

  constructor(log: Logger, now: () => number = () => performance.now()) {
    this.#log = log;
    this.#now = now;
  }

  count(what: string, detail = ''): void {
    // A stranger must not be able to make this list as long as he likes.
    const reason = this.#counts.has(what) || this.#counts.size < MAX_REASONS ? what : 'other reasons';
    const entry = this.#counts.get(reason);
    const now = this.#now();
    if (entry === undefined) {
      this.#counts.set(reason, { total: 1, loggedAt: now });
      this.#log.warn(`refused: ${reason}${detail === '' ? '' : ` (${detail})`}; more of it is only counted`);
      return;
    }
    entry.total++;
    if (now - entry.loggedAt > 60_000) {
      entry.loggedAt = now;
      this.#log.warn(`refused: ${reason}, ${entry.total} times by now`);
    }
  }

  /** How often each reason occurred. */
  get counts(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#counts].map(([reason, { total }]) => [reason, total]));
  }
}
