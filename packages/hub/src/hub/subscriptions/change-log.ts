/** The latest change of an id in a {@link ChangeLog}. */
export interface LogEntry<T> {
  readonly seq: number;
  readonly msgId: string;
  readonly value: T;
}

interface Slot<T> {
  readonly seq: number;
  readonly weight: number;
  /** Undefined after a later change of the same id, or after removal, so that the slot does not hold the value. */
  entry: LogEntry<T> | undefined;
}

/**
 * The latest change of each id, in order of the changes. Past its limits the log removes the oldest changes; it is
 * complete after {@link floor}.
 */
export class ChangeLog<T> {
  readonly #limit: number;
  readonly #latest = new Map<string, Slot<T>>();
  #slots: Slot<T>[] = [];
  #first = 0;
  #weight = 0;
  #floor = 0;

  /** `limit` is the maximum number of ids. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** The log contains every change after this one. */
  get floor(): number {
    return this.#floor;
  }

  get size(): number {
    return this.#latest.size;
  }

  latest(msgId: string): LogEntry<T> | undefined {
    return this.#latest.get(msgId)?.entry;
  }

  /** Adds a change; `seq` must be higher than all before. */
  add(seq: number, msgId: string, value: T, weight = 0): void {
    const before = this.#latest.get(msgId);
    if (before !== undefined) this.#clearSlot(before);
    const slot = { seq, weight, entry: { seq, msgId, value } };
    this.#latest.set(msgId, slot);
    this.#slots.push(slot);
    this.#weight += weight;
    // Slots before #first count, too: only #compact() removes them.
    if (this.#slots.length > 2 * this.#latest.size + 64) this.#compact();
  }

  /** Removes the oldest changes, down to `limit` ids with a total weight of `weightLimit`. */
  trim(limit = this.#limit, weightLimit = Number.POSITIVE_INFINITY): void {
    while (this.#latest.size > limit || this.#weight > weightLimit) {
      const oldest = this.#slots[this.#first];
      if (oldest === undefined) return;
      this.#first++;
      if (oldest.entry === undefined) continue;
      this.#latest.delete(oldest.entry.msgId);
      this.#clearSlot(oldest);
      this.#floor = oldest.seq;
    }
  }

  /** Removes all changes; the log is complete after `floor`. */
  clear(floor: number): void {
    this.#latest.clear();
    this.#slots = [];
    this.#first = 0;
    this.#weight = 0;
    this.#floor = floor;
  }

  /** At most `count` entries after `seq`, oldest first. */
  *after(seq: number, count = Number.POSITIVE_INFINITY): Generator<LogEntry<T>> {
    let remaining = count;
    for (let i = this.#indexAfter(seq); i < this.#slots.length && remaining > 0; i++) {
      const entry = this.#slots[i]?.entry;
      if (entry === undefined) continue;
      remaining--;
      yield entry;
    }
  }

  #clearSlot(slot: Slot<T>): void {
    slot.entry = undefined;
    this.#weight -= slot.weight;
  }

  #compact(): void {
    this.#slots = this.#slots.slice(this.#first).filter(({ entry }) => entry !== undefined);
    this.#first = 0;
  }

  /** The index of the first slot after `seq`. */
  #indexAfter(seq: number): number {
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
