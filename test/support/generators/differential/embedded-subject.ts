// Subject: our client with our controller, whose SQLite file is filled before it starts.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from '@ipyparallel-js/client';
import { SqliteDatabase, type StoredTask } from '@ipyparallel-js/hub/internal';
import { createLogger, stderrSink } from '@ipyparallel-js/wire';
import { Closing } from '../../closing.js';
import { TestController } from '../../clusters/test-controller.js';
import { runOnClient } from './run-on-client.js';
import type { PagedQuery, Subject } from './subject.js';

export class EmbeddedSubject implements Subject {
  readonly name = 'our client over our controller with sqlite';
  readonly concurrency = 8;
  #open = new Closing();
  #client: Client | undefined;

  async load(tasks: readonly StoredTask[]): Promise<readonly StoredTask[]> {
    await this.#open.close();
    const location = mkdtempSync(join(tmpdir(), 'ippjs-embedded-'));
    this.#open.use({
      [Symbol.asyncDispose]: async () => rmSync(location, { recursive: true, force: true }),
    });
    const store = await SqliteDatabase.open({ location }, createLogger('warn', stderrSink('sqlite')));
    await store.write(tasks.map((task) => ({ op: 'add', task })));
    await store.close();
    const controller = this.#open.use(await TestController.start({ db: { type: 'sqlite', location } }));
    const { clientFile } = controller.controller;
    this.#client = this.#open.use(await Client.connect({ connectionFile: clientFile }));
    return tasks;
  }

  async ids(pagedQuery: PagedQuery): Promise<readonly string[]> {
    if (this.#client === undefined) throw new Error('nothing was loaded');
    return await runOnClient(this.#client, pagedQuery);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#open.close();
  }
}
