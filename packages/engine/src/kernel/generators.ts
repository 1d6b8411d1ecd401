import { setImmediate, setTimeout } from 'node:timers/promises';
import type { RunningTask } from './running-task.js';

type AnyGenerator = Generator<unknown, unknown, undefined> | AsyncGenerator<unknown, unknown, undefined>;

/** The longest list of yielded values that can be a result. */
const MAX_VALUES = 1_000_000;

/** How long a generator may block the event loop, in ms. */
const MAX_BLOCKING = 50;

/** Whether a value is a generator, sync or async. */
export function isGenerator(value: unknown): value is AnyGenerator {
  if (typeof value !== 'object' || value === null) return false;
  const tag = Object.prototype.toString.call(value);
  return tag === '[object Generator]' || tag === '[object AsyncGenerator]';
}

/**
 * Runs a generator to its end and publishes the values that it yields. An abort ends it between two values and runs its
 * `finally` blocks.
 * @returns The generator's return value, or the list of all yielded values if that is undefined.
 * @throws {RangeError} when that list would have more than a million values.
 */
export async function runGenerator(generator: AnyGenerator, task: RunningTask): Promise<unknown> {
  let values: unknown[] | undefined = [];
  let resumedAt = performance.now();
  try {
    for (;;) {
      if (task.aborted) throw task.signal.reason;
      const step = await generator.next();
      if (step.done === true) {
        if (step.value !== undefined) return step.value;
        if (values !== undefined) return values;
        throw new RangeError(
          `the generator yielded more than ${MAX_VALUES} values, which is too many for a result list; return a value from it instead`,
        );
      }
      // A sync generator may yield promises.
      const sent = task.publishYielded(await step.value);
      if (values !== undefined && values.push(sent) > MAX_VALUES) values = undefined;
      const wait = task.congestion;
      if (wait >= 1) await setTimeout(wait);
      else if (performance.now() - resumedAt > MAX_BLOCKING) await setImmediate();
      else continue;
      resumedAt = performance.now();
    }
  } finally {
    // Runs the generator's `finally` blocks if it has not ended.
    await generator.return(undefined);
  }
}
