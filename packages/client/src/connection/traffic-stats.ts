/** The messages that a client has sent, received and dropped since it connected. */
export interface TrafficStats {
  readonly sent: number;
  readonly received: number;
  /** Messages dropped because their frames could not be parsed. */
  readonly malformed: number;
  /** Messages dropped because their signature was missing or wrong. */
  readonly forged: number;
  /** Messages dropped because they had been received before. */
  readonly replayed: number;
  /** Correctly signed messages that replied to no request of this client, or arrived too late. */
  readonly unexpected: number;
  /** Published output of tasks submitted by this client that could not be decoded. */
  readonly unreadable: number;
}

/** The mutable counters of {@link TrafficStats}. */
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
