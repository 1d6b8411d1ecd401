import { Client } from '@ipyparallel-js/client';
import { Cluster } from '@ipyparallel-js/cluster';
import { describe } from 'vitest';
import { RawClient } from '../support/fakes/raw-client.js';
import { operatorTests, setUp } from '../support/suites/operators/suite.js';
import { runWorkload } from '../support/suites/operators/workload.js';

describe('queries on the embedded controller', () => {
  operatorTests(
    setUp(async (closing) => {
      const cluster = closing.use(await Cluster.start({ n: 2 }));
      const raw = closing.use(RawClient.fromFile(cluster.connectionFile));
      const workload = closing.use(await runWorkload(raw, 'javascript'));
      const rc = closing.use(await Client.connect({ connectionFile: cluster.connectionFile }));
      return { rc, workload };
    }),
  );
});
