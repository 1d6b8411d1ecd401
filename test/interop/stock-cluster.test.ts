import { existsSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { StockCluster, stockVersions } from '../support/clusters/stock-cluster.js';
import { isAlive } from '../support/processes.js';
import { describeStock } from '../support/python/describe-stock.js';

const onePlusOne = `
  import json, sys, time
  import ipyparallel
  from subscribed import wait_until_subscribed
  rc = ipyparallel.Client(sys.argv[1], timeout=60)
  rc.wait_for_engines(1, timeout=60)
  wait_until_subscribed(rc[:])
  result = rc[:].execute('1 + 1', silent=False, block=True)
  result.wait_for_output(60)
  # The hub may receive its copy of a reply later than the client.
  deadline = time.monotonic() + 60
  while True:
      records = rc.db_query({'msg_id': {'$in': result.msg_ids}}, keys=['msg_id', 'completed', 'engine_uuid'])
      if records and all(r['completed'] for r in records) or time.monotonic() > deadline:
          break
  answer = {
      'version': ipyparallel.__version__,
      'ids': rc.ids,
      'sum': result[0].execute_result['data']['text/plain'],
      'msg_ids': result.msg_ids,
      'records': [dict(msg_id=r['msg_id'], done=r['completed'] is not None) for r in records],
  }
  rc.close()
  print(json.dumps(answer))
`;

for (const version of stockVersions) {
  for (const db of ['dictdb', 'sqlitedb'] as const) {
    describeStock(version, `ipyparallel ${version} with ${db}`, () => {
      it('runs and records a task of the Python client, and leaves nothing behind', async () => {
        const cluster = await StockCluster.start({ version, db, engines: 1 });
        const answer = await cluster.runPython<Record<string, unknown>>(onePlusOne);
        const pids = await cluster.pids();
        const { controllerPid, engines, directory } = cluster;
        expect(answer).toMatchObject({ ids: [0], sum: '2' });
        expect(String(answer.version)).toMatch(new RegExp(`^${version.replace('.', '\\.')}\\.`));
        const [msgId] = answer.msg_ids as string[];
        expect(answer.records).toEqual([{ msg_id: msgId, done: true }]);
        expect(pids).toContain(controllerPid);
        expect(engines.map(({ id }) => id)).toEqual([0]);
        expect(pids).toEqual(expect.arrayContaining(engines.flatMap(({ pid, nannyPid }) => [pid, nannyPid])));
        // The processes are eight schedulers and monitors, the controller, the engine and its nanny.
        expect(pids.length).toBeGreaterThanOrEqual(11);

        await cluster.stop();
        expect(pids.filter(isAlive)).toEqual([]);
        expect(existsSync(directory)).toBe(false);
      });
    });
  }
}

describeStock('9', 'ipyparallel 9 with its packers', () => {
  it('packs with orjson if it is installed', async () => {
    await using cluster = await StockCluster.start({ version: '9' });
    expect(JSON.parse(readFileSync(cluster.connectionFile, 'utf8'))).toMatchObject({
      pack: 'orjson',
      unpack: 'orjson',
    });
  });

  it('packs with msgpack', async () => {
    await using cluster = await StockCluster.start({ version: '9', engines: 1, pack: 'msgpack.packb' });
    expect(JSON.parse(readFileSync(cluster.connectionFile, 'utf8'))).toMatchObject({
      pack: 'msgpack.packb',
      unpack: 'msgpack.unpackb',
    });
    expect(await cluster.runPython(onePlusOne)).toMatchObject({ sum: '2' });
  });
});
