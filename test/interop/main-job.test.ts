import { Cluster } from '@ipyparallel-js/cluster';
import { expect, it } from 'vitest';
import { StockCluster, stockVersions } from '../support/clusters/stock-cluster.js';
import { expectMainJobOutput } from '../support/programs/main-job-output.js';
import { runStart } from '../support/programs/run-example.js';
import { describeStock } from '../support/python/describe-stock.js';
import { requirePythonEnv } from '../support/python/python.js';

for (const version of stockVersions) {
  for (const db of ['dictdb', 'sqlitedb'] as const) {
    describeStock(version, `npm start on ipyparallel ${version} with ${db}`, () => {
      it('shows the main job and leaves no record', async () => {
        await using cluster = await StockCluster.start({ version, db, engines: 2 });
        const { code, output } = await runStart(['--profile', 'default'], {
          env: { IPYTHONDIR: cluster.ipythonDir },
        });
        expectMainJobOutput(output);
        expect(code, output).toBe(0);
        const left = await cluster.runPython<string[]>(`
          import json, sys, ipyparallel
          rc = ipyparallel.Client(sys.argv[1], timeout=60)
          print(json.dumps(rc.hub_history()))
          rc.close()
        `);
        expect(left).toEqual([]);
      });
    });
  }
}

describeStock('9', 'npm start on a cluster of two languages', () => {
  it.each(['embedded', 'python'] as const)('shows the main job, controller %s', async (controller) => {
    const { python } = requirePythonEnv('9');
    await using cluster = await Cluster.start({ controller, engines: { javascript: 1, python: 1 }, python });
    const { code, output } = await runStart(['--connection-file', cluster.connectionFile]);
    expectMainJobOutput(output);
    expect(code, output).toBe(0);
  });
});
