import { MongoDatabase } from '@ipyparallel-js/hub/internal';
import { createLogger, stderrSink } from '@ipyparallel-js/wire';
import { afterAll, beforeAll } from 'vitest';
import { describeMongo, MongoServer } from '../../support/clusters/mongo-server.js';
import { StoreSubject } from '../../support/generators/differential/store-subject.js';
import { describeCorners } from '../../support/suites/corners.js';

const log = createLogger('error', stderrSink('corners'));

describeMongo('MongoDB', () => {
  let server: MongoServer;
  beforeAll(async () => {
    server = await MongoServer.start();
  });
  afterAll(() => server[Symbol.asyncDispose]());
  describeCorners('MongoDB', async () => {
    const database = server.newDatabase();
    const open = () => MongoDatabase.open({ uri: server.uri, database }, { log, session: 'corners' });
    return new StoreSubject('MongoDB', open);
  });
});
