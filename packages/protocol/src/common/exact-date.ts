const EXACT: unique symbol = Symbol('ipyparallel-js.exactTime');

const ISO =
  /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{6})\d*)?(?:([+-])(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{6}))?)?)?$/;
const HOUR_MICROS = 3_600_000_000;
const MINUTE_MICROS = 60_000_000;

/** A time of Python's: the digits of a calendar and a clock, and how far that clock is ahead of UTC. */
export interface ExactTime {
  /** The digits read as UTC, at the whole second, in ms. */
  readonly localMs: number;
  /** 0 to 999,999; what is finer is left out. */
  readonly micros: number;
  /** In microseconds; null where the time has no zone. */
  readonly offsetMicros: number | null;
}

/** A Date that remembers Python's text of it, beside its ms and out of sight. */
export function dateWithText(ms: number, text: string): Date {
  return Object.defineProperty(new Date(ms), EXACT, { value: text });
}

/** That text; null where the Date has none, or was changed since. */
export function textOfDate(date: Date): string | null {
  const text = (date as { readonly [EXACT]?: string })[EXACT];
  const time = text === undefined ? undefined : parseExactTime(text);
  return text !== undefined && time !== undefined && msOf(time) === date.getTime() ? text : null;
}

function msOf({ localMs, micros, offsetMicros }: ExactTime): number {
  // A zone may be off by microseconds, and a date in ms has no bits for the sum in microseconds.
  const offset = offsetMicros ?? 0;
  const wholeMs = Math.floor(offset / 1000);
  return localMs - wholeMs + Math.floor((micros - (offset - wholeMs * 1000)) / 1000);
}

/** What a text of {@link exactText} says. */
export function parseExactTime(text: string): ExactTime | undefined {
  const parts = ISO.exec(text);
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

/** As `datetime.isoformat` has it; `nanos` are what pandas has below the microsecond. */
export function exactText({ localMs, micros, offsetMicros }: ExactTime, nanos = 0): string {
  const digits = new Date(localMs).toISOString().slice(0, 19);
  const fine = nanos === 0 ? '' : String(nanos).padStart(3, '0');
  const fraction = micros === 0 && fine === '' ? '' : `.${String(micros).padStart(6, '0')}${fine}`;
  return digits + fraction + (offsetMicros === null ? '' : zoneText(offsetMicros));
}

function zoneText(offset: number): string {
  const micros = Math.abs(offset);
  const minutes = Math.floor(micros / MINUTE_MICROS);
  const rest = micros - minutes * MINUTE_MICROS;
  const fraction = rest % 1e6 === 0 ? '' : `.${String(rest % 1e6).padStart(6, '0')}`;
  const seconds = rest === 0 ? '' : `:${two(Math.floor(rest / 1e6))}${fraction}`;
  return `${offset < 0 ? '-' : '+'}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}${seconds}`;
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}
