/** The limits of a query. */
export interface QueryLimits {
  /** Conditions and sub-queries in total; 1,000 by default. */
  readonly conditions: number;
  /** Nesting of sub-queries, `$not` and `$elemMatch`, in levels; 40 by default, about the limit of MongoDB. */
  readonly depth: number;
  /** Nesting of a value, in levels; 100 by default, fewer in deep sub-queries. */
  readonly valueDepth: number;
  /** Values in one `$in`, `$nin` or `$all`; 100,000 by default. */
  readonly listLength: number;
  /** Characters in one pattern (`$regex`, `$glob`); 1,000 by default. */
  readonly patternLength: number;
  /** Instructions of all compiled regular expressions of a query; 2,000 by default. */
  readonly programSize: number;
}

export const DEFAULT_LIMITS: QueryLimits = {
  conditions: 1_000,
  depth: 40,
  valueDepth: 100,
  listLength: 100_000,
  patternLength: 1_000,
  programSize: 2_000,
};

/**
 * The nesting allowed for a value at a depth of sub-queries. A message may nest 200 levels, and a sub-query uses up to
 * four: an array and an object, twice if its conditions do not fit into one object.
 */
export const valueDepthIn = (limits: QueryLimits, subQueries: number): number =>
  Math.min(limits.valueDepth, 180 - 4 * subQueries);
