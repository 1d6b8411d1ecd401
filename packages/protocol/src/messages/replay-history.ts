import { BoundedSet } from '../common/bounded-set.js';

/**
 * Signatures that one receiver has accepted, to refuse a repeated message.
 * Bounded: past `size` the oldest is forgotten. Empty signatures (under CURVE) are not kept.
 */
export class ReplayHistory {
  readonly #seen: BoundedSet;

  constructor(size = 65_536) {
    this.#seen = new BoundedSet(size);
  }

  /** Remembers a verified signature; false when it was known already. */
  remember(signature: string): boolean {
    if (signature === '') return true;
    if (this.#seen.has(signature)) return false;
    this.#seen.add(signature);
    return true;
  }

  /** How many signatures are remembered. */
  get length(): number {
    return this.#seen.size;
  }
}
