import type { Dict } from '@ipyparallel-js/protocol';

/** A change as all subscribers of a feed get it. */
export interface FeedChange {
  /** Packed, where a message can be put together of packed parts. */
  readonly packed: Buffer | undefined;
  /** Otherwise the change itself. */
  readonly change: Dict | undefined;
  readonly bytes: number;
  /** Of a `set`: its buffers. */
  readonly buffers: Buffers | undefined;
}

interface Buffers {
  readonly buffers: readonly Uint8Array[];
  readonly result_buffers: readonly Uint8Array[];
}

/** How much each feed remembers of what it told. */
export interface HistoryLimits {
  /** ms */
  readonly time: number;
  readonly changes: number;
  readonly bytes: number;
}

/** What was told of a task with one change; undefined: nothing, or that it does not match. */
interface Version {
  readonly seq: number;
  readonly told: FeedChange | undefined;
}

/** Where a reader was: it had all up to `base`, and of a complete update from there up to `upTo`, what came up to `seq`. */
export interface ToldPlace {
  readonly base: number;
  readonly seq: number;
  readonly upTo: number;
}

interface RestOfUpdate extends Version {
  readonly msgId: string;
}

/** What a reader was told of tasks last, and what the rest of its update had. */
export interface Before {
  readonly told: ReadonlyMap<string, FeedChange | undefined>;
  readonly rest: readonly RestOfUpdate[];
}

interface Entry {
  readonly seq: number;
  readonly msgId: string;
  readonly at: number;
}

/** Before every change. */
const BEFORE = -1;

/**
 * What a feed told of each task lately, one version after the other: so that one who comes back with nothing but a place
 * can be told what was known there. Of a task without a version nothing was told, or it has not changed since the floor.
 */
export class FeedHistory {
  readonly #versions = new Map<string, Version[]>();
  #entries: Entry[] = [];
  #first = 0;
  #bytes = 0;
  #floor: number;

  /** Nothing is known of what was before `floor`. */
  constructor(floor: number) {
    this.#floor = floor;
  }

  /** From this place on all is known. */
  get floor(): number {
    return this.#floor;
  }

  has(msgId: string): boolean {
    return this.#versions.has(msgId);
  }

  /** What was told of a task before the change that is about to come. */
  base(msgId: string, told: FeedChange): void {
    if (this.#versions.has(msgId)) return;
    this.#versions.set(msgId, [{ seq: BEFORE, told }]);
    this.#bytes += told.bytes;
    // It goes with the change that it precedes; should none come, with the next ones.
    this.#entries.push({ seq: this.#entries.at(-1)?.seq ?? this.#floor, msgId, at: performance.now() });
  }

  add(seq: number, msgId: string, told: FeedChange | undefined): void {
    const versions = this.#versions.get(msgId);
    if (versions === undefined && told === undefined) return;
    if (versions === undefined) this.#versions.set(msgId, [{ seq, told }]);
    else versions.push({ seq, told });
    this.#bytes += told?.bytes ?? 0;
    this.#entries.push({ seq, msgId, at: performance.now() });
  }

  /** Nothing from before this place can be resumed any more. */
  forget(floor: number): void {
    this.#versions.clear();
    this.#entries = [];
    this.#first = 0;
    this.#bytes = 0;
    this.#floor = Math.max(this.#floor, floor);
  }

  trim({ time, changes, bytes }: HistoryLimits): void {
    const oldest = performance.now() - time;
    for (;;) {
      const entry = this.#entries[this.#first];
      if (entry === undefined) break;
      const count = this.#entries.length - this.#first;
      if (entry.at >= oldest && count <= changes && this.#bytes <= bytes) break;
      this.#first++;
      this.#drop(entry);
    }
    if (this.#first > 1024 && this.#first > this.#entries.length / 2) {
      this.#entries = this.#entries.slice(this.#first);
      this.#first = 0;
    }
  }

  /** What was told at a place, of the tasks that have changed since. Undefined where that is not known. */
  before({ base, seq, upTo }: ToldPlace): Before | undefined {
    if (base < this.#floor) return undefined;
    const told = new Map<string, FeedChange | undefined>();
    const rest: RestOfUpdate[] = [];
    for (const [msgId, versions] of this.#versions) {
      if ((versions.at(-1)?.seq ?? BEFORE) <= base) continue;
      // An update has the latest of each task, in the order of those.
      const latest = versions.findLast((version) => version.seq <= upTo);
      const wasTold = latest === undefined || latest.seq <= seq;
      told.set(msgId, wasTold ? latest?.told : versions.findLast((version) => version.seq <= base)?.told);
      if (!wasTold) rest.push({ msgId, ...latest });
    }
    return { told, rest: rest.sort((a, b) => a.seq - b.seq) };
  }

  /** Takes out what nobody can come back to from the place of this entry on. */
  #drop({ seq, msgId }: Entry): void {
    this.#floor = Math.max(this.#floor, seq);
    const versions = this.#versions.get(msgId);
    if (versions === undefined) return;
    const last = versions.at(-1);
    // A task that has not changed since is looked at before its next change.
    const kept =
      last !== undefined && last.seq > this.#floor ? keptFrom(versions, this.#floor) : versions.length;
    for (const { told } of versions.splice(0, kept)) this.#bytes -= told?.bytes ?? 0;
    if (versions.length === 0) this.#versions.delete(msgId);
  }
}

/** The index of the last version up to `floor`, or of the first. */
function keptFrom(versions: readonly Version[], floor: number): number {
  return Math.max(
    0,
    versions.findLastIndex(({ seq }) => seq <= floor),
  );
}
