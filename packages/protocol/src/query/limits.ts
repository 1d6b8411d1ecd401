/** How much a query may hold. */
export interface QueryLimits {
  /** Conditions and sub-queries in all; 1,000 by default. */
  readonly conditions: number;
  /** Nesting of sub-queries, `$not` and `$elemMatch`; 40 by default, about as many as MongoDB allows. */
  readonly depth: number;
  /** Nesting of a value; 100 by default, fewer in deep sub-queries. */
  readonly valueDepth: number;
  /** Values of one `$in`, `$nin` or `$all`; 100,000 by default. */
  readonly listLength: number;
  /** Characters of one pattern (`$regex`, `$glob`); 1,000 by default. */
  readonly patternLength: number;
  /** Instructions that all regular expressions of a query compile to; 2,000 by default. */
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
 * A message may nest 200 levels. A sub-query takes four of them at most: a list and an object, and again a list and an
 * object where one object has no room for its conditions.
 */
export const valueDepthIn = (limits: QueryLimits, subQueries: number): number =>
  Math.min(limits.valueDepth, 180 - 4 * subQueries);
