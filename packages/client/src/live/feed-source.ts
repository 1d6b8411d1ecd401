import type { LiveChange, LiveSet } from './live-set.js';
import type { HubPosition } from './sequence.js';

/** Supplies the changes of a feed. */
export interface FeedSource {
  /**
   * Brings the set up to date with the hub and keeps it up to date. Each call starts from the beginning, because any
   * record may have changed since the last one. Rejects when a request to the hub fails; the feed decides whether to retry.
   */
  run(sink: FeedSink, signal: AbortSignal): Promise<void>;
  /** Requests a reading of the hub now, because a reader waits for its snapshot ({@link FeedSink.hasNewReaders}). */
  refresh(): void;
}

/** The part of a feed that its source uses. */
export interface FeedSink {
  readonly set: LiveSet;
  /** The hub position of the changes applied from now on; undefined where another client could not resume from it. */
  position: HubPosition | undefined;
  apply(changes: Iterable<LiveChange>): void;
  /** The position, issued by another process, at which the feed resumes; undefined once the set is loaded. */
  readonly resumePosition: HubPosition | undefined;
  /** Declares that the set is in the state of {@link resumePosition}: readers receive the changes since, and no snapshot. */
  markSeeded(): void;
  /** Begins a complete reading of the hub. The source must call the returned function when the set is complete. */
  startReading(): () => void;
  /** Whether a reader waits for its snapshot. */
  readonly hasNewReaders: boolean;
  /** Resolves once at least one reader has processed all changes, so that nothing is fetched while all are behind. */
  drained(): Promise<void>;
}
