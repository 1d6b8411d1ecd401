import type { Dict } from '@ipyparallel-js/protocol';
import { describe, expect, test } from 'vitest';
import { TestController } from '../support/clusters/test-controller.js';
import { executeContent, type RawClient } from '../support/fakes/raw-client.js';
import { answerAll, type RawEngine } from '../support/fakes/raw-engine.js';
import { waitFor } from '../support/wait-for.js';

async function ask(client: RawClient, type: string, content: Dict): Promise<Dict> {
  return (await client.submit('registration', type, content).reply()).content;
}

async function hubReply(client: RawClient, type: string, content: Dict) {
  return await client.submit('registration', type, content).reply();
}

/** Waits until a record satisfies a check, because copies of output arrive separately. */
async function record(
  client: RawClient,
  msgId: string,
  check: (record: Dict) => boolean = () => true,
): Promise<Dict> {
  return await waitFor(
    async () => {
      const found = await client.record(msgId);
      return found !== undefined && check(found) ? found : undefined;
    },
    { what: `the record of ${msgId}` },
  );
}

/** Waits until the hub lists no engine. */
async function noEngines(client: RawClient): Promise<void> {
  await waitFor(async () => (await client.engines()).size === 0, { what: 'the engine to be unregistered' });
}

const DATE = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;

describe('records', () => {
  test('contain a direct task as soon as its client has the reply', async () => {
    await using c = await TestController.start();
    const client = await c.client();
    const engine = await c.engine();
    const task = client.submit('mux', 'execute_request', executeContent('1+1'), engine.uuid, {
      metadata: { label: 'mine' },
    });
    const got = await engine.task();
    const started = '2026-02-03T04:05:06.123457Z';
    const metadata = { started, dependencies_met: true, engine: engine.uuid, status: 'ok' };
    expect(await client.record(task.id)).toMatchObject({
      completed: null,
      engine_uuid: engine.uuid,
      result_content: null,
    });
    got.reply({ status: 'ok', execution_count: 1 }, { metadata });
    const reply = await task.reply();
    const found = await client.record(task.id);
    expect(found).toEqual({
      msg_id: task.id,
      header: got.message.header,
      metadata: { label: 'mine' },
      content: executeContent('1+1'),
      submitted: expect.stringMatching(DATE),
      client_uuid: client.session.session,
      engine_uuid: engine.uuid,
      started,
      completed: expect.stringMatching(DATE),
      resubmitted: null,
      received: expect.stringMatching(DATE),
      result_header: reply.header,
      result_metadata: metadata,
      result_content: { status: 'ok', execution_count: 1 },
      queue: 'mux',
      execute_input: null,
      execute_result: null,
      error: null,
      stdout: '',
      stderr: '',
      label: 'mine',
    });
  });

  test('contain the output, whether it arrives before or after the request', async () => {
    await using c = await TestController.start();
    const client = await c.client();
    const engine = await c.engine();
    const task = client.submit('mux', 'execute_request', executeContent('x'), engine.uuid);
    const got = await engine.task();
    const parent = got.message.header;
    // The engine repeats its first message until the record has it, because iopub may not be connected yet.
    await waitFor(async () => {
      await engine.publish('execute_input', { code: 'x', execution_count: 1 }, parent);
      return (await client.record(task.id))?.['execute_input'] === 'x';
    });
    await engine.publish('stream', { name: 'stdout', text: 'one\n' }, parent);
    await engine.publish('stream', { name: 'stdout', text: 'two\n' }, parent);
    await engine.publish('stream', { name: 'stderr', text: 'oops' }, parent);
    await engine.publish('stream', { name: '__proto__', text: 'no' }, parent);
    await engine.publish('execute_result', { data: { 'text/plain': '2' }, metadata: {} }, parent);
    await engine.publish('display_data', { data: { 'text/plain': 'shown' }, metadata: {} }, parent);
    await engine.publish('error', { ename: 'E', evalue: 'v', traceback: [] }, parent);
    got.reply();
    const found = await record(client, task.id, (r) => r['error'] !== null && r['completed'] !== null);
    expect(found).toMatchObject({
      stdout: 'one\ntwo\n',
      stderr: 'oops',
      execute_result: { data: { 'text/plain': '2' } },
      display_data: { data: { 'text/plain': 'shown' } },
      error: { ename: 'E' },
    });
    const early = { ...parent, msg_id: 'not-yet-submitted' };
    await engine.publish('stream', { name: 'stdout', text: 'early' }, early);
    const ghost = await record(client, 'not-yet-submitted');
    expect(ghost).toMatchObject({ stdout: 'early', header: null, submitted: null });
    expect((await ask(client, 'history_request', {}))['history']).toEqual([task.id]);
  });

  test('are found by dates as text and by older names, with buffers in order', async () => {
    await using c = await TestController.start();
    const client = await c.client();
    const engine = await c.engine({
      onTask: (task) => task.reply({ status: 'ok' }, { buffers: [Buffer.from('out')] }),
    });
    const before = new Date(Date.now() - 1000).toISOString();
    const ids: string[] = [];
    for (const text of ['a', 'b']) {
      const parts = { buffers: [Buffer.from(text), Buffer.from('x')] };
      const task = client.submit('mux', 'apply_request', {}, engine.uuid, parts);
      ids.push(task.id);
      await task.reply();
    }
    const reply = await hubReply(client, 'db_request', {
      query: { completed: { $gte: before }, client_uuid: client.session.session },
      keys: ['buffers', 'pyin', 'result_buffers'],
    });
    expect(reply.content).toEqual({
      status: 'ok',
      records: ids.map((msg_id) => ({ msg_id, pyin: null })),
      buffer_lens: [2, 2],
      result_buffer_lens: [1, 1],
    });
    expect(reply.buffers.map(String)).toEqual(['a', 'x', 'out', 'b', 'x', 'out']);
    const none = await ask(client, 'db_request', { query: { completed: { $lt: before } }, keys: 'msg_id' });
    expect(none).toMatchObject({ records: [], buffer_lens: null });
  });
});

