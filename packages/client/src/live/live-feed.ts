import { ConnectionClosedError, newId, TimeoutError, TransportError } from '@ipyparallel-js/protocol';
import { pause } from '@ipyparallel-js/wire';
import type { ConnectionState } from '../connection/connection-state.js';
import type { RecordQuery } from '../hub/record-query.js';
import type { Difference, LiveChange } from './live-set.js';
import { LiveSet } from './live-set.js';
import { digestOf } from './sequence.js';

/** A difference with its place in the feed. */
export type Numbered = Difference & {
  readonly number: number;
  /** The hub's place with it, where the source knows one. */
  readonly place: Place | undefined;
};

/** A place in what a hub has written, in one life of it. */
export interface Place {
  readonly epoch: string;
  readonly seq: number;
  /** Within an update: it began after this place, and ends at that. */
  readonly within?: { readonly base: number; readonly upTo: number };
}

/** Who reads a feed. */
export interface FeedReader {
  /** The set is as the hub had it after the reader came: `number` is the place from which differences follow. */
  begin(number: number): void;
  next(difference: Numbered): void;
  error(reason: unknown): void;
  /** Nothing more comes: the client was closed. */
  end(): void;
  /** Resolves when it has taken what it was given; undefined when it has. */
  taken(): Promise<void> | undefined;
}

/** Where a feed comes from. */
export interface FeedSource {
  /**
   * Brings the set up to what the hub has, then keeps it so. Begins anew after each call, whatever happened between.
   * Rejects when the hub cannot be asked; the feed decides whether to go on.
   */
  run(sink: FeedSink, signal: AbortSignal): Promise<void>;
  /** Somebody waits for the set to be read up to now ({@link FeedSink.awaited}). */
  wake(): void;
}

/** What a source fills. */
export interface FeedSink {
  readonly set: LiveSet;
  /** What is applied from now on is told up to this place of the hub; undefined where nobody else could go on from it. */
  place: Place | undefined;
  apply(changes: Iterable<LiveChange>): void;
  /** The place to go on from where nothing has been read yet: what a reader was told as another process. */
  readonly from: Place | undefined;
  /** The set is as it was told up to {@link from}: readers are told what comes, and get no snapshot. */
  seeded(): void;
  /** To be called before everything is read anew; returns what to call when it has been. */
  beginning(): () => void;
  /** Whether somebody waits for the set to be read up to now. */
  readonly awaited: boolean;
  /** Resolves once some reader has taken what there is: nothing is fetched for readers that are all behind. */
  taken(): Promise<void>;
}

/** So many differences are kept to resume from. */
const KEPT = 1_000;
/** After a failure while the hub is out of reach, it is asked again after this long at the latest, in ms. */
const RETRY_MS = 5_000;

/** One live query's set, its source, its readers, and what lately happened. Runs while it is read. */
export class LiveFeed implements FeedSink {
  readonly id = newId();
  readonly question: RecordQuery;
  /** Of what is asked: a place in the answers to something else is none in these. */
  readonly digest: string;
  readonly set: LiveSet;
  readonly #source: FeedSource;
  readonly #connection: ConnectionState;
  readonly #onIdle: (feed: LiveFeed) => void;
  readonly #readers = new Set<FeedReader>();
  /** Readers that wait for the set to be read since they came. */
  readonly #newcomers = new Set<FeedReader>();
  readonly #recent: Numbered[] = [];
  place: Place | undefined;
  readonly #from: Place | undefined;
  #number = 0;
  #loaded = false;
  #running: AbortController | undefined;
  #onReaders: () => void = () => undefined;

  constructor(
    question: RecordQuery,
    source: FeedSource,
    connection: ConnectionState,
    onIdle: (feed: LiveFeed) => void,
    from?: Place,
  ) {
    this.#from = from;
    this.question = question;
    this.digest = digestOf(question);
    this.set = new LiveSet(question);
    this.#source = source;
    this.#connection = connection;
    this.#onIdle = onIdle;
  }

