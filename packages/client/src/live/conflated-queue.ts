import { type Difference, sameRow } from './live-set.js';

/**
 * Queues differences and conflates them to one per record: the latest state, with the last delivered one as `previous`.
 * The queue never holds more than the records that the reader knows and those that match now. It is ordered by
 * each record's latest change.
 */
export class ConflatedQueue<D extends Difference = Difference> {
  readonly #differences = new Map<string, D>();

  get size(): number {
    return this.#differences.size;
  }

  /** Adds a difference. @returns whether it was conflated with a queued one */
  push(difference: D): boolean {
    const { msgId } = difference;
    const queued = this.#differences.get(msgId);
    this.#differences.delete(msgId);
    const conflated = queued === undefined ? difference : conflate(queued, difference);
    if (conflated !== undefined) this.#differences.set(msgId, conflated);
    return queued !== undefined;
  }

  /** Removes and returns the first difference. */
  shift(): D | undefined {
    for (const [msgId, difference] of this.#differences) {
      this.#differences.delete(msgId);
      return difference;
    }
    return undefined;
  }

  clear(): void {
    this.#differences.clear();
  }
}

/** Conflates two differences of one record; undefined when they cancel out. */
function conflate<D extends Difference>(before: D, after: D): D | undefined {
  if (before.type === 'entered') return after.type === 'left' ? undefined : { ...after, type: 'entered' };
  const { previous } = before;
  if (after.type === 'left') return { ...after, previous };
  return sameRow(previous, after.now) ? undefined : { ...after, type: 'changed', previous };
}
