import type { RecordQuery } from '../hub/record-query.js';
import type { LiveFeed } from './live-feed.js';
import type { ParsedSequence } from './sequence.js';

/** How long a feed that nobody reads is kept to resume from, in ms. */
const KEPT_MS = 60_000;
/** And how many of them, none larger than so many records. */
const KEPT_FEEDS = 16;
const KEPT_RECORDS = 20_000;

/** The feeds of one client: identical questions share one, and one that was left can be resumed for a while. */
export class LiveFeeds {
  readonly #feeds = new Map<
    string,
    { readonly feed: LiveFeed; readonly key: string; timer?: NodeJS.Timeout }
  >();

  /** The feed to resume at a place, if it is still remembered; and the place in it. */
  resume(
    key: string,
    after: ParsedSequence,
  ): { readonly feed: LiveFeed; readonly number: number } | undefined {
    const kept = this.#feeds.get(after.feed);
    const { number } = after;
    if (kept === undefined || kept.key !== key || !kept.feed.remembers(number)) return undefined;
    this.#use(kept.feed.id);
    return { feed: kept.feed, number };
  }

  /** A feed that is being read with this key. */
  shared(key: string): LiveFeed | undefined {
    for (const kept of this.#feeds.values())
      if (kept.key === key && kept.timer === undefined) return kept.feed;
    return undefined;
  }

  /** How many there are, and how many records they have. */
  get held(): { readonly feeds: number; readonly records: number } {
    let records = 0;
    for (const { feed } of this.#feeds.values()) records += feed.set.size;
    return { feeds: this.#feeds.size, records };
  }

  add(key: string, feed: LiveFeed): void {
    this.#feeds.set(feed.id, { feed, key });
  }

  /** Nobody reads it any more. */
  readonly idle = (feed: LiveFeed): void => {
    const kept = this.#feeds.get(feed.id);
    if (kept === undefined) return;
    if (feed.set.size > KEPT_RECORDS) {
      this.#feeds.delete(feed.id);
      return;
    }
    kept.timer = setTimeout(() => this.#feeds.delete(feed.id), KEPT_MS);
    kept.timer.unref();
    const idle = [...this.#feeds].filter(([, { timer }]) => timer !== undefined);
    for (const [id, { timer }] of idle.slice(0, Math.max(0, idle.length - KEPT_FEEDS))) {
      clearTimeout(timer);
      this.#feeds.delete(id);
    }
  };

  /** Completes those that are read, and forgets all. */
  close(): void {
    const feeds = [...this.#feeds.values()];
    for (const { timer } of feeds) clearTimeout(timer);
    this.#feeds.clear();
    for (const { feed } of feeds) feed.end();
  }

  #use(id: string): void {
    const kept = this.#feeds.get(id);
    if (kept === undefined) return;
    clearTimeout(kept.timer);
    delete kept.timer;
  }
}

/** What makes two questions one: their query and their keys, in the same words. */
export function keyOf(question: RecordQuery, ...more: readonly unknown[]): string {
  return JSON.stringify(
    [question.node, question.keys ?? null, question.sort, ...more],
    (_, value: unknown) =>
      typeof value === 'bigint' || (typeof value === 'number' && !Number.isFinite(value))
        ? `#${value}`
        : value,
  );
}
