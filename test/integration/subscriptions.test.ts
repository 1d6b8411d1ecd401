// Subscriptions over real sockets, on every store.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ControllerOptions } from '@ipyparallel-js/hub';
import type { Dict } from '@ipyparallel-js/protocol';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { describeMongo, MongoServer } from '../support/clusters/mongo-server.js';
import { TestController } from '../support/clusters/test-controller.js';
import { RawClient } from '../support/fakes/raw-client.js';
import { answerAll } from '../support/fakes/raw-engine.js';
import { RawSubscriber } from '../support/fakes/raw-subscriber.js';
import { waitFor } from '../support/wait-for.js';

type Database = NonNullable<ControllerOptions['db']>;

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ippjs-subscriptions-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** What the database has, as a subscriber of the same keys would have it. */
async function stored(client: RawClient, query: Dict): Promise<Map<string, Dict>> {
  const request = { query, keys: null };
  const reply = await client.submit('registration', 'db_request', request).reply(60_000);
  const records = reply.content['records'] as Dict[];
  return new Map(records.map((record) => [String(record['msg_id']), record]));
}

function suite(name: string, count: number, db: () => Database): void {
  test(`what happens to a task is pushed, with its buffers: ${name}`, async () => {
    await using bench = await TestController.start({ db: db() });
    const engine = await bench.engine({
      onTask: (task) => task.reply({ status: 'ok' }, { buffers: [Buffer.from('result')] }),
    });
    const client = await bench.client();
    const keys = ['label', 'buffers', 'result_buffers'];
    const done = await RawSubscriber.start(client, { completed: { $ne: null } }, { keys });
    const open = await RawSubscriber.start(client, { completed: null, label: 'a' });
    const parts = { metadata: { label: 'a' }, buffers: [Buffer.from('one'), Buffer.from('two')] };
    const { id } = client.submit('mux', 'apply_request', {}, engine.uuid, parts);
    await waitFor(() => done.take().records.size === 1 && open.take().changes.at(-1)?.op === 'out');
    expect(done.records.get(id)).toMatchObject({ label: 'a', result_content: { status: 'ok' } });
    const { message } = await waitFor(() =>
      client.received.find(
        ({ message: { content } }) =>
          content['subscription'] === done.reply['subscription'] &&
          content['buffer_lens'] !== undefined &&
          (content['changes'] as unknown[]).length > 0 &&
          (content['buffer_lens'] as number[]).length > 0,
      ),
    );
    expect(message.content).toMatchObject({ buffer_lens: [2], result_buffer_lens: [1] });
    expect(message.buffers.map(String)).toEqual(['one', 'two', 'result']);
    await client.submit('registration', 'purge_request', { msg_ids: [id], engine_ids: [] }).reply();
    await waitFor(() => done.take().changes.at(-1)?.op === 'gone');
    expect(done.records.size).toBe(0);
  });

  test(`${count} tasks are followed to what the database has: ${name}`, async () => {
    const limits = { recordLimit: 5000 };
    const options = db();
    const type = typeof options === 'string' ? { type: options } : options;
    await using bench = await TestController.start({ db: { ...type, ...limits } as Database });
    await bench.engine({ onTask: answerAll });
    await bench.engine({ onTask: answerAll });
    const client = await bench.client();
    const all = await RawSubscriber.start(client, {});
    const failed = await RawSubscriber.start(client, { label: 'odd', engine_uuid: { $ne: null } });
    const ids = Array.from({ length: count }, (_, i) => {
      const metadata = i % 2 === 0 ? {} : { label: 'odd' };
      return client.submit('task', 'apply_request', {}, undefined, { metadata }).id;
    });
    const isDone = (record: Dict | undefined): boolean => typeof record?.['completed'] === 'string';
    await waitFor(
      () => {
        all.take();
        failed.take();
        return ids.every((id) => isDone(all.records.get(id)));
      },
      { timeout: 90_000, what: () => `all tasks to be done; ${all.records.size} are known` },
    );
    expect(all.resets + failed.resets).toBe(0);
    expect(all.records).toEqual(await stored(client, {}));
    const odd = await stored(client, { label: 'odd' });
    await waitFor(() => [...failed.take().records.values()].filter(isDone).length === odd.size);
    expect(failed.records).toEqual(odd);
  }, 120_000);
}

suite('memory', 2000, () => 'memory');
suite('SQLite', 2000, () => ({ type: 'sqlite', location: directory }));