describe('results', () => {
  test('are returned by id, pending ones separately, with buffers in the order of the ids', async () => {
    await using c = await TestController.start();
    const client = await c.client();
    const engine = await c.engine();
    const tasks = [1, 2, 3].map(() => client.submit('mux', 'apply_request', {}, engine.uuid));
    const [one, two, three] = tasks.map(({ id }) => id) as [string, string, string];
    for (const n of [2, 1]) {
      (await engine.task(n)).reply({ status: 'ok' }, { buffers: [Buffer.from(`r${n}`)] });
    }
    await Promise.all(tasks.slice(0, 2).map((task) => task.reply()));
    // The request for results may arrive before a task that has not reached its engine.
    await engine.task(3);
    const reply = await hubReply(client, 'result_request', { msg_ids: [two, three, one] });
    const content = reply.content as { [key: string]: Dict };
    expect(content).toMatchObject({ status: 'ok', pending: [three], completed: [one, two].sort() });
    expect(Object.keys(content[one] ?? {}).sort()).toEqual(
      ['header', 'io', 'metadata', 'received', 'result_content', 'result_header', 'result_metadata'].sort(),
    );
    expect(content[one]?.['io']).toEqual({
      execute_input: null,
      execute_result: null,
      error: null,
      stdout: '',
      stderr: '',
    });
    expect(reply.buffers.map(String)).toEqual([one, two].sort().map((id) => (id === one ? 'r1' : 'r2')));
    expect(await ask(client, 'result_request', { msg_ids: [one], status_only: true })).toEqual({
      ...{ status: 'ok', pending: [], completed: [one] },
    });
    const unknown = await ask(client, 'result_request', { msg_ids: [one, 'nope'] });
    expect(unknown).toMatchObject({ ename: 'KeyError', evalue: "'No such message: nope'" });
  });

  test('distinguish purged from unknown ids; a pending task prevents the purge', async () => {
    await using c = await TestController.start();
    const client = await c.client();
    const engine = await c.engine();
    const other = await c.engine({ onTask: answerAll });
    const open = client.submit('mux', 'apply_request', {}, engine.uuid);
    const done = client.submit('mux', 'apply_request', {}, other.uuid);
    await done.reply();
    const refused = await ask(client, 'purge_request', { msg_ids: [done.id, open.id] });
    expect(refused).toMatchObject({
      status: 'error',
      ename: 'IndexError',
      evalue: `msg pending: '${open.id}'`,
    });
    expect(await client.record(done.id)).toBeDefined();
    expect(await ask(client, 'purge_request', { msg_ids: [done.id] })).toEqual({ status: 'ok' });
    expect(await client.record(done.id)).toBeUndefined();
    for (const content of [{ msg_ids: [done.id] }, { msg_ids: [done.id], status_only: true }]) {
      const purged = await ask(client, 'result_request', content);
      expect(purged).toMatchObject({ status: 'error', ename: 'TaskPurged' });
      expect(purged['evalue']).toContain(done.id);
    }
    expect(await ask(client, 'resubmit_request', { msg_ids: [done.id] })).toMatchObject({
      ename: 'TaskPurged',
    });
    expect(await ask(client, 'resubmit_request', { msg_ids: ['nope'] })).toMatchObject({
      ...{ ename: 'KeyError', evalue: `"No such msg(s): ['nope']"` },
    });
    const again = client.submit('mux', 'apply_request', {}, other.uuid);
    await again.reply();
    expect(await ask(client, 'purge_request', { msg_ids: [], engine_ids: [99] })).toMatchObject({
      ename: 'IndexError',
    });
    expect(await ask(client, 'purge_request', { msg_ids: [], engine_ids: [other.id] })).toEqual({
      status: 'ok',
    });
    expect((await ask(client, 'history_request', {}))['history']).toEqual([open.id]);
    expect(await ask(client, 'purge_request', { msg_ids: 'all' })).toEqual({ status: 'ok' });
    expect((await ask(client, 'history_request', {}))['history']).toEqual([open.id]);
  });

  test('count as purged when they were culled', async () => {
    await using c = await TestController.start({ db: { type: 'memory', recordLimit: 4 } });
    const client = await c.client();
    const engine = await c.engine({ onTask: answerAll });
    const ids: string[] = [];
    for (let i = 0; i < 6; i++) {
      const task = client.submit('mux', 'apply_request', {}, engine.uuid);
      ids.push(task.id);
      await task.reply();
    }
    expect(await ask(client, 'result_request', { msg_ids: [ids[0]] })).toMatchObject({ ename: 'TaskPurged' });
    expect(await ask(client, 'result_request', { msg_ids: [ids[5]] })).toMatchObject({ status: 'ok' });
  });
});

