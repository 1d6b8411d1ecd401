import { parseWireDate } from '../common/dates.js';
import { describe } from '../common/describe.js';
import { isDict } from '../common/dict.js';
import { InvalidQueryError } from '../common/errors.js';
import { TASK_COLUMNS } from '../tasks/task-record.js';
import type { Field } from './tree.js';

/** The format of dates in a query: `date` (a Date) in this process, `text` (ISO 8601) in a message. */
export type DateFormat = 'date' | 'text';

/** Validates and copies the values that a query compares with, by the type of the column. Numbers are converted as JSON does. */
export class ValueReader {
  readonly #dates: DateFormat;

  constructor(dates: DateFormat) {
    this.#dates = dates;
  }

  /**
   * Validates and copies a value.
   * @param target the column, or only the name of a path inside a dict, where any JSON value is allowed
   * @param depth the maximum nesting of the value
   * @throws {InvalidQueryError} when the value has the wrong type or nests too deep
   */
  read(target: { readonly name: string; readonly column?: Field }, value: unknown, depth: number): unknown {
    if (value === null) return null;
    if (value === undefined)
      throw new InvalidQueryError(
        `the value of "${target.name}" is undefined; use null to match missing values`,
      );
    if (target.column === undefined) return this.#copyValue(target.name, value, depth, depth);
    const reject = (expected: string): never => {
      throw new InvalidQueryError(
        `"${target.name}" must be compared with ${expected}, got ${describe(value)}`,
      );
    };
    switch (TASK_COLUMNS[target.column.column]) {
      case 'text':
        return typeof value === 'string' ? value : reject('a string');
      case 'date': {
        if (this.#dates === 'text' && typeof value === 'string') {
          return dateOfText(value) ?? reject('an ISO 8601 date');
        }
        if (!(value instanceof Date)) return reject('a Date, for example new Date(Date.now() - 3_600_000)');
        if (Number.isNaN(value.getTime())) return reject('a valid Date');
        return new Date(value);
      }
      case 'dict':
        return isDict(value) ? this.#copyValue(target.name, value, depth, depth) : reject('an object');
      case 'buffers':
        return reject('null, because it holds buffers');
    }
  }

  // Copies the value, so that later changes by the caller do not affect the query.
  #copyValue(name: string, value: unknown, left: number, depth: number): unknown {
    if (left < 0)
      throw new InvalidQueryError(`the value of "${name}" must nest at most ${depth} levels deep`);
    if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
    // Records travel as JSON, which has only finite numbers and no negative zero.
    if (typeof value === 'number' && Number.isFinite(value)) return value + 0;
    if (Array.isArray(value)) {
      return Array.from(value as unknown[], (item) => this.#copyValue(name, item, left - 1, depth));
    }
    if (value instanceof Date) {
      throw new InvalidQueryError(
        `the value of "${name}" contains a Date, but dates inside dicts are strings; compare with date.toISOString()`,
      );
    }
    if (isDict(value)) {
      return Object.fromEntries(
        Object.entries(value).map(([key, item]) => [key, this.#copyValue(name, item, left - 1, depth)]),
      );
    }
    throw new InvalidQueryError(`the value of "${name}" must be JSON, got ${describe(value)}`);
  }
}

// JavaScript's format of years with more than four digits. No record has such a date, but a bound of a query may.
const FAR_DATE = /^[+-]\d{6}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/;

function dateOfText(text: string): Date | undefined {
  if (!FAR_DATE.test(text)) return parseWireDate(text)?.date;
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? undefined : date;
}
