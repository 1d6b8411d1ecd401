import type { OpaqueValue } from '../opaque-value.js';
import { TimeDelta } from '../values/time-delta.js';

// A time of pandas is a count of units since 1970 in UTC, whatever its zone; a duration is a count of units.

/** Units to the second, by the number that numpy gives the unit. */
const UNITS: ReadonlyMap<unknown, bigint> = new Map([
  [7, 1n],
  [8, 1000n],
  [9, 1_000_000n],
  [10, 1_000_000_000n],
]);
const NANOSECONDS = 10;
const MICROSECONDS_OF_SECOND = 1_000_000n;
const LATEST_MS = 8_640_000_000_000_000n;
/** Of a Python `timedelta`. */
const LONGEST_SECONDS = 999_999_999n * 86_400n;

function floorDivide(value: bigint, by: bigint): bigint {
  const quotient = value / by;
  return value < 0n && quotient * by !== value ? quotient - 1n : quotient;
}

/** In microseconds, rounded down. */
function microseconds(count: unknown, unit: unknown): bigint | undefined {
  const perSecond = UNITS.get(unit ?? NANOSECONDS);
  if (perSecond === undefined || (typeof count !== 'bigint' && !Number.isSafeInteger(count)))
    return undefined;
  // What numpy has no room for would be worked with in full, for each that shares it.
  if (BigInt(count as bigint | number) !== BigInt.asIntN(64, BigInt(count as bigint | number)))
    return undefined;
  return floorDivide(BigInt(count as bigint | number) * MICROSECONDS_OF_SECOND, perSecond);
}

/** A `pandas.Timestamp`: `(count, frequency, zone, unit)`, without the unit before pandas 2. */
export function upgradeTimestamp({ args }: OpaqueValue): Date | undefined {
  const [count, , , unit] = args;
  const micros = microseconds(count, unit);
  const ms = micros === undefined ? undefined : floorDivide(micros, 1000n);
  return ms === undefined || ms > LATEST_MS || ms < -LATEST_MS ? undefined : new Date(Number(ms));
}

/** A `pandas.Timedelta`: `(count, unit)`. */
export function upgradeTimedelta({ args }: OpaqueValue): TimeDelta | undefined {
  const [count, unit] = args;
  const micros = microseconds(count, unit);
  if (micros === undefined) return undefined;
  const seconds = floorDivide(micros, MICROSECONDS_OF_SECOND);
  if (seconds > LONGEST_SECONDS || seconds < -LONGEST_SECONDS) return undefined;
  return new TimeDelta(0, Number(seconds), Number(micros - seconds * MICROSECONDS_OF_SECOND));
}
