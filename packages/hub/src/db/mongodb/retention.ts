import type { Collection } from 'mongodb';
import type { ResolvedMongoOptions } from './mongo-options.js';
import { EXTRAS, extrasOf, type TaskDocument } from './task-document.js';
import type { RemovableTask } from './task-remover.js';
import type { WriteTotals } from './task-writer.js';

/** Longest interval between two checks of `maxAge`, in ms. */
const MAX_CHECK_INTERVAL = 60_000;

/** Delay before the next check if a limit stays exceeded because the remaining tasks are pending, in ms. */
const RETRY_DELAY = 2000;

type Limits = Pick<ResolvedMongoOptions, 'recordLimit' | 'sizeLimit' | 'maxAge' | 'cullFraction'>;

/**
 * Determines the tasks that exceed the limits. Updates its counts with the writes of this hub instead of counting the
 * records at each write, because a hub is the only writer of its collection.
 */
export class Retention {
  readonly #limits: Limits;
  readonly #records: Collection<TaskDocument>;
  readonly #openedAt = new Date();
  #count = 0;
  #bytes = 0;
  #checkedAt = Number.NEGATIVE_INFINITY;
  #nextCheck = Number.NEGATIVE_INFINITY;

  constructor(limits: Limits, records: Collection<TaskDocument>) {
    this.#limits = limits;
    this.#records = records;
  }

  /** Interval of the checks of `maxAge`, in ms; undefined without `maxAge`. */
  get checkInterval(): number | undefined {
    const { maxAge } = this.#limits;
    return Number.isFinite(maxAge) ? Math.max(100, Math.min(MAX_CHECK_INTERVAL, maxAge)) : undefined;
  }

  /** Counts the stored records and their bytes. */
  async countRecords(): Promise<void> {
    const { recordLimit, sizeLimit } = this.#limits;
    if (!Number.isFinite(recordLimit) && !Number.isFinite(sizeLimit)) return;
    for await (const document of this.#records.find({}, { projection: { _id: 0, [EXTRAS]: 1 } })) {
      this.#count++;
      this.#bytes += extrasOf(document).bytes ?? 0;
    }
  }

  recordWrite({ added, bytes }: WriteTotals): void {
    this.#count += added;
    this.#bytes += bytes;
  }

  recordRemoval(tasks: readonly RemovableTask[]): void {
    this.#count -= tasks.length;
    for (const { document } of tasks) this.#bytes -= extrasOf(document).bytes ?? 0;
  }

  /** Whether a limit may be exceeded after further writes of `changes` changes with `bytes` bytes. */
  isDue(changes = 0, bytes = 0): boolean {
    const { recordLimit, sizeLimit } = this.#limits;
    const now = performance.now();
    if (now < this.#nextCheck) return false;
    if (this.#count + changes > recordLimit || this.#bytes + bytes > sizeLimit) return true;
    return this.checkInterval !== undefined && now - this.#checkedAt > this.checkInterval;
  }

  /** Finds the tasks older than `maxAge`, and the oldest tasks that exceed the other limits, but no pending task. */
  async findExcess(): Promise<RemovableTask[]> {
    const { recordLimit, sizeLimit, maxAge, cullFraction } = this.#limits;
    this.#checkedAt = performance.now();
    const exceedsCount = this.#count > recordLimit;
    const exceedsSize = this.#bytes > sizeLimit;
    const remaining = 1 - cullFraction;
    const oldest = Number.isFinite(maxAge) ? Date.now() - maxAge : Number.NEGATIVE_INFINITY;
    let count = this.#count;
    let bytes = this.#bytes;
    const isWithinLimits = (): boolean =>
      (!exceedsCount || count <= Math.floor(recordLimit * remaining)) &&
      (!exceedsSize || bytes <= sizeLimit * remaining);
    const excess: RemovableTask[] = [];
    // An unfinished task of an earlier run never ends, so it may be removed; one of this run may still end. A record that
    // output alone created has no submission time and sorts first.
    const removable = {
      $or: [{ completed: { $ne: null } }, { submitted: null }, { submitted: { $lt: this.#openedAt } }],
    };
    const cursor = this.#records.find(removable, {
      ...{ sort: { submitted: 1, msg_id: 1 }, projection: { msg_id: 1, submitted: 1, [EXTRAS]: 1 } },
      ...{ batchSize: 1000, allowDiskUse: true },
    });
    for await (const document of cursor) {
      const { msg_id: msgId, submitted } = document;
      const isExpired = submitted instanceof Date && submitted.getTime() < oldest;
      if (!isExpired && isWithinLimits()) {
        if (submitted instanceof Date) break;
        continue;
      }
      if (typeof msgId !== 'string') continue;
      excess.push({ msgId, document });
      count--;
      bytes -= extrasOf(document).bytes ?? 0;
    }
    if (!isWithinLimits()) this.#nextCheck = performance.now() + RETRY_DELAY;
    return excess;
  }
}
