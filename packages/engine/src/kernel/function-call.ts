import type { DecodedCall } from '@ipyparallel-js/protocol/internal';
import { isGenerator, runGenerator } from './generators.js';
import type { RunningTask } from './running-task.js';
import { isThenable } from './thenable.js';

type Fn = (...args: unknown[]) => unknown;

/** Calls the function with its arguments, or for each place of those. What a single call gives may be a generator. */
export function callFunction(fn: Fn, { args, each }: DecodedCall, task: RunningTask): unknown {
  return each ? callForEach(fn, args, task) : fn(...args);
}

/**
 * Calls a function for each place of some lists, one after the other, up to the end of the shortest. Between two calls
 * an abort ends it.
 */
async function callForEach(fn: Fn, lists: readonly unknown[], task: RunningTask): Promise<unknown[]> {
  const iterators = lists.map((list) => (list as Iterable<unknown>)[Symbol.iterator]());
  const results: unknown[] = [];
  for (;;) {
    const places = iterators.map((iterator) => iterator.next());
    if (places.length === 0 || places.some(({ done }) => done === true)) return results;
    if (task.aborted) throw task.signal.reason;
    const given = fn(...places.map(({ value }) => value));
    const result = isThenable(given) ? await given : given;
    results.push(isGenerator(result) ? await runGenerator(result, task) : result);
  }
}
