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
import type { OpcodeWriter } from './opcode-writer.js';
import type { ValuePath } from './value-path.js';

const LATEST_DATE = Date.UTC(9999, 11, 31, 23, 59, 59, 999);
const EARLIEST_DATE = new Date(0).setUTCFullYear(1, 0, 1);

/** Writes an instance of a class with a Python counterpart; returns false for any other object. */
export function writeInstance(out: OpcodeWriter, value: object, path: ValuePath): boolean {
  if (value instanceof Date) writeDate(out, value, path);
  else if (value instanceof PyCallable || value instanceof PyReference) writeReference(out, value.expression);
  else if (value instanceof PyFloat) out.float(value.value);
  else if (value instanceof Complex) writeComplex(out, value);
  else if (value instanceof Decimal) writeTextCall(out, 'decimal', 'Decimal', value.text);
  else if (value instanceof Uuid) writeTextCall(out, 'uuid', 'UUID', value.text);
  else if (value instanceof Fraction) writeFraction(out, value);
  else if (value instanceof TimeDelta) writeTimeDelta(out, value);
  else if (value instanceof PlainDate) writePlainDate(out, value);
  else if (value instanceof PlainTime) writePlainTime(out, value);
  else if (value instanceof OpaqueValue) writeOpaque(out, value, path);
  else return false;
  return true;
}

/** Writes a datetime in UTC. A Date received from Python is written with its original microseconds and offset, if any. */
function writeDate(out: OpcodeWriter, date: Date, path: ValuePath): void {
  const text = textOfDate(date);
  const exact = text === null ? undefined : parseExactTime(text);
  const ms = date.getTime();
  if (exact === undefined && !(ms >= EARLIEST_DATE && ms <= LATEST_DATE)) {
    const description = Number.isNaN(ms) ? 'an invalid Date' : date.toISOString();
    throw path.error(`a Python datetime must have a year from 1 to 9999, got ${description}`);
  }
  const seconds = Math.floor(ms / 1000) * 1000;
  writeDatetime(out, exact ?? { localMs: seconds, micros: (ms - seconds) * 1000, offsetMicros: 0 });
}

/** Fields: two bytes for the year, one per field, three for the microseconds. */
function writeDatetime(out: OpcodeWriter, { localMs, micros, offsetMicros }: ExactTime): void {
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

function writeZone(out: OpcodeWriter, offsetMicros: number): void {
  out.call('datetime', 'timezone', () => {
    writeTimeDelta(out, new TimeDelta(0, 0, offsetMicros));
    out.tuple(1);
  });
}

function writeTimeDelta(out: OpcodeWriter, delta: TimeDelta): void {
  out.call('datetime', 'timedelta', () => {
    out.integer(delta.days);
    out.integer(delta.seconds);
    out.integer(delta.microseconds);
    out.tuple(3);
  });
}

function writePlainDate(out: OpcodeWriter, { year, month, day }: PlainDate): void {
  out.call('datetime', 'date', () => {
    out.bytes(Buffer.of(year >> 8, year & 0xff, month, day));
    out.tuple(1);
  });
}

function writePlainTime(out: OpcodeWriter, time: PlainTime): void {
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

function writeComplex(out: OpcodeWriter, { real, imag }: Complex): void {
  out.call('builtins', 'complex', () => {
    out.float(real);
    out.float(imag);
    out.tuple(2);
  });
}

function writeFraction(out: OpcodeWriter, { numerator, denominator }: Fraction): void {
  out.call('fractions', 'Fraction', () => {
    out.bigint(numerator);
    out.bigint(denominator);
    out.tuple(2);
  });
}

function writeTextCall(out: OpcodeWriter, module: string, qualname: string, text: string): void {
  out.call(module, qualname, () => {
    out.text(text);
    out.tuple(1);
  });
}

/** Writes an expression that the engine evaluates when it reads the pickle, in its namespace (that of its main module). */
function writeReference(out: OpcodeWriter, expression: string): void {
  out.call('builtins', 'eval', () => {
    out.text(expression);
    out.global('__main__', '__dict__');
    out.tuple(2);
  });
}

/** Writes a class or function by its name. Any other object cannot be sent back, because only its description was received. */
function writeOpaque(out: OpcodeWriter, value: OpaqueValue, path: ValuePath): void {
  if (value.kind !== 'reference') {
    throw path.error(
      `it is ${value}, and only its description was received; store the object in the engine under a name and send ref('name')`,
    );
  }
  if (value.module === '__main__') writeReference(out, value.qualname);
  else out.global(value.module, value.qualname);
}
