import { Observable } from 'rxjs';
import { ConflatingReader, createPacedReader, ImmediateReader } from './feed-readers.js';
import type { OpenFeed } from './live-feeds.js';
import type { WatchEvent, WatchSequence } from './watch-event.js';

/** How a watch delivers its events. */
export interface Delivery {
  /** The minimum time between two deliveries to an Observable's subscriber, in ms; 0 to deliver at once. */
  readonly pace: number;
  readonly signal: AbortSignal | undefined;
  /** The sequence after which the watch resumes. */
  readonly after: WatchSequence | undefined;
}

/**
 * A live query: an Observable, and an async iterable, of one snapshot and the changes since.
 *
 * Each subscription and each `for await` loop is a separate watch, which ends when the caller leaves it. A loop that is
 * slower than the changes receives the latest state of each record, so its queue is bounded; an Observable does the same
 * with the option `pace`.
 */
export class Watch<R> extends Observable<WatchEvent<R>> implements AsyncIterable<WatchEvent<R>> {
  readonly #open: () => OpenFeed;
  readonly #signal: AbortSignal | undefined;
  readonly #after: WatchSequence | undefined;

  /** @internal Use `DbQuery.watch`. */
  constructor(open: () => OpenFeed, { pace, signal, after }: Delivery) {
    super((subscriber) => {
      if (signal?.aborted === true) {
        subscriber.error(signal.reason);
        return undefined;
      }
      const onAbort = (): void => subscriber.error(signal?.reason);
      signal?.addEventListener('abort', onAbort, { once: true });
      const openFeed = open();
      const leave = openFeed.read(
        pace > 0
          ? createPacedReader(openFeed.feed, subscriber, pace, after)
          : new ImmediateReader(openFeed.feed, subscriber, after),
      );
      return () => {
        signal?.removeEventListener('abort', onAbort);
        leave();
      };
    });
    this.#open = open;
    this.#signal = signal;
    this.#after = after;
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<WatchEvent<R>> {
    const leaveController = new AbortController();
    const events = this.#events(leaveController.signal);
    return {
      next: () => events.next(),
      // A suspended generator would end at its next event only, which may never arrive.
      return: () => {
        leaveController.abort();
        return events.return();
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  async *#events(leaveSignal: AbortSignal): AsyncGenerator<WatchEvent<R>, void, undefined> {
    const signal = this.#signal;
    signal?.throwIfAborted();
    let wake: () => void = () => undefined;
    const onAbort = (): void => wake();
    signal?.addEventListener('abort', onAbort, { once: true });
    leaveSignal.addEventListener('abort', onAbort, { once: true });
    const openFeed = this.#open();
    const reader = new ConflatingReader<R>(openFeed.feed, () => wake(), this.#after);
    const leave = openFeed.read(reader);
    try {
      while (!leaveSignal.aborted) {
        signal?.throwIfAborted();
        const event = reader.shift();
        if (event !== undefined) {
          yield event;
          continue;
        }
        if (reader.failed) throw reader.failure;
        if (reader.completed) return;
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
