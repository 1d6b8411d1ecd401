/** How long one answer may occupy a stock hub, in ms: it answers nobody else meanwhile. */
const TARGET_MS = 100;

/** The limits of what is asked for at a time. */
export interface SliceLimits {
  readonly first: number;
  readonly least: number;
  readonly most: number;
}

/** How many records to ask for at a time, so that each answer takes the hub about {@link TARGET_MS}. */
export class SliceSize {
  readonly #limits: SliceLimits;
  #size: number;
  /** The fastest answer so far: what the way to the hub and back takes, whatever is asked. */
  #way: number;

  /** `way` is what a small answer took, in ms, where that is known. */
  constructor(limits: SliceLimits, way = Number.POSITIVE_INFINITY) {
    this.#limits = limits;
    this.#size = limits.first;
    this.#way = way;
  }

  get size(): number {
    return this.#size;
  }

  /** Learns from an answer: how many records were asked for, and how long it took. */
  record(asked: number, ms: number): void {
    this.#way = Math.min(this.#way, ms);
    // The last slice of a list says little of a full one.
    if (asked < this.#size) return;
    const fitting = (asked * TARGET_MS) / Math.max(1, ms - this.#way);
    const { least, most } = this.#limits;
    this.#size = Math.round(Math.min(most, asked * 2, Math.max(least, asked / 4, fitting)));
  }
}
