import { Client } from '@ipyparallel-js/client';
import type { StoredTask } from '@ipyparallel-js/hub/internal';
import { afterAll, beforeAll } from 'vitest';
import { Closing } from '../support/closing.js';
import { stockVersions } from '../support/clusters/stock-cluster.js';
import { StockRecords } from '../support/generators/differential/stock-records.js';
import { describeStock } from '../support/python/describe-stock.js';
import { type PagingSubject, pagingTests } from '../support/suites/paging.js';

for (const version of stockVersions) {
  for (const db of ['dictdb', 'sqlitedb'] as const) {
    describeStock(version, `many records of ipyparallel ${version} with ${db}`, () => {
      const closing = new Closing();
      let subject: PagingSubject;
      beforeAll(async () => {
        const hub = closing.use(await StockRecords.start(version, db));
        const rc = closing.use(await Client.connect({ connectionFile: hub.cluster.connectionFile }));
        const load = async (tasks: readonly StoredTask[]): Promise<void> => void hub.load(tasks);
        const add = async (tasks: readonly StoredTask[]): Promise<void> => hub.add(tasks);
        subject = { rc, load, add, kind: 'stock' };
      });
      afterAll(async () => {
        await closing.close();
      });
      pagingTests(() => subject);
    });
  }
}
