import { UsageError } from '@ipyparallel-js/protocol';
import type { OptionNames } from '@ipyparallel-js/protocol/internal';
import type { TaskMetadata } from '../tasks/task-metadata.js';

/** The dates of a task's metadata between which times are measured. */
export type TimeKey = 'submitted' | 'begun' | 'started' | 'completed' | 'received';

/** A date, several dates of which one is picked, or the name of a date in the metadata of all tasks. */
export type Moments = Date | readonly (Date | null)[] | TimeKey;

/** Selects the earliest or the latest of several dates. */
export type Pick = 'first' | 'last';

/** Options of `timedelta`. */
export interface TimedeltaOptions {
  /** The start date to use; `first` by default. */
  readonly startPick?: Pick;
  /** The end date to use; `last` by default. */
  readonly endPick?: Pick;
}

export const TIMEDELTA_OPTIONS: OptionNames<TimedeltaOptions> = { startPick: true, endPick: true };

/**
 * Returns the time between two sets of dates in ms: from the first start to the last end. Unknown dates are ignored.
 * Mirrors ipyparallel `AsyncResult.timedelta`.
 * @throws {UsageError} when no date of a set is known
 */
export function timedelta(
  tasks: readonly TaskMetadata[],
  start: Moments,
  end: Moments,
  { startPick = 'first', endPick = 'last' }: TimedeltaOptions = {},
): number {
  const from = pickTime(tasks, start, startPick, 'start');
  return pickTime(tasks, end, endPick, 'end') - from;
}

/** The sum of the tasks' run times on the engines in ms. */
export function serialTime(tasks: readonly TaskMetadata[]): number {
  let sum = 0;
  for (const { started, completed } of tasks) {
    if (started !== null && completed !== null) sum += completed.getTime() - started.getTime();
  }
  return sum;
}

/** The time since the first submission in ms; 0 if it is unknown. */
export function elapsedSince(tasks: readonly TaskMetadata[], now: Date): number {
  const times = timesOf(tasks.map(({ submitted }) => submitted));
  return times.length === 0 ? 0 : Math.max(0, now.getTime() - extremes(times)[0]);
}

function pickTime(tasks: readonly TaskMetadata[], moments: Moments, which: Pick, side: string): number {
  const dates =
    typeof moments === 'string'
      ? tasks.map((task) => task[moments])
      : moments instanceof Date
        ? [moments]
        : moments;
  const times = timesOf(dates);
  if (times.length === 0) {
    const what = typeof moments === 'string' ? `no task has a date "${moments}" yet` : 'no date is given';
    throw new UsageError(`the ${side} of the timedelta is unknown: ${what}`);
  }
  const [first, last] = extremes(times);
  return which === 'first' ? first : last;
}

function timesOf(dates: readonly (Date | null)[]): number[] {
  return dates.flatMap((date) =>
    date instanceof Date && !Number.isNaN(date.getTime()) ? [date.getTime()] : [],
  );
}

// Math.min(...times) would fail: a map may have more tasks than a call may have arguments.
function extremes(times: readonly number[]): [first: number, last: number] {
  let first = Number.POSITIVE_INFINITY;
  let last = Number.NEGATIVE_INFINITY;
  for (const time of times) {
    if (time < first) first = time;
    if (time > last) last = time;
  }
  return [first, last];
}
