/** How much a query may hold. */
export interface QueryLimits {
  /** Conditions and sub-queries in all; 1,000 by default. */
  readonly conditions: number;
  /** Nesting of sub-queries, and of a value; 100 by default. */
  readonly depth: number;
  /** Values of one `$in`, `$nin` or `$all`; 100,000 by default. */
  readonly listLength: number;
  /** Characters of one pattern (`$regex`, `$glob`); 1,000 by default. */
  readonly patternLength: number;
  /** Instructions that all regular expressions of a query compile to; 2,000 by default. */
  readonly programSize: number;
}

export const DEFAULT_LIMITS: QueryLimits = {
  conditions: 1_000,
  depth: 100,
  listLength: 100_000,
  patternLength: 1_000,
  programSize: 2_000,
};
