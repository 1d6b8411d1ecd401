import { type Client, py } from '@ipyparallel-js/client';
import { processorTime } from '../../lib/processor-time.js';
import type { Amount, Submit } from '../../lib/submit.js';
import type { PythonLive } from '../../peers/python-live.js';

/** One measurement of many tasks: elapsed time and processor time, in ms. */
export interface Run {
  readonly elapsed: number;
  readonly client: number;
  readonly controller: number;
  readonly engines: number;
}

/** The processes of a cluster. Their children are included. */
export interface Processes {
  readonly controller: readonly number[];
  readonly engines: readonly number[];
}

const WAIT = { timeout: 300_000 };

/** Our client, calling Python's `abs` or JavaScript's `Math.abs`. */
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
    if (results.some((result, i) => result !== i)) throw new Error('the results are wrong');
    return { elapsed, client: (user + system) / 1000 };
  };
}

export function pythonClient(python: PythonLive): Submit {
  return (amount) => python.submit(amount);
}

/** Measures one submission and the processor time of all processes. */
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