describeMongo('MongoDB', () => {
  let server: Promise<MongoServer> | undefined;
  let uri = '';
  beforeEach(async () => {
    server ??= MongoServer.start();
    uri = (await server).uri;
  });
  afterAll(async () => (await server)?.[Symbol.asyncDispose]());
  // The stand-in for MongoDB takes long over many writes.
  suite('MongoDB', 60, () => ({
    type: 'mongodb',
    uri,
    database: `subscriptions-${Date.now()}-${Math.trunc(Math.random() * 1e6)}`,
  }));
});

describe('a client', () => {
  test('that speaks msgpack is told the same', async () => {
    await using bench = await TestController.start({ pack: 'msgpack' });
    const engine = await bench.engine({
      onTask: (task) => task.reply({ status: 'ok' }, { buffers: [Buffer.from('result')] }),
    });
    const client = await bench.client();
    const keys = ['label', 'completed', 'result_buffers'];
    const done = await RawSubscriber.start(client, { completed: { $ne: null } }, { keys });
    const parts = { metadata: { label: 'a' } };
    const { id } = client.submit('mux', 'apply_request', {}, engine.uuid, parts);
    await waitFor(() => done.take().records.size === 1);
    expect(done.records.get(id)).toMatchObject({
      label: 'a',
      completed: expect.stringMatching(/^\d{4}-.*Z$/),
    });
    const update = client.received.findLast(({ message }) => message.msg_type === 'subscription_update');
    expect(update?.message.buffers.map(String)).toEqual(['result']);
  });

  test('that connects anew resumes, and misses nothing', async () => {
    await using bench = await TestController.start();
    const engine = await bench.engine({ onTask: answerAll });
    const first = RawClient.fromFile(bench.controller.clientFile);
    await first.engines();
    const before = await RawSubscriber.start(first, {});
    const submit = (client: RawClient): string => client.submit('mux', 'apply_request', {}, engine.uuid).id;
    const one = submit(first);
    await waitFor(() => typeof before.take().records.get(one)?.['completed'] === 'string');
    first.close();
    const other = await bench.client();
    const ids = Array.from({ length: 600 }, () => submit(other));
    await Promise.all(ids.map((id) => other.replyTo(id)));
    const { session } = first.session;
    await using again = RawClient.fromFile(bench.controller.clientFile, { session, routingId: 'anew' });
    const resumed = await RawSubscriber.start(again, {}, { after: before.after });
    expect(resumed.reply).toMatchObject({ resumed: true });
    await waitFor(() => resumed.take().records.size === ids.length);
    expect([...resumed.records.keys()].sort()).toEqual([...ids].sort());
  });

  test('that is slow gets the latest state, and holds nothing up', async () => {
    await using bench = await TestController.start();
    const engine = await bench.engine();
    const client = await bench.client();
    const slow = await RawSubscriber.start(client, {}, { keys: ['stdout'] });
    const { id } = client.submit('mux', 'apply_request', {}, engine.uuid);
    const task = await engine.task();
    for (let i = 0; i < 300; i++)
      await engine.publish('stream', { name: 'stdout', text: 'x' }, task.message.header);
    task.reply();
    await client.replyTo(id);
    const record = await waitFor(async () => {
      const found = await client.record(id);
      return found?.['stdout'] === 'x'.repeat(300) && found;
    });
    expect(slow.take({ acknowledge: false }).updates).toBeLessThanOrEqual(2);
    const { subscription } = slow.reply;
    client.submit('registration', 'subscription_ack', { subscription, seq: slow.seq });
    await waitFor(() => slow.take().records.get(id)?.['stdout'] === record['stdout']);
    expect(slow.updates).toBeLessThanOrEqual(4);
  });

  test('is told of a Task Database that is not there', async () => {
    await using bench = await TestController.start({ db: 'none' });
    const client = await bench.client();
    const reply = await client.submit('registration', 'subscribe_request', { query: {}, keys: null }).reply();
    expect(reply.content).toMatchObject({ status: 'error', ename: 'NoData' });
  });

  test('finds the life of the hub and the feature in connection_reply', async () => {
    await using bench = await TestController.start();
    const client = await bench.client();
    const { content } = await client.submit('registration', 'connection_request', {}).reply();
    const { epoch } = (await RawSubscriber.start(client, {})).after;
    expect(content['hub']).toMatchObject({ epoch, features: expect.arrayContaining(['subscribe']) });
  });
});
