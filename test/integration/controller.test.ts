import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { DELIMITER, type Dict, parentId, Session } from '@ipyparallel-js/protocol';
import { describe, expect, test } from 'vitest';
import { Dealer } from 'zeromq';
import { notices, TestController } from '../support/clusters/test-controller.js';
import { executeContent, type RawClient } from '../support/fakes/raw-client.js';
import { answerAll } from '../support/fakes/raw-engine.js';
import { waitFor } from '../support/wait-for.js';

async function ask(
  client: RawClient,
  type: string,
  content: Dict,
): Promise<{ type: string; content: Dict; buffers: string[] }> {
  const reply = await client.submit('registration', type, content).reply();
  return { type: reply.msg_type, content: reply.content, buffers: reply.buffers.map(String) };
}

describe('connection files', () => {
  test('are complete, readable by their owner only, and removed at the stop', async () => {
    await using c = await TestController.start({ clusterId: 'x' });
    const { clientFile, engineFile } = c.controller;
    expect(clientFile.endsWith('security/ipcontroller-x-client.json')).toBe(true);
    for (const file of [clientFile, engineFile]) expect(statSync(file).mode & 0o777).toBe(0o600);
    const client = JSON.parse(readFileSync(clientFile, 'utf8'));
    const engine = JSON.parse(readFileSync(engineFile, 'utf8'));
    expect(client).toMatchObject({
      interface: 'tcp://127.0.0.1',
      task_scheme: 'leastload',
      pack: 'json',
      ssh: '',
    });
    expect(engine.broadcast).toHaveLength(2);
    expect(client.key).toBe(engine.key);
    expect(client.registration).toBe(engine.registration);
    await Promise.all([c.controller.stop(), c.controller.stop()]);
    await c.controller.closed;
    expect([existsSync(clientFile), existsSync(engineFile)]).toEqual([false, false]);
  });

  test('of another controller in the same directory stay', async () => {
    await using c = await TestController.start();
    writeFileSync(c.controller.clientFile, '{"of": "another"}');
    await c.controller.stop();
    expect(existsSync(c.controller.clientFile)).toBe(true);
    expect(existsSync(c.controller.engineFile)).toBe(false);
  });

  test('contain * as the interface, and this machine as the location', async () => {
    await using c = await TestController.start({ ip: '*', location: 'a-name' });
    expect(JSON.parse(readFileSync(c.controller.clientFile, 'utf8'))).toMatchObject({
      interface: 'tcp://*',
      location: 'a-name',
    });
  });

  test('are not written when an address cannot be bound', async () => {
    await using c = await TestController.start();
    const { registration } = JSON.parse(readFileSync(c.controller.clientFile, 'utf8'));
    await expect(TestController.start({ ports: [registration] })).rejects.toThrow(`:${registration}`);
    await expect(TestController.start({ ip: '203.0.113.7' })).rejects.toMatchObject({ code: 'USAGE' });
  });
});

