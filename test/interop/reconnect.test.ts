import { readFileSync } from 'node:fs';
import { Client, type ConnectionStatus, TaskLostError } from '@ipyparallel-js/client';
import { expect, it } from 'vitest';
import { StockCluster } from '../support/clusters/stock-cluster.js';
import { CutProxy } from '../support/fakes/cut-proxy.js';
import { Gate } from '../support/gate.js';
import { describeStock } from '../support/python/describe-stock.js';
import { waitFor } from '../support/wait-for.js';

const WAIT = { timeout: 60_000 };

/** A database that blocks the hub's only thread for seconds per query, like thousands of complete records. */
const slowDatabase = `
import time
from ipyparallel.controller.dictdb import DictDB
find = DictDB.find_records
def slow(self, check, keys=None):
    if isinstance(check.get('msg_id'), dict) and check['msg_id'].get('$eq') == 'slow':
        time.sleep(12)
    return find(self, check, keys)
DictDB.find_records = slow
`;

function statesOf(rc: Client): ConnectionStatus[] {
  const states: ConnectionStatus[] = [];
  rc.connection$.subscribe((status) => states.push(status));
  return states;
}

for (const version of ['7.1', '9'] as const) {
  describeStock(version, `the connection to a controller of ipyparallel ${version}`, () => {
    it('survives a busy hub, a cut and a restart of the controller', async () => {
      await using cluster = await StockCluster.start({ version, engines: 1, config: slowDatabase });
      const info = JSON.parse(readFileSync(cluster.connectionFile, 'utf8')) as Record<string, unknown>;
      await using proxy = await CutProxy.start(info);
      await using rc = await Client.connect({ connectionFile: proxy.info, heartbeatInterval: 1_000 });
      const states = statesOf(rc);
      const [id = 0] = await rc.waitForEngines(1, WAIT);

      // The query blocks the hub three times as long as the client tolerates a silent connection.
      await using other = await Client.connect({ connectionFile: cluster.connectionFile });
      const slow = other.dbQuery({ msg_id: 'slow' }, { keys: 'queue', ...WAIT });
      const rows = slow.then((all) => all);
      const began = performance.now();
      const [, history] = await Promise.all([rows, rc.hubHistory(WAIT)]);
      expect(performance.now() - began).toBeGreaterThan(11_000);
      expect(history).toEqual([]);
      expect(states.map(({ state }) => state)).toEqual(['connected']);

      using gate = new Gate();
      const direct = rc.directView(id).execute(`${gate.python}6 * 7`);
      const balanced = rc.loadBalancedView().execute('"after it"');
      await waitFor(async () => (await other.hubHistory()).length === 2, WAIT);
      proxy.pause();
      await waitFor(() => !rc.connected, { ...WAIT, what: 'the client to notice the cut' });
      gate.open();
      const meanwhile = rc.loadBalancedView().execute('"meanwhile"');
      proxy.resume();
      expect(await direct.get(WAIT)).toMatchObject({ text: '42' });
      expect(await balanced.get(WAIT)).toMatchObject({ text: "'after it'" });
      expect(await meanwhile.get(WAIT)).toMatchObject({ text: "'meanwhile'" });
      expect(states.at(-1)).toMatchObject({ state: 'connected', incarnation: 2 });
      // A reply may reach its client before the hub has recorded the task.
      await waitFor(async () => (await other.hubHistory()).length >= 3, WAIT);
      expect(await other.hubHistory()).toHaveLength(3);

      using lasting = new Gate();
      const lost = rc.loadBalancedView().execute(lasting.python);
      await waitFor(async () => (await other.hubHistory()).length === 4, WAIT);
      await cluster.killController();
      await waitFor(() => !rc.connected, { ...WAIT, what: 'the client to notice the end of the controller' });
      await cluster.restartController(['--restore']);
      await waitFor(() => rc.connected, { ...WAIT, what: 'the client to reconnect' });
      expect(states.at(-1)).toMatchObject({ state: 'connected', incarnation: 3 });
      // The record of the task was in the memory of the previous run, and no process reports it to the new run.
      await expect(lost.get(WAIT)).rejects.toBeInstanceOf(TaskLostError);
      lasting.open();
      await rc.waitForEngines(1, WAIT);
      const after = rc.directView(rc.ids[0] ?? 0).execute('"again"');
      expect(await after.get(WAIT)).toMatchObject({ text: "'again'" });
      expect(rc.outstanding).toEqual([]);
      expect(rc.stats).toMatchObject({ malformed: 0, forged: 0, replayed: 0 });
    });
  });
}
