import { MongoDatabase, type TaskDatabase } from '@ipyparallel-js/hub/internal';
import { parseQuery } from '@ipyparallel-js/protocol/internal';
import { createLogger, stderrSink } from '@ipyparallel-js/wire';
import { MongoClient } from 'mongodb';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeMongo, MongoServer } from '../../support/clusters/mongo-server.js';
import { describeRetention, ended, HOUR, idsOf, type Limits } from '../../support/suites/retention.js';
import { waitFor } from '../../support/wait-for.js';

const log = createLogger('error', stderrSink('retention'));

describeMongo('MongoDB', () => {
  let server: MongoServer;
  beforeAll(async () => {
    server = await MongoServer.start();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  const open = (limits: Limits, database = server.newDatabase()): Promise<TaskDatabase> =>
    MongoDatabase.open({ uri: server.uri, database, ...limits }, { log, session: 'retention' });

  describeRetention('MongoDB', open);

  test('external values are removed by a purge, by limits and when they are replaced', async () => {
    const database = server.newDatabase();
    const client = new MongoClient(server.uri);
    const parts = client.db(database).collection('task_records.parts');
    const db = await open({ sizeLimit: 12 << 20 }, database);
    const large = (fill: number) => [Buffer.alloc(4_500_000, fill)];
    await db.write([{ op: 'add', task: ended('a', HOUR, { result_buffers: large(1) }) }]);
    await db.write([{ op: 'update', msgId: 'a', set: { result_buffers: large(2) } }]);
    expect((await db.get(['a'], ['result_buffers'])).get('a')?.result_buffers?.[0]?.[0]).toBe(2);
    expect(await parts.countDocuments()).toBe(2);
    await db.write([{ op: 'update', msgId: 'a', set: { result_buffers: [Buffer.of(3)] } }]);
    expect((await db.get(['a'], ['result_buffers'])).get('a')?.result_buffers).toEqual([Buffer.of(3)]);
    expect(await parts.countDocuments()).toBe(0);
    for (const [i, id] of ['b', 'c', 'd'].entries())
      await db.write([{ op: 'add', task: ended(id, HOUR / 2 - i * 1000, { result_buffers: large(i) }) }]);
    await waitFor(async () => {
      await db.write([]);
      return (await idsOf(db)).join() === 'c,d';
    });
    // The store removes the parts of a record after the record.
    await waitFor(async () => (await parts.countDocuments()) <= 4, { what: 'the parts to be removed' });
    expect(await parts.countDocuments()).toBe(4);
    await db.remove({ query: parseQuery({}) });
    expect(await parts.countDocuments()).toBe(0);
    await db.close();
    await client.close();
  });
});