describe('registration', () => {
  test('takes effect at the first heartbeat, is announced to all clients, and never reuses an id', async () => {
    await using c = await TestController.start();
    const client = await c.client();
    const first = await c.engine();
    expect(first.id).toBe(0);
    // The list of engines, which shows the registration, arrives on another socket.
    await waitFor(() => notices(client, 'registration_notification').length > 0);
    expect(notices(client, 'registration_notification')).toEqual([{ id: 0, uuid: first.uuid }]);
    await first.unregister();
    await waitFor(() => notices(client, 'unregistration_notification').length > 0);
    expect(notices(client, 'unregistration_notification')).toEqual([{ id: 0, uuid: first.uuid }]);
    expect((await c.engine()).id).toBe(1);
    expect((await c.engine({ id: 7 })).id).toBe(7);
    expect((await c.engine({ id: 7 })).id).toBe(8);
    expect([...(await client.engines()).keys()]).toEqual([1, 7, 8]);
  });

  test('without a heartbeat does not take effect, and ends after the timeout', async () => {
    await using c = await TestController.start({ registrationTimeout: 1_000 });
    const client = await c.client();
    const silent = await c.registering({ beats: false });
    expect(await client.engines()).toEqual(new Map());
    await waitFor(() => c.log.some((line) => line.includes('did not complete its registration')));
    expect(await client.engines()).toEqual(new Map());
    // The hub accepts the uuid of the silent engine again. A heartbeat within the timeout is not certain on a slow machine.
    silent.close();
    expect((await c.registering({ uuid: silent.uuid, beats: false })).id).toBe(1);
  });

  test('with a uuid in use is refused; an early unregistration frees the uuid', async () => {
    await using c = await TestController.start();
    const { uuid } = await c.engine();
    await expect(c.registering({ uuid })).rejects.toThrow(`uuid '${uuid}' in use`);
    const withdrawn = await c.registering({ beats: false });
    await withdrawn.unregister();
    withdrawn.close();
    await waitFor(() =>
      c.registering({ uuid: withdrawn.uuid, beats: false }).then(
        () => true,
        () => false,
      ),
    );
  });

  test.each([{ uuid: 7 }, { uuid: '' }, { uuid: 'x'.repeat(300) }, {}])(
    'of %j is refused',
    async (content) => {
      await using c = await TestController.start();
      const client = await c.client();
      client.submit('registration', 'registration_request', content);
      const reply = await waitFor(() =>
        client.received.find(({ message }) => message.msg_type === 'registration_reply'),
      );
      expect(reply.message.content).toMatchObject({ status: 'error', ename: 'ValueError' });
    },
  );

  test('ends when the heartbeat stops', async () => {
    await using c = await TestController.start({ hbPeriod: 50, maxHeartbeatMisses: 2 });
    const client = await c.client();
    // The test does not wait until the hub lists the engine, which may miss two heartbeats by itself on a slow machine.
    const engine = await c.registering();
    const { id, uuid } = engine;
    await waitFor(() => notices(client, 'registration_notification').length > 0);
    engine.die();
    await waitFor(() => notices(client, 'unregistration_notification').length > 0);
    expect(notices(client, 'registration_notification')).toEqual([{ id, uuid }]);
    expect(notices(client, 'unregistration_notification')).toEqual([{ id, uuid }]);
    expect(await client.engines()).toEqual(new Map());
  });

  test('ends when an engine reports its shutdown on iopub', async () => {
    await using c = await TestController.start();
    const client = await c.client();
    const engine = await c.engine();
    await waitFor(async () => {
      await engine.publish('shutdown_reply', { status: 'ok' });
      return notices(client, 'unregistration_notification').length > 0;
    });
    expect(notices(client, 'unregistration_notification')).toMatchObject([{ uuid: engine.uuid }]);
    expect(await client.engines()).toEqual(new Map());
  });
});

describe('requests', () => {
  test('a connecting client receives the engines and the facts about this hub', async () => {
    await using c = await TestController.start();
    const engine = await c.engine();
    const { type, content } = await ask(await c.client(), 'connection_request', {});
    expect(type).toBe('connection_reply');
    expect(content).toMatchObject({
      status: 'ok',
      engines: { '0': engine.uuid },
      hub: { name: 'ipyparallel-js' },
    });
    expect((content['hub'] as Dict)['features']).toContain('query');
  });

  test('an unknown message type gets a hub_error', async () => {
    await using c = await TestController.start();
    const { type, content } = await ask(await c.client(), 'nonsense_request', {});
    expect(type).toBe('hub_error');
    expect(content).toMatchObject({ status: 'error', ename: 'KeyError', engine_info: {} });
    expect(content['evalue']).toContain('nonsense_request');
  });

  test('queue_request and load_request report by engine', async () => {
    await using c = await TestController.start();
    const client = await c.client();
    expect((await ask(client, 'queue_request', { targets: null })).content).toEqual({
      status: 'ok',
      unassigned: 0,
    });
    const engine = await c.engine();
    const done = client.submit('mux', 'apply_request', {}, engine.uuid);
    (await engine.task(1)).reply();
    await done.reply();
    const open = client.submit('mux', 'apply_request', {}, engine.uuid);
    await engine.task(2);
    const counts = { queue: 1, completed: 1, tasks: 0 };
    expect((await ask(client, 'queue_request', { targets: null, verbose: false })).content).toMatchObject({
      '0': counts,
    });
    expect((await ask(client, 'queue_request', { targets: [0], verbose: true })).content).toMatchObject({
      '0': { queue: [open.id], completed: [done.id], tasks: [] },
      unassigned: [],
    });
    expect((await ask(client, 'load_request', { targets: [0] })).content).toEqual({ status: 'ok', '0': 1 });
    const missing = await ask(client, 'queue_request', { targets: [5] });
    expect(missing).toMatchObject({ type: 'hub_error', content: { ename: 'IndexError' } });
  });

  test('an invalid query is refused, and the error names the nearest valid key', async () => {
    await using c = await TestController.start();
    const client = await c.client();
    for (const [content, near] of [
      [{ query: { complete: null }, keys: null }, 'completed'],
      [{ query: { queue: { $gtee: 'x' } }, keys: null }, '$gte'],
      [{ query: {}, keys: ['labell'] }, 'label'],
      [{ query: 7, keys: null }, 'object'],
    ] as const) {
      const { type, content: error } = await ask(client, 'db_request', content);
      expect(type).toBe('db_reply');
      expect(error).toMatchObject({ status: 'error', ename: 'InvalidQueryError' });
      expect(error['evalue']).toContain(near);
    }
  });

  test('shutdown_request gets a reply, is announced to all clients, and ends the controller', async () => {
    await using c = await TestController.start();
    const client = await c.client();
    expect(await ask(client, 'shutdown_request', {})).toMatchObject({
      type: 'shutdown_reply',
      content: { status: 'ok' },
    });
    await c.controller.closed;
    await waitFor(() => notices(client, 'shutdown_notification').length === 1);
    expect(existsSync(c.controller.clientFile)).toBe(false);
  });

  test('without a Task Database, status requests work and record requests fail', async () => {
    await using c = await TestController.start({ db: 'none' });
    const client = await c.client();
    const engine = await c.engine({ onTask: answerAll });
    const task = client.submit('mux', 'apply_request', {}, engine.uuid);
    await task.reply();
    const status = await ask(client, 'result_request', { msg_ids: [task.id], status_only: true });
    expect(status.content).toMatchObject({ pending: [], completed: [task.id] });
    for (const [type, content] of [
      ['db_request', { query: {}, keys: null }],
      ['history_request', {}],
      ['result_request', { msg_ids: [task.id] }],
      ['resubmit_request', { msg_ids: [task.id] }],
    ] as const) {
      expect((await ask(client, type, content)).content).toMatchObject({ status: 'error', ename: 'NoData' });
    }
    expect((await ask(client, 'purge_request', { msg_ids: 'all' })).content).toEqual({ status: 'ok' });
  });
});

