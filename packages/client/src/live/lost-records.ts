import { IpyparallelError, isDone } from '@ipyparallel-js/protocol';
import { pause, withChildSignal } from '@ipyparallel-js/wire';
import type { EngineRegistry } from '../engines/engine-registry.js';
import type { HubDatabase } from '../hub/hub-database.js';
import type { HubProfile } from '../hub/hub-profile.js';
import type { HubRequests } from '../hub/hub-requests.js';
import type { RequestLane } from '../hub/request-lane.js';
import { LostTasks, type OpenTask } from '../tasks/lost-tasks.js';
import type { FeedSink } from './feed-source.js';

/** The parts of a client that the search for lost records uses. */
export interface LostRecordsContext {
  readonly requests: HubRequests;
  readonly database: HubDatabase;
  readonly profile: HubProfile;
  readonly registry: EngineRegistry;
  readonly lane: RequestLane;
}

/** How often to check whether a search is due, in ms. */
const TICK_MS = 1_000;
/** The highest number of incomplete records per search. */
const MAX_OPEN_RECORDS = 2_000;

/**
 * Finds records that a previous run of the controller left incomplete, and sets their status to `lost`. The search uses
 * the same rules as results do ({@link LostTasks}): soon after the start, then once a minute.
 */
export class LostRecords {
  readonly #context: LostRecordsContext;
  readonly #sink: FeedSink;
  readonly #lostTasks: LostTasks;

  constructor(context: LostRecordsContext, sink: FeedSink) {
    const { requests, registry, lane, profile } = context;
    this.#context = context;
    this.#sink = sink;
    this.#lostTasks = new LostTasks(requests, registry, lane, profile.isOurs);
  }

  /** Searches repeatedly until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await pause(TICK_MS, signal);
      if (signal.aborted || !this.#lostTasks.isDue) continue;
      const ids = openIds(this.#sink);
      if (ids.length === 0) continue;
      try {
        await withChildSignal(signal, (child) => this.#search(ids, child));
      } catch (error) {
        // The next search retries; if the hub stays unreachable, the source reports it.
        if (!(error instanceof IpyparallelError) && !signal.aborted) throw error;
      }
    }
  }

  async #search(ids: readonly string[], signal: AbortSignal): Promise<void> {
    const lost = await this.#lostTasks.find(await this.#readOpenTasks(ids, signal), { signal });
    if (lost.size === 0) return;
    // A task may have ended during the search.
    const open = await this.#readOpenTasks([...lost.keys()], signal);
    this.#sink.apply(open.map(({ msgId }) => ({ op: 'lost', msgId })));
  }

  async #readOpenTasks(ids: readonly string[], signal: AbortSignal): Promise<OpenTask[]> {
    const { database, requests, lane } = this.#context;
    const rows = await lane.run(() =>
      database.byId(ids, ['engine_uuid', 'completed'], requests.deadline({ signal })),
    );
    return [...rows.values()]
      .filter(({ completed }) => completed === null)
      .map(({ msg_id, engine_uuid }) => ({ msgId: msg_id, engineUuid: engine_uuid ?? null }));
  }
}

function openIds({ set }: FeedSink): string[] {
  const ids: string[] = [];
  for (const msgId of set.ids) {
    if (ids.length === MAX_OPEN_RECORDS) break;
    const row = set.get(msgId);
    if (row !== undefined && !isDone(row.status)) ids.push(msgId);
  }
  return ids;
}
