import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, it } from 'vitest';
import { StockCluster } from '../support/clusters/stock-cluster.js';
import { isAlive } from '../support/processes.js';
import { describeStock } from '../support/python/describe-stock.js';
import { waitFor } from '../support/wait-for.js';

describeStock('7.1', 'a stock cluster under a test', () => {
  it('loses an engine and its nanny, and registers a new one', async () => {
    await using cluster = await StockCluster.start({ version: '7.1', engines: 2 });
    const [first, second] = cluster.engines;
    if (first === undefined || second === undefined) throw new Error('the cluster must have two engines');
    await cluster.killEngine(first.id);
    expect([first.pid, first.nannyPid].map(isAlive)).toEqual([false, false]);
    expect([second.pid, second.nannyPid].map(isAlive)).toEqual([true, true]);
    await cluster.killEngine(second.id, { nanny: 'spare' });
    await waitFor(() => !isAlive(second.nannyPid), { what: 'the nanny to end' });
    const third = await cluster.startEngine();
    expect(cluster.engines.map(({ id }) => id)).toEqual([third]);
  });

  it('kills the schedulers that survive their hub, and restarts on the same ports', async () => {
    await using cluster = await StockCluster.start({ version: '7.1' });
    const children = await cluster.controllerChildren();
    expect(children).toHaveLength(8);
    const hub = cluster.controllerPid;
    process.kill(hub, 'SIGKILL');
    await waitFor(() => !isAlive(hub), { what: 'the hub to end' });
    expect(children.every(isAlive)).toBe(true);
    await cluster.restartController();
    expect(children.filter(isAlive)).toEqual([]);
    expect(cluster.controllerPid).not.toBe(hub);
    await cluster.startEngine();
  });

  it('ends with the test run that started it, even with a killed one', async () => {
    const run = spawn(
      process.execPath,
      ['--import', 'tsx', join(import.meta.dirname, '../support/programs/hold-stock-cluster.ts')],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const closed = new Promise<void>((resolve) => run.once('close', () => resolve()));
    const held = await new Promise<string>((resolve, reject) => {
      createInterface({ input: run.stdout }).once('line', resolve);
      void closed.then(() => reject(new Error('ended before its cluster was ready')));
    });
    const { pids, directory } = JSON.parse(held) as { pids: number[]; directory: string };
    const running = pids.filter(isAlive);
    run.kill('SIGKILL');
    await closed;
    expect(running.length).toBeGreaterThanOrEqual(11);
    await waitFor(() => !pids.some(isAlive) && !existsSync(directory), {
      timeout: 60_000,
      what: 'the cluster to end and its directory to be removed',
    });
  });
});
