import { PyDict, PyInstance } from './nodes.js';
import type { Budget } from './pickle-limits.js';
import { TimeDelta } from './values/time-delta.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Maximum offset from UTC of any zone. */
const MAX_OFFSET_MS = DAY_MS;
const MAX_ZONE_NAME = 64;
const MAX_CACHED_ZONES = 64;
/** Reading a zone's clock, and creating one, take as long as this many opcodes. */
const LOOKUP_STEPS = 40;
const CLOCK_STEPS = 400;

/** Clocks by IANA zone, from Node's time zone data; undefined for an unknown name. */
const clocks = new Map<string, Intl.DateTimeFormat | undefined>();

function clockOf(zone: string, budget: Budget): Intl.DateTimeFormat | undefined {
  if (zone.length > MAX_ZONE_NAME) return undefined;
  budget.countSteps(LOOKUP_STEPS);
  if (!clocks.has(zone)) {
    budget.countSteps(CLOCK_STEPS);
    if (clocks.size >= MAX_CACHED_ZONES) clocks.clear();
    clocks.set(zone, makeClock(zone));
  }
  return clocks.get(zone);
}

function makeClock(timeZone: string): Intl.DateTimeFormat | undefined {
  const fields = { year: 'numeric', month: 'numeric', day: 'numeric' } as const;
  const time = { hour: 'numeric', minute: 'numeric', second: 'numeric', hourCycle: 'h23' } as const;
  try {
    return new Intl.DateTimeFormat('en-US', { timeZone, era: 'short', ...fields, ...time });
  } catch {
    return undefined;
  }
}

/** Offset of the clock from UTC at an instant, in ms. */
function offsetAt(clock: Intl.DateTimeFormat, ms: number): number {
  const wholeSecond = Math.floor(ms / 1000) * 1000;
  const parts = new Map(clock.formatToParts(wholeSecond).map(({ type, value }) => [type, value]));
  const field = (name: Intl.DateTimeFormatPartTypes): number => Number(parts.get(name));
  const year = parts.get('era')?.startsWith('B') === true ? 1 - field('year') : field('year');
  const local = new Date(0);
  local.setUTCFullYear(year, field('month') - 1, field('day'));
  return local.setUTCHours(field('hour'), field('minute'), field('second')) - wholeSecond;
}

/** Applies Python's rule for an hour that is repeated or skipped: `fold` selects the offset before or after the change. */
function offsetOfLocal(clock: Intl.DateTimeFormat, local: number, fold: boolean): number {
  const before = offsetAt(clock, local - DAY_MS);
  const after = offsetAt(clock, local + DAY_MS);
  if (before === after) return before;
  const fitsBefore = offsetAt(clock, local - before) === before;
  const fitsAfter = offsetAt(clock, local - after) === after;
  if (fitsBefore !== fitsAfter) return fitsBefore ? before : after;
  return fold ? after : before;
}

type Arguments = readonly unknown[];

function milliseconds(value: unknown, unitMs: number): number | undefined {
  if (value instanceof TimeDelta) return value.ms;
  return typeof value === 'number' ? value * unitMs : undefined;
}

/** Returns the constant offset of a zone in ms, by the name of its class. */
const FIXED_ZONES: ReadonlyMap<string, (args: Arguments, state: unknown) => number | undefined> = new Map([
  ['datetime.timezone', ([offset]: Arguments) => milliseconds(offset, 1)],
  ['dateutil.tz.tz.tzutc', () => 0],
  ['dateutil.tz.tz.tzoffset', ([, offset]: Arguments) => milliseconds(offset, 1)],
  ['dateutil.tz.tz.tzlocal', (_: Arguments, state: unknown) => localOffsetWithoutDst(state)],
  ['pytz._UTC', () => 0],
  ['pytz._FixedOffset', ([minutes]: Arguments) => milliseconds(minutes, 60_000)],
  ['pytz.FixedOffset', ([minutes]: Arguments) => milliseconds(minutes, 60_000)],
  // pytz pickles a zone with the offset of the datetime that holds it.
  ['pytz._p', ([, seconds]: Arguments) => milliseconds(seconds, 1000)],
]);

function localOffsetWithoutDst(state: unknown): number | undefined {
  if (!(state instanceof PyDict) || state.attribute('_hasdst') !== false) return undefined;
  return milliseconds(state.attribute('_std_offset'), 1);
}

/** The name of a zone whose offset depends on the date; undefined for other zones. */
function zoneName(zone: unknown): string | undefined {
  if (!(zone instanceof PyInstance) || zone.type.name !== 'zoneinfo.ZoneInfo') return undefined;
  const [key] = zone.args;
  return typeof key === 'string' ? key : undefined;
}

export function isNamedZone(zone: unknown): boolean {
  return zoneName(zone) !== undefined;
}

/**
 * Offset in ms of a `tzinfo` from UTC at a local time, which is given in ms as if it were UTC; undefined if the pickle does
 * not show it.
 */
export function utcOffset(zone: unknown, local: number, fold: boolean, budget: Budget): number | undefined {
  if (!(zone instanceof PyInstance)) return undefined;
  const name = zoneName(zone);
  if (name !== undefined) {
    const clock = clockOf(name, budget);
    return clock === undefined ? undefined : offsetOfLocal(clock, local, fold);
  }
  const offset = FIXED_ZONES.get(zone.type.name)?.(zone.args, zone.state);
  return offset !== undefined && Math.abs(offset) <= MAX_OFFSET_MS ? offset : undefined;
}
