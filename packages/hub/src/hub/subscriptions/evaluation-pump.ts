import type { Logger } from '@ipyparallel-js/wire';
import type { LogEntry } from './change-log.js';
import type { ChangedTask, ChangedTasks } from './changed-tasks.js';
import type { Evaluated, Evaluator } from './evaluator.js';
import type { Feed } from './feed.js';
import { FeedIndex } from './feed-index.js';
import type { SubscriptionTable } from './subscription-table.js';

export interface EvaluationPumpOptions {
  readonly table: SubscriptionTable;
  readonly changed: ChangedTasks;
  readonly evaluator: Evaluator;
  /** Receives the changes of each feed, in order. */
  readonly onEvaluated: (results: ReadonlyMap<Feed, readonly Evaluated[]>) => void;
  readonly log: Logger;
}

/** How many tasks are evaluated at a time. */
const CHUNK = 256;
/** How long to wait after a failed read of the store, in ms. */
const RETRY_DELAY = 500;
/** After a step the pump pauses for as long as the step took, up to this many ms, so that other work gets the thread. */
const MAX_PAUSE = 25;

const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => (ms < 1 ? setImmediate(resolve) : setTimeout(resolve, ms)));

/** Evaluates changed tasks for all feeds, chunk by chunk, while there are changes and feeds. */
export class EvaluationPump {
  readonly #options: EvaluationPumpOptions;
  #waiters: (() => void)[] = [];
  #evaluatedTo = 0;
  #running = false;
  /** Whether the last read of the store failed; only the first failure in a row is logged. */
  #failing = false;
  #closed = false;

  constructor(options: EvaluationPumpOptions) {
    this.#options = options;
  }

  /** All feeds have evaluated the changes up to this sequence number. */
  get evaluatedTo(): number {
    return this.#evaluatedTo;
  }

  close(): void {
    this.#closed = true;
    this.#resolveWaiters();
  }

  /** Starts the pump, unless it runs already. */
  start(): void {
    if (this.#options.table.feedCount > 0 && !this.#running) void this.#run();
  }

  /** Skips all changes so far, for example when the first feed opens: no feed needs the earlier changes. */
  skipToLatest(): void {
    this.#evaluatedTo = this.#options.changed.latestSeq;
  }

  /** Resolves when changes up to `seq` are evaluated, the pump is closed, or `isWanted` returns false. */
  async reach(seq: number, isWanted: () => boolean): Promise<void> {
    while (this.#evaluatedTo < seq && !this.#closed && isWanted())
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }

  /** Evaluates tasks for one feed. @returns undefined if the store could not be read; try again then */
  async evaluateFor(
    feed: Feed,
    entries: readonly LogEntry<ChangedTask>[],
  ): Promise<readonly Evaluated[] | undefined> {
    return (await this.#evaluate(new FeedIndex([feed]), entries))?.get(feed);
  }

  async #run(): Promise<void> {
    const { table, changed } = this.#options;
    this.#running = true;
    try {
      while (table.feedCount > 0 && this.#evaluatedTo < changed.latestSeq && !this.#closed) {
        const since = performance.now();
        const more = await this.#step();
        const duration = performance.now() - since;
        if (more || duration > 1) await pause(Math.min(duration, MAX_PAUSE));
      }
    } finally {
      this.#running = false;
    }
  }

  /** Evaluates the next chunk for all feeds. @returns whether more changes are left */
  async #step(): Promise<boolean> {
    const { table, changed, onEvaluated } = this.#options;
    if (this.#evaluatedTo < changed.log.floor) this.#skipLost();
    const upTo = changed.latestSeq;
    const entries = [...changed.log.after(this.#evaluatedTo, CHUNK)];
    const last = entries.length < CHUNK ? upTo : (entries.at(-1)?.seq ?? upTo);
    const results = await this.#evaluate(table.index, entries);
    if (results === undefined) return true;
    this.#evaluatedTo = Math.max(this.#evaluatedTo, last);
    onEvaluated(results);
    this.#resolveWaiters();
    return last < changed.latestSeq;
  }

  async #evaluate(
    index: FeedIndex,
    entries: readonly LogEntry<ChangedTask>[],
  ): Promise<Map<Feed, Evaluated[]> | undefined> {
    try {
      const results = await this.#options.evaluator.evaluate(index, entries);
      this.#failing = false;
      return results;
    } catch (error) {
      if (this.#closed) return undefined;
      if (!this.#failing) this.#options.log.warn('cannot read changed tasks for subscribers', error);
      this.#failing = true;
      await pause(RETRY_DELAY);
      return undefined;
    }
  }

  /** The log has dropped changes that were not evaluated: all feeds start again at the latest change. */
  #skipLost(): void {
    this.skipToLatest();
    for (const feed of this.#options.table.feeds) {
      feed.log.clear(this.#evaluatedTo);
      feed.history?.clear(this.#evaluatedTo);
    }
  }

  #resolveWaiters(): void {
    for (const resolve of this.#waiters.splice(0)) resolve();
  }
}
