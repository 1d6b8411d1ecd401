import { UsageError } from '@ipyparallel-js/protocol';
import type { OptionNames } from '@ipyparallel-js/protocol/internal';
import type { TaskMetadata } from '../tasks/task-metadata.js';

/** The dates of a task's metadata that times are measured between. */
export type TimeKey = 'submitted' | 'begun' | 'started' | 'completed' | 'received';

/** One moment, several of which one is picked, or a date of the metadata of all tasks. */
export type Moments = Date | readonly (Date | null)[] | TimeKey;

/** Which of several moments counts. */
export type Pick = 'first' | 'last';

/** What is measured from and to when several tasks have moments. */
export interface TimedeltaOptions {
  /** Of the starts; `first` by default. */
  readonly startPick?: Pick;
  /** Of the ends; `last` by default. */
  readonly endPick?: Pick;
}

export const TIMEDELTA_OPTIONS: OptionNames<TimedeltaOptions> = { startPick: true, endPick: true };

/**
 * The time between two sets of moments in ms: from the first start to the last end. Moments that are not known (yet) do
 * not count. @throws UsageError when none is known. Mirrors ipyparallel `AsyncResult.timedelta`.
 */
export function timedelta(
  tasks: readonly TaskMetadata[],
  start: Moments,
  end: Moments,
  { startPick = 'first', endPick = 'last' }: TimedeltaOptions = {},
): number {
  const from = pick(tasks, start, startPick, 'start');
  return pick(tasks, end, endPick, 'end') - from;
}

/** The sum of the times that engines took for each task, in ms. */
export function serialTime(tasks: readonly TaskMetadata[]): number {
  let sum = 0;
  for (const { started, completed } of tasks) {
    if (started !== null && completed !== null) sum += completed.getTime() - started.getTime();
  }
  return sum;
}

/** The time since the first submission, in ms; 0 when that is not known. */
export function elapsedSince(tasks: readonly TaskMetadata[], now: Date): number {
  const times = timesOf(tasks.map(({ submitted }) => submitted));
  return times.length === 0 ? 0 : Math.max(0, now.getTime() - extremes(times)[0]);
}

function pick(tasks: readonly TaskMetadata[], moments: Moments, which: Pick, side: string): number {
  const dates =
    typeof moments === 'string'
      ? tasks.map((task) => task[moments])
      : moments instanceof Date
        ? [moments]
        : moments;
  const times = timesOf(dates);
  if (times.length === 0) {
    const what = typeof moments === 'string' ? `no task has a time "${moments}" yet` : 'there is no date';
    throw new UsageError(`the ${side} of the time to measure is not known: ${what}`);
  }
  const [first, last] = extremes(times);
  return which === 'first' ? first : last;
}

function timesOf(dates: readonly (Date | null)[]): number[] {
  return dates.flatMap((date) =>
    date instanceof Date && !Number.isNaN(date.getTime()) ? [date.getTime()] : [],
  );
}

// Not Math.min of all: a map may have more tasks than a call may have arguments.
function extremes(times: readonly number[]): [first: number, last: number] {
  let first = Number.POSITIVE_INFINITY;
  let last = Number.NEGATIVE_INFINITY;
  for (const time of times) {
    if (time < first) first = time;
    if (time > last) last = time;
  }
  return [first, last];
}
