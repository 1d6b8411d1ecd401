import type { DecodedCall } from '@ipyparallel-js/protocol/internal';
import { isGenerator, runGenerator } from './generators.js';
import type { RunningTask } from './running-task.js';
import { isThenable } from './thenable.js';

type Fn = (...args: unknown[]) => unknown;

/** Calls the function with its arguments, or once per element of them. A single call may return a generator. */
export function callFunction(fn: Fn, { args, each }: DecodedCall, task: RunningTask): unknown {
  return each ? callForEach(fn, args, task) : fn(...args);
}

/** Calls a function with the elements of several lists, up to the end of the shortest. Stops between calls on an abort. */
async function callForEach(fn: Fn, lists: readonly unknown[], task: RunningTask): Promise<unknown[]> {
  const iterators = lists.map((list) => (list as Iterable<unknown>)[Symbol.iterator]());
  const results: unknown[] = [];
  for (;;) {
    const steps = iterators.map((iterator) => iterator.next());
    if (steps.length === 0 || steps.some(({ done }) => done === true)) return results;
    if (task.aborted) throw task.signal.reason;
    const returned = fn(...steps.map(({ value }) => value));
    const result = isThenable(returned) ? await returned : returned;
    results.push(isGenerator(result) ? await runGenerator(result, task) : result);
  }
}
