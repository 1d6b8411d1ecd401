/** A token bucket: allows a burst, and then one call per interval. */
export class RateLimit {
  readonly #burst: number;
  readonly #interval: number;
  readonly #now: () => number;
  #tokens: number;
  #lastRefill: number;

  /** A token is added every `interval` ms, up to `burst` tokens. */
  constructor(burst: number, interval: number, now: () => number = () => performance.now()) {
    this.#burst = burst;
    this.#interval = interval;
    this.#now = now;
    this.#tokens = burst;
    this.#lastRefill = now();
  }

  /** Consumes a token. @returns false when none is left */
  allow(): boolean {
    const now = this.#now();
    const earned = Math.floor((now - this.#lastRefill) / this.#interval);
    this.#tokens = Math.min(this.#burst, this.#tokens + earned);
    this.#lastRefill += earned * this.#interval;
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}
