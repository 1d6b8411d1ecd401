import type { ClusterLink } from './cluster-link.js';

/** What a client has sent, received and refused, counted since it connected. */
export interface TrafficStats {
  readonly sent: number;
  readonly received: number;
  /** Messages dropped because their frames made no message. */
  readonly malformed: number;
  /** Messages dropped because their signature was missing or wrong. */
  readonly forged: number;
  /** Messages dropped because they came before. */
  readonly replayed: number;
  /** Well-signed messages that answered nothing of ours, or came too late. */
  readonly unexpected: number;
  /** Published output of own tasks that could not be read. */
  readonly unreadable: number;
}

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

/** The counters behind {@link TrafficStats}. */
export type StatsCounters = { -readonly [K in keyof TrafficStats]: number };

export const newCounters = (): StatsCounters => ({
  sent: 0,
  received: 0,
  malformed: 0,
  forged: 0,
  replayed: 0,
  unexpected: 0,
  unreadable: 0,
});

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
