import type { Logger } from '@ipyparallel-js/wire';
import type { LogEntry } from './change-log.js';
import type { ChangedTask, ChangedTasks } from './changed-tasks.js';
import type { EvaluatedChange, Evaluator } from './evaluator.js';
import type { Feed } from './feed.js';
import { FeedIndex } from './feed-index.js';
import type { SubscriptionTable } from './subscription-table.js';

export interface EvaluationPumpOptions {
  readonly table: SubscriptionTable;
  readonly changedTasks: ChangedTasks;
  readonly evaluator: Evaluator;
  /** Receives the changes of each feed, in order. */
  readonly onEvaluated: (results: ReadonlyMap<Feed, readonly EvaluatedChange[]>) => void;
  readonly log: Logger;
}

/** How many tasks are evaluated at a time. */
const CHUNK_TASKS = 256;
/** How long to wait after a failed read of the store, in ms. */
const RETRY_DELAY = 500;
/** Maximum pause after a step, in ms. The pump pauses as long as the step took, so that other work can use the thread. */
const MAX_PAUSE = 25;

const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => (ms < 1 ? setImmediate(resolve) : setTimeout(resolve, ms)));

/** Evaluates changed tasks for all feeds, chunk by chunk, while there are changes and feeds. */
export class EvaluationPump {
  readonly #options: EvaluationPumpOptions;
  #waiters: (() => void)[] = [];
  #evaluatedSeq = 0;
  #isRunning = false;
  /** Whether the last read of the store failed; only the first failure in a row is logged. */
  #isFailing = false;
  #isClosed = false;

  constructor(options: EvaluationPumpOptions) {
    this.#options = options;
  }

  /** All feeds have evaluated the changes up to this sequence number. */
  get evaluatedSeq(): number {
    return this.#evaluatedSeq;
  }

  close(): void {
    this.#isClosed = true;
    this.#resolveWaiters();
  }

  /** Starts the pump, unless it runs already. */
  start(): void {
    if (this.#options.table.feedCount > 0 && !this.#isRunning) void this.#run();
  }

  /** Skips all changes so far, for example when the first feed opens: no feed needs the earlier changes. */
  skipToLatest(): void {
    this.#evaluatedSeq = this.#options.changedTasks.latestSeq;
  }

  /** Resolves when changes up to `seq` are evaluated, the pump is closed, or `isWanted` returns false. */
  async waitForSeq(seq: number, isWanted: () => boolean): Promise<void> {
    while (this.#evaluatedSeq < seq && !this.#isClosed && isWanted())
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }

  /** Evaluates tasks for one feed. @returns undefined if the store could not be read; the caller must try again */
  async evaluateFor(
    feed: Feed,
    entries: readonly LogEntry<ChangedTask>[],
  ): Promise<readonly EvaluatedChange[] | undefined> {
    return (await this.#evaluate(new FeedIndex([feed]), entries))?.get(feed);
  }

  async #run(): Promise<void> {
    const { table, changedTasks } = this.#options;
    this.#isRunning = true;
    try {
      while (table.feedCount > 0 && this.#evaluatedSeq < changedTasks.latestSeq && !this.#isClosed) {
        const stepStart = performance.now();
        const hasMore = await this.#step();
        const duration = performance.now() - stepStart;
        if (hasMore || duration > 1) await pause(Math.min(duration, MAX_PAUSE));
      }
    } finally {
      this.#isRunning = false;
    }
  }

  /** Evaluates the next chunk for all feeds. @returns whether more changes are left */
  async #step(): Promise<boolean> {
    const { table, changedTasks, onEvaluated } = this.#options;
    if (this.#evaluatedSeq < changedTasks.log.floor) this.#skipLostChanges();
    const upTo = changedTasks.latestSeq;
    const entries = [...changedTasks.log.entriesAfter(this.#evaluatedSeq, CHUNK_TASKS)];
    const last = entries.length < CHUNK_TASKS ? upTo : (entries.at(-1)?.seq ?? upTo);
    const results = await this.#evaluate(table.index, entries);
    if (results === undefined) return true;
    this.#evaluatedSeq = Math.max(this.#evaluatedSeq, last);
    onEvaluated(results);
    this.#resolveWaiters();
    return last < changedTasks.latestSeq;
  }

  async #evaluate(
    index: FeedIndex,
    entries: readonly LogEntry<ChangedTask>[],
  ): Promise<Map<Feed, EvaluatedChange[]> | undefined> {
    try {
      const results = await this.#options.evaluator.evaluate(index, entries);
      this.#isFailing = false;
      return results;
    } catch (error) {
      if (this.#isClosed) return undefined;
      if (!this.#isFailing) this.#options.log.warn('cannot read changed tasks for subscribers', error);
      this.#isFailing = true;
      await pause(RETRY_DELAY);
      return undefined;
    }
  }

  /** Restarts all feeds at the latest change, because the log has dropped changes that were not evaluated. */
  #skipLostChanges(): void {
    this.skipToLatest();
    for (const feed of this.#options.table.feeds) {
      feed.log.clear(this.#evaluatedSeq);
      feed.history?.clear(this.#evaluatedSeq);
    }
  }

  #resolveWaiters(): void {
    for (const resolve of this.#waiters.splice(0)) resolve();
  }
}
