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
