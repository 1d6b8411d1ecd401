import type { SubmitOptions } from './submitter.js';

/** Options of `execute`. */
export interface ExecuteOptions extends SubmitOptions {
  /** Publishes neither output nor result; false by default. */
  readonly silent?: boolean;
}

/** Options of a view, for all its calls. */
export type ViewOptions = SubmitOptions;

/** A function and what it takes and gives. */
export type Fn<A extends unknown[], R> = (...args: A) => R;
