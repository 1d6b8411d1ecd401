import { describe } from '../../common/describe.js';
import { UsageError } from '../../common/errors.js';

const TIME =
  /^([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d)(?:\.(\d{1,6}))?)?(?:([+-])([01]\d|2[0-3]):([0-5]\d)|(Z))?$/;

/** A Python `datetime.time`, made from ISO text such as `13:05:00.000250` or `13:05:00+02:00`. */
export class PlainTime {
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  readonly microsecond: number;
  /** Offset of the zone from UTC, in minutes; null without a zone. */
  readonly offsetMinutes: number | null;

  /** @throws {UsageError} when the text is not a time of day */
  constructor(text: string) {
    const parts = typeof text === 'string' ? TIME.exec(text) : null;
    if (parts === null)
      throw new UsageError(`a PlainTime must be a time of day such as 13:05:00, got ${describe(text)}`);
    const [, hour, minute, second = '0', fraction = '', sign, zoneHour, zoneMinute, utc] = parts;
    this.hour = Number(hour);
    this.minute = Number(minute);
    this.second = Number(second);
    this.microsecond = Number(fraction.padEnd(6, '0'));
    const offset = Number(zoneHour) * 60 + Number(zoneMinute);
    if (utc !== undefined) this.offsetMinutes = 0;
    else this.offsetMinutes = sign === undefined ? null : sign === '-' ? -offset || 0 : offset;
  }

  toString(): string {
    const fraction = this.microsecond === 0 ? '' : `.${String(this.microsecond).padStart(6, '0')}`;
    return `${twoDigits(this.hour)}:${twoDigits(this.minute)}:${twoDigits(this.second)}${fraction}${this.#zone()}`;
  }

  #zone(): string {
    if (this.offsetMinutes === null) return '';
    const minutes = Math.abs(this.offsetMinutes);
    return `${this.offsetMinutes < 0 ? '-' : '+'}${twoDigits(Math.floor(minutes / 60))}:${twoDigits(minutes % 60)}`;
  }

  toJSON(): string {
    return this.toString();
  }
}

function twoDigits(value: number): string {
  return String(value).padStart(2, '0');
}
