import { Observable, type Subscriber } from 'rxjs';
import { ConflatedQueue } from './conflated-queue.js';
import type { FeedReader, LiveFeed, Numbered } from './live-feed.js';
import { formatSequence } from './sequence.js';
import type { ChangeEvent, SnapshotEvent, WatchEvent, WatchSequence } from './watch-event.js';

/** Connects a reader to a feed; the returned function takes it away. */
export type Attach = (reader: (feed: LiveFeed) => FeedReader) => () => void;

/** How a watch hands out what it is given. */
export interface WatchManner {
  /** ms; 0 for at once. */
  readonly pace: number;
  readonly signal: AbortSignal | undefined;
  /** Where it is to be resumed. */
  readonly after: WatchSequence | undefined;
}

/**
 * A live query: an Observable of a snapshot and the changes since, and an async iterable of the same for `for await`.
 * Each subscription, and each loop, is a watch of its own, which ends when it is left. A loop that is slower than the
 * changes gets the latest state of each record, never a queue without end; so does an Observable with a `pace`.
 */
export class Watch<R> extends Observable<WatchEvent<R>> implements AsyncIterable<WatchEvent<R>> {
  readonly #attach: Attach;
  readonly #signal: AbortSignal | undefined;
  readonly #after: WatchSequence | undefined;