describe('hostile input', () => {
  test('a bare delimiter gets a signed hub_error, a limited number of times a second', async () => {
    await using c = await TestController.start();
    const client = await c.client();
    const probes = 200;
    const start = performance.now();
    for (let i = 0; i < probes; i++) client.sendFrames('registration', [DELIMITER]);
    await client.engines();
    const answers = client.received.filter(({ message }) => message.msg_type === 'hub_error');
    const elapsed = performance.now() - start;
    expect(answers.length).toBeGreaterThanOrEqual(1);
    // The limit is twenty replies at once, and ten a second.
    expect(answers.length).toBeLessThanOrEqual(Math.min(probes, 20 + Math.ceil(elapsed / 100)));
    expect(answers[0]?.message.content).toMatchObject({ status: 'error' });
  });

  test('forged, repeated and malformed messages get no reply, and the controller continues', async () => {
    await using c = await TestController.start();
    const client = await c.client();
    const engine = await c.engine({ onTask: answerAll });
    const stranger = new Session({ key: 'wrong', now: () => new Date() });
    const forged = stranger.encode(stranger.rawMessage('shutdown_request', {}));
    const unsigned = [DELIMITER, Buffer.alloc(0), ...forged.slice(2)];
    const request = client.session.rawMessage('connection_request', {});
    const repeated = client.session.encode(request);
    const deep = Buffer.from('['.repeat(100_000));
    for (const frames of [
      forged,
      unsigned,
      repeated,
      repeated,
      [Buffer.from('x')],
      [Buffer.alloc(0)],
      [DELIMITER, deep, deep, deep, deep, deep],
    ]) {
      client.sendFrames('registration', frames);
      client.sendFrames('task', frames);
      client.sendFrames('broadcast', frames);
      client.sendFrames('mux', [Buffer.from(engine.uuid), ...frames]);
      client.sendFrames('control', [Buffer.from('nobody'), ...frames]);
    }
    const task = client.submit('mux', 'apply_request', {}, engine.uuid);
    expect((await task.reply()).content).toEqual({ status: 'ok' });
    await client.engines();
    const answers = client.received.filter(
      ({ channel, message }) => channel === 'registration' && parentId(message) === request.msg_id,
    );
    expect(answers).toHaveLength(1);
    expect(engine.refused).toBeGreaterThan(0);
    // The hub's thread sends its log lines on another channel than its replies.
    const refusals = () => c.log.filter((line) => line.includes('a request: the signature does not match'));
    await waitFor(() => refusals().length > 0);
    expect(refusals()).toHaveLength(1);
  }, 120_000);

  test('keys such as __proto__ are ordinary keys', async () => {
    await using c = await TestController.start();
    const client = await c.client();
    const content = JSON.parse('{"query": {"__proto__": 1}, "keys": ["__proto__"]}');
    expect((await ask(client, 'db_request', content)).content).toMatchObject({ status: 'error' });
    const ids = ['__proto__', 'constructor', 'status'];
    for (const id of ids) {
      expect((await ask(client, 'result_request', { msg_ids: [id] })).content).toMatchObject({
        ename: 'KeyError',
      });
    }
    expect((await ask(client, 'result_request', { msg_ids: { length: 3 } })).content).toMatchObject({
      ename: 'TypeError',
    });
  });

  test('a peer that disconnects in the middle of a message does no harm', async () => {
    await using c = await TestController.start();
    const client = await c.client();
    const dealer = new Dealer({ linger: 0 });
    dealer.connect(`tcp://127.0.0.1:${client.info.registration}`);
    await dealer.send([Buffer.alloc(1 << 20, 1), Buffer.alloc(0)]);
    dealer.close();
    expect(await client.engines()).toEqual(new Map());
  });
});

