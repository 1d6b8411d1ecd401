// A controller that is killed and restarted: ports, engines, tasks on their way, records.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Controller } from '@ipyparallel-js/hub';
import type { Dict } from '@ipyparallel-js/protocol';
import { describe, expect, test } from 'vitest';
import { curveKeyPair } from 'zeromq';
import { EngineProcess } from '../support/clusters/engine-process.js';
import { RestartableController } from '../support/clusters/restartable-controller.js';
import { executeContent, RawClient } from '../support/fakes/raw-client.js';
import { answerAll, RawEngine, type RawTask } from '../support/fakes/raw-engine.js';
import { RawSubscriber } from '../support/fakes/raw-subscriber.js';
import { Gate } from '../support/gate.js';
import { waitFor } from '../support/wait-for.js';

const text = (file: string): string => readFileSync(file, 'utf8');
const results = async (client: RawClient, ids: readonly string[]): Promise<Dict> =>
  (await client.submit('registration', 'result_request', { msg_ids: ids, status_only: false }).reply())
    .content;

function engineThere(client: RawClient, engine: RawEngine): Promise<unknown> {
  return waitFor(async () => (await client.engines()).get(engine.id) === engine.uuid, {
    what: `engine ${engine.id} to be registered`,
    timeout: 60_000,
  });
}

const stateFile = (controller: RestartableController): string =>
  join(controller.profileDir, 'log', 'engines.json');

/** Waits until the file for the next run lists an engine, which the hub writes after it has registered the engine. */
async function untilSaved(controller: RestartableController, { id, uuid }: RawEngine): Promise<void> {
  const file = stateFile(controller);
  await waitFor(() => existsSync(file) && JSON.parse(text(file)).engines[id] === uuid, {
    what: `engine ${id} in ${file}`,
  });
}

test('files, ports and key survive a crash and a normal end', async () => {
  await using controller = await RestartableController.start(['--reuse']);
  const [client, engine] = [text(controller.clientFile), text(controller.engineFile)];
  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    await controller.kill(signal);
    expect([text(controller.clientFile), text(controller.engineFile)]).toEqual([client, engine]);
    await controller.start();
    expect([text(controller.clientFile), text(controller.engineFile)]).toEqual([client, engine]);
    await using raw = RawClient.fromFile(controller.clientFile);
    expect(await raw.engines()).toEqual(new Map());
  }
}, 120_000);

test('the controller replaces files that it cannot reuse, and logs the replacement', async () => {
  await using controller = await RestartableController.start(['--reuse']);
  await controller.kill();
  await writeFile(controller.engineFile, '{');
  await controller.start();
  expect(controller.log).toMatch(/cannot reuse the connection files.*is not JSON/);
  await using client = RawClient.fromFile(controller.clientFile);
  await using engine = await RawEngine.start(controller.engineFile);
  await engineThere(client, engine);
  await controller.kill();
  await rm(controller.clientFile);
  await controller.start();
  expect(controller.log).toMatch(/found no connection files to reuse/);
}, 120_000);

test('files with another CURVE key are not reused', async () => {
  const securityDir = mkdtempSync(join(tmpdir(), 'ippjs-curve-'));
  try {
    const options = { securityDir, reuse: true, logLevel: 'silent' } as const;
    const keys = curveKeyPair();
    for (let run = 0; run < 2; run++) {
      await using controller = await Controller.start({ ...options, curve: keys });
      expect(JSON.parse(text(controller.clientFile))).toMatchObject({ curve_serverkey: keys.publicKey });
    }
    await expect(Controller.start({ ...options, curve: true })).rejects.toThrow(/another CURVE key/);
    await expect(Controller.start(options)).rejects.toThrow(/another CURVE key/);
  } finally {
    rmSync(securityDir, { recursive: true, force: true });
  }
}, 120_000);

test('a controller that was started without --reuse can be restarted with it', async () => {
  await using controller = await RestartableController.start([]);
  await using client = RawClient.fromFile(controller.clientFile);
  await using engine = await RawEngine.start(controller.engineFile, { onTask: answerAll });
  await engineThere(client, engine);
  await untilSaved(controller, engine);
  await controller.kill();
  await controller.start(['--restore']);
  await using second = RawClient.fromFile(controller.clientFile);
  await engineThere(second, engine);
  await controller.kill();
  await controller.start(['--reuse']);
  await using again = RawClient.fromFile(controller.clientFile);
  expect(await again.engines()).toEqual(new Map());
  await controller.kill();
  await controller.start();
  await controller.kill('SIGTERM');
  expect([stateFile(controller), controller.clientFile, controller.engineFile].filter(existsSync)).toEqual(
    [],
  );
}, 120_000);