describe('resubmission', () => {
  const metadata = { label: 'again', retries: 2, mine: { kept: true } };

  test('returns a direct task to its engine with all its parts', async () => {
    await using c = await TestController.start();
    const client = await c.client();
    const engine = await c.engine({ onTask: answerAll });
    const task = client.submit('mux', 'apply_request', { a: 1 }, engine.uuid, {
      metadata,
      buffers: [Buffer.from('b')],
    });
    await task.reply();
    const { resubmitted } = (await ask(client, 'resubmit_request', { msg_ids: [task.id] })) as {
      resubmitted: Record<string, string>;
    };
    const id = resubmitted[task.id] as string;
    const second = await engine.task(2);
    expect(second.message).toMatchObject({ msg_id: id, metadata, content: { a: 1 } });
    expect(second.message.header.session).toBe(client.session.session);
    expect(second.message.buffers.map(String)).toEqual(['b']);
    const found = await record(client, id, (r) => r['completed'] !== null);
    expect(found).toMatchObject({
      queue: 'mux',
      engine_uuid: engine.uuid,
      label: 'again',
      client_uuid: client.session.session,
    });
    expect(await client.record(task.id)).toMatchObject({ resubmitted: id });
  });

  test('sends a direct task to the task queue when its engine is gone', async () => {
    await using c = await TestController.start();
    const client = await c.client();
    const gone = await c.engine({ onTask: answerAll });
    const task = client.submit('mux', 'apply_request', {}, gone.uuid, { metadata });
    await task.reply();
    await gone.unregister();
    await noEngines(client);
    const engine = await c.engine({ onTask: answerAll });
    const { resubmitted } = (await ask(client, 'resubmit_request', { msg_ids: [task.id] })) as {
      resubmitted: Record<string, string>;
    };
    const found = await record(client, resubmitted[task.id] as string, (r) => r['completed'] !== null);
    expect(found).toMatchObject({ queue: 'task', engine_uuid: engine.uuid, metadata });
  });

  test('of a queued task goes to the queue, where it is pending at once', async () => {
    await using c = await TestController.start();
    const client = await c.client();
    const engine = await c.engine({ onTask: answerAll });
    const task = client.submit('task', 'apply_request', {}, undefined, { metadata });
    await task.reply();
    await engine.unregister();
    // The two requests arrive on different sockets.
    await noEngines(client);
    const { resubmitted } = (await ask(client, 'resubmit_request', { msg_ids: [task.id] })) as {
      resubmitted: Record<string, string>;
    };
    const id = resubmitted[task.id] as string;
    expect(await ask(client, 'result_request', { msg_ids: [id] })).toMatchObject({ pending: [id] });
    expect(await client.record(id)).toMatchObject({ queue: 'task', engine_uuid: null, completed: null });
    const next = await c.engine({ onTask: answerAll });
    expect(await record(client, id, (r) => r['completed'] !== null)).toMatchObject({
      engine_uuid: next.uuid,
    });
  });
});

