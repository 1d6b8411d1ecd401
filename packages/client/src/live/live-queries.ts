import { UsageError } from '@ipyparallel-js/protocol';
import type { ConnectionState } from '../connection/connection-state.js';
import { isUnlimited, type RecordQuery } from '../hub/record-query.js';
import { AdaptiveSource, pushesChanges, type SourceContext } from './adaptive-source.js';
import { LiveFeeds } from './live-feeds.js';
import { UpdateInbox } from './update-inbox.js';
import { Watch } from './watch.js';
import type { WatchOptions } from './watch-event.js';

/** The parts of a client that live queries use. */
export interface LiveContext extends Omit<SourceContext, 'inbox'> {
  readonly connection: ConnectionState;
}

const DEFAULTS = { interval: 10, slowInterval: 3_000, pace: 0 };

/** The live queries of one client. */
export class LiveQueries {
  readonly #feeds: LiveFeeds;
  readonly #closeController = new AbortController();
  /** Receives the updates that a hub pushes. */
  readonly inbox = new UpdateInbox();

  constructor(context: LiveContext) {
    const sourceContext: SourceContext = { ...context, inbox: this.inbox };
    this.#feeds = new LiveFeeds({
      connection: context.connection,
      createSource: (query, intervals) => new AdaptiveSource(sourceContext, query, intervals),
      sharesFeeds: () => !pushesChanges(context.profile),
    });
  }

  /**
   * Creates a live query, which sends no request before a reader subscribes.
   * @throws {UsageError} when the query has `skip` or `limit`, or an option is malformed
   */
  watch<R>(query: RecordQuery, options: WatchOptions): Watch<R> {
    if (!isUnlimited(query))
      throw new UsageError(
        'a live query must have neither skip nor limit, because the records that they select change with every new record; watch all matches and select among records()',
      );
    const pace = parseMs('pace', options.pace, DEFAULTS.pace);
    const intervals = {
      interval: parseMs('interval', options.interval, DEFAULTS.interval),
      slowInterval: parseMs('slowInterval', options.slowInterval, DEFAULTS.slowInterval),
    };
    const { after, signal } = options;
    if (after !== undefined && typeof after !== 'string')
      throw new UsageError(`after must be the sequence of an event, a string; got ${typeof after}`);
    return new Watch<R>(() => this.#feeds.open(query, { intervals, after }), { pace, signal, after });
  }

  /** The number of stored feeds and of their records. */
  get size(): { readonly feeds: number; readonly records: number } {
    return this.#feeds.size;
  }

  /** Aborts when the client is closed. */
  get closing(): AbortSignal {
    return this.#closeController.signal;
  }

  /** Completes all live queries, because the client is being closed. */
  close(): void {
    this.#closeController.abort();
    this.#feeds.close();
  }
}

function parseMs(name: string, value: number | undefined, fallback: number): number {
  if (value === undefined) return fallback;
  if (typeof value === 'number' && value >= 0 && Number.isFinite(value)) return value;
  throw new UsageError(`${name} must be a number of milliseconds >= 0, got ${String(value)}`);
}
