import { dateWithText, exactText } from '../../common/exact-date.js';
import type { OpaqueValue } from '../opaque-value.js';
import { type Budget, MEMORY_COSTS } from '../pickle-limits.js';
import { TimeDelta } from '../values/time-delta.js';

// A pandas time is a number of units since 1970 in UTC, independent of its zone; a duration is a number of units.

/** Units per second, by numpy's number for the unit. */
const UNITS: ReadonlyMap<unknown, bigint> = new Map([
  [7, 1n],
  [8, 1000n],
  [9, 1_000_000n],
  [10, 1_000_000_000n],
]);
const NANOSECONDS = 10;
const UNITS_OF_SECOND = 1_000_000_000n;
const LATEST_MS = 8_640_000_000_000_000;
/** The exact text has a year of four digits. */
const EARLIEST_TEXT_MS = new Date(0).setUTCFullYear(1, 0, 1);
const LATEST_TEXT_MS = Date.UTC(9999, 11, 31);
/** Maximum of a Python `timedelta`. */
const MAX_TIMEDELTA_SECONDS = 999_999_999n * 86_400n;

function floorDivide(value: bigint, by: bigint): bigint {
  const quotient = value / by;
  return value < 0n && quotient * by !== value ? quotient - 1n : quotient;
}

/** A count in nanoseconds; undefined if it exceeds numpy's 64 bits, because each reference would repeat its arithmetic. */
function nanoseconds(count: unknown, unit: unknown): bigint | undefined {
  const perSecond = UNITS.get(unit ?? NANOSECONDS);
  if (perSecond === undefined || (typeof count !== 'bigint' && !Number.isSafeInteger(count)))
    return undefined;
  const units = BigInt(count as bigint | number);
  return units === BigInt.asIntN(64, units) ? units * (UNITS_OF_SECOND / perSecond) : undefined;
}

/** Reads a `pandas.Timestamp`: `(count, frequency, zone, unit)`, before pandas 2 without the unit. Its exact text is in UTC. */
export function upgradeTimestamp({ args }: OpaqueValue, budget: Budget): Date | undefined {
  const [count, , zone, unit] = args;
  const nanos = nanoseconds(count, unit);
  if (nanos === undefined) return undefined;
  const seconds = floorDivide(nanos, UNITS_OF_SECOND);
  const rest = Number(nanos - seconds * UNITS_OF_SECOND);
  const localMs = Number(seconds) * 1000;
  const ms = localMs + Math.floor(rest / 1e6);
  if (ms > LATEST_MS || ms < -LATEST_MS) return undefined;
  if (ms > LATEST_TEXT_MS || ms < EARLIEST_TEXT_MS) return new Date(ms);
  budget.spend(MEMORY_COSTS.exactTime);
  const offsetMicros = zone === null || zone === undefined ? null : 0;
  return dateWithText(ms, exactText({ localMs, micros: Math.floor(rest / 1000), offsetMicros }, rest % 1000));
}

/** Reads a `pandas.Timedelta`: `(count, unit)`. */
export function upgradeTimedelta({ args }: OpaqueValue): TimeDelta | undefined {
  const [count, unit] = args;
  const nanos = nanoseconds(count, unit);
  if (nanos === undefined) return undefined;
  const seconds = floorDivide(nanos, UNITS_OF_SECOND);
  if (seconds > MAX_TIMEDELTA_SECONDS || seconds < -MAX_TIMEDELTA_SECONDS) return undefined;
  return new TimeDelta(0, Number(seconds), Number((nanos - seconds * UNITS_OF_SECOND) / 1000n));
}
