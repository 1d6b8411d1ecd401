import type { ProjectionKey, TaskSort } from '@ipyparallel-js/protocol';
import type { OptionNames } from '@ipyparallel-js/protocol/internal';
import { WAIT_OPTIONS, type WaitOptions } from '@ipyparallel-js/wire';

/** Selects among the matches of a query, and orders them. */
export interface RangeOptions {
  /** By `submitted`, then `msg_id`, by default. */
  readonly sort?: TaskSort;
  /** The number of matches to skip; 0 by default. */
  readonly skip?: number;
  /** The highest number of records to return, 1 or more; all by default. */
  readonly limit?: number;
}

/** Options of `Client.dbQuery`, in place of its keys. */
export interface DbQueryOptions<K extends ProjectionKey> extends RangeOptions, WaitOptions {
  /** One key, or several; `msg_id` is always included. Without keys, records have everything except the buffers. */
  readonly keys: K | readonly K[];
}

export const DB_QUERY_OPTIONS: OptionNames<DbQueryOptions<never>> = {
  keys: true,
  sort: true,
  skip: true,
  limit: true,
  ...WAIT_OPTIONS,
};

/** Options of a resubmission. */
export interface ResubmitOptions extends WaitOptions {
  /**
   * Submit the tasks from this client, with their metadata, where the hub would drop it: on a Python hub. They are then
   * tasks of this client, and `resubmitted` of the old records stays null. False by default; without effect on a hub of this
   * project, which keeps the metadata.
   */
  readonly restore?: boolean;
}

export const RESUBMIT_OPTIONS: OptionNames<ResubmitOptions> = { restore: true, ...WAIT_OPTIONS };

/** Options of a purge by query. */
export interface PurgeOptions extends WaitOptions {
  /** Report what a purge would remove, without removing it; false by default. */
  readonly dryRun?: boolean;
}

export const PURGE_OPTIONS: OptionNames<PurgeOptions> = { dryRun: true, ...WAIT_OPTIONS };
