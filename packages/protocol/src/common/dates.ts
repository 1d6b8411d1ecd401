// What jupyter_client writes: ISO 8601 with up to six digits and a zone; naive times are read as UTC.
const ISO_DATE = /^(\d{4})-(\d{2})-(\d{2})[T ](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?(Z|[+-]\d{2}:?\d{2})?$/;

// What every hub writes, read by its digits: the careful way takes ten times as long, and a record has four of them.
const USUAL_LENGTH = '2026-11-22T14:29:40.384024Z'.length;
const MONTH_DAYS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** A moment as the wire gives it: a Date at the millisecond, and the text with up to six digits in UTC. */
export interface WireDate {
  readonly date: Date;
  /** ISO 8601 in UTC with six fractional digits, for example `2026-11-22T14:29:40.384024Z`. */
  readonly exact: string;
}

/** Reads an ISO 8601 text; undefined when it is none. A text without a zone is read as UTC. */
export function parseWireDate(text: string): WireDate | undefined {
  const usual = usualTime(text);
  if (usual !== undefined) return { date: new Date(usual), exact: text };
  const parts = ISO_DATE.exec(text);
  if (parts === null) return undefined;
  const [, year, month, day, hour, minute, second, fraction = '', zone = 'Z'] = parts;
  const micros = fraction.slice(0, 6).padEnd(6, '0');
  const offset = zone === 'Z' ? 'Z' : `${zone.slice(0, 3)}:${zone.slice(-2)}`;
  const date = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}.${micros.slice(0, 3)}${offset}`);
  if (Number.isNaN(date.getTime())) return undefined;
  return { date, exact: `${date.toISOString().slice(0, 23)}${micros.slice(3)}Z` };
}

/** The moment of a text like `2026-11-22T14:29:40.384024Z`; undefined for what is written otherwise, or no date. */
function usualTime(text: string): number | undefined {
  if (text.length !== USUAL_LENGTH) return undefined;
  const marks =
    text.charCodeAt(4) === 0x2d &&
    text.charCodeAt(7) === 0x2d &&
    text.charCodeAt(10) === 0x54 &&
    text.charCodeAt(13) === 0x3a &&
    text.charCodeAt(16) === 0x3a &&
    text.charCodeAt(19) === 0x2e &&
    text.charCodeAt(26) === 0x5a;
  if (!marks) return undefined;
  const year = digits(text, 0, 4);
  const month = digits(text, 5, 2);
  const day = digits(text, 8, 2);
  const hour = digits(text, 11, 2);
  const minute = digits(text, 14, 2);
  const second = digits(text, 17, 2);
  const micros = digits(text, 20, 6);
  // NaN, for what is no digit, is in no range.
  const fits =
    year >= 100 &&
    month >= 1 &&
    month <= 12 &&
    day >= 1 &&
    day <= (MONTH_DAYS[month - 1] ?? 0) &&
    hour <= 23 &&
    minute <= 59 &&
    second <= 59 &&
    micros >= 0;
  if (!fits || (month === 2 && day === 29)) return undefined;
  return Date.UTC(year, month - 1, day, hour, minute, second, Math.floor(micros / 1000));
}

function digits(text: string, from: number, count: number): number {
  let value = 0;
  for (let i = from; i < from + count; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (!(digit >= 0 && digit <= 9)) return Number.NaN;
    value = value * 10 + digit;
  }
  return value;
}

/** The wire's text of a moment: ISO 8601, UTC, six fractional digits. */
export function formatWireDate(date: Date): string {
  return `${date.toISOString().slice(0, 23)}000Z`;
}
