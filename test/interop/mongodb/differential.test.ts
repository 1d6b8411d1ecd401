import { MongoDatabase } from '@ipyparallel-js/hub/internal';
import { createLogger, stderrSink } from '@ipyparallel-js/wire';
import { it } from 'vitest';
import { describeMongo, MongoServer } from '../../support/clusters/mongo-server.js';
import { MongoServerSubject } from '../../support/generators/differential/mongo-server-subject.js';
import { questionsOfRun, runDifferential, seedOfRun } from '../../support/generators/differential/run.js';
import { StoreSubject } from '../../support/generators/differential/store-subject.js';

const log = createLogger('warn', stderrSink('differential'));

describeMongo('generated queries over generated records select the records of the reference', () => {
  const questions = questionsOfRun(500);
  const sets = [
    { records: 40, questions: 200 },
    { records: 5, questions: 50 },
  ];

  it(
    'in our MongoDB store and on the server itself',
    async () => {
      await using server = await MongoServer.start();
      const database = server.newDatabase();
      await using store = new StoreSubject('our MongoDB store', () =>
        MongoDatabase.open({ uri: server.uri, database }, { log, session: 'differential' }),
      );
      await using raw = await MongoServerSubject.start(server.uri);
      await runDifferential([store, raw], { questions, sets }, seedOfRun());
    },
    60_000 + questions * 200,
  );
});
