import { parseWireDate } from '../common/dates.js';
import { isDict } from '../common/dict.js';
import { InvalidQueryError } from '../common/errors.js';
import { TASK_COLUMNS } from '../tasks/task-record.js';
import { describe } from './describe.js';
import type { Field } from './tree.js';

/** How the dates of a query are written: `date` in this process, `text` (ISO 8601) in a message. */
export type DateFormat = 'date' | 'text';

/** Reads the values that a query compares with: checked by what a column holds, copied, and as JSON has them. */
export class ValueReader {
  readonly #dates: DateFormat;

  constructor(dates: DateFormat) {
    this.#dates = dates;
  }

  /** A value for a column, or for what lies inside a dict, nested so deep at most. @throws InvalidQueryError */
  read(place: { readonly name: string; readonly column?: Field }, value: unknown, depth: number): unknown {
    if (value === null) return null;
    if (value === undefined) throw new InvalidQueryError(`the value of "${place.name}" is undefined`);
    if (place.column === undefined) return this.#anyValue(place.name, value, depth, depth);
    const wrong = (wanted: string): never => {
      throw new InvalidQueryError(
        `"${place.name}" is ${wanted}; it cannot be compared with ${describe(value)}`,
      );
    };
    switch (TASK_COLUMNS[place.column.column]) {
      case 'text':
        return typeof value === 'string' ? value : wrong('a text');
      case 'date': {
        if (this.#dates === 'text' && typeof value === 'string') {
          return dateOfText(value) ?? wrong('a date, in a message an ISO 8601 text');
        }
        if (!(value instanceof Date))
          return wrong('a date: pass a Date, for example new Date(Date.now() - 3_600_000)');
        if (Number.isNaN(value.getTime())) return wrong('a date, and this Date is invalid');
        return new Date(value);
      }
      case 'dict':
        return isDict(value) ? this.#anyValue(place.name, value, depth, depth) : wrong('a dict');
      case 'buffers':
        return wrong('a list of buffers, which can only be compared with null');
    }
  }

  // Copied: a query means what it meant at the call, whatever is done to its parts afterwards.
  #anyValue(name: string, value: unknown, left: number, depth: number): unknown {
    if (left < 0) throw new InvalidQueryError(`the value of "${name}" nests deeper than ${depth} levels`);
    if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
    // JSON, in which records travel, has no other numbers, and no negative zero.
    if (typeof value === 'number' && Number.isFinite(value)) return value + 0;
    if (Array.isArray(value)) {
      return Array.from(value as unknown[], (item) => this.#anyValue(name, item, left - 1, depth));
    }
    if (value instanceof Date) {
      throw new InvalidQueryError(
        `the value of "${name}" holds a Date; dates inside dicts are texts: compare with date.toISOString()`,
      );
    }
    if (isDict(value)) {
      return Object.fromEntries(
        Object.entries(value).map(([key, item]) => [key, this.#anyValue(name, item, left - 1, depth)]),
      );
    }
    throw new InvalidQueryError(`the value of "${name}" holds ${describe(value)}, which no record can hold`);
  }
}

// How JavaScript writes years that have more than four digits; no record has one, but a bound may.
const FAR_DATE = /^[+-]\d{6}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/;

function dateOfText(text: string): Date | undefined {
  if (!FAR_DATE.test(text)) return parseWireDate(text)?.date;
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? undefined : date;
}
