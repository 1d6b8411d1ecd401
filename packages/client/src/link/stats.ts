import type { TrafficStats } from '../connection/traffic-stats.js';
import type { ClusterLink } from './cluster-link.js';

/** What a client has sent and received since it connected, and what it holds now. */
export interface ClientStats extends TrafficStats {
  /** How often it has connected: 1, and one more for each reconnection. */
  readonly connections: number;
  /** Submissions that wait for the connection; at most 10,000, and 256 MiB. */
  readonly heldSubmissions: number;
  /** What those take, in bytes, about. */
  readonly heldBytes: number;
  /** Own tasks without a result. */
  readonly outstanding: number;
  /** Tasks that the hub is being asked about. */
  readonly followed: number;
  /** Results held here because nobody has read them; one that was read is held by its AsyncResult alone. */
  readonly unreadResults: number;
  /** What those take, in bytes, about. */
  readonly unreadBytes: number;
  /** How many unread results had to go, beyond `ClientOptions.resultCache`; the hub still has them. */
  readonly evictedResults: number;
  /** Ids in `rc.history`. */
  readonly history: number;
  /** What live queries are fed by: those that are read, and those kept for a minute to be resumed. */
  readonly liveFeeds: number;
  /** Records that these hold. */
  readonly liveRecords: number;
}

export function statsOf({ own, others, transport, live, connection }: ClusterLink): ClientStats {
  return {
    ...transport.stats,
    connections: connection.now.incarnation,
    heldSubmissions: transport.held.count,
    heldBytes: transport.held.bytes,
    outstanding: own.outstanding.length,
    followed: others.size,
    unreadResults: own.ended.count,
    unreadBytes: own.ended.bytes,
    evictedResults: own.ended.evicted,
    history: own.historyLength,
    liveFeeds: live.held.feeds,
    liveRecords: live.held.records,
  };
}
