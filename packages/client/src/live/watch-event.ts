import type { TaskStatus } from '@ipyparallel-js/protocol';
import type { OptionNames } from '@ipyparallel-js/protocol/internal';

/**
 * A place in a live query, to resume from (`watch({ after })`). A text of some 150 characters, to be kept as it is, for
 * another process too.
 */
export type WatchSequence = string;

/** What a live query says of one record beside the record. */
export interface WatchedTask {
  /** `purged` when the record is gone. */
  readonly status: TaskStatus;
  /** When the task began to run, where a signal has told (output seen on iopub, our hub); null otherwise. */
  readonly begun: Date | null;
  readonly sequence: WatchSequence;
}

/** Everything that matches, once, at the beginning. */
export interface SnapshotEvent<R> {
  readonly type: 'snapshot';
  readonly records: readonly R[];
  /** The status of each record, in the same order. */
  readonly statuses: readonly TaskStatus[];
  /** When each began to run, in the same order; null where no signal has told. */
  readonly begun: readonly (Date | null)[];
  readonly sequence: WatchSequence;
  /** There where `after` was given and could not be resumed from: what happened in between is not known. */
  readonly resumed?: false;
}

/** A record matches that did not before. */
export interface EnteredEvent<R> extends WatchedTask {
  readonly type: 'entered';
  readonly record: R;
  readonly previous?: never;
}

/** A record that still matches is not what it was: its keys, its status, or that it has begun. */
export interface ChangedEvent<R> extends WatchedTask {
  readonly type: 'changed';
  readonly record: R;
  /** As it was told last. */
  readonly previous: R;
}

/** A record matches no more, or is gone (`status` is `purged` then). */
export interface LeftEvent<R> extends WatchedTask {
  readonly type: 'left';
  /** As it is now; as it was last where it is gone. */
  readonly record: R;
  /** As it was told last. */
  readonly previous: R;
}

/** What happens to one record of a live query. */
export type ChangeEvent<R> = EnteredEvent<R> | ChangedEvent<R> | LeftEvent<R>;

/** What a live query says: once a snapshot, then changes. */
export type WatchEvent<R> = SnapshotEvent<R> | ChangeEvent<R>;

/** Options of `DbQuery.watch`. */
export interface WatchOptions {
  /**
   * Resume after this event, of the same query with the same keys: no snapshot comes, but what has changed since, each
   * record once. The same client remembers for a minute and 1,000 changes. Our hub remembers for any client, within the
   * controller's `liveQueries` (10 minutes by default) and one life of it, for queries without buffers. Otherwise there is
   * a snapshot with `resumed: false`; on a stock hub always, from another client.
   */
  readonly after?: WatchSequence;
  /** Hand changes out at most this often, in ms, folded to the latest state of each record; 0 (at once) by default. */
  readonly pace?: number;
  /** On a hub that pushes nothing: the least time between two questions, in ms; 10 by default. */
  readonly interval?: number;
  /** On such a hub: how often it is looked for what no signal told of (purges, lost output), in ms; 3,000 by default. */
  readonly slowInterval?: number;
  /** Ends the watch, which errors with `signal.reason`. */
  readonly signal?: AbortSignal;
}

export const WATCH_OPTIONS: OptionNames<WatchOptions> = {
  after: true,
  pace: true,
  interval: true,
  slowInterval: true,
  signal: true,
};
