import { MongoDatabase } from '@ipyparallel-js/hub/internal';
import { createLogger, stderrSink } from '@ipyparallel-js/wire';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeMongo, MongoServer } from '../../support/clusters/mongo-server.js';
import { questionsOfRun, runDifferential, seedOfRun } from '../../support/generators/differential/run.js';
import { StoreSubject } from '../../support/generators/differential/store-subject.js';
import { describeTaskDatabase } from '../../support/suites/task-database.js';

const log = createLogger('warn', stderrSink('mongodb'));
const questions = questionsOfRun(600);
const sets = [
  { records: 60, questions: 150 },
  { records: 5, questions: 50 },
];

describeMongo('MongoDB', () => {
  let server: MongoServer;
  beforeAll(async () => {
    server = await MongoServer.start();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  const open = () =>
    MongoDatabase.open({ uri: server.uri, database: server.newDatabase() }, { log, session: 'test' });

  describeTaskDatabase('MongoDB', async () => {
    const db = await open();
    return { db, dispose: () => db.close() };
  });

  // The store corrects the departures of the server, so it must equal the reference completely.
  it(
    'the store selects the records of the reference',
    async () => {
      await using subject = new StoreSubject('MongoDB store', open);
      await runDifferential([subject], { questions, sets }, seedOfRun());
      expect(questions).toBeGreaterThan(0);
    },
    60_000 + questions * 100,
  );
});