describe('engines that die', () => {
  test('leave EngineError in the records of their direct tasks at once; a late result replaces it', async () => {
    await using c = await TestController.start();
    const client = await c.client();
    const engine = await c.engine();
    const tasks = [1, 2].map(() => client.submit('mux', 'apply_request', {}, engine.uuid));
    const [first, second] = tasks.map(({ id }) => id) as [string, string];
    const late = await engine.task(2);
    await engine.unregister();
    const found = await record(client, first, (r) => r['completed'] !== null);
    expect(found).toMatchObject({
      result_content: { status: 'error', ename: 'EngineError', engine_info: {} },
      result_header: { engine: engine.uuid },
      received: null,
      started: null,
    });
    expect(await ask(client, 'result_request', { msg_ids: [first] })).toMatchObject({ completed: [first] });
    late.reply({ status: 'ok' });
    expect(await record(client, second, (r) => r['received'] !== null)).toMatchObject({
      result_content: { status: 'ok' },
    });
  });

  test('also fail requests that were under way to them', async () => {
    await using c = await TestController.start();
    const client = await c.client();
    const engine = await c.engine();
    await engine.unregister();
    await noEngines(client);
    const task = client.submit('mux', 'apply_request', {}, engine.uuid);
    expect(await record(client, task.id, (r) => r['completed'] !== null)).toMatchObject({
      result_content: { ename: 'EngineError' },
    });
  });

  test('and register again receive tasks like other engines', async () => {
    await using c = await TestController.start();
    const client = await c.client();
    const first = await c.engine();
    const { uuid } = first;
    await first.unregister();
    await noEngines(client);
    await first.release();
    const again = await c.engine({ uuid, onTask: answerAll });
    expect(again.id).toBe(1);
    const task = client.submit('mux', 'apply_request', {}, uuid);
    await task.reply();
    expect(await client.record(task.id)).toMatchObject({ result_content: { status: 'ok' } });
  });

  test('leave queued tasks that fail with EngineError or run elsewhere', async () => {
    await using c = await TestController.start({ strandedDelay: 100 });
    const client = await c.client();
    const engine = await c.engine();
    const task = client.submit('task', 'apply_request', {});
    await engine.task();
    expect((await ask(client, 'queue_request', { targets: null }))['0']).toEqual({
      queue: 0,
      completed: 0,
      tasks: 1,
    });
    await engine.unregister();
    expect((await task.reply()).content).toMatchObject({ status: 'error', ename: 'EngineError' });
    expect(await client.record(task.id)).toMatchObject({
      engine_uuid: engine.uuid,
      result_content: { ename: 'EngineError' },
    });
  });
});

