// Measures a request and a query, and compares them with their lower bounds and with the Python client in the same run.
// `npm run bench`, or `npm run bench -- --version 7.1 --db sqlitedb --records 1000`.
import { parseArgs } from 'node:util';
import { Client } from '@ipyparallel-js/client';
import { packerFor, Session } from '@ipyparallel-js/protocol';
import { Dealer } from 'zeromq';
import {
  StockCluster,
  type StockDatabase,
  type StockVersion,
} from '../../test/support/clusters/stock-cluster.js';
import { joinRounds, printTable, type Samples, sample } from '../lib/samples.js';
import { startEcho } from '../peers/echo.js';
import { startPythonClient } from '../peers/python-client.js';

const { values } = parseArgs({
  options: {
    version: { type: 'string', default: '9' },
    db: { type: 'string', default: 'dictdb' },
    records: { type: 'string', default: '1000' },
    rounds: { type: 'string', default: '5' },
  },
});
const version = values.version as StockVersion;
const db = values.db as StockDatabase;
const recordCount = Number(values.records);
const rounds = Number(values.rounds);

await using cluster = await StockCluster.start({ version, db, engines: 2 });
await using rc = await Client.connect({ connectionFile: cluster.connectionFile, timeout: 30_000 });
await rc.waitForEngines(2, { timeout: 30_000 });
await using python = await startPythonClient(version, cluster.connectionFile);
await using echo = await startEcho();

console.log(`filling a stock ${version} --${db} hub with ${recordCount} records …`);
const view = rc.loadBalancedView();
// DictDB drops the oldest records beyond 1,024.
await Promise.all(
  Array.from({ length: recordCount }, (_, i) => view.execute(`x = ${i}`).get({ timeout: 120_000 })),
);
while ((await rc.dbQuery({ completed: { $ne: null } }, 'msg_id')).length < recordCount);

async function runInRounds(actions: readonly (() => Promise<Samples>)[]): Promise<Samples[]> {
  const all = actions.map(() => [] as Samples[]);
  for (let round = 0; round < rounds; round++) {
    for (const [i, action] of actions.entries()) all[i]?.push(await action());
  }
  return all.map(joinRounds);
}

const session = new Session({ key: 'a key', now: () => new Date() });
const request = () => session.encode(session.message('queue_request', { targets: null, verbose: false }));
printTable(
  'A request and its reply: queue_status of two engines',
  'ms',
  await runInRounds([
    () => sample('bare zeromq.js echo, two processes', 300, () => echo.roundTrip(request())),
    () => sample('our client, stock hub', 300, () => rc.queueStatus()),
    () => python.time('Python client, stock hub', { action: 'queue_status' }, 300),
  ]),
);

// The time of the hub alone: a query on a bare socket, whose reply is not decoded.
const bareSocket = new Dealer({ linger: 0 });
const info = JSON.parse(await (await import('node:fs/promises')).readFile(cluster.connectionFile, 'utf8'));
bareSocket.connect(`${info.interface}:${info.registration}`);
const hubSession = new Session({
  key: info.key,
  pack: info.pack,
  unpack: info.unpack,
  now: () => new Date(),
});
let reply: Buffer[] = [];
const queryOnBareSocket = async () => {
  await bareSocket.send(
    hubSession.encode(hubSession.message('db_request', { query: { msg_id: { $ne: null } }, keys: null })),
  );
  reply = await bareSocket.receive();
};
await queryOnBareSocket();
const content = reply[5] ?? Buffer.alloc(0);
const packer = packerFor(info.pack);
printTable(
  `dbQuery of ${recordCount} complete records (${(content.length / 1e6).toFixed(1)} MB)`,
  'ms',
  await runInRounds([
    () => sample('bare socket: the hub alone, reply not decoded', 5, queryOnBareSocket),
    () => sample('JSON.parse of the reply only', 5, async () => packer.unpack(content)),
    () => sample('our client', 5, () => Promise.resolve(rc.dbQuery({}))),
    () => python.time('Python client', { action: 'db_query', args: [{ msg_id: { $ne: null } }] }, 5),
  ]),
);
bareSocket.close();
