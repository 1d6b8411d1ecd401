import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Client } from '@ipyparallel-js/client';
import { joinRounds, type Samples, sample } from '../../lib/samples.js';

/** Starts a load that runs while delays are measured. */
type StartLoad = () => Promise<AsyncDisposable>;

/**
 * Measures the round trip of one empty load-balanced task without load, during two compute-only processes, and while
 * another process streams all records of the same hub. Rounds alternate.
 */
export async function submissionDelays(
  rc: Client,
  connectionFile: string,
  rounds: number,
  tasks: number,
): Promise<Samples[]> {
  const view = rc.loadBalancedView();
  const noop = (): Promise<unknown> => view.apply(() => null).get({ timeout: 60_000 });
  const loads: readonly (readonly [string, StartLoad])[] = [
    ['no query', async () => ({ [Symbol.asyncDispose]: async () => undefined })],
    ['no query, two compute-only processes', () => startProcesses('compute-loop.mjs', 2)],
    [
      'all records are streamed to another process',
      () => startProcesses('query-loop.mjs', 1, connectionFile),
    ],
  ];
  const all = loads.map(() => [] as Samples[]);
  for (let round = 0; round < rounds; round++) {
    for (const [i, [name, startLoad]] of loads.entries()) {
      await using _load = await startLoad();
      all[i]?.push(await sample(name, tasks, noop));
    }
  }
  return all.map(joinRounds);
}

/** Starts processes of a script and waits until each reports that it has started. */
async function startProcesses(
  script: string,
  count: number,
  ...args: readonly string[]
): Promise<AsyncDisposable> {
  const path = fileURLToPath(new URL(`../../peers/${script}`, import.meta.url));
  const processes = Array.from({ length: count }, () => fork(path, args, { execArgv: [] }));
  await Promise.all(
    processes.map((child) =>
      Promise.race([
        once(child, 'message'),
        once(child, 'exit').then(() => {
          throw new Error(`${script} ended before it reported its start; see its error above`);
        }),
      ]),
    ),
  );
  return stopperOf(processes);
}

function stopperOf(processes: readonly ChildProcess[]): AsyncDisposable {
  return {
    async [Symbol.asyncDispose]() {
      await Promise.all(
        processes.map(async (child) => {
          if (child.exitCode !== null) throw new Error('a load process ended before the measurement');
          const exited = once(child, 'exit');
          child.disconnect();
          await exited;
        }),
      );
    },
  };
}
