import { BoundedSet } from '../common/bounded-set.js';

/**
 * The signatures that one receiver has accepted, to detect replayed messages.
 * Past `size` signatures the oldest is removed. Empty signatures, as under CURVE, are not stored.
 */
export class ReplayHistory {
  readonly #seenSignatures: BoundedSet;

  constructor(size = 65_536) {
    this.#seenSignatures = new BoundedSet(size);
  }

  /** Stores a verified signature. @returns false when it was already stored, so the message is a replay */
  remember(signature: string): boolean {
    if (signature === '') return true;
    if (this.#seenSignatures.has(signature)) return false;
    this.#seenSignatures.add(signature);
    return true;
  }

  /** The number of stored signatures. */
  get length(): number {
    return this.#seenSignatures.size;
  }
}