describe('the task queue', () => {
  test('distributes tasks, counts unassigned ones, and records the engine of each', async () => {
    await using c = await TestController.start();
    const client = await c.client();
    const waiting = client.submit('task', 'apply_request', {});
    await waitFor(async () => (await ask(client, 'queue_request', { targets: null }))['unassigned'] === 1);
    const engines = [await c.engine({ onTask: answerAll }), await c.engine({ onTask: answerAll })];
    await waiting.reply();
    const tasks = Array.from({ length: 20 }, () => client.submit('task', 'apply_request', {}));
    const replies = await Promise.all(tasks.map((task) => task.reply()));
    expect(new Set(replies.map(({ idents }) => String(idents[0])))).toEqual(
      new Set(engines.map(({ uuid }) => uuid)),
    );
    const { records } = (await ask(client, 'db_request', {
      query: { queue: 'task' },
      keys: ['engine_uuid', 'completed'],
    })) as { records: Dict[] };
    expect(records).toHaveLength(21);
    expect(
      records.every((r) => engines.some(({ uuid }) => uuid === r['engine_uuid']) && r['completed'] !== null),
    ).toBe(true);
  });

  test('lets zeromq distribute tasks under the scheme pure', async () => {
    await using c = await TestController.start({ taskScheme: 'pure' });
    const client = await c.client();
    await c.engine({ onTask: answerAll });
    await c.engine({ onTask: answerAll });
    const tasks = Array.from({ length: 6 }, () => client.submit('task', 'apply_request', {}));
    for (const task of tasks) expect((await task.reply()).content).toEqual({ status: 'ok' });
    expect(await client.record(tasks[0]?.id ?? '')).toMatchObject({
      queue: 'task',
      result_content: { status: 'ok' },
    });
  });
});

describe('broadcasts', () => {
  const three = async (c: TestController, onTask: (engine: RawEngine) => Dict) => {
    const engines: RawEngine[] = [];
    for (let i = 0; i < 3; i++) {
      engines.push(
        await c.engine({
          onTask: (task, engine) =>
            task.reply(onTask(engine), { buffers: [Buffer.from(`from ${engine.id}`)] }),
        }),
      );
    }
    return engines;
  };

  test('reach each engine under a separate id, and replies arrive one by one', async () => {
    await using c = await TestController.start();
    const client = await c.client();
    const engines = await three(c, () => ({ status: 'ok' }));
    const targets = engines.map(({ uuid, id }) => [uuid, id]);
    const sent = client.submit('broadcast', 'apply_request', { a: 1 }, undefined, {
      metadata: { targets, is_broadcast: true, is_coalescing: false },
      buffers: [Buffer.from('f')],
    });
    for (const engine of engines) {
      const reply = await client.replyTo(`${sent.id}_${engine.uuid}`);
      expect(reply.buffers.map(String)).toEqual([`from ${engine.id}`]);
      expect(reply.metadata).toMatchObject({ original_msg_id: sent.id });
      expect(engine.tasks[0]?.message).toMatchObject({
        content: { a: 1 },
        metadata: { original_msg_id: sent.id },
      });
      expect(engine.tasks[0]?.message.buffers.map(String)).toEqual(['f']);
    }
  });

  test('that coalesce have one reply with all buffers, and report a failure', async () => {
    await using c = await TestController.start();
    const client = await c.client();
    let failing = -1;
    const engines = await three(c, (engine) =>
      engine.id === failing ? { status: 'error', ename: 'E', evalue: '' } : { status: 'ok' },
    );
    const targets = engines.map(({ uuid, id }) => [uuid, id]);
    const metadata = { targets, is_broadcast: true, is_coalescing: true };
    const coalesced = async () => {
      const sent = client.submit('broadcast', 'apply_request', {}, undefined, { metadata });
      return await waitFor(
        () => client.received.find(({ message }) => message.metadata['original_msg_id'] === sent.id)?.message,
      );
    };
    const reply = await coalesced();
    expect(reply.content).toEqual({ status: 'ok' });
    expect(reply.metadata['broadcast_targets']).toEqual(targets);
    expect(reply.buffers.map(String)).toEqual(['from 0', 'from 1', 'from 2']);
    failing = 1;
    expect((await coalesced()).content).toMatchObject({ status: 'error', ename: 'E' });
  });

  test('that coalesce report an error for a missing engine', async () => {
    await using c = await TestController.start();
    const client = await c.client();
    const metadata = { targets: [['nobody', 0]], is_broadcast: true, is_coalescing: true };
    const sent = client.submit('broadcast', 'apply_request', {}, undefined, { metadata });
    expect((await sent.reply()).content).toMatchObject({ status: 'error', ename: 'EngineError' });
  });
});
