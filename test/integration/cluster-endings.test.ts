import { existsSync, rmSync } from 'node:fs';
import { expect, it } from 'vitest';
import { holdCluster, untilNothingIsLeft } from '../support/clusters/held-cluster.js';
import { isAlive } from '../support/processes.js';
import { waitFor } from '../support/wait-for.js';

it.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
  'a program stops its cluster on %s, then ends by that signal',
  async (signal) => {
    const held = await holdCluster({ n: 2 });
    expect(held.pids.length).toBeGreaterThanOrEqual(4);
    expect(held.pids.filter(isAlive)).toEqual(held.pids);
    held.program.kill(signal);
    expect(await held.ended).toEqual({ code: null, signal });
    await untilNothingIsLeft(held);
  },
);

it('a cluster ends with a program that is killed', async () => {
  const held = await holdCluster({ n: 2 });
  held.program.kill('SIGKILL');
  expect(await held.ended).toEqual({ code: null, signal: 'SIGKILL' });
  await untilNothingIsLeft(held);
  expect(held.pids.filter(isAlive)).toEqual([]);
  expect(existsSync(held.directory)).toBe(false);
});

it('a cluster ends with a program that exits or fails without stopping it', async () => {
  const leaving = await holdCluster({ n: 1, end: 'exit' });
  expect(await leaving.ended).toMatchObject({ code: 7 });
  await untilNothingIsLeft(leaving);
  const failing = await holdCluster({ n: 1, end: 'throw' });
  expect(await failing.ended).toMatchObject({ code: 1 });
  await untilNothingIsLeft(failing);
});

it('a cluster ends with a program that is killed together with the guard', async () => {
  const held = await holdCluster({ n: 2 });
  for (const pid of held.others) process.kill(pid, 'SIGKILL');
  held.program.kill('SIGKILL');
  expect(await held.ended).toEqual({ code: null, signal: 'SIGKILL' });
  // No process remains that removes the directory.
  await waitFor(() => !held.pids.some(isAlive), { what: 'controller and engines to end' });
  expect(existsSync(held.directory)).toBe(true);
  rmSync(held.directory, { recursive: true });
});
