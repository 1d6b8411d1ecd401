import type { Collection } from 'mongodb';
import { EXTRAS, extrasOf, type TaskDocument } from './document.js';
import type { ResolvedMongoOptions } from './mongo-options.js';
import type { Leaving } from './remove-tasks.js';
import type { Written } from './task-writer.js';

/** How often age is looked at, in ms. */
const AGE_INTERVAL = 60_000;

type Limits = Pick<ResolvedMongoOptions, 'recordLimit' | 'sizeLimit' | 'maxAge' | 'cullFraction'>;

/**
 * Keeps the bounds of the store. Counts along with the hub's own writes, so that nothing has to be counted at each of
 * them; a hub is the only writer of its collection.
 */
export class Retention {
  readonly #limits: Limits;
  readonly #records: Collection<TaskDocument>;
  readonly #bounded: boolean;
  #count = 0;
  #bytes = 0;
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor(limits: Limits, records: Collection<TaskDocument>) {
    this.#limits = limits;
    this.#records = records;
    this.#bounded = Number.isFinite(limits.recordLimit) || Number.isFinite(limits.sizeLimit);
  }

  /** Counts what is there. */
  async start(): Promise<void> {
    if (!this.#bounded) return;
    for await (const document of this.#records.find({}, { projection: { _id: 0, [EXTRAS]: 1 } })) {
      this.#count++;
      this.#bytes += extrasOf(document).bytes ?? 0;
    }
  }

  wrote({ added, bytes }: Written): void {
    this.#count += added;
    this.#bytes += bytes;
  }

  dropped(tasks: readonly Leaving[]): void {
    this.#count -= tasks.length;
    for (const { document } of tasks) this.#bytes -= extrasOf(document).bytes ?? 0;
  }

  /** Whether something may have to go. */
  isDue(): boolean {
    const { recordLimit, sizeLimit, maxAge } = this.#limits;
    if (this.#count > recordLimit || this.#bytes > sizeLimit) return true;
    return Number.isFinite(maxAge) && performance.now() - this.#lookedAt > Math.min(AGE_INTERVAL, maxAge);
  }

  /** The finished tasks that are too old, and the longest finished ones of those that are too many. */
  async excess(): Promise<Leaving[]> {
    const { recordLimit, sizeLimit, maxAge, cullFraction } = this.#limits;
    this.#lookedAt = performance.now();
    const tooMany = this.#count > recordLimit;
    const tooMuch = this.#bytes > sizeLimit;
    const room = 1 - cullFraction;
    const oldest = Number.isFinite(maxAge) ? Date.now() - maxAge : Number.NEGATIVE_INFINITY;
    let count = this.#count;
    let bytes = this.#bytes;
    const excess: Leaving[] = [];
    // What was only ever seen by its output has no end, and goes with the oldest.
    const ended = { $or: [{ completed: { $gt: new Date(-8.64e15) } }, { submitted: null, completed: null }] };
    const cursor = this.#records.find(ended, {
      ...{ sort: { completed: 1, _id: 1 }, projection: { msg_id: 1, completed: 1, [EXTRAS]: 1 } },
      ...{ batchSize: 1000, allowDiskUse: true },
    });
    for await (const document of cursor) {
      const { completed } = document;
      const isOld = completed instanceof Date && completed.getTime() < oldest;
      const enoughRecords = !tooMany || count <= Math.floor(recordLimit * room);
      const enoughBytes = !tooMuch || bytes <= sizeLimit * room;
      if (!isOld && enoughRecords && enoughBytes) {
        if (completed instanceof Date) break;
        continue;
      }
      excess.push({ msgId: String(document['msg_id']), document });
      count--;
      bytes -= extrasOf(document).bytes ?? 0;
    }
    return excess;
  }
}
