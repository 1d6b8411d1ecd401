// Our controller with its tasks in MongoDB.
import { Client } from '@ipyparallel-js/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Closing } from '../../support/closing.js';
import { describeMongo, MongoServer } from '../../support/clusters/mongo-server.js';
import { TestController } from '../../support/clusters/test-controller.js';
import { answerAll } from '../../support/fakes/raw-engine.js';
import { waitFor } from '../../support/wait-for.js';

describeMongo('a controller with its tasks in MongoDB', () => {
  const closing = new Closing();
  let server: MongoServer;
  beforeAll(async () => {
    server = closing.use(await MongoServer.start());
  });
  afterAll(() => closing.close());

  const start = (database: string): Promise<TestController> =>
    TestController.start({ db: { type: 'mongodb', uri: server.uri, database } });

  // FerretDB blocks forever when a command contains 100 updates, because that is its limit of connections.
  test('300 short tasks at once are all stored as completed', async () => {
    await using ours = await start(server.newDatabase());
    for (let i = 0; i < 2; i++) await ours.engine({ onTask: (task) => answerAll(task) });
    const submitter = await ours.client();
    await using rc = await Client.connect({ connectionFile: ours.controller.clientFile });
    const ids = Array.from({ length: 300 }, (_, i) => submitter.submit('task', 'apply_request', { i }).id);
    await waitFor(async () => (await rc.dbQuery({ completed: { $ne: null } }).count()) === 300, {
      timeout: 120_000,
      what: 'all tasks to be completed in the database',
    });
    const records = await rc.dbQuery({}, ['msg_id', 'content', 'engine_uuid', 'result_content']);
    expect(records.map((record) => record.msg_id).sort()).toEqual(ids.sort());
    expect(records.filter((record) => record.result_content === null || !record.engine_uuid)).toEqual([]);
    expect(ours.log.filter((line) => /unavailable|could not/.test(line))).toEqual([]);
  }, 150_000);
});
