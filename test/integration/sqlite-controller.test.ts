import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from '@ipyparallel-js/client';
import { Controller } from '@ipyparallel-js/hub';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { RawClient } from '../support/fakes/raw-client.js';
import { answerAll, RawEngine } from '../support/fakes/raw-engine.js';
import { waitFor } from '../support/wait-for.js';

let profileDir: string;
beforeEach(() => {
  profileDir = mkdtempSync(join(tmpdir(), 'ippjs-history-'));
});
afterEach(() => rmSync(profileDir, { recursive: true, force: true }));

const start = (): Promise<Controller> =>
  Controller.start({ profileDir, db: 'sqlite', hbPeriod: 200, maxHeartbeatMisses: 150 });

test('a restarted controller has its history, and can purge a task that will never end', async () => {
  const ids: string[] = [];
  {
    await using controller = await start();
    await using client = RawClient.fromFile(controller.clientFile);
    await using _engine = await RawEngine.start(controller.engineFile, {
      onTask: (task, engine) => {
        if (engine.tasks.length <= 3) answerAll(task);
      },
    });
    await waitFor(async () => (await client.engines()).size === 1);
    const buffers = [Buffer.from('argument')];
    for (let i = 0; i < 4; i++) {
      const { id } = client.submit('task', 'apply_request', { i }, undefined, { buffers });
      // The history is in the order of submission, to the millisecond.
      await waitFor(async () => (await client.record(id)) !== undefined);
      ids.push(id);
    }
    await waitFor(async () => {
      const records = await Promise.all(ids.map((id) => client.record(id)));
      return records.filter((record) => typeof record?.completed === 'string').length === 3;
    });
  }
  expect(existsSync(join(profileDir, 'tasks.db'))).toBe(true);
  await using controller = await start();
  await using rc = await Client.connect({ connectionFile: controller.clientFile });
  expect(await rc.hubHistory()).toEqual(ids);
  const records = await rc.dbQuery({}, ['msg_id', 'completed', 'buffers']);
  expect(records.map((record) => record.msg_id)).toEqual(ids);
  expect(records.map(({ buffers }) => buffers?.map((buffer) => Buffer.from(buffer).toString()))).toEqual(
    Array(4).fill(['argument']),
  );
  const unfinished = await rc.dbQuery({ completed: null }, ['msg_id']);
  expect(unfinished.map((record) => record.msg_id)).toEqual(ids.slice(3));
  await rc.purgeResults(ids.slice(3));
  expect(await rc.hubHistory()).toEqual(ids.slice(0, 3));
});
