// What jupyter_client writes: ISO 8601 with up to six digits and a zone; naive times are read as UTC.
const ISO_DATE = /^(\d{4})-(\d{2})-(\d{2})[T ](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?(Z|[+-]\d{2}:?\d{2})?$/;

// What every hub writes; read without taking it apart. Days past 28 go the careful way, which knows the months.
const USUAL_DATE = /^\d{4}-(?:0\d|1[0-2])-(?:[01]\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{6}Z$/;

/** A moment as the wire gives it: a Date at the millisecond, and the text with up to six digits in UTC. */
export interface WireDate {
  readonly date: Date;
  /** ISO 8601 in UTC with six fractional digits, for example `2026-11-22T14:29:40.384024Z`. */
  readonly exact: string;
}

/** Reads an ISO 8601 text; undefined when it is none. A text without a zone is read as UTC. */
export function parseWireDate(text: string): WireDate | undefined {
  if (USUAL_DATE.test(text)) {
    const date = new Date(`${text.slice(0, 23)}Z`);
    return Number.isNaN(date.getTime()) ? undefined : { date, exact: text };
  }
  const parts = ISO_DATE.exec(text);
  if (parts === null) return undefined;
  const [, year, month, day, hour, minute, second, fraction = '', zone = 'Z'] = parts;
  const micros = fraction.slice(0, 6).padEnd(6, '0');
  const offset = zone === 'Z' ? 'Z' : `${zone.slice(0, 3)}:${zone.slice(-2)}`;
  const date = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}.${micros.slice(0, 3)}${offset}`);
  if (Number.isNaN(date.getTime())) return undefined;
  return { date, exact: `${date.toISOString().slice(0, 23)}${micros.slice(3)}Z` };
}

/** The wire's text of a moment: ISO 8601, UTC, six fractional digits. */
export function formatWireDate(date: Date): string {
  return `${date.toISOString().slice(0, 23)}000Z`;
}