test.each(['--dictdb', '--sqlitedb'])(
  'an engine comes back by itself and takes tasks (%s)',
  async (db) => {
    await using controller = await RestartableController.start(['--restore', db]);
    await using client = RawClient.fromFile(controller.clientFile);
    await using other = await RawEngine.start(controller.engineFile, { onTask: answerAll });
    await engineThere(client, other);
    await using engine = await RawEngine.start(controller.engineFile, { onTask: answerAll });
    await engineThere(client, engine);
    await untilSaved(controller, engine);
    other.close();
    await controller.kill();
    await controller.start();
    await using again = RawClient.fromFile(controller.clientFile);
    await engineThere(again, engine);
    expect((await again.engines()).size).toBe(1);
    const direct = again.submit('mux', 'apply_request', {}, engine.uuid);
    expect((await direct.reply()).content).toMatchObject({ status: 'ok' });
    const balanced = again.submit('task', 'apply_request', {});
    expect((await balanced.reply()).content).toMatchObject({ status: 'ok' });
    // The ids of the previous run are not assigned again.
    await using third = await RawEngine.start(controller.engineFile);
    expect(third.id).toBe(2);
  },
  120_000,
);

test('results of tasks that were on their way are recorded, and delivered to connected clients', async () => {
  await using controller = await RestartableController.start(['--restore', '--sqlitedb', '--hwm=0']);
  await using client = RawClient.fromFile(controller.clientFile);
  // Like a real engine, this engine replies to the controller's probes only after all its tasks.
  const probes: RawTask[] = [];
  let isBusy = true;
  await using engine = await RawEngine.start(controller.engineFile, {
    onTask: (task) => {
      if (task.message.msg_type !== 'execute_request') return;
      if (isBusy) probes.push(task);
      else answerAll(task);
    },
  });
  await engineThere(client, engine);
  await untilSaved(controller, engine);
  const mux = client.submit('mux', 'apply_request', {}, engine.uuid);
  const first = await engine.task(1);
  const task = client.submit('task', 'apply_request', {});
  const second = await engine.task(2);
  await waitFor(async () => (await client.record(task.id))?.['engine_uuid'] === engine.uuid);
  await controller.kill();
  await engine.unlinked();
  // One result arrives while no client is connected, the other one later.
  first.reply();
  await controller.start();
  await using again = RawClient.fromFile(controller.clientFile);
  const subscriber = await RawSubscriber.start(again, { completed: { $ne: null } });
  await engineThere(again, engine);
  // The first result may have arrived before the link of its client was open.
  await client.linked();
  second.reply();
  isBusy = false;
  for (const probe of probes) answerAll(probe);
  expect((await task.reply()).content).toMatchObject({ status: 'ok' });
  for (const { id } of [mux, task]) {
    const record = await waitFor(async () => {
      const found = await again.record(id);
      return typeof found?.['completed'] === 'string' && found;
    });
    expect(record).toMatchObject({ result_content: { status: 'ok' } });
  }
  await waitFor(() => subscriber.take().records.has(task.id));
  expect(await results(again, [mux.id, task.id])).toMatchObject({ status: 'ok', pending: [] });
}, 120_000);

test('the controller records a task as lost if its engine no longer has it', async () => {
  await using controller = await RestartableController.start(['--restore', '--sqlitedb']);
  await using client = RawClient.fromFile(controller.clientFile);
  // The engine has forgotten its tasks, but replies to new requests.
  await using engine = await RawEngine.start(controller.engineFile, {
    onTask: (task) => {
      if (task.message.msg_type === 'execute_request') answerAll(task);
    },
  });
  await engineThere(client, engine);
  await untilSaved(controller, engine);
  const had = client.submit('task', 'apply_request', {}).id;
  const queued = client.submit('task', 'apply_request', {}).id;
  await waitFor(async () => (await client.record(had))?.['engine_uuid'] === engine.uuid);
  await waitFor(async () => (await client.record(queued)) !== undefined);
  // The engine does not return before the client has asked.
  engine.die();
  await controller.kill();
  await controller.start();
  await using again = RawClient.fromFile(controller.clientFile);
  expect(await results(again, [had, queued])).toMatchObject({ pending: [had, queued].sort() });
  engine.revive();
  const reported = await waitFor(
    async () => {
      const content = await results(again, [had, queued]);
      return (content['pending'] as string[]).length === 0 && content;
    },
    { timeout: 60_000 },
  );
  expect(reported).toMatchObject({
    completed: [had, queued].sort(),
    lost: [queued],
    [had]: { result_content: { status: 'error', ename: 'TaskLost' } },
    [queued]: { result_content: { status: 'error', ename: 'TaskLost' } },
  });
  expect(await again.record(queued)).toMatchObject({ completed: null });
}, 120_000);

