import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Cluster } from '@ipyparallel-js/cluster';
import { expect, test } from 'vitest';
import { PortBlock } from '../support/clusters/ports.js';

test('a cluster restarts a killed controller and keeps its engines', async () => {
  // The system assigns free ports to other tests while the controller is away, but not the ports of a block.
  await using ports = await PortBlock.reserve(16);
  const { from, to } = ports.range(1, 15);
  await using cluster = await Cluster.start({
    n: 1,
    controllerArgs: ['--sqlitedb', `--ports=${from}-${to}`],
  });
  {
    await using rc = await cluster.connect();
    await rc.directView(0).execute('globalThis.kept = 42').get({ timeout: 30_000 });
    // The hub replies when the record is on disk.
    expect(await rc.hubHistory()).toHaveLength(1);
  }
  const { pid } = cluster.controller;
  process.kill(pid, 'SIGKILL');
  await cluster.restartController();
  expect(cluster.controller.pid).not.toBe(pid);
  expect(cluster.controller.exited).toBeUndefined();
  await using rc = await cluster.connect();
  await rc.waitForEngines(1, { timeout: 30_000 });
  const kept = await rc
    .directView(0)
    .apply(() => (globalThis as { kept?: number }).kept)
    .get({ timeout: 30_000 });
  expect([kept].flat()).toEqual([42]);
  expect(await rc.hubHistory()).toHaveLength(2);
  const { directory } = cluster;
  await cluster.stop();
  expect(existsSync(directory)).toBe(false);
}, 120_000);

test('connection files of --reuse remain, and the next cluster uses them', async () => {
  const profileDir = mkdtempSync(join(tmpdir(), 'ippjs-reuse-'));
  try {
    const texts: string[] = [];
    for (let run = 0; run < 2; run++) {
      await using cluster = await Cluster.start({ n: 1, profileDir, controllerArgs: ['--reuse'] });
      texts.push(readFileSync(cluster.connectionFile, 'utf8'));
      expect(cluster.engines.map(({ id }) => id)).toEqual([0]);
      await cluster.stop();
      expect(existsSync(cluster.connectionFile)).toBe(true);
    }
    expect(texts[1]).toBe(texts[0]);
  } finally {
    rmSync(profileDir, { recursive: true, force: true });
  }
}, 120_000);
