import { Client } from '@ipyparallel-js/client';
import { RemoteError } from '@ipyparallel-js/protocol';
import { expect, it } from 'vitest';
import { StockCluster, stockVersions } from '../support/clusters/stock-cluster.js';
import { describeStock } from '../support/python/describe-stock.js';

for (const version of stockVersions) {
  describeStock(version, `a task that fails on ipyparallel ${version}`, () => {
    it('leaves the tasks queued behind it alone, whoever submitted them', async () => {
      await using cluster = await StockCluster.start({ version, engines: 1 });
      await using rc = await Client.connect({ connectionFile: cluster.connectionFile });
      await using other = await Client.connect({ connectionFile: cluster.connectionFile });
      await Promise.all([rc.waitForEngines(1), other.waitForEngines(1)]);
      const view = rc.directView(0);
      const failing = view.execute('import time; time.sleep(0.3); nobody.knows');
      const queued = [
        view.execute('6 * 7'),
        other.directView(0).execute('7 * 8'),
        rc.loadBalancedView().execute('8 * 9'),
      ];
      await expect(failing.get({ timeout: 60_000 })).rejects.toBeInstanceOf(RemoteError);
      const replies = await Promise.all(queued.map((result) => result.get({ timeout: 60_000 })));
      expect(replies.map(({ text }) => text)).toEqual(['42', '56', '72']);
    });
  });
}
