import { UsageError } from '../../common/errors.js';

/** A Python `datetime.date`: a calendar day without time or zone. */
export class PlainDate {
  readonly year: number;
  /** 1 to 12. */
  readonly month: number;
  readonly day: number;

  /** @throws {UsageError} when the day does not exist in the years 1 to 9999 */
  constructor(year: number, month: number, day: number) {
    if (midnight(year, month, day) === undefined) {
      throw new UsageError(`a PlainDate must be a day in the years 1 to 9999, got ${year}-${month}-${day}`);
    }
    this.year = year;
    this.month = month;
    this.day = day;
  }

  /** Midnight of the day in UTC. */
  toDate(): Date {
    return new Date(midnight(this.year, this.month, this.day) ?? Number.NaN);
  }

  /** ISO text, such as `2026-01-15`. */
  toString(): string {
    return this.toDate().toISOString().slice(0, 10);
  }

  toJSON(): string {
    return this.toString();
  }
}

/** Midnight UTC of a day, in ms; undefined if the day does not exist. */
export function midnight(year: number, month: number, day: number): number | undefined {
  const date = new Date(0);
  const ms = date.setUTCFullYear(year, month - 1, day);
  const exists =
    year >= 1 &&
    year <= 9999 &&
    date.getUTCFullYear() === year &&
    date.getUTCMonth() === month - 1 &&
    date.getUTCDate() === day;
  return exists ? ms : undefined;
}
