// The format of jupyter_client: ISO 8601 with a fraction and an optional zone. A time without a zone is UTC.
const ISO_DATE = /^(\d{4})-(\d{2})-(\d{2})[T ](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?(Z|[+-]\d{2}:?\d{2})?$/;

// Every hub writes this format. It has a fast path because the regular expression takes ten times as long, and each
// record has four dates.
const HUB_DATE_LENGTH = '2026-11-22T14:29:40.384024Z'.length;
const MONTH_DAYS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** A timestamp from the wire: a Date with milliseconds, and its text with microseconds. */
export interface WireDate {
  readonly date: Date;
  /** ISO 8601 in UTC with six fractional digits, for example `2026-11-22T14:29:40.384024Z`. */
  readonly exact: string;
}

/** Parses an ISO 8601 text; a text without a zone is UTC. @returns undefined when the text is not a date */
export function parseWireDate(text: string): WireDate | undefined {
  const hubTime = parseHubDate(text);
  if (hubTime !== undefined) return { date: new Date(hubTime), exact: text };
  const parts = ISO_DATE.exec(text);
  if (parts === null) return undefined;
  const [, year, month, day, hour, minute, second, fraction = '', zone = 'Z'] = parts;
  const micros = fraction.slice(0, 6).padEnd(6, '0');
  const offset = zone === 'Z' ? 'Z' : `${zone.slice(0, 3)}:${zone.slice(-2)}`;
  const date = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}.${micros.slice(0, 3)}${offset}`);
  if (Number.isNaN(date.getTime())) return undefined;
  return { date, exact: `${date.toISOString().slice(0, 23)}${micros.slice(3)}Z` };
}

/** The time in ms of a text like `2026-11-22T14:29:40.384024Z`; undefined for any other format or an invalid date. */
function parseHubDate(text: string): number | undefined {
  if (text.length !== HUB_DATE_LENGTH) return undefined;
  const hasSeparators =
    text.charCodeAt(4) === 0x2d &&
    text.charCodeAt(7) === 0x2d &&
    text.charCodeAt(10) === 0x54 &&
    text.charCodeAt(13) === 0x3a &&
    text.charCodeAt(16) === 0x3a &&
    text.charCodeAt(19) === 0x2e &&
    text.charCodeAt(26) === 0x5a;
  if (!hasSeparators) return undefined;
  const year = readDigits(text, 0, 4);
  const month = readDigits(text, 5, 2);
  const day = readDigits(text, 8, 2);
  const hour = readDigits(text, 11, 2);
  const minute = readDigits(text, 14, 2);
  const second = readDigits(text, 17, 2);
  const micros = readDigits(text, 20, 6);
  // A part with a non-digit is NaN, which fails every comparison.
  const inRange =
    year >= 100 &&
    month >= 1 &&
    month <= 12 &&
    day >= 1 &&
    day <= (MONTH_DAYS[month - 1] ?? 0) &&
    hour <= 23 &&
    minute <= 59 &&
    second <= 59 &&
    micros >= 0;
  if (!inRange || (month === 2 && day === 29)) return undefined;
  return Date.UTC(year, month - 1, day, hour, minute, second, Math.floor(micros / 1000));
}

function readDigits(text: string, from: number, count: number): number {
  let value = 0;
  for (let i = from; i < from + count; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (!(digit >= 0 && digit <= 9)) return Number.NaN;
    value = value * 10 + digit;
  }
  return value;
}

/** Formats a Date for the wire: ISO 8601, UTC, six fractional digits. */
export function formatWireDate(date: Date): string {
  return `${date.toISOString().slice(0, 23)}000Z`;
}
