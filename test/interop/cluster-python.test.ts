import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Cluster } from '@ipyparallel-js/cluster';
import { belongingTo, listProcesses } from '@ipyparallel-js/cluster/internal';
import { LanguageMismatchError } from '@ipyparallel-js/protocol';
import { expect, it } from 'vitest';
import { holdCluster, untilNothingIsLeft } from '../support/clusters/held-cluster.js';
import { isAlive } from '../support/processes.js';
import { describeStock } from '../support/python/describe-stock.js';
import { requirePythonEnv, stockVersions } from '../support/python/python.js';
import { waitFor } from '../support/wait-for.js';

for (const version of stockVersions) {
  describeStock(version, `Cluster with ipyparallel ${version}`, () => {
    it('starts the Python controller and Python engines, and stops all processes', async () => {
      const { python } = requirePythonEnv(version);
      const cluster = await Cluster.start({ n: 2, controller: 'python', engines: 'python', python });
      const rc = await cluster.connect();
      const answers = await rc.directView('all').execute('import os; os.getpid()').get({ timeout: 60_000 });
      expect(answers.map(({ text }) => Number(text))).toEqual(cluster.engines.map(({ pid }) => pid));

      await cluster.killEngine(0);
      await waitFor(() => rc.ids.length === 1, { what: 'the nanny to notify the hub', timeout: 60_000 });
      await rc.close();
      const leaders = [cluster.controller.pid, ...cluster.engines.map(({ pid }) => pid)];
      const running = belongingTo(leaders, await listProcesses());
      // The processes are the controller with its schedulers, and an engine with its nanny.
      expect(running.length).toBeGreaterThanOrEqual(11);
      await cluster.stop();
      expect(running.filter(isAlive)).toEqual([]);
    });

    it('runs engines of both languages', async () => {
      const { python } = requirePythonEnv(version);
      await using cluster = await Cluster.start({ engines: { javascript: 1, python: 1 }, python });
      await using rc = await cluster.connect();
      const [javascript, snake] = cluster.engines.toSorted((a, b) => a.language.localeCompare(b.language));
      expect([javascript?.language, snake?.language]).toEqual(['javascript', 'python']);
      const code = { javascript: '[1, 2].map((n) => n * 2).join()', python: 'str([n * 2 for n in (1, 2)])' };
      for (const engine of cluster.engines) {
        expect(await rc.engineLanguage(engine.id)).toBe(engine.language);
        const language = engine.language;
        const { text } = await rc
          .loadBalancedView()
          .execute(code[language], { language })
          .get({ timeout: 60_000 });
        expect(text).toBe(language === 'python' ? "'[2, 4]'" : "'2,4'");
      }
      const mismatch = rc.directView(snake?.id ?? -1).apply(() => 1);
      await expect(mismatch.get({ timeout: 60_000 })).rejects.toBeInstanceOf(LanguageMismatchError);
    });

    it('runs JavaScript engines with the Python controller', async () => {
      const { python } = requirePythonEnv(version);
      await using cluster = await Cluster.start({ n: 2, controller: 'python', python });
      await using rc = await cluster.connect();
      const squares = rc.directView('all').apply((n: number) => n * n, 9);
      expect(await squares.get({ timeout: 60_000 })).toEqual([81, 81]);
      await cluster.killEngine(1);
      await waitFor(() => rc.ids.length === 1, { what: 'the hub to be notified', timeout: 60_000 });
    });
  });
}

describeStock('9', 'Python processes of a Cluster', () => {
  it.each(['SIGINT', 'SIGKILL'] as const)('end with a program that gets %s', async (signal) => {
    const { python } = requirePythonEnv('9');
    const held = await holdCluster({ n: 1, controller: 'python', engines: 'python', python });
    held.program.kill(signal);
    expect(await held.ended).toEqual({ code: null, signal });
    await untilNothingIsLeft(held);
  });

  it('say how to install ipyparallel when it is missing', async () => {
    const { python } = requirePythonEnv('9');
    const directory = mkdtempSync(join(tmpdir(), 'ipp-test-'));
    try {
      const bare = join(directory, 'python');
      writeFileSync(bare, `#!/bin/sh\nexec ${python} -I -S "$@"\n`);
      chmodSync(bare, 0o755);
      const start = Cluster.start({ n: 1, engines: 'python', python: bare });
      await expect(start).rejects.toThrow(`install it with ${bare} -m pip install ipyparallel`);
      await expect(start).rejects.toMatchObject({ code: 'IPYPARALLEL_NOT_INSTALLED' });
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
