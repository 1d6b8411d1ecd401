// A Python hub and our hub use the same MongoDB database in turn.
import { MongoDatabase } from '@ipyparallel-js/hub/internal';
import { parseQuery } from '@ipyparallel-js/protocol/internal';
import { createLogger } from '@ipyparallel-js/wire';
import { expect, test } from 'vitest';
import { describeMongo, MongoServer } from '../../support/clusters/mongo-server.js';
import { OurController } from '../../support/clusters/our-controller.js';
import { StockCluster } from '../../support/clusters/stock-cluster.js';
import { describeStock } from '../../support/python/describe-stock.js';

const version = '9';

const work = `
import sys, json, time
import ipyparallel as ipp
rc = ipp.Client(sys.argv[1], timeout=60)
rc.wait_for_engines(1, timeout=120)
def until(f, seconds=60):
    end = time.time() + seconds
    while time.time() < end:
        value = f()
        if value:
            return value
        time.sleep(0.05)
    raise TimeoutError('timed out')
view = rc[0]
ar = view.execute("import sys; print('hello'); 6*7", silent=False)
ar.get()
applied = view.apply_async(lambda x: x * 2, b'x' * 100_000)
applied.get()
until(lambda: rc.db_query({'msg_id': ar.msg_ids[0], 'stdout': 'hello\\n', 'completed': {'$ne': None}}))
until(lambda: rc.db_query({'msg_id': applied.msg_ids[0], 'completed': {'$ne': None}}))
print(json.dumps({'executed': ar.msg_ids[0], 'applied': applied.msg_ids[0], 'history': len(rc.hub_history())}))
`;

// Prints the records of these tasks as a client of another session reads them.
const inspect = `
import sys, json
import ipyparallel as ipp
rc = ipp.Client(sys.argv[1], timeout=60)
ids = json.loads(sys.argv[2])
record = rc.db_query({'msg_id': ids['executed']})[0]
found = rc.db_query({'msg_id': {'$in': [ids['executed'], ids['applied']]}, 'completed': {'$gte': record['submitted']}}, keys=['msg_id', 'buffers', 'result_buffers'])
result = rc.get_result(ids['applied']).get(timeout=60)
again = None
try:
    rc.wait_for_engines(1, timeout=120)
    again = len(rc.resubmit([ids['applied']]).get(timeout=60)[0])
except Exception as error:
    again = repr(error)
print(json.dumps({
    'stdout': record['stdout'],
    'submitted': str(type(record['submitted']).__name__),
    'in_order': record['submitted'] <= record['completed'],
    'queue': record['queue'],
    'history': ids['executed'] in rc.hub_history(),
    'found': sorted(r['msg_id'] for r in found) == sorted([ids['executed'], ids['applied']]),
    'buffers': all(len(r['buffers']) > 0 for r in found if r['msg_id'] == ids['applied']),
    'result': len(result[0] if isinstance(result, list) else result),
    'again': again,
}))
`;

interface Ids {
  readonly executed: string;
  readonly applied: string;
  readonly history: number;
}

const expected = {
  stdout: 'hello\n',
  submitted: 'datetime',
  in_order: true,
  queue: 'mux',
  history: true,
  found: true,
  buffers: true,
  result: 200_000,
  again: 200_000,
};

describeMongo('MongoDB with ipyparallel 9', () => {
  describeStock(version, 'one database, two hubs', () => {
    test('our hub reads the records of a Python hub', async () => {
      await using server = await MongoServer.start();
      const database = server.newDatabase();
      let ids: Ids;
      {
        await using stock = await StockCluster.start({
          ...{ version, db: 'mongodb', engines: 1 },
          controllerArgs: [`--MongoDB.connection_args=["${server.uri}"]`, `--MongoDB.database=${database}`],
        });
        ids = await stock.runPython<Ids>(work);
      }
      const log = createLogger('silent', () => undefined);
      const db = await MongoDatabase.open({ uri: server.uri, database }, { log, session: 's' });
      const task = (await db.get([ids.applied])).get(ids.applied);
      expect(task?.header).toMatchObject({ msg_id: ids.applied, date: expect.stringMatching(/^20.*Z$/) });
      expect(await db.history()).toHaveLength(ids.history);
      const dry = await db.remove({ query: parseQuery({ msg_id: ids.applied }) }, { dryRun: true });
      expect(dry.bytes).toBeGreaterThan(300_000);
      await db.close();
      await using ours = await OurController.start({
        ...{ version, engines: 1 },
        controllerArgs: ['--mongodb', `--mongodb-uri=${server.uri}`, `--MongoDB.database=${database}`],
      });
      expect(await ours.runPython(inspect, { args: [JSON.stringify(ids)] })).toEqual(expected);
    });

    test('a Python hub reads the records of our hub', async () => {
      await using server = await MongoServer.start();
      const database = server.newDatabase();
      let ids: Ids;
      {
        await using ours = await OurController.start({
          ...{ version, engines: 1 },
          controllerArgs: [
            ...['--mongodb', `--MongoDB.connection_args=["${server.uri}"]`, `--MongoDB.database=${database}`],
          ],
        });
        ids = await ours.runPython<Ids>(work);
      }
      await using stock = await StockCluster.start({
        ...{ version, db: 'mongodb', engines: 1 },
        controllerArgs: [`--MongoDB.connection_args=["${server.uri}"]`, `--MongoDB.database=${database}`],
      });
      expect(await stock.runPython(inspect, [JSON.stringify(ids)])).toEqual(expected);
    });
  });
});
