import type { ProjectionKey, TaskSort } from '@ipyparallel-js/protocol';
import type { OptionNames } from '@ipyparallel-js/protocol/internal';
import { WAIT_OPTIONS, type WaitOptions } from '@ipyparallel-js/wire';

/** Which of the matches of a query are wanted, in which order. */
export interface RangeOptions {
  /** By `submitted`, then `msg_id`, if not given. */
  readonly sort?: TaskSort;
  /** How many matches to leave out; 0 by default. */
  readonly skip?: number;
  /** How many records to give at most, 1 or more; all by default. */
  readonly limit?: number;
}

/** Options that may stand in place of the keys of `Client.dbQuery`. */
export interface DbQueryOptions<K extends ProjectionKey> extends RangeOptions, WaitOptions {
  /** A key or several; `msg_id` always comes along. Without it everything but the buffers comes. */
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
   * On a stock hub, which drops the metadata of what it resubmits: submit the tasks from here, with their metadata, as
   * tasks of this client. Their old records then do not say that they were resubmitted. False by default; a hub of
   * ours keeps the metadata, and the option means nothing there.
   */
  readonly restore?: boolean;
}

export const RESUBMIT_OPTIONS: OptionNames<ResubmitOptions> = { restore: true, ...WAIT_OPTIONS };

/** Options of a purge by query. */
export interface PurgeOptions extends WaitOptions {
  /** Only say what would go; false by default. */
  readonly dryRun?: boolean;
}

export const PURGE_OPTIONS: OptionNames<PurgeOptions> = { dryRun: true, ...WAIT_OPTIONS };
