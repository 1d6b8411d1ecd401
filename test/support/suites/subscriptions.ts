// Subscriptions of a controller with one kind of Task Database.
import type { ControllerOptions } from '@ipyparallel-js/hub';
import type { Dict } from '@ipyparallel-js/protocol';
import { expect, test } from 'vitest';
import { TestController } from '../clusters/test-controller.js';
import type { RawClient } from '../fakes/raw-client.js';
import { answerAll } from '../fakes/raw-engine.js';
import { RawSubscriber } from '../fakes/raw-subscriber.js';
import { waitFor } from '../wait-for.js';

type Database = NonNullable<ControllerOptions['db']>;

/** The records of the database, as a subscriber of the same keys sees them. */
async function storedRecords(client: RawClient, query: Dict): Promise<Map<string, Dict>> {
  const request = { query, keys: null };
  const reply = await client.submit('registration', 'db_request', request).reply(60_000);
  const records = reply.content['records'] as Dict[];
  return new Map(records.map((record) => [String(record['msg_id']), record]));
}

export function subscriptionTests(name: string, count: number, db: () => Database): void {
  test(`the hub pushes the changes of a task, with its buffers: ${name}`, async () => {
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

  test(`a subscriber of ${count} tasks ends with the records of the database: ${name}`, async () => {
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
    expect(all.records).toEqual(await storedRecords(client, {}));
    const odd = await storedRecords(client, { label: 'odd' });
    await waitFor(() => [...failed.take().records.values()].filter(isDone).length === odd.size);
    expect(failed.records).toEqual(odd);
  }, 120_000);
}
