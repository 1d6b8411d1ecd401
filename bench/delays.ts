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
    ['no query, two processes that only compute', async () => children([spin(), spin()])],
    ['every record being streamed to another process', () => queries(connectionFile)],
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

function spin(): ChildProcess {
  return fork(fileURLToPath(new URL('spin.mjs', import.meta.url)));
}

async function queries(connectionFile: string): Promise<AsyncDisposable> {
  const loop = fork(fileURLToPath(new URL('query-loop.mjs', import.meta.url)), [connectionFile]);
  await Promise.race([
    once(loop, 'message'),
    once(loop, 'exit').then(() => {
      throw new Error('the process that queries has ended; its error is above');
    }),
  ]);
  return children([loop]);
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
