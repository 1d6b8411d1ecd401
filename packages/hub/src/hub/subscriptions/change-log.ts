/** What a {@link ChangeLog} keeps of one id. */
export interface LogEntry<T> {
  readonly seq: number;
  readonly msgId: string;
  readonly value: T;
}

interface Slot<T> {
  readonly seq: number;
  readonly weight: number;
  /** Undefined once a later entry of the same id has taken its place, or it was forgotten: nothing holds its value then. */
  entry: LogEntry<T> | undefined;
}

/**
 * The latest change of each id, in the order of the changes. Bounded: past its limits the oldest go, and what is asked
 * for from before {@link floor} on is not all there any more.
 */
export class ChangeLog<T> {
  readonly #limit: number;
  readonly #latest = new Map<string, Slot<T>>();
  #slots: Slot<T>[] = [];
  #first = 0;
  #weight = 0;
  #floor = 0;

  /** `limit` is how many ids are kept. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Every change after this one is remembered. */
  get floor(): number {
    return this.#floor;
  }

  get size(): number {
    return this.#latest.size;
  }

  latest(msgId: string): LogEntry<T> | undefined {
    return this.#latest.get(msgId)?.entry;
  }

  /** Adds a change; `seq` is higher than any before. */
  add(seq: number, msgId: string, value: T, weight = 0): void {
    const before = this.#latest.get(msgId);
    if (before !== undefined) this.#drop(before);
    const slot = { seq, weight, entry: { seq, msgId, value } };
    this.#latest.set(msgId, slot);
    this.#slots.push(slot);
    this.#weight += weight;
    // Those before the first count, too: they are only gone when the list is made anew.
    if (this.#slots.length > 2 * this.#latest.size + 64) this.#compact();
  }

  /** Forgets the oldest, down to so many ids (all that are kept by default) whose entries weigh so much together. */
  trim(limit = this.#limit, weightLimit = Number.POSITIVE_INFINITY): void {
    while (this.#latest.size > limit || this.#weight > weightLimit) {
      const oldest = this.#slots[this.#first];
      if (oldest === undefined) return;
      this.#first++;
      if (oldest.entry === undefined) continue;
      this.#latest.delete(oldest.entry.msgId);
      this.#drop(oldest);
      this.#floor = oldest.seq;
    }
  }

  /** Forgets everything; what comes after `floor` is remembered again. */
  clear(floor: number): void {
    this.#latest.clear();
    this.#slots = [];
    this.#first = 0;
    this.#weight = 0;
    this.#floor = floor;
  }

  /** The entries after `seq`, oldest first, `count` at most. */
  *after(seq: number, count = Number.POSITIVE_INFINITY): Generator<LogEntry<T>> {
    let left = count;
    for (let i = this.#find(seq); i < this.#slots.length && left > 0; i++) {
      const entry = this.#slots[i]?.entry;
      if (entry === undefined) continue;
      left--;
      yield entry;
    }
  }

  #drop(slot: Slot<T>): void {
    slot.entry = undefined;
    this.#weight -= slot.weight;
  }

  #compact(): void {
    this.#slots = this.#slots.slice(this.#first).filter(({ entry }) => entry !== undefined);
    this.#first = 0;
  }

  /** The index of the first slot after `seq`. */
  #find(seq: number): number {
    let low = this.#first;
    let high = this.#slots.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#slots[middle]?.seq ?? 0) > seq) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
