import type { Subscriber } from 'rxjs';
import { ConflatedQueue } from './conflated-queue.js';
import type { FeedReader, LiveFeed, NumberedDifference } from './live-feed.js';
import { formatSequence } from './sequence.js';
import type { ChangeEvent, SnapshotEvent, WatchEvent, WatchSequence } from './watch-event.js';

/** Emits each difference immediately. */
export class ImmediateReader<R> implements FeedReader {
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

  next(difference: NumberedDifference): void {
    this.#subscriber.next(eventOf(difference, sequenceOf(this.#feed, difference)));
  }

  error(reason: unknown): void {
    this.#subscriber.error(reason);
  }

  complete(): void {
    this.#subscriber.complete();
  }

  drained(): undefined {
    return undefined;
  }
}

/** Queues differences until the owner removes them, conflated to one per record. */
export class ConflatingReader<R> implements FeedReader {
  readonly #feed: LiveFeed;
  readonly #onEvent: () => void;
  readonly #queue = new ConflatedQueue<NumberedDifference>();
  readonly #after: WatchSequence | undefined;
  /** The position of a pending snapshot. It is built when the owner removes it, so no difference must be merged into it. */
  #snapshotNumber: number | undefined;
  /** The sequence of the last event from which a reader can resume without a gap. */
  #sequence: WatchSequence;
  /** The highest conflated position. Earlier changes follow later, so no event before it is a position to resume from. */
  #conflatedNumber = 0;
  #drain: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;
  failed = false;
  failure: unknown;
  completed = false;

  /** `onEvent` is called when there may be an event to remove. */
  constructor(feed: LiveFeed, onEvent: () => void, after: WatchSequence | undefined) {
    this.#feed = feed;
    this.#onEvent = onEvent;
    this.#after = after;
    this.#sequence = after ?? '';
  }

  begin(number: number): void {
    this.#snapshotNumber = number;
    this.#queue.clear();
    this.#onEvent();
  }

  next(difference: NumberedDifference): void {
    if (this.#snapshotNumber !== undefined) this.#snapshotNumber = difference.number;
    else if (this.#queue.push(difference)) this.#conflatedNumber = difference.number;
    this.#onEvent();
  }

  error(reason: unknown): void {
    this.failed = true;
    this.failure = reason;
    this.#onEvent();
  }

  complete(): void {
    this.completed = true;
    this.#onEvent();
  }

  /** Removes and returns the next event, if there is one. */
  shift(): WatchEvent<R> | undefined {
    if (this.#snapshotNumber !== undefined) {
      const snapshot = snapshotOf<R>(this.#feed, this.#snapshotNumber, this.#after);
      this.#snapshotNumber = undefined;
      this.#sequence = snapshot.sequence;
      this.#resolveDrain();
      return snapshot;
    }
    const difference = this.#queue.shift();
    if (this.#queue.size === 0) this.#resolveDrain();
    if (difference === undefined) return undefined;
    if (difference.number >= this.#conflatedNumber) this.#sequence = sequenceOf(this.#feed, difference);
    return eventOf<R>(difference, this.#sequence);
  }

  drained(): Promise<void> | undefined {
    if (this.failed || this.completed || (this.#queue.size === 0 && this.#snapshotNumber === undefined))
      return undefined;
    this.#drain ??= createDeferred();
    return this.#drain.promise;
  }

  #resolveDrain(): void {
    this.#drain?.resolve();
    this.#drain = undefined;
  }
}

/** Creates a reader that emits the conflated differences at most every `pace` ms. */
export function createPacedReader<R>(
  feed: LiveFeed,
  subscriber: Subscriber<WatchEvent<R>>,
  pace: number,
  after: WatchSequence | undefined,
): FeedReader {
  let timer: NodeJS.Timeout | undefined;
  let lastFlush = Number.NEGATIVE_INFINITY;
  const onEvent = (): void => {
    timer ??= setTimeout(
      flush,
      reader.failed || reader.completed ? 0 : Math.max(0, lastFlush + pace - performance.now()),
    );
  };
  const reader = new ConflatingReader<R>(feed, onEvent, after);
  const flush = (): void => {
    timer = undefined;
    lastFlush = performance.now();
    for (let event = reader.shift(); event !== undefined; event = reader.shift()) subscriber.next(event);
    if (reader.failed) subscriber.error(reader.failure);
    else if (reader.completed) subscriber.complete();
  };
  subscriber.add(() => clearTimeout(timer));
  return reader;
}

function createDeferred(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

function snapshotOf<R>(feed: LiveFeed, number: number, after: WatchSequence | undefined): SnapshotEvent<R> {
  const rows = [...feed.set.rows];
  return {
    type: 'snapshot',
    records: rows.map(({ record }) => record as R),
    statuses: rows.map(({ status }) => status),
    begun: rows.map(({ begun }) => begun),
    sequence: sequenceOf(feed, { number, position: feed.position }),
    ...(after === undefined ? {} : { resumed: false }),
  };
}

function eventOf<R>({ type, now, ...rest }: NumberedDifference, sequence: WatchSequence): ChangeEvent<R> {
  const state = { record: now.record as R, status: now.status, begun: now.begun, sequence };
  if (type === 'entered') return { type, ...state };
  const { previous } = rest as Extract<NumberedDifference, { type: 'changed' | 'left' }>;
  return { type, ...state, previous: previous.record as R };
}

function sequenceOf(
  { id, digest }: LiveFeed,
  { number, position }: Pick<NumberedDifference, 'number' | 'position'>,
): WatchSequence {
  return formatSequence({ feed: id, number, digest, position });
}
