import { ConnectionClosedError, newId, TimeoutError, TransportError } from '@ipyparallel-js/protocol';
import { pause } from '@ipyparallel-js/wire';
import type { ConnectionState } from '../connection/connection-state.js';
import type { RecordQuery } from '../hub/record-query.js';
import type { FeedSink, FeedSource } from './feed-source.js';
import { type Difference, type LiveChange, LiveSet } from './live-set.js';
import { digestOf, type HubPosition } from './sequence.js';

/** A difference with its position in the feed. */
export type NumberedDifference = Difference & {
  readonly number: number;
  /** The position at the hub, if the source has one. */
  readonly position: HubPosition | undefined;
};

/** Receives the snapshot and the differences of a feed. */
export interface FeedReader {
  /** The set is complete; differences follow from position `number`. */
  begin(number: number): void;
  next(difference: NumberedDifference): void;
  error(reason: unknown): void;
  /** The client was closed, and no difference follows. */
  complete(): void;
  /** Resolves when the reader has processed everything it received; undefined if it already has. */
  drained(): Promise<void> | undefined;
}

/** The number of differences that a feed stores for resumption. */
const MAX_RECENT_DIFFERENCES = 1_000;
/** The longest wait before the source runs again after a failure without a connection, in ms. */
const RETRY_MS = 5_000;

/** The set of one live query with its source, its readers and its recent differences. It runs while it has readers. */
export class LiveFeed implements FeedSink {
  readonly id = newId();
  readonly query: RecordQuery;
  /** The digest of the query, which every sequence carries. */
  readonly digest: string;
  readonly set: LiveSet;
  position: HubPosition | undefined;
  readonly #source: FeedSource;
  readonly #connection: ConnectionState;
  readonly #onIdle: (feed: LiveFeed) => void;
  readonly #readers = new Set<FeedReader>();
  /** Readers that wait for a complete reading of the hub. */
  readonly #newReaders = new Set<FeedReader>();
  readonly #recentDifferences: NumberedDifference[] = [];
  readonly #resumePosition: HubPosition | undefined;
  #lastNumber = 0;
  #isLoaded = false;
  #runController: AbortController | undefined;
  #resolveDrain: () => void = () => undefined;

  /** `onIdle` is called when the last reader has left. */
  constructor(
    query: RecordQuery,
    source: FeedSource,
    connection: ConnectionState,
    onIdle: (feed: LiveFeed) => void,
    resumePosition?: HubPosition,
  ) {
    this.#resumePosition = resumePosition;
    this.query = query;
    this.digest = digestOf(query);
    this.set = new LiveSet(query);
    this.#source = source;
    this.#connection = connection;
    this.#onIdle = onIdle;
  }

  /** Whether every difference after a position is still stored. */
  canResumeAt(number: number): boolean {
    return (
      this.#isLoaded &&
      number <= this.#lastNumber &&
      number >= this.#lastNumber - this.#recentDifferences.length
    );
  }

  /** Adds a reader, which first receives a snapshot, or the stored differences after position `after`. */
  read(reader: FeedReader, after?: number): void {
    if (after === undefined) this.#newReaders.add(reader);
    else {
      this.#readers.add(reader);
      for (const difference of this.#recentDifferences.filter(({ number }) => number > after))
        reader.next(difference);
    }
    this.#resolveDrain();
    if (this.#runController === undefined) this.#start();
    else if (this.hasNewReaders) this.#source.refresh();
  }

  /** Removes a reader; a feed without readers stops. */
  removeReader(reader: FeedReader): void {
    this.#readers.delete(reader);
    this.#newReaders.delete(reader);
    this.#resolveDrain();
    if (this.#readers.size + this.#newReaders.size > 0) return;
    this.#stop();
    this.#onIdle(this);
  }

  /** Completes the feed for all readers. */
  complete(): void {
    this.#stop();
    for (const reader of [...this.#readers, ...this.#newReaders]) reader.complete();
  }

  apply(changes: Iterable<LiveChange>): void {
    for (const difference of this.set.apply(changes)) {
      // Before the first reading is complete, no reader has received anything that could differ.
      if (!this.#isLoaded) continue;
      const numbered = { ...difference, number: ++this.#lastNumber, position: this.position };
      this.#recentDifferences.push(numbered);
      if (this.#recentDifferences.length > MAX_RECENT_DIFFERENCES) this.#recentDifferences.shift();
      for (const reader of [...this.#readers]) reader.next(numbered);
    }
  }

  get resumePosition(): HubPosition | undefined {
    return this.#isLoaded ? undefined : this.#resumePosition;
  }

  markSeeded(): void {
    this.#isLoaded = true;
    for (const reader of this.#newReaders) this.#readers.add(reader);
    this.#newReaders.clear();
  }

  get hasNewReaders(): boolean {
    return this.#newReaders.size > 0;
  }

  startReading(): () => void {
    const newReaders = [...this.#newReaders];
    return () => {
      this.#isLoaded = true;
      for (const reader of newReaders) {
        if (!this.#newReaders.delete(reader)) continue;
        this.#readers.add(reader);
        reader.begin(this.#lastNumber);
      }
    };
  }

  async drained(): Promise<void> {
    if (this.#readers.size === 0) return;
    const drains: Promise<void>[] = [];
    for (const reader of this.#readers) {
      const wait = reader.drained();
      if (wait === undefined) return;
      drains.push(wait);
    }
    await Promise.race([
      ...drains,
      // A change of readers ends the wait: a new reader may be faster, and one that has left processes nothing.
      new Promise<void>((resolve) => {
        this.#resolveDrain = resolve;
      }),
    ]);
  }

  #start(): void {
    const stop = new AbortController();
    this.#runController = stop;
    this.#run(stop.signal).catch((error: unknown) => {
      if (stop.signal.aborted) return;
      if (this.#connection.closed) this.complete();
      else this.#fail(error);
    });
  }

  #stop(): void {
    this.#runController?.abort();
    this.#runController = undefined;
  }

  #fail(reason: unknown): void {
    this.#stop();
    for (const reader of [...this.#readers, ...this.#newReaders]) reader.error(reason);
  }

  /** Runs the source, and runs it again after each reconnection. */
  async #run(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      const reconnected = new AbortController();
      const unlisten = this.#connection.onReconnected(() => reconnected.abort());
      try {
        await this.#source.run(this, AbortSignal.any([stop, reconnected.signal]));
        if (!reconnected.signal.aborted) return;
      } catch (error) {
        if (stop.aborted) return;
        if (this.#connection.closed) throw error;
        if (reconnected.signal.aborted) continue;
        if (!isConnectionFailure(error) || this.#connection.connected) throw error;
        await pause(RETRY_MS, AbortSignal.any([stop, reconnected.signal]));
      } finally {
        unlisten();
      }
    }
  }
}

/** Whether the connection may have caused a failure, so that the next connection may remove it. */
function isConnectionFailure(error: unknown): boolean {
  return (
    error instanceof TimeoutError || error instanceof ConnectionClosedError || error instanceof TransportError
  );
}
