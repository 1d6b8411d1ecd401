import { ConnectionClosedError } from '@ipyparallel-js/protocol';
import type { ConnectionState } from '../connection/connection-state.js';
import type { RecordQuery } from '../hub/record-query.js';
import type { FeedSource } from './feed-source.js';
import { type FeedReader, LiveFeed } from './live-feed.js';
import type { PollIntervals } from './polled-source.js';
import { digestOf, parseSequence } from './sequence.js';
import type { WatchSequence } from './watch-event.js';

/** How long a feed without readers is stored for resumption, in ms. */
const IDLE_MS = 60_000;
/** The highest number of such feeds, and the highest number of records in one of them. */
const MAX_IDLE_FEEDS = 16;
const MAX_IDLE_RECORDS = 20_000;

/** The parts of a client that feeds use. */
export interface FeedsContext {
  readonly connection: ConnectionState;
  createSource(query: RecordQuery, intervals: PollIntervals): FeedSource;
  /** Whether readers of the same query share a feed. */
  sharesFeeds(): boolean;
}

/** The settings with which a reader opens a feed. */
export interface FeedOptions {
  readonly intervals: PollIntervals;
  /** The sequence after which to resume. */
  readonly after: WatchSequence | undefined;
}

interface StoredFeed {
  readonly feed: LiveFeed;
  readonly key: string;
  /** The timer that removes the feed; set while the feed has no readers. */
  timer?: NodeJS.Timeout;
}

/** A feed that is open for one reader. */
export class OpenFeed {
  readonly feed: LiveFeed;
  readonly #after: number | undefined;

  /** `after`: the position in the feed after which the reader continues; undefined for a snapshot. */
  constructor(feed: LiveFeed, after?: number) {
    this.feed = feed;
    this.#after = after;
  }

  /** Connects the reader. @returns a function that disconnects it */
  read(reader: FeedReader): () => void {
    this.feed.read(reader, this.#after);
    return () => this.feed.removeReader(reader);
  }
}

/** The feeds of one client: identical queries may share one, and a feed without readers can be resumed for a while. */
export class LiveFeeds {
  readonly #context: FeedsContext;
  readonly #feeds = new Map<string, StoredFeed>();
  #isClosed = false;

  constructor(context: FeedsContext) {
    this.#context = context;
  }

  /**
   * Opens a feed for one reader: the stored feed that issued `after`, a shared feed, or a new one.
   * @throws {ConnectionClosedError} when the client is closed
   */
  open(query: RecordQuery, { intervals, after }: FeedOptions): OpenFeed {
    if (this.#isClosed) throw new ConnectionClosedError('the client is closed');
    const key = feedKey(query, intervals);
    const sequence = after === undefined ? undefined : parseSequence(after);
    if (sequence !== undefined && this.#reserve(key, sequence.feed, sequence.number)) {
      const stored = this.#feeds.get(sequence.feed);
      if (stored !== undefined) return new OpenFeed(stored.feed, sequence.number);
    }
    // A hub that pushes evaluates a query once for all subscribers, and each of them has its own snapshot.
    const shared = this.#context.sharesFeeds() ? this.#activeFeed(key) : undefined;
    if (shared !== undefined) return new OpenFeed(shared);
    const source = this.#context.createSource(query, intervals);
    const position = sequence?.digest === digestOf(query) ? sequence.position : undefined;
    const feed = new LiveFeed(query, source, this.#context.connection, this.#onIdle, position);
    this.#feeds.set(feed.id, { feed, key });
    return new OpenFeed(feed);
  }

  /** The number of stored feeds and of their records. */
  get size(): { readonly feeds: number; readonly records: number } {
    let records = 0;
    for (const { feed } of this.#feeds.values()) records += feed.set.size;
    return { feeds: this.#feeds.size, records };
  }

  /** Completes all feeds and removes them. */
  close(): void {
    this.#isClosed = true;
    const feeds = [...this.#feeds.values()];
    for (const { timer } of feeds) clearTimeout(timer);
    this.#feeds.clear();
    for (const { feed } of feeds) feed.complete();
  }

  /** Stops the expiry of a stored feed, if a reader can resume it at a position. */
  #reserve(key: string, id: string, number: number): boolean {
    const stored = this.#feeds.get(id);
    if (stored === undefined || stored.key !== key || !stored.feed.canResumeAt(number)) return false;
    clearTimeout(stored.timer);
    delete stored.timer;
    return true;
  }

  /** A feed with this key that has readers. */
  #activeFeed(key: string): LiveFeed | undefined {
    for (const stored of this.#feeds.values())
      if (stored.key === key && stored.timer === undefined) return stored.feed;
    return undefined;
  }

  readonly #onIdle = (feed: LiveFeed): void => {
    const stored = this.#feeds.get(feed.id);
    if (stored === undefined) return;
    if (feed.set.size > MAX_IDLE_RECORDS) {
      this.#feeds.delete(feed.id);
      return;
    }
    stored.timer = setTimeout(() => this.#feeds.delete(feed.id), IDLE_MS);
    stored.timer.unref();
    const idle = [...this.#feeds].filter(([, { timer }]) => timer !== undefined);
    for (const [id, { timer }] of idle.slice(0, Math.max(0, idle.length - MAX_IDLE_FEEDS))) {
      clearTimeout(timer);
      this.#feeds.delete(id);
    }
  };
}

/** A text that is equal for queries with the same condition, keys, sort and intervals. */
function feedKey(query: RecordQuery, intervals: PollIntervals): string {
  return JSON.stringify([query.node, query.keys ?? null, query.sort, intervals], (_, value: unknown) =>
    typeof value === 'bigint' || (typeof value === 'number' && !Number.isFinite(value)) ? `#${value}` : value,
  );
}
