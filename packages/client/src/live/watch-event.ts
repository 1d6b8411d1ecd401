import type { TaskStatus } from '@ipyparallel-js/protocol';
import type { OptionNames } from '@ipyparallel-js/protocol/internal';

/**
 * A position in a live query, to resume from with `watch({ after })`: an opaque text of about 150 characters, valid in
 * other processes, too.
 */
export type WatchSequence = string;

/** The properties of a change event other than the record. */
export interface WatchedTask {
  /** `purged` when the record was removed. */
  readonly status: TaskStatus;
  /** When the task began to run, if the client observed it or the hub of this project reported it; otherwise null. */
  readonly begun: Date | null;
  readonly sequence: WatchSequence;
}

/** The first event of a watch: all records that match. */
export interface SnapshotEvent<R> {
  readonly type: 'snapshot';
  readonly records: readonly R[];
  /** The status of each record, in the same order. */
  readonly statuses: readonly TaskStatus[];
  /** When each task began to run, in the same order; null where unknown. */
  readonly begun: readonly (Date | null)[];
  readonly sequence: WatchSequence;
  /** Present when the watch could not resume from `after`, so that changes in between may be missing. */
  readonly resumed?: false;
}

/** A record that did not match before matches now. */
export interface EnteredEvent<R> extends WatchedTask {
  readonly type: 'entered';
  readonly record: R;
  readonly previous?: never;
}

/** A matching record has changed: one of its keys, its status, or its `begun`. */
export interface ChangedEvent<R> extends WatchedTask {
  readonly type: 'changed';
  readonly record: R;
  /** The record of the previous event. */
  readonly previous: R;
}

/** A record no longer matches, or was removed; then `status` is `purged`. */
export interface LeftEvent<R> extends WatchedTask {
  readonly type: 'left';
  /** The current record; the last known one if it was removed. */
  readonly record: R;
  /** The record of the previous event. */
  readonly previous: R;
}

/** A change of one record of a live query. */
export type ChangeEvent<R> = EnteredEvent<R> | ChangedEvent<R> | LeftEvent<R>;

/** An event of a live query: one snapshot, followed by changes. */
export type WatchEvent<R> = SnapshotEvent<R> | ChangeEvent<R>;

/** Options of `DbQuery.watch`. */
export interface WatchOptions {
  /**
   * Resume after this event of the same query with the same keys: instead of a snapshot, the watch emits the changes
   * since, one per record.
   *
   * The same client can resume for a minute and 1,000 changes. Another client can resume on a hub of this project within
   * the controller's `liveQueries` limits (10 minutes by default), until the controller restarts, and for queries without
   * buffers. In all other cases the watch emits a snapshot with `resumed: false`.
   */
  readonly after?: WatchSequence;
  /** The minimum time between two deliveries, in ms, with changes conflated per record; 0 (deliver at once) by default. */
  readonly pace?: number;
  /** The minimum time between two requests to a hub that does not push, in ms; 10 by default. */
  readonly interval?: number;
  /** How often to search such a hub for changes without a signal (purges, lost output), in ms; 3,000 by default. */
  readonly slowInterval?: number;
  /** Ends the watch with `signal.reason` as the error. */
  readonly signal?: AbortSignal;
}

export const WATCH_OPTIONS: OptionNames<WatchOptions> = {
  after: true,
  pace: true,
  interval: true,
  slowInterval: true,
  signal: true,
};
