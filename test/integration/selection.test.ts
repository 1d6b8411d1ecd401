import { Client } from '@ipyparallel-js/client';
import { Cluster } from '@ipyparallel-js/cluster';
import { afterAll, beforeAll, describe } from 'vitest';
import { Closing } from '../support/closing.js';
import { RawClient } from '../support/fakes/raw-client.js';
import { type SelectionSubject, selectionTests } from '../support/suites/selection.js';

describe('selections on an embedded controller', () => {
  const closing = new Closing();
  let subject: SelectionSubject;
  beforeAll(async () => {
    const cluster = closing.use(await Cluster.start({ n: 2 }));
    const raw = closing.use(RawClient.fromFile(cluster.connectionFile));
    const rc = closing.use(await Client.connect({ connectionFile: cluster.connectionFile }));
    await rc.waitForEngines(2);
    subject = { rc, raw, language: 'javascript', label: true };
  });
  afterAll(async () => {
    await closing.close();
  });
  selectionTests(() => subject, 'ours');
});
