import { HubError } from '@ipyparallel-js/protocol';
import type { EngineRegistry } from '../engines/engine-registry.js';
import type { HubDatabase } from '../hub/hub-database.js';
import type { HubProfile } from '../hub/hub-profile.js';
import type { HubRequests } from '../hub/hub-requests.js';
import type { RecordQuery } from '../hub/record-query.js';
import type { RequestLane } from '../hub/request-lane.js';
import type { ChangeSignals } from './change-signals.js';
import type { FeedSink, FeedSource } from './feed-source.js';
import { LostRecords } from './lost-records.js';
import { PolledSource, type PollIntervals } from './polled-source.js';
import { PushedSource } from './pushed-source.js';
import type { UpdateInbox } from './update-inbox.js';

/** The parts of a client that sources use. */
export interface SourceContext {
  readonly requests: HubRequests;
  readonly database: HubDatabase;
  readonly profile: HubProfile;
  readonly signals: ChangeSignals;
  readonly registry: EngineRegistry;
  /** Serializes the requests to a hub that does not push. */
  readonly lane: RequestLane;
  readonly inbox: UpdateInbox;
}

/** Whether the hub pushes changes to subscribers. */
export function pushesChanges(profile: HubProfile): boolean {
  return profile.supports('subscribe');
}

/**
 * Subscribes where the hub pushes changes, and polls otherwise. Each run decides again, because the client may have
 * connected to another hub.
 */
export class AdaptiveSource implements FeedSource {
  readonly #context: SourceContext;
  readonly #pushed: PushedSource;
  readonly #polled: PolledSource;

  constructor(context: SourceContext, query: RecordQuery, intervals: PollIntervals) {
    const { requests, database, signals, lane, inbox } = context;
    this.#context = context;
    this.#pushed = new PushedSource({ requests, database, inbox }, query);
    const newDeadline = (signal: AbortSignal) => requests.deadline({ signal });
    this.#polled = new PolledSource({ signals, database, lane, newDeadline }, query, intervals);
  }

  async run(sink: FeedSink, signal: AbortSignal): Promise<void> {
    const endController = new AbortController();
    const search = new LostRecords(this.#context, sink).run(AbortSignal.any([signal, endController.signal]));
    const run = this.#run(sink, signal);
    try {
      await Promise.race([run, search.then(() => run)]);
    } finally {
      endController.abort();
    }
  }

  refresh(): void {
    this.#polled.refresh();
  }

  async #run(sink: FeedSink, signal: AbortSignal): Promise<void> {
    if (pushesChanges(this.#context.profile)) {
      try {
        return await this.#pushed.run(sink, signal);
      } catch (error) {
        if (!(error instanceof HubError && error.ename === 'TooManySubscriptions')) throw error;
      }
    }
    return this.#polled.run(sink, signal);
  }
}