describe('relays', () => {
  test('swap the first two frames and change nothing else', async () => {
    await using c = await TestController.start();
    const client = await c.client();
    const engine = await c.engine();
    const buffers = [Buffer.from([0, 1, 255]), Buffer.alloc(0), Buffer.alloc(300_000, 5)];
    const task = client.submit('mux', 'apply_request', { a: 1 }, engine.uuid, {
      metadata: { m: 1 },
      buffers,
    });
    const got = await engine.task();
    expect(got.message.buffers).toEqual(buffers);
    expect(got.message.idents.map(String)).toEqual(['mux_out', client.session.session]);
    got.reply({ status: 'ok' }, { buffers: [...buffers].reverse() });
    const reply = await task.reply();
    expect(reply.buffers).toEqual([...buffers].reverse());
    expect(reply.idents.map(String)).toEqual([engine.uuid]);
  });

  test('forward control messages to the engine and output to every client', async () => {
    await using c = await TestController.start();
    const client = await c.client();
    const engine = await c.engine();
    client.submit('control', 'clear_request', {}, engine.uuid);
    await waitFor(() => engine.controls.length > 0);
    expect(engine.controls[0]?.msg_type).toBe('clear_request');
    await waitFor(async () => {
      await engine.publish('stream', { name: 'stdout', text: 'x' });
      return client.received.some(({ channel }) => channel === 'iopub');
    });
    const { message } = client.received.find(({ channel }) => channel === 'iopub') ?? {};
    expect(message?.idents.map(String)).toEqual([`engine.${engine.id}.stream`]);
  });

  test('work with msgpack instead of JSON', async () => {
    await using c = await TestController.start({ pack: 'msgpack' });
    const client = await c.client();
    const engine = await c.engine({ onTask: answerAll });
    const direct = client.submit('mux', 'execute_request', executeContent('1'), engine.uuid);
    const queued = client.submit('task', 'apply_request', {}, undefined, {
      metadata: { retries: 2, timeout: 0.5 },
    });
    expect((await direct.reply()).content).toEqual({ status: 'ok' });
    expect((await queued.reply()).content).toEqual({ status: 'ok' });
    expect(await client.record(queued.id)).toMatchObject({ queue: 'task', engine_uuid: engine.uuid });
  });

  test('do not wait for a hub that is busy with a query', async () => {
    await using c = await TestController.start({ db: { type: 'memory', recordLimit: 10_000 } });
    const client = await c.client();
    const engine = await c.engine({ onTask: answerAll });
    const filler = 'x'.repeat(2000);
    await Promise.all(
      Array.from({ length: 2000 }, () =>
        client.submit('mux', 'apply_request', { filler }, engine.uuid).reply(),
      ),
    );
    const other = await c.client();
    const queries = Array.from({ length: 20 }, () =>
      client.submit('registration', 'db_request', { query: {}, keys: null }).reply(),
    );
    let answered = 0;
    for (const query of queries) void query.then(() => answered++);
    await other.submit('mux', 'apply_request', {}, engine.uuid).reply();
    await other.submit('task', 'apply_request', {}).reply();
    const before = answered;
    await Promise.all(queries);
    expect(before).toBeLessThan(queries.length);
  });
});