  /** Whether everything after a place is still known. */
  remembers(number: number): boolean {
    return this.#loaded && number <= this.#number && number >= this.#number - this.#recent.length;
  }

  /** Adds a reader, which is given the set first, or what came after a place that is remembered. */
  read(reader: FeedReader, after?: number): void {
    if (after === undefined) this.#newcomers.add(reader);
    else {
      this.#readers.add(reader);
      for (const difference of this.#recent.filter(({ number }) => number > after)) reader.next(difference);
    }
    this.#onReaders();
    if (this.#running === undefined) this.#start();
    else if (this.awaited) this.#source.wake();
  }

  /** Takes a reader away; without readers the feed stops. */
  leave(reader: FeedReader): void {
    this.#readers.delete(reader);
    this.#newcomers.delete(reader);
    this.#onReaders();
    if (this.#readers.size + this.#newcomers.size > 0) return;
    this.#running?.abort();
    this.#running = undefined;
    this.#onIdle(this);
  }

  /** Ends it for all its readers. */
  fail(reason: unknown): void {
    this.#running?.abort();
    this.#running = undefined;
    for (const reader of [...this.#readers, ...this.#newcomers]) reader.error(reason);
  }

  /** Completes it for all its readers. */
  end(): void {
    this.#running?.abort();
    this.#running = undefined;
    for (const reader of [...this.#readers, ...this.#newcomers]) reader.end();
  }

  apply(changes: Iterable<LiveChange>): void {
    for (const difference of this.set.apply(changes)) {
      // Before the first reading is whole, nobody has been told anything.
      if (!this.#loaded) continue;
      const numbered = { ...difference, number: ++this.#number, place: this.place };
      this.#recent.push(numbered);
      if (this.#recent.length > KEPT) this.#recent.shift();
      for (const reader of [...this.#readers]) reader.next(numbered);
    }
  }

  get from(): Place | undefined {
    return this.#loaded ? undefined : this.#from;
  }

  seeded(): void {
    this.#loaded = true;
    for (const reader of this.#newcomers) this.#readers.add(reader);
    this.#newcomers.clear();
  }

  get awaited(): boolean {
    return this.#newcomers.size > 0;
  }

  beginning(): () => void {
    const newcomers = [...this.#newcomers];
    return () => {
      this.#loaded = true;
      for (const reader of newcomers) {
        if (!this.#newcomers.delete(reader)) continue;
        this.#readers.add(reader);
        reader.begin(this.#number);
      }
    };
  }

  async taken(): Promise<void> {
    if (this.#readers.size === 0) return;
    const waits: Promise<void>[] = [];
    for (const reader of this.#readers) {
      const wait = reader.taken();
      if (wait === undefined) return;
      waits.push(wait);
    }
    await Promise.race([
      ...waits,
      // Another reader may be quicker, and one that has left takes nothing any more.
      new Promise<void>((resolve) => {
        this.#onReaders = resolve;
      }),
    ]);
  }

  #start(): void {
    const stop = new AbortController();
    this.#running = stop;
    this.#run(stop.signal).catch((error: unknown) => {
      if (stop.signal.aborted) return;
      if (this.#connection.closed) this.end();
      else this.fail(error);
    });
  }

  /** Runs the source, and again after each reconnection. */
  async #run(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      const again = new AbortController();
      const unlisten = this.#connection.onReconnected(() => again.abort());
      try {
        await this.#source.run(this, AbortSignal.any([stop, again.signal]));
        if (!again.signal.aborted) return;
      } catch (error) {
        if (stop.aborted) return;
        if (this.#connection.closed) throw error;
        if (again.signal.aborted) continue;
        if (!isPassing(error) || this.#connection.connected) throw error;
        await pause(RETRY_MS, AbortSignal.any([stop, again.signal]));
      } finally {
        unlisten();
      }
    }
  }
}

/** Whether a failure may be the connection's, which may come back. */
function isPassing(error: unknown): boolean {
  return (
    error instanceof TimeoutError || error instanceof ConnectionClosedError || error instanceof TransportError
  );
}
