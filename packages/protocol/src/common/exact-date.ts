const TEXT_KEY: unique symbol = Symbol('ipyparallel-js.exactTime');

const ISO_DATETIME =
  /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{6})\d*)?(?:([+-])(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{6}))?)?)?$/;
const HOUR_MICROS = 3_600_000_000;
const MINUTE_MICROS = 60_000_000;

/** A Python datetime: local date and time, and the offset of its zone. */
export interface ExactTime {
  /** The local date and time read as if it were UTC, cut to the second, in ms. */
  readonly localMs: number;
  /** The fraction of the second, 0 to 999,999 microseconds. */
  readonly micros: number;
  /** How far local time is ahead of UTC, in microseconds; null when the datetime has no zone. */
  readonly offsetMicros: number | null;
}

/** Creates a Date that carries Python's text in a hidden property; the text is more precise than milliseconds. */
export function dateWithText(ms: number, text: string): Date {
  return Object.defineProperty(new Date(ms), TEXT_KEY, { value: text });
}

/** The text attached by {@link dateWithText}; null when there is none, or when the Date was changed since. */
export function textOfDate(date: Date): string | null {
  const text = (date as { readonly [TEXT_KEY]?: string })[TEXT_KEY];
  const time = text === undefined ? undefined : parseExactTime(text);
  return text !== undefined && time !== undefined && msOf(time) === date.getTime() ? text : null;
}

function msOf({ localMs, micros, offsetMicros }: ExactTime): number {
  // An offset may have microseconds. The sum is not computed in microseconds because it would exceed a safe integer.
  const offset = offsetMicros ?? 0;
  const wholeMs = Math.floor(offset / 1000);
  return localMs - wholeMs + Math.floor((micros - (offset - wholeMs * 1000)) / 1000);
}

/** Parses a text written by {@link exactText}; undefined when it has another format. */
export function parseExactTime(text: string): ExactTime | undefined {
  const parts = ISO_DATETIME.exec(text);
  if (parts === null) return undefined;
  const [year, month, day, hour, minute, second, micros] = parts.slice(1, 8).map((part) => Number(part ?? 0));
  const midnight = new Date(0).setUTCFullYear(year ?? 0, (month ?? 1) - 1, day);
  const localMs = midnight + (((hour ?? 0) * 60 + (minute ?? 0)) * 60 + (second ?? 0)) * 1000;
  const [sign, ...zone] = parts.slice(8);
  if (sign === undefined) return { localMs, micros: micros ?? 0, offsetMicros: null };
  const [hours = 0, minutes = 0, seconds = 0, rest = 0] = zone.map((part) => Number(part ?? 0));
  const offset = hours * HOUR_MICROS + minutes * MINUTE_MICROS + seconds * 1e6 + rest;
  return { localMs, micros: micros ?? 0, offsetMicros: sign === '-' ? -offset : offset };
}

/** Formats like Python's `datetime.isoformat`; `nanos` are the three digits that pandas adds after the microseconds. */
export function exactText({ localMs, micros, offsetMicros }: ExactTime, nanos = 0): string {
  const digits = new Date(localMs).toISOString().slice(0, 19);
  const nanoDigits = nanos === 0 ? '' : String(nanos).padStart(3, '0');
  const fraction =
    micros === 0 && nanoDigits === '' ? '' : `.${String(micros).padStart(6, '0')}${nanoDigits}`;
  return digits + fraction + (offsetMicros === null ? '' : zoneText(offsetMicros));
}

function zoneText(offset: number): string {
  const micros = Math.abs(offset);
  const minutes = Math.floor(micros / MINUTE_MICROS);
  const rest = micros - minutes * MINUTE_MICROS;
  const fraction = rest % 1e6 === 0 ? '' : `.${String(rest % 1e6).padStart(6, '0')}`;
  const seconds = rest === 0 ? '' : `:${twoDigits(Math.floor(rest / 1e6))}${fraction}`;
  return `${offset < 0 ? '-' : '+'}${twoDigits(Math.floor(minutes / 60))}:${twoDigits(minutes % 60)}${seconds}`;
}

function twoDigits(value: number): string {
  return String(value).padStart(2, '0');
}
