import { afterAll, beforeAll, expect, it } from 'vitest';
import { StockCluster, stockVersions } from '../support/clusters/stock-cluster.js';
import { examples, runExample } from '../support/programs/run-example.js';
import { describeStock } from '../support/python/describe-stock.js';

for (const version of stockVersions) {
  for (const db of ['dictdb', 'sqlitedb'] as const) {
    describeStock(version, `examples on ipyparallel ${version} with ${db}`, () => {
      let cluster: StockCluster;
      beforeAll(async () => {
        // The documentation uses engines 3 and 4.
        cluster = await StockCluster.start({ version, db, engines: 5 });
      });
      afterAll(() => cluster.stop());

      it.each(examples)('%s', async (name) => {
        const { code, output } = await runExample(name, ['--connection-file', cluster.connectionFile]);
        expect(code, output).toBe(0);
        expect(output).not.toBe('');
      });
    });
  }
}
