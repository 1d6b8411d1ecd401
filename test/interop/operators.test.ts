import { Client } from '@ipyparallel-js/client';
import { Cluster } from '@ipyparallel-js/cluster';
import { describe, expect, it } from 'vitest';
import { StockCluster, stockVersions } from '../support/clusters/stock-cluster.js';
import { RawClient } from '../support/fakes/raw-client.js';
import { describeStock } from '../support/python/describe-stock.js';
import { requirePythonEnv } from '../support/python/python.js';
import { cases } from '../support/suites/operators/cases.js';
import { operatorTests, type Selections, setUp } from '../support/suites/operators/suite.js';
import { runWorkload } from '../support/suites/operators/workload.js';

const hubs = new Map<string, Selections>();

for (const version of stockVersions) {
  for (const db of ['dictdb', 'sqlitedb'] as const) {
    describeStock(version, `queries on ipyparallel ${version} with ${db}`, () => {
      const subject = setUp(async (closing) => {
        const cluster = closing.use(await StockCluster.start({ version, db, engines: 2 }));
        const raw = closing.use(RawClient.fromFile(cluster.connectionFile));
        const workload = closing.use(await runWorkload(raw, 'python'));
        const rc = closing.use(await Client.connect({ connectionFile: cluster.connectionFile }));
        return { rc, workload };
      });
      hubs.set(`${version} ${db}`, operatorTests(subject));
    });
  }
}

describeStock('9', 'queries on the embedded controller with engines of ipyparallel 9', () => {
  const subject = setUp(async (closing) => {
    const env = requirePythonEnv('9');
    const cluster = closing.use(await Cluster.start({ n: 2, engines: 'python', python: env.python }));
    const raw = closing.use(RawClient.fromFile(cluster.connectionFile));
    const workload = closing.use(await runWorkload(raw, 'python'));
    const rc = closing.use(await Client.connect({ connectionFile: cluster.connectionFile }));
    return { rc, workload };
  });
  hubs.set('embedded, Python engines', operatorTests(subject));
});

describe('queries on the embedded controller', () => {
  const subject = setUp(async (closing) => {
    const cluster = closing.use(await Cluster.start({ n: 2 }));
    const raw = closing.use(RawClient.fromFile(cluster.connectionFile));
    const workload = closing.use(await runWorkload(raw, 'javascript'));
    const rc = closing.use(await Client.connect({ connectionFile: cluster.connectionFile }));
    return { rc, workload };
  });
  hubs.set('embedded', operatorTests(subject));
});

describe('queries on all hubs', () => {
  it('select the same tasks', () => {
    const [reference, ...others] = [...hubs];
    if (reference === undefined) throw new Error('no hub was tested');
    for (const { name, differs } of cases) {
      if (differs !== undefined) continue;
      for (const [hub, selections] of others) {
        // A stock hub resubmits a direct task to its task queue; our hub resubmits it to its engine.
        const asOnStock = (id: string): boolean => !hub.startsWith('embedded') || id !== 'fail-0 again';
        expect(selections.get(name)?.filter(asOnStock), `${name}: ${hub} and ${reference[0]}`).toEqual(
          reference[1].get(name)?.filter(asOnStock),
        );
      }
    }
  });
});
