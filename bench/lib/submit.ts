/** A number of calls, or of a map's elements in chunks. */
export interface Amount {
  readonly count: number;
  readonly chunksize?: number;
}

/** Submits `count` calls, or one map of `count` elements, and waits for all results. Returns times in ms. */
export type Submit = (amount: Amount) => Promise<{ readonly elapsed: number; readonly client: number }>;
