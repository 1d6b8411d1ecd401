import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Client } from '@ipyparallel-js/client';
import { join, type Samples, sample } from './measure.js';

/** What goes on beside the tasks whose delay is measured. */
type Company = () => Promise<AsyncDisposable>;

/**
 * The round trip of one load-balanced task that does nothing: alone, beside processes that only compute, and beside a
 * process that streams every record of the same hub. Rounds alternate.
 */
export async function submissionDelays(
  rc: Client,
  connectionFile: string,
  rounds: number,
  tasks: number,
): Promise<Samples[]> {
  const view = rc.loadBalancedView();
  const noop = (): Promise<unknown> => view.apply(() => null).get({ timeout: 60_000 });
  const companies: readonly (readonly [string, Company])[] = [
    ['no query', async () => ({ [Symbol.asyncDispose]: async () => undefined })],
    ['no query, two processes that only compute', () => beside('spin.mjs', 2)],
    ['every record being streamed to another process', () => beside('query-loop.mjs', 1, connectionFile)],
  ];
  const all = companies.map(() => [] as Samples[]);
  for (let round = 0; round < rounds; round++) {
    for (const [i, [name, company]] of companies.entries()) {
      await using _beside = await company();
      all[i]?.push(await sample(name, tasks, noop));
    }
  }
  return all.map(join);
}

/** Processes of a script, once each has told that it has begun. */
async function beside(script: string, count: number, ...args: readonly string[]): Promise<AsyncDisposable> {
  const path = fileURLToPath(new URL(script, import.meta.url));
  const processes = Array.from({ length: count }, () => fork(path, args, { execArgv: [] }));
  await Promise.all(
    processes.map((child) =>
      Promise.race([
        once(child, 'message'),
        once(child, 'exit').then(() => {
          throw new Error(`${script} has ended before it began; its error is above`);
        }),
      ]),
    ),
  );
  return children(processes);
}

function children(processes: readonly ChildProcess[]): AsyncDisposable {
  return {
    async [Symbol.asyncDispose]() {
      await Promise.all(
        processes.map(async (child) => {
          if (child.exitCode !== null) throw new Error('a process beside the tasks has ended too early');
          const exited = once(child, 'exit');
          child.disconnect();
          await exited;
        }),
      );
    },
  };
}