test('the tasks of an engine that does not return fail', async () => {
  await using controller = await RestartableController.start(['--restore', '--sqlitedb']);
  await using client = RawClient.fromFile(controller.clientFile);
  const engine = await RawEngine.start(controller.engineFile);
  await engineThere(client, engine);
  await untilSaved(controller, engine);
  const { id } = client.submit('mux', 'apply_request', {}, engine.uuid);
  await waitFor(async () => (await client.record(id)) !== undefined);
  await controller.kill();
  engine.close();
  await controller.start(['--registration-timeout=5']);
  await using again = RawClient.fromFile(controller.clientFile);
  const record = await waitFor(
    async () => {
      const found = await again.record(id);
      return found?.['completed'] !== null && found;
    },
    { timeout: 60_000 },
  );
  expect(record).toMatchObject({ result_content: { ename: 'EngineError' } });
}, 120_000);

test('an unreadable file of engines does not prevent the start', async () => {
  await using controller = await RestartableController.start();
  const state = stateFile(controller);
  await mkdir(dirname(state), { recursive: true });
  for (const odd of ['{', '[]', '{"engines":{"x":"y"}}', '{"engines":{"0":7}}']) {
    await controller.kill();
    await writeFile(state, odd);
    await controller.start();
  }
  expect(controller.log.match(/cannot read the engines of the previous run/g)).toHaveLength(4);
  // The file has the format of a Python controller; one engine is listed twice, and one has an invalid name.
  await controller.kill();
  await writeFile(state, JSON.stringify({ engines: { 0: 'a', 1: 'a', 2: '' }, next_id: 9 }));
  await controller.start();
  await using client = RawClient.fromFile(controller.clientFile);
  await using engine = await RawEngine.start(controller.engineFile);
  expect(engine.id).toBe(9);
  await engineThere(client, engine);
}, 120_000);

describe('a JavaScript engine', () => {
  const started = (controller: RestartableController): Promise<EngineProcess> =>
    EngineProcess.start({ args: ['--file', controller.engineFile] });
  const there = (client: RawClient, { uuid }: EngineProcess): Promise<string> =>
    waitFor(async () => [...(await client.engines()).values()].find((other) => other === uuid), {
      what: 'the engine to be registered',
      timeout: 60_000,
    });

  test('continues with its state, and its results from the meantime are recorded', async () => {
    await using controller = await RestartableController.start(['--restore', '--sqlitedb']);
    await using client = RawClient.fromFile(controller.clientFile);
    await using engine = await started(controller);
    const uuid = await there(client, engine);
    await client.execute(uuid, 'globalThis.kept = 41');
    using gate = new Gate();
    const code = `${gate.javascript} kept += 1`;
    const { id } = client.submit('mux', 'execute_request', executeContent(code), uuid);
    await waitFor(() => client.published(id, 'execute_input').length > 0);
    await waitFor(async () => (await client.record(id)) !== undefined);
    await controller.kill();
    // Messages that an engine sends before it notices the end of its controller are lost.
    await waitFor(() => engine.stderr.includes('link to the controller'), { what: 'the links to break' });
    gate.open();
    await controller.start();
    await using again = RawClient.fromFile(controller.clientFile);
    await there(again, engine);
    const record = await waitFor(async () => {
      const found = await again.record(id);
      return typeof found?.['completed'] === 'string' && found;
    });
    expect(record).toMatchObject({ result_content: { status: 'ok' } });
    const { id: asked } = again.submit('mux', 'execute_request', executeContent('kept'), uuid);
    await again.replyTo(asked);
    await again.untilIdle(asked);
    const [value] = await waitFor(() => {
      const values = again.published(asked, 'execute_result');
      return values.length > 0 && values;
    });
    expect(value?.content['data']).toEqual({ 'text/plain': '42' });
  }, 120_000);

  test('registers again with a controller that does not know it', async () => {
    await using controller = await RestartableController.start(['--reuse']);
    await using client = RawClient.fromFile(controller.clientFile);
    await using engine = await started(controller);
    const uuid = await there(client, engine);
    await controller.kill();
    await controller.start();
    await using again = RawClient.fromFile(controller.clientFile);
    await there(again, engine);
    expect((await again.execute(uuid, '1')).content).toMatchObject({ status: 'ok' });
  }, 120_000);

  test('ends if another engine has its id by then', async () => {
    await using controller = await RestartableController.start(['--reuse']);
    await using client = RawClient.fromFile(controller.clientFile);
    await using engine = await started(controller);
    await there(client, engine);
    await controller.kill();
    // The engine cannot register again before the other one has its id.
    engine.child.kill('SIGSTOP');
    await controller.start();
    await using other = await RawEngine.start(controller.engineFile, { id: 0 });
    expect(other.id).toBe(0);
    engine.child.kill('SIGCONT');
    await engine.exited;
    expect(engine.stderr).toMatch(/has assigned id 0 to another engine/);
    await using again = RawClient.fromFile(controller.clientFile);
    await engineThere(again, other);
  }, 120_000);
});
