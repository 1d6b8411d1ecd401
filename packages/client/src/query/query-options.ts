import type { ProjectionKey, TaskSort } from '@ipyparallel-js/protocol';
import type { WaitOptions } from '@ipyparallel-js/wire';

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
