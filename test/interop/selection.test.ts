import { Client } from '@ipyparallel-js/client';
import { afterAll, beforeAll } from 'vitest';
import { Closing } from '../support/closing.js';
import { StockCluster, stockVersions } from '../support/clusters/stock-cluster.js';
import { RawClient } from '../support/fakes/raw-client.js';
import { describeStock } from '../support/python/describe-stock.js';
import { type SelectionSubject, selectionTests } from '../support/suites/selection.js';

for (const version of stockVersions) {
  for (const db of ['dictdb', 'sqlitedb'] as const) {
    describeStock(version, `selections on ipyparallel ${version} with ${db}`, () => {
      const closing = new Closing();
      let subject: SelectionSubject;
      beforeAll(async () => {
        const cluster = closing.use(await StockCluster.start({ version, db, engines: 2 }));
        const raw = closing.use(RawClient.fromFile(cluster.connectionFile));
        const { connectionFile } = cluster;
        const rc = closing.use(await Client.connect({ connectionFile, timeout: 60_000 }));
        await rc.waitForEngines(2, { timeout: 60_000 });
        subject = { rc, raw, language: 'python', label: version === '9' };
      });
      afterAll(async () => {
        await closing.close();
      });
      selectionTests(() => subject, 'stock');
    });
  }
}
