import { dateWithText, exactText } from '../common/exact-date.js';
import { type Budget, MEMORY_COSTS } from './pickle-limits.js';
import { isNamedZone, utcOffset } from './time-zones.js';
import { midnight, PlainDate } from './values/plain-date.js';
import { PlainTime } from './values/plain-time.js';
import { TimeDelta } from './values/time-delta.js';

// Python pickles dates and times as bytes: two for the year, one per field, three for the microseconds.

const DAY_MS = 86_400_000;
const DAY_SECONDS = 86_400;
const MAX_DAYS = 999_999_999;
const DATE_BYTES = 4;
const TIME_BYTES = 6;
/** The bit in a datetime's month or a time's hour that marks the second of two equal hours when clocks go back. */
const FOLD_BIT = 0x80;

/** The bytes of the fields. Pickles of Python 2 have them as text if every byte is ASCII. */
function packedFields(value: unknown, length: number): Uint8Array | undefined {
  if (value instanceof Uint8Array) return value.length === length ? value : undefined;
  if (typeof value !== 'string' || value.length !== length) return undefined;
  return Uint8Array.from(value, (char) => char.charCodeAt(0));
}

/** Midnight UTC of a day, in ms; undefined if the day does not exist. */
function midnightOf([high = 0, low = 0, month = 0, day = 0]: Uint8Array): number | undefined {
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

/** Decodes a `datetime.date`; undefined if the day does not exist. */
export function decodeDate([value]: readonly unknown[]): PlainDate | undefined {
  const bytes = packedFields(value, DATE_BYTES);
  if (bytes === undefined || midnightOf(bytes) === undefined) return undefined;
  const [high = 0, low = 0, month = 0, day = 0] = bytes;
  return new PlainDate(high * 256 + low, month, day);
}

/**
 * Decodes a `datetime.datetime` to a Date, rounded down to the millisecond, with its exact text attached. A naive datetime
 * is read as UTC. Undefined if the pickle does not show the offset of the zone.
 */
export function decodeDatetime([value, zone]: readonly unknown[], budget: Budget): Date | undefined {
  const bytes = packedFields(value, DATE_BYTES + TIME_BYTES)?.slice();
  if (bytes === undefined) return undefined;
  const fold = ((bytes[2] ?? 0) & FOLD_BIT) !== 0;
  bytes[2] = (bytes[2] ?? 0) & ~FOLD_BIT;
  const day = midnightOf(bytes);
  const time = timeOfDay(bytes.subarray(DATE_BYTES));
  if (day === undefined || time === undefined) return undefined;

  budget.spend(MEMORY_COSTS.exactTime);
  const { micros } = time;
  const localMs = day + ((time.hour * 60 + time.minute) * 60 + time.second) * 1000;
  const local = localMs + Math.floor(micros / 1000);
  if (zone === undefined || zone === null) {
    return dateWithText(local, exactText({ localMs, micros, offsetMicros: null }));
  }
  const offset = utcOffset(zone, local, fold, budget);
  if (offset === undefined) return undefined;
  // An offset may have microseconds. A double of ms is too coarse for the sum, so they are added separately.
  const offsetMs = Math.floor(offset);
  const offsetMicros = Math.round((offset - offsetMs) * 1000);
  const ms = local - offsetMs + Math.floor(((micros % 1000) - offsetMicros) / 1000);
  return dateWithText(ms, exactText({ localMs, micros, offsetMicros: Math.round(offset * 1000) }));
}

function twoDigits(value: number): string {
  return String(value).padStart(2, '0');
}

/** Decodes a `datetime.time`; undefined unless its zone, if any, has a constant offset of whole minutes. */
export function decodeTime([value, zone]: readonly unknown[], budget: Budget): PlainTime | undefined {
  const bytes = packedFields(value, TIME_BYTES)?.slice();
  if (bytes === undefined) return undefined;
  bytes[0] = (bytes[0] ?? 0) & ~FOLD_BIT;
  const time = timeOfDay(bytes);
  if (time === undefined) return undefined;
  const fraction = time.micros === 0 ? '' : `.${String(time.micros).padStart(6, '0')}`;
  const text = `${twoDigits(time.hour)}:${twoDigits(time.minute)}:${twoDigits(time.second)}${fraction}`;
  if (zone === undefined || zone === null) return new PlainTime(text);
  // A named zone has no offset without a date.
  const offset = isNamedZone(zone) ? undefined : utcOffset(zone, 0, false, budget);
  if (offset === undefined || offset % 60_000 !== 0 || Math.abs(offset) >= DAY_MS) return undefined;
  const minutes = Math.abs(offset) / 60_000;
  return new PlainTime(
    `${text}${offset < 0 ? '-' : '+'}${twoDigits(Math.floor(minutes / 60))}:${twoDigits(minutes % 60)}`,
  );
}

/** Decodes a `datetime.timedelta`; undefined if a part is outside Python's range. */
export function decodeTimedelta([days, seconds, micros]: readonly unknown[]): TimeDelta | undefined {
  if (typeof days !== 'number' || typeof seconds !== 'number' || typeof micros !== 'number') return undefined;
  if (![days, seconds, micros].every(Number.isSafeInteger) || Math.abs(days) > MAX_DAYS) return undefined;
  if (seconds < 0 || seconds >= DAY_SECONDS || micros < 0 || micros >= 1e6) return undefined;
  return new TimeDelta(days, seconds, micros);
}
