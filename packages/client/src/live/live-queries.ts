import { ConnectionClosedError, HubError, UsageError } from '@ipyparallel-js/protocol';
import type { ConnectionState } from '../connection/connection-state.js';
import type { EngineRegistry } from '../engines/engine-registry.js';
import type { HubDatabase } from '../hub/hub-database.js';
import type { HubProfile } from '../hub/hub-profile.js';
import type { HubRequests } from '../hub/hub-requests.js';
import { FULL_RANGE, type RecordQuery } from '../hub/record-query.js';
import type { RequestLane } from '../hub/request-lane.js';
import type { ChangeSignals } from './change-signals.js';
import { type FeedSource, LiveFeed } from './live-feed.js';
import { keyOf, LiveFeeds } from './live-feeds.js';
import { findLostRows } from './lost-records.js';
import type { StockIntervals } from './polled-source.js';
import { PushedSource } from './pushed-source.js';
import { digestOf, type ParsedSequence, parseSequence } from './sequence.js';
import { StockSource } from './stock-source.js';
import { UpdateInbox } from './update-inbox.js';
import { Watch } from './watch.js';
import type { WatchOptions } from './watch-event.js';

/** What live queries need of the link to a cluster. */
export interface LiveContext {
  readonly requests: HubRequests;
  readonly signals: ChangeSignals;
  readonly registry: EngineRegistry;
  readonly connection: ConnectionState;
  /** In which a hub is asked that pushes nothing: never two questions at once. */
  readonly lane: RequestLane;
  readonly database: HubDatabase;
  readonly profile: HubProfile;
}

const DEFAULTS = { interval: 10, slowInterval: 3_000, pace: 0 };

/** The live queries of one client. */
export class LiveQueries {
  readonly #context: LiveContext;
  readonly #feeds = new LiveFeeds();
  readonly #closing = new AbortController();
  /** Takes the updates that a hub pushes. */
  readonly inbox = new UpdateInbox();

  constructor(context: LiveContext) {
    this.#context = context;
  }

  /** A live query, of which nothing is asked before it is subscribed to. @throws UsageError */
  watch<R>(question: RecordQuery, options: WatchOptions): Watch<R> {
    if (question.skip !== FULL_RANGE.skip || question.limit !== FULL_RANGE.limit)
      throw new UsageError(
        'a live query has neither skip nor limit: which records they mean changes with every record that comes; watch all matches and pick from records()',
      );
    const pace = milliseconds('pace', options.pace, DEFAULTS.pace);
    const intervals = {
      interval: milliseconds('interval', options.interval, DEFAULTS.interval),
      slowInterval: milliseconds('slowInterval', options.slowInterval, DEFAULTS.slowInterval),
    };
    const { after, signal } = options;
    if (after !== undefined && typeof after !== 'string')
      throw new UsageError(`after is the sequence of an event, a text; not ${typeof after}`);
    return new Watch<R>(
      (reader) => {
        if (this.closing.aborted) throw new ConnectionClosedError('the client is closed');
        const key = keyOf(question, intervals);
        const place = after === undefined ? undefined : parseSequence(after);
        const resumed = place === undefined ? undefined : this.#feeds.resume(key, place);
        // Our hub evaluates a query once for all its subscribers, and each of them has its own snapshot.
        const shared = this.#pushes ? undefined : this.#feeds.shared(key);
        const feed = resumed?.feed ?? shared ?? this.#open(key, question, intervals, place);
        const mine = reader(feed);
        feed.read(mine, resumed?.number);
        return () => feed.leave(mine);
      },
      { pace, signal, after },
    );
  }

  /** How much is held here. */
  get held(): { readonly feeds: number; readonly records: number } {
    return this.#feeds.held;
  }

  /** Aborts when the client is closed. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** Whatever is watched completes: whoever closes the client wants no more of it. */
  close(): void {
    this.#closing.abort();
    this.#feeds.close();
  }

  get #pushes(): boolean {
    return this.#context.profile.supports('subscribe');
  }

  #open(key: string, question: RecordQuery, intervals: StockIntervals, after?: ParsedSequence): LiveFeed {
    const { connection, requests, signals, registry, lane, database, profile } = this.#context;
    const newDeadline = (signal: AbortSignal) => requests.deadline({ signal });
    const asking = new StockSource({ signals, database, lane, newDeadline }, question, intervals);
    const pushed = new PushedSource({ requests, database, inbox: this.inbox }, question);
    const source: FeedSource = {
      run: async (sink, signal) => {
        const isOurs = () => profile.isOurs;
        const ended = new AbortController();
        const lost = findLostRows(
          { requests, registry, lane, database, isOurs },
          sink,
          AbortSignal.any([signal, ended.signal]),
        );
        // Another kind of controller may be there after a reconnection.
        const run = this.#pushes
          ? pushed.run(sink, signal).catch((error: unknown) => {
              if (!(error instanceof HubError && error.ename === 'TooManySubscriptions')) throw error;
              return asking.run(sink, signal);
            })
          : asking.run(sink, signal);
        try {
          await Promise.race([run, lost.then(() => run)]);
        } finally {
          ended.abort();
        }
      },
      wake: () => asking.wake(),
    };
    const from = after?.digest === digestOf(question) ? after.place : undefined;
    const feed = new LiveFeed(question, source, connection, this.#feeds.idle, from);
    this.#feeds.add(key, feed);
    return feed;
  }
}

function milliseconds(name: string, value: number | undefined, otherwise: number): number {
  if (value === undefined) return otherwise;
  if (typeof value === 'number' && value >= 0 && Number.isFinite(value)) return value;
  throw new UsageError(`${name} is a number of milliseconds, 0 or more; not ${String(value)}`);
}
