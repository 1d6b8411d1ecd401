import { Client } from '@ipyparallel-js/client';
import { RemoteError } from '@ipyparallel-js/protocol';
import { expect, it } from 'vitest';
import { StockCluster, stockVersions } from '../support/clusters/stock-cluster.js';
import { Gate } from '../support/gate.js';
import { describeStock } from '../support/python/describe-stock.js';
import { waitFor } from '../support/wait-for.js';

for (const version of stockVersions) {
  describeStock(version, `a task that fails on ipyparallel ${version}`, () => {
    it('leaves the tasks queued behind it alone, whoever submitted them', async () => {
      await using cluster = await StockCluster.start({ version, engines: 1 });
      await using rc = await Client.connect({ connectionFile: cluster.connectionFile });
      await using other = await Client.connect({ connectionFile: cluster.connectionFile });
      await Promise.all([rc.waitForEngines(1), other.waitForEngines(1)]);
      const view = rc.directView(0);
      using gate = new Gate();
      const failing = view.execute(`${gate.python}nobody.knows`);
      const queued = [
        view.execute('6 * 7'),
        other.directView(0).execute('7 * 8'),
        rc.loadBalancedView().execute('8 * 9'),
      ];
      const ids = [failing, ...queued].flatMap(({ msgIds }) => msgIds);
      const sent = { msg_id: { $in: ids }, engine_uuid: { $ne: null } };
      await waitFor(async () => (await rc.dbQuery(sent, [])).length === ids.length, {
        what: 'all tasks to be sent to the engine',
      });
      gate.open();
      await expect(failing.get({ timeout: 60_000 })).rejects.toBeInstanceOf(RemoteError);
      const replies = await Promise.all(queued.map((result) => result.get({ timeout: 60_000 })));
      expect(replies.map(({ text }) => text)).toEqual(['42', '56', '72']);
    });
  });
}
