import type { ConnectionState } from '../connection/connection-state.js';
import type { TrafficStats } from '../connection/traffic-stats.js';
import type { Transport } from '../connection/transport.js';
import type { LiveQueries } from '../live/live-queries.js';
import type { FollowedTasks } from '../tasks/followed-tasks.js';
import type { SubmittedTasks } from '../tasks/submitted-tasks.js';
import type { UnsentWork } from '../tasks/unsent-work.js';

/** Counters of the messages since the client connected, and the numbers of submissions, tasks and records that it holds. */
export interface ClientStats extends TrafficStats {
  /** How often the client has connected: 1, and one more for each reconnection. */
  readonly connections: number;
  /** Submissions that have not been sent, because they wait for the connection or for engines: at most 10,000 and 256 MiB. */
  readonly heldSubmissions: number;
  /** The approximate size of the held submissions in bytes. */
  readonly heldBytes: number;
  /** Tasks submitted by this client that have no result yet. */
  readonly outstanding: number;
  /** Tasks whose records the client is polling at the hub. */
  readonly followed: number;
  /** Cached results that have not been read; a result that was read is held by its AsyncResult only. */
  readonly unreadResults: number;
  /** The approximate size of the unread results in bytes. */
  readonly unreadBytes: number;
  /** Unread results that were evicted because of the limits in `ConnectOptions.resultCache`; the hub still has them. */
  readonly evictedResults: number;
  /** The number of ids in `rc.history`. */
  readonly history: number;
  /** The sources of live queries: those that are subscribed to, and those kept for one minute to be resumed. */
  readonly liveFeeds: number;
  /** The records that the live feeds hold. */
  readonly liveRecords: number;
}

export interface StatsParts {
  readonly transport: Transport;
  readonly connectionState: ConnectionState;
  readonly submittedTasks: SubmittedTasks;
  readonly followedTasks: FollowedTasks;
  readonly unsentWork: UnsentWork;
  readonly live: LiveQueries;
}

export function statsOf(parts: StatsParts): ClientStats {
  const { transport, connectionState, submittedTasks, followedTasks, unsentWork, live } = parts;
  const { resultCache } = submittedTasks;
  return {
    ...transport.stats,
    connections: connectionState.status.incarnation,
    heldSubmissions: unsentWork.size.count,
    heldBytes: unsentWork.size.bytes,
    outstanding: submittedTasks.outstanding.length,
    followed: followedTasks.size,
    unreadResults: resultCache.count,
    unreadBytes: resultCache.bytes,
    evictedResults: resultCache.evicted,
    history: submittedTasks.historyLength,
    liveFeeds: live.size.feeds,
    liveRecords: live.size.records,
  };
}
