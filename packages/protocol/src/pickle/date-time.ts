import { dateWithText, exactText } from '../common/exact-date.js';
import { type Budget, COST } from './pickle-limits.js';
import { isNamedZone, utcOffset } from './time-zones.js';
import { midnight, PlainDate } from './values/plain-date.js';
import { PlainTime } from './values/plain-time.js';
import { TimeDelta } from './values/time-delta.js';

// Python pickles dates and times as bytes: two for the year, one for each field, three for the microseconds.

const DAY_MS = 86_400_000;
const DAY_SECONDS = 86_400;
const MAX_DAYS = 999_999_999;
const DATE_BYTES = 4;
const TIME_BYTES = 6;
/** Of the month's byte in a datetime, of the hour's in a time: the second of two hours when clocks go back. */
const FOLD_BIT = 0x80;

/** The packed fields; pickles of Python 2 have them as text where every byte is ASCII. */
function packed(value: unknown, length: number): Uint8Array | undefined {
  if (value instanceof Uint8Array) return value.length === length ? value : undefined;
  if (typeof value !== 'string' || value.length !== length) return undefined;
  return Uint8Array.from(value, (char) => char.charCodeAt(0));
}

/** Midnight UTC of a day, in ms; undefined when there is no such day. */
function dayMs([high = 0, low = 0, month = 0, day = 0]: Uint8Array): number | undefined {
  return midnight(high * 256 + low, month, day);
}

interface TimeOfDay {
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  readonly micros: number;
}

function timeOfDay(bytes: Uint8Array): TimeOfDay | undefined {
  const [hour = 0, minute = 0, second = 0, high = 0, middle = 0, low = 0] = bytes;
  const micros = high * 65_536 + middle * 256 + low;
  if (hour > 23 || minute > 59 || second > 59 || micros > 999_999) return undefined;
  return { hour, minute, second, micros };
}

/** A `datetime.date`; undefined when there is no such day. */
export function decodeDate([value]: readonly unknown[]): PlainDate | undefined {
  const bytes = packed(value, DATE_BYTES);
  if (bytes === undefined || dayMs(bytes) === undefined) return undefined;
  const [high = 0, low = 0, month = 0, day = 0] = bytes;
  return new PlainDate(high * 256 + low, month, day);
}

/**
 * A `datetime.datetime` is a Date at the millisecond (rounded down), which remembers its text. With a zone it is that instant; without one
 * its digits are read as UTC. Undefined when the zone is one whose offset cannot be told.
 */
export function decodeDatetime([value, zone]: readonly unknown[], budget: Budget): Date | undefined {
  const bytes = packed(value, DATE_BYTES + TIME_BYTES)?.slice();
  if (bytes === undefined) return undefined;
  const fold = ((bytes[2] ?? 0) & FOLD_BIT) !== 0;
  bytes[2] = (bytes[2] ?? 0) & ~FOLD_BIT;
  const day = dayMs(bytes);
  const time = timeOfDay(bytes.subarray(DATE_BYTES));
  if (day === undefined || time === undefined) return undefined;

  budget.spend(COST.exactTime);
  const { micros } = time;
  const localMs = day + ((time.hour * 60 + time.minute) * 60 + time.second) * 1000;
  const local = localMs + Math.floor(micros / 1000);
  if (zone === undefined || zone === null) {
    return dateWithText(local, exactText({ localMs, micros, offsetMicros: null }));
  }
  const offset = utcOffset(zone, local, fold, budget);
  if (offset === undefined) return undefined;
  // A zone may be off by microseconds; a date in ms has no bits for their sum, so they are added apart.
  const offsetMs = Math.floor(offset);
  const offsetMicros = Math.round((offset - offsetMs) * 1000);
  const ms = local - offsetMs + Math.floor(((micros % 1000) - offsetMicros) / 1000);
  return dateWithText(ms, exactText({ localMs, micros, offsetMicros: Math.round(offset * 1000) }));
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}

/** A `datetime.time`, with its zone where that has one offset for all time, to the minute. */
export function decodeTime([value, zone]: readonly unknown[], budget: Budget): PlainTime | undefined {
  const bytes = packed(value, TIME_BYTES)?.slice();
  if (bytes === undefined) return undefined;
  bytes[0] = (bytes[0] ?? 0) & ~FOLD_BIT;
  const time = timeOfDay(bytes);
  if (time === undefined) return undefined;
  const fraction = time.micros === 0 ? '' : `.${String(time.micros).padStart(6, '0')}`;
  const text = `${two(time.hour)}:${two(time.minute)}:${two(time.second)}${fraction}`;
  if (zone === undefined || zone === null) return new PlainTime(text);
  // A named zone has no offset without a date.
  const offset = isNamedZone(zone) ? undefined : utcOffset(zone, 0, false, budget);
  if (offset === undefined || offset % 60_000 !== 0 || Math.abs(offset) >= DAY_MS) return undefined;
  const minutes = Math.abs(offset) / 60_000;
  return new PlainTime(
    `${text}${offset < 0 ? '-' : '+'}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`,
  );
}

/** A `datetime.timedelta`; undefined where its parts are none of Python's. */
export function decodeTimedelta([days, seconds, micros]: readonly unknown[]): TimeDelta | undefined {
  if (typeof days !== 'number' || typeof seconds !== 'number' || typeof micros !== 'number') return undefined;
  if (![days, seconds, micros].every(Number.isSafeInteger) || Math.abs(days) > MAX_DAYS) return undefined;
  if (seconds < 0 || seconds >= DAY_SECONDS || micros < 0 || micros >= 1e6) return undefined;
  return new TimeDelta(days, seconds, micros);
}
