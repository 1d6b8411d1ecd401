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
  readonly #slots = new Map<string, Slot<T>>();
  #orderedSlots: Slot<T>[] = [];
  #firstIndex = 0;
  #weight = 0;
  #floorSeq = 0;

  /** `limit` is the maximum number of ids. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** The log contains every change after this sequence number. */
  get floor(): number {
    return this.#floorSeq;
  }

  get size(): number {
    return this.#slots.size;
  }

  latestEntry(msgId: string): LogEntry<T> | undefined {
    return this.#slots.get(msgId)?.entry;
  }

  /** Adds a change; `seq` must be greater than that of every earlier change. */
  add(seq: number, msgId: string, value: T, weight = 0): void {
    const previous = this.#slots.get(msgId);
    if (previous !== undefined) this.#clearSlot(previous);
    const slot = { seq, weight, entry: { seq, msgId, value } };
    this.#slots.set(msgId, slot);
    this.#orderedSlots.push(slot);
    this.#weight += weight;
    // Slots before #firstIndex count, too: only #compact() removes them.
    if (this.#orderedSlots.length > 2 * this.#slots.size + 64) this.#compact();
  }

  /** Removes the oldest changes, down to `limit` ids with a total weight of `weightLimit`. */
  trim(limit = this.#limit, weightLimit = Number.POSITIVE_INFINITY): void {
    while (this.#slots.size > limit || this.#weight > weightLimit) {
      const oldest = this.#orderedSlots[this.#firstIndex];
      if (oldest === undefined) return;
      this.#firstIndex++;
      if (oldest.entry === undefined) continue;
      this.#slots.delete(oldest.entry.msgId);
      this.#clearSlot(oldest);
      this.#floorSeq = oldest.seq;
    }
  }

  /** Removes all changes; the log is complete after `floor`. */
  clear(floor: number): void {
    this.#slots.clear();
    this.#orderedSlots = [];
    this.#firstIndex = 0;
    this.#weight = 0;
    this.#floorSeq = floor;
  }

  /** At most `count` entries after `seq`, oldest first. */
  *entriesAfter(seq: number, count = Number.POSITIVE_INFINITY): Generator<LogEntry<T>> {
    let remaining = count;
    for (let i = this.#indexAfter(seq); i < this.#orderedSlots.length && remaining > 0; i++) {
      const entry = this.#orderedSlots[i]?.entry;
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
    this.#orderedSlots = this.#orderedSlots
      .slice(this.#firstIndex)
      .filter(({ entry }) => entry !== undefined);
    this.#firstIndex = 0;
  }

  /** The index of the first slot after `seq`. */
  #indexAfter(seq: number): number {
    let low = this.#firstIndex;
    let high = this.#orderedSlots.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#orderedSlots[middle]?.seq ?? 0) > seq) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
