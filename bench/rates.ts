import { type Client, py } from '@ipyparallel-js/client';
import { processorTime } from './processor-time.js';
import type { PythonLive } from './python-live.js';

/** One measurement of many tasks: how long it took, and what processor time went into it, all in ms. */
export interface Run {
  readonly elapsed: number;
  readonly client: number;
  readonly controller: number;
  readonly engines: number;
}

/** The processes of a cluster, whose children count with them. */
export interface Processes {
  readonly controller: readonly number[];
  readonly engines: readonly number[];
}

/** How many calls, or elements of a map, in how large chunks. */
export interface Amount {
  readonly count: number;
  readonly chunksize?: number;
}

/** Something that submits so many calls, or one map of so many elements, and waits for all of the results. */
export type Submit = (amount: Amount) => Promise<{ readonly elapsed: number; readonly client: number }>;

const WAIT = { timeout: 300_000 };

/** Our client, calling Python's `abs`, or its like in JavaScript. */
export function ourClient(rc: Client, language: 'python' | 'javascript'): Submit {
  const view = rc.loadBalancedView();
  const python = py<number>('abs');
  const javascript = (n: number): number => Math.abs(n);
  const one = (n: number) => (language === 'python' ? view.apply(python, n) : view.apply(javascript, n));
  const each = (list: readonly number[], chunksize: number) =>
    language === 'python' ? view.map(python, list, { chunksize }) : view.map(javascript, list, { chunksize });
  return async ({ count, chunksize }) => {
    const numbers = Array.from({ length: count }, (_, i) => -i);
    const before = process.cpuUsage();
    const start = performance.now();
    const results =
      chunksize === undefined
        ? await Promise.all(numbers.map(one).map((result) => result.get(WAIT)))
        : await each(numbers, chunksize).get(WAIT);
    const elapsed = performance.now() - start;
    const { user, system } = process.cpuUsage(before);
    if (results.some((result, i) => result !== i)) throw new Error('a wrong result');
    return { elapsed, client: (user + system) / 1000 };
  };
}

/** ipyparallel's own client in its process. */
export function pythonClient(python: PythonLive): Submit {
  return (amount) => python.submit(amount);
}

/** One measurement, with the processor time of all concerned. */
export async function measureRun(
  submit: Submit,
  { controller, engines }: Processes,
  amount: Amount,
): Promise<Run> {
  const before = [await processorTime(controller), await processorTime(engines)] as const;
  const { elapsed, client } = await submit(amount);
  return {
    ...{ elapsed, client },
    controller: (await processorTime(controller)) - before[0],
    engines: (await processorTime(engines)) - before[1],
  };
}
