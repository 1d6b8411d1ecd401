import { compareText } from '@ipyparallel-js/protocol/internal';
import type { MemoryRecord } from './memory-record.js';

/** A record at the place that it had when it was put in. */
interface Entry {
  readonly ms: number;
  readonly msgId: string;
  readonly record: MemoryRecord;
}

type Place = Pick<Entry, 'ms' | 'msgId'>;

/** This many stale entries are always borne with. */
const SLACK = 1_000;

/**
 * Records in the default order: by `submitted` (unknown first), then `msg_id`. Most are added at the end. What is
 * removed or moved is only skipped until there is much of it, so that a big purge costs no more than its records.
 */
export class MemoryOrder {
  readonly #isAlive: (record: MemoryRecord) => boolean;
  #entries: Entry[] = [];
  #alive = 0;

  constructor(isAlive: (record: MemoryRecord) => boolean) {
    this.#isAlive = isAlive;
  }

  /** Puts a record in, or in its new place. */
  add(record: MemoryRecord): void {
    this.#alive++;
    const entry = { ms: submittedOf(record), msgId: record.task.msg_id, record };
    const last = this.#entries.at(-1);
    if (last === undefined || comparePlaces(last, entry) < 0) this.#entries.push(entry);
    else this.#entries.splice(this.#firstAfter(entry), 0, entry);
  }

  /** To be called when a record goes, or before it is put in its new place. */
  remove(): void {
    this.#alive--;
    if (this.#entries.length > 2 * this.#alive + SLACK) this.#entries = this.#entries.filter(this.#isTrue);
  }

  clear(): void {
    this.#entries = [];
    this.#alive = 0;
  }

  /** The records after a place, or all; each step is taken from what is there then. */
  *from(place?: { readonly submitted: Date | null; readonly msgId: string }): Generator<MemoryRecord> {
    let entries = this.#entries;
    let at =
      place === undefined
        ? 0
        : this.#firstAfter({
            ms: place.submitted?.getTime() ?? Number.NEGATIVE_INFINITY,
            msgId: place.msgId,
          });
    let length = entries.length;
    let before: MemoryRecord | undefined;
    for (;;) {
      const entry = entries[at];
      if (entry === undefined) return;
      // One that was moved away and back stands there twice.
      if (entry.record !== before && this.#isTrue(entry)) yield entry.record;
      before = entry.record;
      // Whoever reads may pause, and records come and go meanwhile.
      if (entries === this.#entries && length === entries.length) at++;
      else {
        entries = this.#entries;
        length = entries.length;
        at = this.#firstAfter(entry);
      }
    }
  }

  readonly #isTrue = (entry: Entry): boolean =>
    this.#isAlive(entry.record) && submittedOf(entry.record) === entry.ms;

  #firstAfter(place: Place): number {
    let low = 0;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (comparePlaces(this.#entries[middle] as Entry, place) > 0) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

function submittedOf(record: MemoryRecord): number {
  const date = record.read('submitted');
  return date instanceof Date ? date.getTime() : Number.NEGATIVE_INFINITY;
}

function comparePlaces(a: Place, b: Place): number {
  return a.ms < b.ms ? -1 : a.ms > b.ms ? 1 : compareText(a.msgId, b.msgId);
}
