/** How long one reply may occupy a Python hub, in ms. The hub serves no other client during that time. */
const TARGET_TIME_MS = 100;

/** The bounds of a slice size, in records. */
export interface SliceLimits {
  readonly initial: number;
  readonly min: number;
  readonly max: number;
}

/** Adapts the number of records per request so that each reply occupies the hub for about {@link TARGET_TIME_MS}. */
export class SliceSize {
  readonly #limits: SliceLimits;
  #currentSize: number;
  /** The time of the fastest reply so far, an upper bound of the round trip without any work of the hub. */
  #roundTrip: number;

  /** `roundTrip`: the time of a small reply in ms, if measured. */
  constructor(limits: SliceLimits, roundTrip = Number.POSITIVE_INFINITY) {
    this.#limits = limits;
    this.#currentSize = limits.initial;
    this.#roundTrip = roundTrip;
  }

  get current(): number {
    return this.#currentSize;
  }

  /** Records the number of requested records and the time of the reply, and adapts the size. */
  record(requested: number, ms: number): void {
    this.#roundTrip = Math.min(this.#roundTrip, ms);
    // The last slice of a list is shorter and does not represent a full one.
    if (requested < this.#currentSize) return;
    const targetSize = (requested * TARGET_TIME_MS) / Math.max(1, ms - this.#roundTrip);
    const { min, max } = this.#limits;
    this.#currentSize = Math.round(Math.min(max, requested * 2, Math.max(min, requested / 4, targetSize)));
  }
}
