import { InvalidQueryError } from '../common/errors.js';
import { type QueryLimits, valueDepthIn } from './limits.js';

/** Counts the conditions, levels and pattern instructions of one query; each method throws when a limit is exceeded. */
export class LimitCounter {
  readonly #limits: QueryLimits;
  #conditions = 0;
  #depth = 0;
  #programSize = 0;

  constructor(limits: QueryLimits) {
    this.#limits = limits;
  }

  /** The nesting allowed for a value at the current depth of sub-queries, in levels. */
  get valueDepth(): number {
    return valueDepthIn(this.#limits, this.#depth);
  }

  addConditions(count: number): void {
    this.#conditions += count;
    if (this.#conditions > this.#limits.conditions)
      throw new InvalidQueryError(`a query must have at most ${this.#limits.conditions} conditions`);
  }

  /** Adds the instructions of a compiled regular expression. */
  addProgram(size: number, subject: string): void {
    this.#programSize += size;
    if (this.#programSize > this.#limits.programSize) {
      throw new InvalidQueryError(
        `${subject}: the regular expressions of a query must compile to at most ${this.#limits.programSize} instructions in total`,
      );
    }
  }

  checkPatternLength(pattern: string, subject: string): void {
    if (pattern.length > this.#limits.patternLength) {
      throw new InvalidQueryError(
        `${subject} must have at most ${this.#limits.patternLength} characters, got ${pattern.length}`,
      );
    }
  }

  checkListLength(list: readonly unknown[], subject: string): void {
    if (list.length > this.#limits.listLength)
      throw new InvalidQueryError(
        `${subject} must have at most ${this.#limits.listLength} values, got ${list.length}`,
      );
  }

  /** Runs `read` one level deeper. */
  withDepth<T>(read: () => T): T {
    if (++this.#depth > this.#limits.depth)
      throw new InvalidQueryError(`a query must nest at most ${this.#limits.depth} levels deep`);
    const value = read();
    this.#depth--;
    return value;
  }
}
