import { UsageError } from '../../common/errors.js';

/** A Python `datetime.date`: a day of the calendar, without a time or a zone. */
export class PlainDate {
  readonly year: number;
  /** 1 to 12. */
  readonly month: number;
  readonly day: number;

  /** @throws UsageError when there is no such day in the years 1 to 9999 */
  constructor(year: number, month: number, day: number) {
    if (midnight(year, month, day) === undefined) {
      throw new UsageError(`there is no day ${year}-${month}-${day} in Python's calendar`);
    }
    this.year = year;
    this.month = month;
    this.day = day;
  }

  /** Its midnight in UTC. */
  toDate(): Date {
    return new Date(midnight(this.year, this.month, this.day) ?? Number.NaN);
  }

  /** Such as `2026-01-15`. */
  toString(): string {
    return this.toDate().toISOString().slice(0, 10);
  }

  toJSON(): string {
    return this.toString();
  }
}

/** Midnight UTC of a day, in ms; undefined when there is no such day. */
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
