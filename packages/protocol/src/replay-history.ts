/**
 * Signatures that one receiver has accepted, to refuse a repeated message.
 * Bounded: past `size` the oldest is forgotten. Empty signatures (under CURVE) are not kept.
 */
export class ReplayHistory {
  readonly #seen = new Set<string>();
  readonly #size: number;

  constructor(size = 65_536) {
    this.#size = size;
  }

  /** Remembers a verified signature; false when it was known already. */
  remember(signature: string): boolean {
    if (signature === '' || this.#size === 0) return true;
    if (this.#seen.has(signature)) return false;
    this.#seen.add(signature);
    if (this.#seen.size > this.#size) {
      for (const oldest of this.#seen) {
        this.#seen.delete(oldest);
        break;
      }
    }
    return true;
  }

  /** How many signatures are remembered. */
  get length(): number {
    return this.#seen.size;
  }
}
