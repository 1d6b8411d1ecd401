// Subject: our client with a stock hub.
import { Client } from '@ipyparallel-js/client';
import type { StoredTask } from '@ipyparallel-js/hub/internal';
import type { StockVersion } from '../../clusters/stock-cluster.js';
import { runOnClient } from './run-on-client.js';
import { type RecordingStock, StockRecords } from './stock-records.js';
import type { PagedQuery, Subject } from './subject.js';

export class StockSubject implements Subject {
  readonly name: string;
  readonly concurrency = 8;
  readonly #records: StockRecords;
  readonly #client: Client;

  private constructor(records: StockRecords, client: Client) {
    this.name = `our client over ipyparallel ${records.version} with ${records.db}`;
    this.#records = records;
    this.#client = client;
  }

  static async start(version: StockVersion, db: RecordingStock): Promise<StockSubject> {
    const records = await StockRecords.start(version, db);
    try {
      const client = await Client.connect({ connectionFile: records.cluster.connectionFile });
      return new StockSubject(records, client);
    } catch (error) {
      await records[Symbol.asyncDispose]();
      throw error;
    }
  }

  async load(tasks: readonly StoredTask[]): Promise<readonly StoredTask[]> {
    return this.#records.load(tasks);
  }

  async ids(pagedQuery: PagedQuery): Promise<readonly string[]> {
    return await runOnClient(this.#client, pagedQuery);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.close();
    await this.#records[Symbol.asyncDispose]();
  }
}
