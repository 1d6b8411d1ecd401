import type { Collection } from 'mongodb';
import { EXTRAS, extrasOf, type TaskDocument } from './document.js';
import type { ResolvedMongoOptions } from './mongo-options.js';
import type { Leaving } from './remove-tasks.js';
import type { Written } from './task-writer.js';

/** How often age is looked at, in ms. */
const AGE_INTERVAL = 60_000;

/** Until limits are looked at again that could not be kept, since what is left has not ended, in ms. */
const PAUSE = 2000;

type Limits = Pick<ResolvedMongoOptions, 'recordLimit' | 'sizeLimit' | 'maxAge' | 'cullFraction'>;

/**
 * Keeps the bounds of the store. Counts along with the hub's own writes, so that nothing has to be counted at each of
 * them; a hub is the only writer of its collection.
 */
export class Retention {
  readonly #limits: Limits;
  readonly #records: Collection<TaskDocument>;
  readonly #opened = new Date();
  #count = 0;
  #bytes = 0;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #notBefore = Number.NEGATIVE_INFINITY;

  constructor(limits: Limits, records: Collection<TaskDocument>) {
    this.#limits = limits;
    this.#records = records;
  }

  /** How often to look when nothing is written, in ms; undefined where age does not matter. */
  get interval(): number | undefined {
    const { maxAge } = this.#limits;
    return Number.isFinite(maxAge) ? Math.max(100, Math.min(AGE_INTERVAL, maxAge)) : undefined;
  }

  /** Counts what is there. */
  async start(): Promise<void> {
    const { recordLimit, sizeLimit } = this.#limits;
    if (!Number.isFinite(recordLimit) && !Number.isFinite(sizeLimit)) return;
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

  /** Whether something may have to go, once so many more changes with so many bytes are written. */
  isDue(changes = 0, bytes = 0): boolean {
    const { recordLimit, sizeLimit } = this.#limits;
    const now = performance.now();
    if (now < this.#notBefore) return false;
    if (this.#count + changes > recordLimit || this.#bytes + bytes > sizeLimit) return true;
    return this.interval !== undefined && now - this.#lookedAt > this.interval;
  }

  /** The tasks that are too old, and the oldest of those that are too many; none whose result is still waited for. */
  async excess(): Promise<Leaving[]> {
    const { recordLimit, sizeLimit, maxAge, cullFraction } = this.#limits;
    this.#lookedAt = performance.now();
    const tooMany = this.#count > recordLimit;
    const tooMuch = this.#bytes > sizeLimit;
    const room = 1 - cullFraction;
    const oldest = Number.isFinite(maxAge) ? Date.now() - maxAge : Number.NEGATIVE_INFINITY;
    let count = this.#count;
    let bytes = this.#bytes;
    const isEnough = (): boolean =>
      (!tooMany || count <= Math.floor(recordLimit * room)) && (!tooMuch || bytes <= sizeLimit * room);
    const excess: Leaving[] = [];
    // What an earlier run submitted and nobody finished will never end; one of this run may. What was only ever seen
    // by its output has no beginning, and goes first.
    const over = {
      $or: [{ completed: { $ne: null } }, { submitted: null }, { submitted: { $lt: this.#opened } }],
    };
    const cursor = this.#records.find(over, {
      ...{ sort: { submitted: 1, msg_id: 1 }, projection: { msg_id: 1, submitted: 1, [EXTRAS]: 1 } },
      ...{ batchSize: 1000, allowDiskUse: true },
    });
    for await (const document of cursor) {
      const { msg_id: msgId, submitted } = document;
      const isOld = submitted instanceof Date && submitted.getTime() < oldest;
      if (!isOld && isEnough()) {
        if (submitted instanceof Date) break;
        continue;
      }
      if (typeof msgId !== 'string') continue;
      excess.push({ msgId, document });
      count--;
      bytes -= extrasOf(document).bytes ?? 0;
    }
    if (!isEnough()) this.#notBefore = performance.now() + PAUSE;
    return excess;
  }
}
