import { compareText } from '@ipyparallel-js/protocol/internal';
import type { MemoryRecord } from './memory-record.js';

/** A record with its sort keys at the time it was added. */
interface Entry {
  readonly ms: number;
  readonly msgId: string;
  readonly record: MemoryRecord;
}

type Position = Pick<Entry, 'ms' | 'msgId'>;

/** Number of stale entries below which the list is not compacted. */
const MAX_STALE_ENTRIES = 1_000;

/**
 * Records in the default order: by `submitted` (null first), then by `msg_id`. Most records are added at the end.
 * Entries of removed or moved records remain as stale entries, which readers skip. The list is compacted when more than
 * half of it is stale, so the cost of a large purge is proportional to the number of its records.
 */
export class MemoryOrder {
  readonly #isStored: (record: MemoryRecord) => boolean;
  #entries: Entry[] = [];
  #recordCount = 0;

  constructor(isStored: (record: MemoryRecord) => boolean) {
    this.#isStored = isStored;
  }

  /** Adds a record; adds a moved record at its new position. */
  add(record: MemoryRecord): void {
    this.#recordCount++;
    const entry = { ms: submittedOf(record), msgId: record.task.msg_id, record };
    const last = this.#entries.at(-1);
    if (last === undefined || comparePositions(last, entry) < 0) this.#entries.push(entry);
    else this.#entries.splice(this.#firstIndexAfter(entry), 0, entry);
  }

  /** Counts one entry as stale. Call it when a record is removed, and before adding a moved record again. */
  markStale(): void {
    this.#recordCount--;
    if (this.#entries.length > 2 * this.#recordCount + MAX_STALE_ENTRIES)
      this.#entries = this.#entries.filter(this.#isCurrent);
  }

  clear(): void {
    this.#entries = [];
    this.#recordCount = 0;
  }

  /** Iterates over the records after a position, or over all. Reflects changes that are made during the iteration. */
  *recordsAfter(position?: {
    readonly submitted: Date | null;
    readonly msgId: string;
  }): Generator<MemoryRecord> {
    let entries = this.#entries;
    let index =
      position === undefined
        ? 0
        : this.#firstIndexAfter({
            ms: position.submitted?.getTime() ?? Number.NEGATIVE_INFINITY,
            msgId: position.msgId,
          });
    let length = entries.length;
    let previous: MemoryRecord | undefined;
    for (;;) {
      const entry = entries[index];
      if (entry === undefined) return;
      // A record that was moved and moved back has two entries at the same position.
      if (entry.record !== previous && this.#isCurrent(entry)) yield entry.record;
      previous = entry.record;
      // The reader may pause between two records, and the list may change meanwhile.
      if (entries === this.#entries && length === entries.length) index++;
      else {
        entries = this.#entries;
        length = entries.length;
        index = this.#firstIndexAfter(entry);
      }
    }
  }

  readonly #isCurrent = (entry: Entry): boolean =>
    this.#isStored(entry.record) && submittedOf(entry.record) === entry.ms;

  #firstIndexAfter(position: Position): number {
    let low = 0;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (comparePositions(this.#entries[middle] as Entry, position) > 0) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

function submittedOf(record: MemoryRecord): number {
  const date = record.read('submitted');
  return date instanceof Date ? date.getTime() : Number.NEGATIVE_INFINITY;
}

function comparePositions(a: Position, b: Position): number {
  return a.ms < b.ms ? -1 : a.ms > b.ms ? 1 : compareText(a.msgId, b.msgId);
}
