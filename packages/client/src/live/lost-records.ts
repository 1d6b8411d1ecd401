import { IpyparallelError, isDone } from '@ipyparallel-js/protocol';
import { pause, withChildSignal } from '@ipyparallel-js/wire';
import type { EngineRegistry } from '../engines/engine-registry.js';
import type { HubDatabase } from '../hub/hub-database.js';
import type { HubRequests } from '../hub/hub-requests.js';
import type { RequestLane } from '../hub/request-lane.js';
import { LostTasks } from '../tasks/lost-tasks.js';
import type { FeedSink } from './live-feed.js';

/** What is needed to find out which rows of a live query will never end. */
export interface LostContext {
  readonly requests: HubRequests;
  readonly registry: EngineRegistry;
  readonly lane: RequestLane;
  readonly database: HubDatabase;
  /** Whether the hub is one of ours. */
  isOurs(): boolean;
}

/** How often it is looked whether it is time to look. */
const TICK_MS = 1_000;
/** Open tasks that are looked after. */
const MOST = 2_000;

/**
 * Says `lost` of rows whose records a controller that has ended left open: the same tasks, found in the same way, as
 * results do. Looks soon at first, then once a minute.
 */
export async function findLostRows(context: LostContext, sink: FeedSink, signal: AbortSignal): Promise<void> {
  const { requests, registry, lane } = context;
  const tasks = new LostTasks(requests, registry, lane, context.isOurs());
  while (!signal.aborted) {
    await pause(TICK_MS, signal);
    if (signal.aborted || !tasks.due) continue;
    const ids = openIds(sink);
    if (ids.length === 0) continue;
    try {
      await withChildSignal(signal, (brief) => look(context, tasks, ids, sink, brief));
    } catch (error) {
      // Whether something is lost can wait; that the hub cannot be asked shows elsewhere.
      if (!(error instanceof IpyparallelError) && !signal.aborted) throw error;
    }
  }
}

async function look(
  { database, requests, lane }: LostContext,
  tasks: LostTasks,
  ids: readonly string[],
  sink: FeedSink,
  signal: AbortSignal,
): Promise<void> {
  const rows = async (wanted: readonly string[]) =>
    [
      ...(
        await lane.run(() =>
          database.byId(wanted, ['engine_uuid', 'completed'], requests.deadline({ signal })),
        )
      ).values(),
    ]
      .filter(({ completed }) => completed === null)
      .map(({ msg_id, engine_uuid }) => ({ msgId: msg_id, engineUuid: engine_uuid ?? null }));
  const lost = await tasks.find(await rows(ids), { signal });
  if (lost.size === 0) return;
  // One may have ended in the meantime.
  const open = await rows([...lost.keys()]);
  sink.apply(open.map(({ msgId }) => ({ op: 'lost', msgId })));
}

function openIds({ set }: FeedSink): string[] {
  const ids: string[] = [];
  for (const msgId of set.ids) {
    if (ids.length === MOST) break;
    const row = set.get(msgId);
    if (row !== undefined && !isDone(row.status)) ids.push(msgId);
  }
  return ids;
}
