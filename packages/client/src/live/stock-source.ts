import type { RecordQuery } from '../hub/record-query.js';
import type { FeedSink, FeedSource } from './live-feed.js';
import { type StockContext, type StockIntervals, StockRun } from './polled-source.js';

/** Feeds a live query by asking: for the tasks that a signal names at once, for what gives no signal now and then. */
export class StockSource implements FeedSource {
  readonly #context: StockContext;
  readonly #question: RecordQuery;
  readonly #intervals: StockIntervals;
  #current: StockRun | undefined;

  constructor(context: StockContext, question: RecordQuery, intervals: StockIntervals) {
    this.#context = context;
    this.#question = question;
    this.#intervals = intervals;
  }

  async run(sink: FeedSink, signal: AbortSignal): Promise<void> {
    this.#current = new StockRun(this.#context, this.#question, this.#intervals, sink, signal);
    await this.#current.run();
  }

  wake(): void {
    this.#current?.lookSoon();
  }
}
