import { setImmediate, setTimeout } from 'node:timers/promises';
import type { RunningTask } from './running-task.js';

type AnyGenerator = Generator<unknown, unknown, undefined> | AsyncGenerator<unknown, unknown, undefined>;

/** A list of more values is no result any more. */
const MAX_VALUES = 1_000_000;

/** How long a generator may run without the event loop having its turn, in ms. */
const TURN = 50;

/** Whether a call gave a generator, sync or async. */
export function isGenerator(value: unknown): value is AnyGenerator {
  if (typeof value !== 'object' || value === null) return false;
  const tag = Object.prototype.toString.call(value);
  return tag === '[object Generator]' || tag === '[object AsyncGenerator]';
}

/**
 * Runs a generator to its end and publishes what it yields. The result is what it returns; where that is undefined, the
 * list of all that it yielded. Between two values an abort ends it, through its `finally`.
 * @throws RangeError for a list of more than a million values
 */
export async function runGenerator(generator: AnyGenerator, task: RunningTask): Promise<unknown> {
  let values: unknown[] | undefined = [];
  let turn = performance.now();
  try {
    for (;;) {
      if (task.aborted) throw task.signal.reason;
      const step = await generator.next();
      if (step.done === true) {
        if (step.value !== undefined) return step.value;
        if (values !== undefined) return values;
        throw new RangeError(
          `the generator yielded more than ${MAX_VALUES} values, too many for a list as its result; let it return something`,
        );
      }
      // A sync generator may yield promises.
      const sent = task.yielded(await step.value);
      if (values !== undefined && values.push(sent) > MAX_VALUES) values = undefined;
      const wait = task.congestion;
      if (wait >= 1) await setTimeout(wait);
      else if (performance.now() - turn > TURN) await setImmediate();
      else continue;
      turn = performance.now();
    }
  } finally {
    // After its end this does nothing; before it, its own `finally` runs.
    await generator.return(undefined);
  }
}