  /** @internal Made by `DbQuery.watch`. */
  constructor(attach: Attach, { pace, signal, after }: WatchManner) {
    super((subscriber) => {
      if (signal?.aborted === true) {
        subscriber.error(signal.reason);
        return undefined;
      }
      const onAbort = (): void => subscriber.error(signal?.reason);
      signal?.addEventListener('abort', onAbort, { once: true });
      const leave = attach((feed) =>
        pace > 0 ? pacedReader(feed, subscriber, pace, after) : new PromptReader(feed, subscriber, after),
      );
      return () => {
        signal?.removeEventListener('abort', onAbort);
        leave();
      };
    });
    this.#attach = attach;
    this.#signal = signal;
    this.#after = after;
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<WatchEvent<R>> {
    const left = new AbortController();
    const events = this.#events(left.signal);
    return {
      next: () => events.next(),
      // A generator that waits would end with its next event only, which may never come.
      return: () => {
        left.abort();
        return events.return();
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  async *#events(left: AbortSignal): AsyncGenerator<WatchEvent<R>, void, undefined> {
    const signal = this.#signal;
    signal?.throwIfAborted();
    let reader: FoldingReader<R> | undefined;
    let wake: () => void = () => undefined;
    const onAbort = (): void => wake();
    signal?.addEventListener('abort', onAbort, { once: true });
    left.addEventListener('abort', onAbort, { once: true });
    const leave = this.#attach((feed) => {
      reader = new FoldingReader<R>(feed, () => wake(), this.#after);
      return reader;
    });
    try {
      while (!left.aborted) {
        signal?.throwIfAborted();
        const event = reader?.take();
        if (event !== undefined) {
          yield event;
          continue;
        }
        if (reader?.failed === true) throw reader.failure;
        if (reader?.ended === true) return;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    } finally {
      signal?.removeEventListener('abort', onAbort);
      leave();
    }
  }
}

/** Hands everything on as it comes. */
class PromptReader<R> implements FeedReader {
  readonly #feed: LiveFeed;
  readonly #subscriber: Subscriber<WatchEvent<R>>;
  readonly #after: WatchSequence | undefined;

  constructor(feed: LiveFeed, subscriber: Subscriber<WatchEvent<R>>, after: WatchSequence | undefined) {
    this.#feed = feed;
    this.#subscriber = subscriber;
    this.#after = after;
  }

  begin(number: number): void {
    this.#subscriber.next(snapshotOf(this.#feed, number, this.#after));
  }

  next(difference: Numbered): void {
    this.#subscriber.next(eventOf(difference, sequenceOf(this.#feed, difference)));
  }

  error(reason: unknown): void {
    this.#subscriber.error(reason);
  }

  end(): void {
    this.#subscriber.complete();
  }

  taken(): undefined {
    return undefined;
  }
}

/** Keeps what comes until it is taken, folded. */
class FoldingReader<R> implements FeedReader {
  readonly #feed: LiveFeed;
  readonly #onFilled: () => void;
  readonly #queue = new ConflatedQueue<Numbered>();
  /** A snapshot is owed; it is made when it is taken, so that nothing has to be folded into it. */
  #owed: number | undefined;
  readonly #after: WatchSequence | undefined;
  /** Of the last event from which can be gone on exactly. */
  #sequence: WatchSequence;
  /** Up to this number differences were folded: what went before is told later, so that one in between is no place. */
  #foldedTo = 0;
  #empty: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;
  failed = false;
  failure: unknown;
  ended = false;

  constructor(feed: LiveFeed, onFilled: () => void, after: WatchSequence | undefined) {
    this.#feed = feed;
    this.#onFilled = onFilled;
    this.#after = after;
    this.#sequence = after ?? '';
  }

  begin(number: number): void {
    this.#owed = number;
    this.#queue.clear();
    this.#onFilled();
  }

  next(difference: Numbered): void {
    if (this.#owed !== undefined) this.#owed = difference.number;
    else if (this.#queue.push(difference)) this.#foldedTo = difference.number;
    this.#onFilled();
  }

  error(reason: unknown): void {
    this.failed = true;
    this.failure = reason;
    this.#onFilled();
  }

  end(): void {
    this.ended = true;
    this.#onFilled();
  }

  /** The next event, if there is one. */
  take(): WatchEvent<R> | undefined {
    if (this.#owed !== undefined) {
      const snapshot = snapshotOf<R>(this.#feed, this.#owed, this.#after);
      this.#owed = undefined;
      this.#sequence = snapshot.sequence;
      this.#emptied();
      return snapshot;
    }
    const difference = this.#queue.shift();
    if (this.#queue.size === 0) this.#emptied();
    if (difference === undefined) return undefined;
    if (difference.number >= this.#foldedTo) this.#sequence = sequenceOf(this.#feed, difference);
    return eventOf<R>(difference, this.#sequence);
  }

  taken(): Promise<void> | undefined {
    if (this.failed || this.ended || (this.#queue.size === 0 && this.#owed === undefined)) return undefined;
    this.#empty ??= promised();
    return this.#empty.promise;
  }

  #emptied(): void {
    this.#empty?.resolve();
    this.#empty = undefined;
  }
}

function promised(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

/** Hands on what has come, folded, after a pause each time. */
function pacedReader<R>(
  feed: LiveFeed,
  subscriber: Subscriber<WatchEvent<R>>,
  pace: number,
  after: WatchSequence | undefined,
): FeedReader {
  let timer: NodeJS.Timeout | undefined;
  let last = Number.NEGATIVE_INFINITY;
  const onFilled = (): void => {
    timer ??= setTimeout(
      flush,
      reader.failed || reader.ended ? 0 : Math.max(0, last + pace - performance.now()),
    );
  };
  const reader = new FoldingReader<R>(feed, onFilled, after);
  const flush = (): void => {
    timer = undefined;
    last = performance.now();
    for (let event = reader.take(); event !== undefined; event = reader.take()) subscriber.next(event);
    if (reader.failed) subscriber.error(reader.failure);
    else if (reader.ended) subscriber.complete();
  };
  subscriber.add(() => clearTimeout(timer));
  return reader;
}

function snapshotOf<R>(feed: LiveFeed, number: number, after: WatchSequence | undefined): SnapshotEvent<R> {
  const rows = [...feed.set.rows];
  return {
    type: 'snapshot',
    records: rows.map(({ record }) => record as R),
    statuses: rows.map(({ status }) => status),
    begun: rows.map(({ begun }) => begun),
    sequence: sequenceOf(feed, { number, place: feed.place }),
    ...(after === undefined ? {} : { resumed: false }),
  };
}

function eventOf<R>({ type, now, ...rest }: Numbered, sequence: WatchSequence): ChangeEvent<R> {
  const told = { record: now.record as R, status: now.status, begun: now.begun, sequence };
  if (type === 'entered') return { type, ...told };
  const { previous } = rest as Extract<Numbered, { type: 'changed' | 'left' }>;
  return { type, ...told, previous: previous.record as R };
}

function sequenceOf(
  { id, digest }: LiveFeed,
  { number, place }: Pick<Numbered, 'number' | 'place'>,
): WatchSequence {
  return formatSequence({ feed: id, number, digest, place });
}
