import { PyDict, PyInstance } from './nodes.js';
import type { Budget } from './pickle-limits.js';
import { TimeDelta } from './values/time-delta.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** No zone is further from UTC than this. */
const MAX_OFFSET_MS = DAY_MS;
const MAX_ZONE_NAME = 64;
const MAX_CACHED_ZONES = 64;
/** What a look at a zone's clock, and making one, take: as long as so many opcodes. */
const LOOKUP_STEPS = 40;
const CLOCK_STEPS = 400;

/** The clock of an IANA zone, by Node's own tables; undefined for a name they lack. */
const clocks = new Map<string, Intl.DateTimeFormat | undefined>();

function clockOf(zone: string, budget: Budget): Intl.DateTimeFormat | undefined {
  if (zone.length > MAX_ZONE_NAME) return undefined;
  budget.step(LOOKUP_STEPS);
  if (!clocks.has(zone)) {
    budget.step(CLOCK_STEPS);
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

/** How far the clock is ahead of UTC at an instant, in ms. */
function offsetAt(clock: Intl.DateTimeFormat, ms: number): number {
  const whole = Math.floor(ms / 1000) * 1000;
  const parts = new Map(clock.formatToParts(whole).map(({ type, value }) => [type, value]));
  const field = (name: Intl.DateTimeFormatPartTypes): number => Number(parts.get(name));
  const year = parts.get('era')?.startsWith('B') === true ? 1 - field('year') : field('year');
  const local = new Date(0);
  local.setUTCFullYear(year, field('month') - 1, field('day'));
  return local.setUTCHours(field('hour'), field('minute'), field('second')) - whole;
}

/** Python's rule for an hour that comes twice, or never: `fold` chooses between the offsets around the change. */
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

function scaled(value: unknown, unitMs: number): number | undefined {
  if (value instanceof TimeDelta) return value.ms;
  return typeof value === 'number' ? value * unitMs : undefined;
}

// Offsets in ms of the zones that have one for all time.
const FIXED_ZONES: ReadonlyMap<string, (args: Arguments, state: unknown) => number | undefined> = new Map([
  ['datetime.timezone', ([offset]: Arguments) => scaled(offset, 1)],
  ['dateutil.tz.tz.tzutc', () => 0],
  ['dateutil.tz.tz.tzoffset', ([, offset]: Arguments) => scaled(offset, 1)],
  ['dateutil.tz.tz.tzlocal', (_: Arguments, state: unknown) => localWithoutSummer(state)],
  ['pytz._UTC', () => 0],
  ['pytz._FixedOffset', ([minutes]: Arguments) => scaled(minutes, 60_000)],
  ['pytz.FixedOffset', ([minutes]: Arguments) => scaled(minutes, 60_000)],
  // A zone of pytz pickles with the offset that the datetime at hand has.
  ['pytz._p', ([, seconds]: Arguments) => scaled(seconds, 1000)],
]);

function localWithoutSummer(state: unknown): number | undefined {
  if (!(state instanceof PyDict) || state.attribute('_hasdst') !== false) return undefined;
  return scaled(state.attribute('_std_offset'), 1);
}

/** The name of a zone whose offset depends on the date; undefined for any other. */
function zoneName(zone: unknown): string | undefined {
  if (!(zone instanceof PyInstance) || zone.type.name !== 'zoneinfo.ZoneInfo') return undefined;
  const [key] = zone.args;
  return typeof key === 'string' ? key : undefined;
}

export function isNamedZone(zone: unknown): boolean {
  return zoneName(zone) !== undefined;
}

/**
 * How far a `tzinfo` is ahead of UTC at a local time (in ms as if it were UTC), in ms; undefined where its
 * pickle does not tell.
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
