import { Client } from '@ipyparallel-js/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Closing } from '../support/closing.js';
import { describeStock } from '../support/describe-stock.js';
import { cases } from '../support/operators/cases.js';
import { operatorTests, type Selections, type Subject } from '../support/operators/suite.js';
import { runWorkload } from '../support/operators/workload.js';
import { RawClient } from '../support/raw-client.js';
import { StockCluster, stockVersions } from '../support/stock-cluster.js';

const hubs = new Map<string, Selections>();

for (const version of stockVersions) {
  for (const db of ['dictdb', 'sqlitedb'] as const) {
    describeStock(version, `queries on ipyparallel ${version} with ${db}`, () => {
      let subject: Subject | undefined;
      const closing = new Closing();

      beforeAll(async () => {
        const cluster = closing.use(await StockCluster.start({ version, db, engines: 2 }));
        const raw = closing.use(RawClient.fromFile(cluster.connectionFile));
        const workload = closing.use(await runWorkload(raw, 'python'));
        const rc = closing.use(await Client.connect({ connectionFile: cluster.connectionFile }));
        subject = { rc, workload };
      });
      afterAll(async () => {
        await closing.close();
      });

      const selections = operatorTests(() => {
        if (subject === undefined) throw new Error('the workload did not run');
        return subject;
      });
      hubs.set(`${version} ${db}`, selections);
    });
  }
}

describe('queries on all hubs', () => {
  it('select the same tasks', () => {
    const [reference, ...others] = [...hubs];
    if (reference === undefined) throw new Error('no hub was asked');
    for (const { name, differs } of cases) {
      if (differs !== undefined) continue;
      for (const [hub, selections] of others) {
        expect(selections.get(name), `${name}: ${hub} and ${reference[0]}`).toEqual(reference[1].get(name));
      }
    }
  });
});
