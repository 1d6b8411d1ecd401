import { ReportedError } from '../../common/errors.js';
import type { Feed } from './feed.js';
import { FeedIndex } from './feed-index.js';
import type { Subscription } from './subscription.js';

export interface TableLimits {
  /** Subscriptions of one session; 256 by default. */
  readonly perSession: number;
  /** Subscriptions in total; 4,096 by default. */
  readonly total: number;
  /** Distinct queries; 1,024 by default. */
  readonly queries: number;
  /** How long a feed without subscribers is stored, in ms. */
  readonly resumeTime: number;
  /** How many feeds without subscribers are stored. */
  readonly resumeQueries: number;
}

/** The state of a feed when its last subscriber left. */
interface UnwatchedFeed {
  /** When the last subscriber left, by `performance.now()`. */
  readonly unwatchedSince: number;
  /** The sequence number of the last update sent to that subscriber. */
  readonly sentSeq: number;
}

/** The subscriptions and their feeds, within limits. Stores feeds without subscribers for clients that resume. */
export class SubscriptionTable {
  readonly #limits: TableLimits;
  readonly #subscriptions = new Map<string, Subscription>();
  readonly #feeds = new Map<string, Feed>();
  /** The feeds without subscribers, in the order in which their last subscribers left. */
  readonly #unwatchedFeeds = new Map<Feed, UnwatchedFeed>();
  /** Undefined after a change of the feeds. */
  #index: FeedIndex | undefined;

  constructor(limits: TableLimits) {
    this.#limits = limits;
  }

  get subscriptions(): Iterable<Subscription> {
    return this.#subscriptions.values();
  }

  get subscriptionCount(): number {
    return this.#subscriptions.size;
  }

  get feeds(): Iterable<Feed> {
    return this.#feeds.values();
  }

  get feedCount(): number {
    return this.#feeds.size;
  }

  /** The index of all feeds. */
  get index(): FeedIndex {
    this.#index ??= new FeedIndex([...this.#feeds.values()]);
    return this.#index;
  }

  get(id: string): Subscription | undefined {
    return this.#subscriptions.get(id);
  }

  has(subscription: Subscription): boolean {
    return this.#subscriptions.get(subscription.id) === subscription;
  }

  add(subscription: Subscription): void {
    this.#subscriptions.set(subscription.id, subscription);
    this.updateSnapshotSeq(subscription.feed);
  }

  remove(subscription: Subscription): void {
    if (!this.#subscriptions.delete(subscription.id)) return;
    const { feed } = subscription;
    this.updateSnapshotSeq(feed);
    for (const other of this.#subscriptions.values()) if (other.feed === feed) return;
    if (feed.history === undefined) this.#removeFeed(feed);
    else this.#retainFeed(feed, subscription.sentSeq);
  }

  clear(): void {
    this.#subscriptions.clear();
    this.#feeds.clear();
    this.#unwatchedFeeds.clear();
    this.#index = undefined;
  }

  /**
   * Makes room for one more subscription of a session.
   * @throws {ReportedError} TooManySubscriptions when a limit is reached
   */
  reserve(client: Buffer, session: string): void {
    const sameSession = [...this.#subscriptions.values()].filter((other) => other.session === session);
    let count = sameSession.length;
    // A session has one connection at a time, so the subscriptions of its earlier connections can be removed.
    for (const other of sameSession) {
      if (count < this.#limits.perSession) break;
      if (other.client.equals(client)) continue;
      this.remove(other);
      count--;
    }
    const { perSession, total } = this.#limits;
    if (count >= perSession)
      throw new ReportedError(
        'TooManySubscriptions',
        `this session has ${count} subscriptions, the maximum is ${perSession}`,
      );
    if (this.#subscriptions.size >= total)
      throw new ReportedError(
        'TooManySubscriptions',
        `this hub has ${this.#subscriptions.size} subscriptions, the maximum is ${total}`,
      );
  }

  /** Returns the feed with this name, and no longer counts it as unwatched. */
  reopenFeed(name: string): Feed | undefined {
    const feed = this.#feeds.get(name);
    if (feed !== undefined) this.#unwatchedFeeds.delete(feed);
    return feed;
  }

  /**
   * Adds a feed. At the limit, removes the feed that has been unwatched for the longest time.
   * @throws {ReportedError} TooManySubscriptions when there are too many distinct queries
   */
  addFeed(feed: Feed): void {
    const { queries } = this.#limits;
    const [oldest] = this.#unwatchedFeeds.keys();
    if (this.#feeds.size >= queries && oldest !== undefined) this.#removeFeed(oldest);
    if (this.#feeds.size >= queries)
      throw new ReportedError(
        'TooManySubscriptions',
        `this hub evaluates ${this.#feeds.size} distinct queries, the maximum is ${queries}`,
      );
    this.#feeds.set(feed.name, feed);
    this.#index = undefined;
  }

  /** Sets `feed.snapshotSeq` from the subscriptions of the feed. */
  updateSnapshotSeq(feed: Feed): void {
    let latest = 0;
    for (const other of this.#subscriptions.values()) {
      if (other.feed !== feed) continue;
      if (other.snapshotSeq === undefined) {
        feed.snapshotSeq = undefined;
        return;
      }
      latest = Math.max(latest, other.snapshotSeq);
    }
    feed.snapshotSeq = latest;
  }

  /** Removes the unwatched feeds that no client can resume any more. */
  removeExpiredFeeds(): void {
    const minTime = performance.now() - this.#limits.resumeTime;
    for (const [feed, { unwatchedSince, sentSeq }] of this.#unwatchedFeeds)
      if (unwatchedSince < minTime || (feed.history?.floor ?? 0) > sentSeq) this.#removeFeed(feed);
  }

  #retainFeed(feed: Feed, sentSeq: number): void {
    this.#unwatchedFeeds.set(feed, { unwatchedSince: performance.now(), sentSeq });
    for (const oldest of this.#unwatchedFeeds.keys()) {
      if (this.#unwatchedFeeds.size <= this.#limits.resumeQueries) return;
      this.#removeFeed(oldest);
    }
  }

  #removeFeed(feed: Feed): void {
    this.#unwatchedFeeds.delete(feed);
    this.#feeds.delete(feed.name);
    this.#index = undefined;
  }
}
