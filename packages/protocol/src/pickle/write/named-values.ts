import { type ExactTime, parseExactTime, textOfDate } from '../../common/exact-date.js';
import { OpaqueValue } from '../opaque-value.js';
import { PyCallable, PyReference } from '../py.js';
import { Complex } from '../values/complex.js';
import { Decimal } from '../values/decimal.js';
import { Fraction } from '../values/fraction.js';
import { PlainDate } from '../values/plain-date.js';
import { PlainTime } from '../values/plain-time.js';
import { PyFloat } from '../values/py-float.js';
import { TimeDelta } from '../values/time-delta.js';
import { Uuid } from '../values/uuid.js';
import type { Place } from './place.js';
import type { Writer } from './writer.js';

const LATEST_DATE = Date.UTC(9999, 11, 31, 23, 59, 59, 999);
const EARLIEST_DATE = new Date(0).setUTCFullYear(1, 0, 1);

/** Writes an instance of a class that has one counterpart in Python; false when it is of none. */
export function writeNamed(out: Writer, value: object, place: Place): boolean {
  if (value instanceof Date) writeDate(out, value, place);
  else if (value instanceof PyCallable || value instanceof PyReference) writeReference(out, value.expression);
  else if (value instanceof PyFloat) out.float(value.value);
  else if (value instanceof Complex) writeComplex(out, value);
  else if (value instanceof Decimal) writeOfText(out, 'decimal', 'Decimal', value.text);
  else if (value instanceof Uuid) writeOfText(out, 'uuid', 'UUID', value.text);
  else if (value instanceof Fraction) writeFraction(out, value);
  else if (value instanceof TimeDelta) writeTimeDelta(out, value);
  else if (value instanceof PlainDate) writePlainDate(out, value);
  else if (value instanceof PlainTime) writePlainTime(out, value);
  else if (value instanceof OpaqueValue) writeOpaque(out, value, place);
  else return false;
  return true;
}

/** An aware datetime of UTC; one that came from Python goes back as it was, to the microsecond, with its offset or without. */
function writeDate(out: Writer, date: Date, place: Place): void {
  const text = textOfDate(date);
  const exact = text === null ? undefined : parseExactTime(text);
  const ms = date.getTime();
  if (exact === undefined && !(ms >= EARLIEST_DATE && ms <= LATEST_DATE)) {
    const what = Number.isNaN(ms) ? 'is invalid' : `is ${date.toISOString()}`;
    throw place.fail(`Python has the years 1 to 9999, and this date ${what}`);
  }
  const seconds = Math.floor(ms / 1000) * 1000;
  writeDatetime(out, exact ?? { localMs: seconds, micros: (ms - seconds) * 1000, offsetMicros: 0 });
}

/** Two bytes for the year, one for each field, three for the microseconds. */
function writeDatetime(out: Writer, { localMs, micros, offsetMicros }: ExactTime): void {
  const local = new Date(localMs);
  const fields = Buffer.alloc(10);
  fields.writeUInt16BE(local.getUTCFullYear(), 0);
  fields.set([local.getUTCMonth() + 1, local.getUTCDate()], 2);
  fields.set([local.getUTCHours(), local.getUTCMinutes(), local.getUTCSeconds()], 4);
  fields.writeUIntBE(micros, 7, 3);
  out.call('datetime', 'datetime', () => {
    out.bytes(fields);
    if (offsetMicros === null) out.tuple(1);
    else {
      writeZone(out, offsetMicros);
      out.tuple(2);
    }
  });
}

function writeZone(out: Writer, offsetMicros: number): void {
  out.call('datetime', 'timezone', () => {
    writeTimeDelta(out, new TimeDelta(0, 0, offsetMicros));
    out.tuple(1);
  });
}

function writeTimeDelta(out: Writer, delta: TimeDelta): void {
  out.call('datetime', 'timedelta', () => {
    out.integer(delta.days);
    out.integer(delta.seconds);
    out.integer(delta.microseconds);
    out.tuple(3);
  });
}

function writePlainDate(out: Writer, { year, month, day }: PlainDate): void {
  out.call('datetime', 'date', () => {
    out.bytes(Buffer.of(year >> 8, year & 0xff, month, day));
    out.tuple(1);
  });
}

function writePlainTime(out: Writer, time: PlainTime): void {
  const fields = Buffer.alloc(6);
  fields.set([time.hour, time.minute, time.second]);
  fields.writeUIntBE(time.microsecond, 3, 3);
  out.call('datetime', 'time', () => {
    out.bytes(fields);
    if (time.offsetMinutes === null) out.tuple(1);
    else {
      writeZone(out, time.offsetMinutes * 60_000_000);
      out.tuple(2);
    }
  });
}

function writeComplex(out: Writer, { real, imag }: Complex): void {
  out.call('builtins', 'complex', () => {
    out.float(real);
    out.float(imag);
    out.tuple(2);
  });
}

function writeFraction(out: Writer, { numerator, denominator }: Fraction): void {
  out.call('fractions', 'Fraction', () => {
    out.bigint(numerator);
    out.bigint(denominator);
    out.tuple(2);
  });
}

function writeOfText(out: Writer, module: string, qualname: string, text: string): void {
  out.call(module, qualname, () => {
    out.text(text);
    out.tuple(1);
  });
}

/** Evaluated where the pickle is read; the engine's namespace is that of its main module. */
function writeReference(out: Writer, expression: string): void {
  out.call('builtins', 'eval', () => {
    out.text(expression);
    out.global('__main__', '__dict__');
    out.tuple(2);
  });
}

/** A class or function by name goes back under that name; of anything else the parts were read, not the whole. */
function writeOpaque(out: Writer, value: OpaqueValue, place: Place): void {
  if (value.kind !== 'reference') {
    throw place.fail(
      `it is ${value}, of which only a description came here; keep it in the engine under a name and send ref('name')`,
    );
  }
  if (value.module === '__main__') writeReference(out, value.qualname);
  else out.global(value.module, value.qualname);
}
