import type { Dict } from '@ipyparallel-js/protocol';

/** A change in the form in which all subscribers of a feed receive it. */
export interface FeedChange {
  /** The packed change, if packed parts can be joined into a message. */
  readonly packed: Buffer | undefined;
  /** The change itself otherwise. */
  readonly change: Dict | undefined;
  readonly bytes: number;
  /** The buffers of a `set`. */
  readonly buffers: Buffers | undefined;
}

interface Buffers {
  readonly buffers: readonly Uint8Array[];
  readonly result_buffers: readonly Uint8Array[];
}

/** The limits of one history. */
export interface HistoryLimits {
  /** How long a change is stored, in ms. */
  readonly time: number;
  /** The maximum number of changes. */
  readonly changes: number;
  /** The approximate maximum size in bytes. */
  readonly bytes: number;
}

/** The change that was sent for a task; undefined for none, or for a task that does not match. */
interface Version {
  readonly seq: number;
  readonly sent: FeedChange | undefined;
}

/**
 * A position within an update. The reader has all changes up to `base`. From the complete update that follows, which ends
 * at `upTo`, it has the changes up to `seq`.
 */
export interface FeedPosition {
  readonly base: number;
  readonly seq: number;
  readonly upTo: number;
}

interface RestOfUpdate extends Version {
  readonly msgId: string;
}

/** The last changes that a reader had received at a position, and the rest of the update at that position. */
export interface ClientState {
  readonly sent: ReadonlyMap<string, FeedChange | undefined>;
  readonly rest: readonly RestOfUpdate[];
}

interface Entry {
  readonly seq: number;
  readonly msgId: string;
  readonly time: number;
}

/** The sequence number of a version that is older than all changes. */
const INITIAL_SEQ = -1;

/**
 * The recent changes of each task in a feed, version by version, so that the hub can determine what a client had received
 * at a position. A task without versions was never sent, or has not changed since the floor.
 */
export class FeedHistory {
  readonly #versions = new Map<string, Version[]>();
  #entries: Entry[] = [];
  #firstIndex = 0;
  #bytes = 0;
  #floorSeq: number;

  constructor(floor: number) {
    this.#floorSeq = floor;
  }

  /** The history is complete from this sequence number on. */
  get floor(): number {
    return this.#floorSeq;
  }

  has(msgId: string): boolean {
    return this.#versions.has(msgId);
  }

  /** Adds the state of a task before its first change in this history. */
  addInitialVersion(msgId: string, sent: FeedChange): void {
    if (this.#versions.has(msgId)) return;
    this.#versions.set(msgId, [{ seq: INITIAL_SEQ, sent }]);
    this.#bytes += sent.bytes;
    // `trim` removes this entry together with the next change of the task, or of another task if there is none.
    this.#entries.push({ seq: this.#entries.at(-1)?.seq ?? this.#floorSeq, msgId, time: performance.now() });
  }

  add(seq: number, msgId: string, sent: FeedChange | undefined): void {
    const versions = this.#versions.get(msgId);
    if (versions === undefined && sent === undefined) return;
    if (versions === undefined) this.#versions.set(msgId, [{ seq, sent }]);
    else versions.push({ seq, sent });
    this.#bytes += sent?.bytes ?? 0;
    this.#entries.push({ seq, msgId, time: performance.now() });
  }

  /** Removes everything: no client can resume from before `floor`. */
  clear(floor: number): void {
    this.#versions.clear();
    this.#entries = [];
    this.#firstIndex = 0;
    this.#bytes = 0;
    this.#floorSeq = Math.max(this.#floorSeq, floor);
  }

  /** Removes the oldest changes beyond the limits. */
  trim({ time, changes, bytes }: HistoryLimits): void {
    const minTime = performance.now() - time;
    for (;;) {
      const entry = this.#entries[this.#firstIndex];
      if (entry === undefined) break;
      const count = this.#entries.length - this.#firstIndex;
      if (entry.time >= minTime && count <= changes && this.#bytes <= bytes) break;
      this.#firstIndex++;
      this.#remove(entry);
    }
    if (this.#firstIndex > 1024 && this.#firstIndex > this.#entries.length / 2) {
      this.#entries = this.#entries.slice(this.#firstIndex);
      this.#firstIndex = 0;
    }
  }

  /**
   * Returns what a reader at a position has of each task that has changed since; undefined for a position before the
   * floor.
   */
  stateAt({ base, seq, upTo }: FeedPosition): ClientState | undefined {
    if (base < this.#floorSeq) return undefined;
    const sent = new Map<string, FeedChange | undefined>();
    const rest: RestOfUpdate[] = [];
    for (const [msgId, versions] of this.#versions) {
      if ((versions.at(-1)?.seq ?? INITIAL_SEQ) <= base) continue;
      // An update has the latest version of each task, in the order of the versions.
      const latest = versions.findLast((version) => version.seq <= upTo);
      const wasSent = latest === undefined || latest.seq <= seq;
      sent.set(msgId, wasSent ? latest?.sent : versions.findLast((version) => version.seq <= base)?.sent);
      if (!wasSent) rest.push({ msgId, ...latest });
    }
    return { sent, rest: rest.sort((a, b) => a.seq - b.seq) };
  }

  /** Raises the floor to an entry, and removes the versions of its task that no client can resume from. */
  #remove({ seq, msgId }: Entry): void {
    this.#floorSeq = Math.max(this.#floorSeq, seq);
    const versions = this.#versions.get(msgId);
    if (versions === undefined) return;
    const last = versions.at(-1);
    // A task that has not changed since is read before its next change.
    const removedCount =
      last !== undefined && last.seq > this.#floorSeq
        ? firstNeededIndex(versions, this.#floorSeq)
        : versions.length;
    for (const { sent } of versions.splice(0, removedCount)) this.#bytes -= sent?.bytes ?? 0;
    if (versions.length === 0) this.#versions.delete(msgId);
  }
}

/** The index of the last version up to `floor`, or of the first version. */
function firstNeededIndex(versions: readonly Version[], floor: number): number {
  return Math.max(
    0,
    versions.findLastIndex(({ seq }) => seq <= floor),
  );
}
