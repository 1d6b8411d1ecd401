import { afterAll, beforeEach } from 'vitest';
import { describeMongo, MongoServer } from '../../support/clusters/mongo-server.js';
import { subscriptionTests } from '../../support/suites/subscriptions.js';

describeMongo('MongoDB', () => {
  let server: Promise<MongoServer> | undefined;
  let uri = '';
  beforeEach(async () => {
    server ??= MongoServer.start();
    uri = (await server).uri;
  });
  afterAll(async () => (await server)?.[Symbol.asyncDispose]());
  // The number of tasks is small, because FerretDB is slow with many writes.
  subscriptionTests('MongoDB', 60, () => ({
    type: 'mongodb',
    uri,
    database: `subscriptions-${Date.now()}-${Math.trunc(Math.random() * 1e6)}`,
  }));
});
