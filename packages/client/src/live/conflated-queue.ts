import { type Difference, sameRow } from './live-set.js';

/**
 * Differences that nobody has taken yet, folded to one for each record: the latest state, and as `previous` what was
 * told last. So it never holds more than the reader has been told of and what matches now. In the order of the latest.
 */
export class ConflatedQueue<D extends Difference = Difference> {
  readonly #differences = new Map<string, D>();

  get size(): number {
    return this.#differences.size;
  }

  /** Adds one; true when it was folded with one that waited. */
  push(difference: D): boolean {
    const { msgId } = difference;
    const before = this.#differences.get(msgId);
    this.#differences.delete(msgId);
    const folded = before === undefined ? difference : fold(before, difference);
    if (folded !== undefined) this.#differences.set(msgId, folded);
    return before !== undefined;
  }

  /** The next one, taken out. */
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

/** Two differences of one record as one; undefined when they come to nothing. */
function fold<D extends Difference>(before: D, after: D): D | undefined {
  if (before.type === 'entered') return after.type === 'left' ? undefined : { ...after, type: 'entered' };
  const { previous } = before;
  if (after.type === 'left') return { ...after, previous };
  return sameRow(previous, after.now) ? undefined : { ...after, type: 'changed', previous };
}
