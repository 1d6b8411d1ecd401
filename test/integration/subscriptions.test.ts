// Subscriptions over real sockets, on every store.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { TestController } from '../support/clusters/test-controller.js';
import { RawClient } from '../support/fakes/raw-client.js';
import { answerAll } from '../support/fakes/raw-engine.js';
import { RawSubscriber } from '../support/fakes/raw-subscriber.js';
import { subscriptionTests } from '../support/suites/subscriptions.js';
import { waitFor } from '../support/wait-for.js';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ippjs-subscriptions-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

subscriptionTests('memory', 2000, () => 'memory');
subscriptionTests('SQLite', 2000, () => ({ type: 'sqlite', location: directory }));

describe('a client', () => {
  test('that uses msgpack receives the same updates', async () => {
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

  test('that reconnects resumes without a gap', async () => {
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
    await using again = RawClient.fromFile(bench.controller.clientFile, { session, routingId: 'second' });
    const resumed = await RawSubscriber.start(again, {}, { after: before.after });
    expect(resumed.reply).toMatchObject({ resumed: true });
    await waitFor(() => resumed.take().records.size === ids.length);
    expect([...resumed.records.keys()].sort()).toEqual([...ids].sort());
  });

  test('that is slow receives the latest state and delays nobody', async () => {
    await using bench = await TestController.start();
    const engine = await bench.engine();
    const client = await bench.client();
    const slow = await RawSubscriber.start(client, {}, { keys: ['stdout'] });
    const prompt = await RawSubscriber.start(client, {}, { keys: ['stdout'] });
    const { id } = client.submit('mux', 'apply_request', {}, engine.uuid);
    const task = await engine.task();
    for (let i = 0; i < 300; i++)
      await engine.publish('stream', { name: 'stdout', text: 'x' }, task.message.header);
    task.reply();
    await client.replyTo(id);
    const stdout = 'x'.repeat(300);
    // The hub evaluates a query once for all its subscribers.
    await waitFor(() => prompt.take().records.get(id)?.['stdout'] === stdout);
    expect(slow.take({ acknowledge: false }).updates).toBeLessThanOrEqual(2);
    const { subscription } = slow.reply;
    client.submit('registration', 'subscription_ack', { subscription, seq: slow.seq });
    await waitFor(() => slow.take().records.get(id)?.['stdout'] === stdout);
    expect(slow.updates).toBeLessThanOrEqual(4);
  });

  test('receives an error when the controller has no Task Database', async () => {
    await using bench = await TestController.start({ db: 'none' });
    const client = await bench.client();
    const reply = await client.submit('registration', 'subscribe_request', { query: {}, keys: null }).reply();
    expect(reply.content).toMatchObject({ status: 'error', ename: 'NoData' });
  });

  test('finds the epoch and the feature in connection_reply', async () => {
    await using bench = await TestController.start();
    const client = await bench.client();
    const { content } = await client.submit('registration', 'connection_request', {}).reply();
    const { epoch } = (await RawSubscriber.start(client, {})).after;
    expect(content['hub']).toMatchObject({ epoch, features: expect.arrayContaining(['subscribe']) });
  });
});
