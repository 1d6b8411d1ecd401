import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Engine, type EngineOptions } from '@ipyparallel-js/engine';
import {
  AuthenticationError,
  ConnectionFileError,
  HubError,
  newId,
  TimeoutError,
  UsageError,
} from '@ipyparallel-js/protocol';
import { afterEach, describe, expect, test } from 'vitest';
import { FakeController, type FakeControllerOptions } from '../support/fakes/fake-controller.js';
import { Gate } from '../support/gate.js';
import { isAlive } from '../support/processes.js';
import { waitFor } from '../support/wait-for.js';

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function fake(options?: FakeControllerOptions): Promise<FakeController> {
  const controller = await FakeController.start(options);
  cleanups.push(() => controller.stop());
  return controller;
}

async function engineOn(controller: FakeController, options: EngineOptions = {}) {
  const lines: string[] = [];
  const engine = await Engine.start({
    connectionInfo: controller.connectionInfo,
    timeout: 60_000,
    log: (level, line) => lines.push(`${level}: ${line}`),
    ...options,
  });
  cleanups.push(() => engine.stop());
  return { engine, lines };
}

function execute(controller: FakeController, engine: Engine, code: string, channel = 'mux'): string {
  return controller.submit(channel, engine.uuid, 'execute_request', { code, silent: false });
}

/** Waits until all tasks that were sent on a channel have arrived: the engine replies to this request at once. */
async function arrived(controller: FakeController, engine: Engine, channel: string): Promise<void> {
  await controller.content(channel, engine.uuid, 'kernel_info_request', {});
}

function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'ippjs-engine-'));
  cleanups.push(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

describe('registration', () => {
  test('an engine requests an id, connects all sockets and replies to heartbeats', async () => {
    const controller = await fake();
    const { engine } = await engineOn(controller);
    const [request] = controller.of('registration_request');
    expect(request?.content).toEqual({ uuid: engine.uuid });
    expect(request?.header.session).toBe(engine.uuid);
    expect(controller.registered).toEqual([engine.uuid]);
    expect(engine.id).toBe(0);
    await waitFor(() => controller.pongs.length >= 3);
    // A pong consists of the routing id and the frame of the ping.
    expect(controller.pongs.at(-1)).toMatch(new RegExp(`^${engine.uuid} \\d+$`));
    for (const channel of ['mux', 'task', 'control', 'leaf-0']) {
      const id = controller.submit(channel, engine.uuid, 'kernel_info_request', {});
      expect((await controller.replyTo(id)).channel).toBe(channel);
    }
  });

  test('the id selects the broadcast leaf', async () => {
    const register = () => ({ status: 'ok', id: 5, hb_period: 100, connection_info: {} });
    const controller = await fake({ leaves: 3, register });
    const { engine } = await engineOn(controller);
    expect((await controller.replyTo(execute(controller, engine, '1', 'leaf-2'))).channel).toBe('leaf-2');
  });

  test('an id can be requested; the hub’s reply decides', async () => {
    const controller = await fake();
    const { engine, lines } = await engineOn(controller, { id: 7 });
    expect(controller.of('registration_request')[0]?.content).toEqual({ uuid: engine.uuid, id: 7 });
    expect(engine.id).toBe(0);
    expect(lines).toContain('warn: requested id 7, but the hub assigned 0');
  });

  test('an engine supports CURVE and msgpack', async () => {
    for (const options of [{ curve: true }, { pack: 'msgpack' as const }]) {
      const controller = await fake(options);
      const { engine } = await engineOn(controller);
      const id = execute(controller, engine, 'console.log("hi"); 6 * 7');
      expect((await controller.replyTo(id)).message.content).toMatchObject({ status: 'ok' });
      await waitFor(() => controller.published(id, 'execute_result').length > 0);
    }
  });

  test('without a controller, a start fails in time with a TimeoutError that names the address', async () => {
    const controller = await fake();
    const info = controller.connectionInfo;
    controller.stop();
    const started = performance.now();
    const attempt = Engine.start({ connectionInfo: info, timeout: 300, log: () => {} });
    await expect(attempt).rejects.toThrow(TimeoutError);
    await expect(attempt).rejects.toThrow(
      new RegExp(`tcp://127.0.0.1:${info.registration} within [\\d.]+ m?s`),
    );
    expect(performance.now() - started).toBeLessThan(30_000);
  });

  test('a hub that does not reply causes a TimeoutError', async () => {
    const controller = await fake({ register: () => undefined });
    const attempt = Engine.start({ connectionInfo: controller.connectionInfo, timeout: 300, log: () => {} });
    await expect(attempt).rejects.toThrow(TimeoutError);
  });

  test("another controller's key causes an AuthenticationError, after a reply or after a probe", async () => {
    const answering = await fake({ answerKey: newId() });
    await expect(Engine.start({ connectionInfo: answering.connectionInfo, log: () => {} })).rejects.toThrow(
      AuthenticationError,
    );
    const silent = await fake({ answerKey: newId(), register: () => undefined });
    await expect(Engine.start({ connectionInfo: silent.connectionInfo, log: () => {} })).rejects.toThrow(
      AuthenticationError,
    );
  });

  test('a refusal causes a HubError with the hub’s message', async () => {
    const register = () => ({ status: 'error', ename: 'KeyError', evalue: 'uuid in use', traceback: [] });
    const controller = await fake({ register });
    const attempt = Engine.start({ connectionInfo: controller.connectionInfo, log: () => {} });
    await expect(attempt).rejects.toThrow(HubError);
    await expect(attempt).rejects.toThrow('uuid in use');
  });

  test('a start can be aborted', async () => {
    const controller = await fake({ register: () => undefined });
    const abort = new AbortController();
    const reason = new Error('enough');
    const attempt = Engine.start({
      connectionInfo: controller.connectionInfo,
      signal: abort.signal,
      log: () => {},
    });
    await waitFor(() => controller.of('registration_request').length > 0);
    abort.abort(reason);
    await expect(attempt).rejects.toBe(reason);
  });

  test('a kernel that cannot start ends the attempt and unregisters', async () => {
    const controller = await fake();
    await expect(
      Engine.start({ connectionInfo: controller.connectionInfo, cwd: '/no/such/place', log: () => {} }),
    ).rejects.toThrow(/kernel process could not be started/);
    await waitFor(() => controller.of('unregistration_request').length === 1);
  });

  test('a connection file that requires an ssh tunnel is refused', async () => {
    const controller = await fake();
    const connectionInfo = { ...controller.connectionInfo, ssh: 'user@host' };
    await expect(Engine.start({ connectionInfo, log: () => {} })).rejects.toThrow(UsageError);
  });
});

describe('the connection file', () => {
  test('the engine waits for a missing and for an incomplete file', async () => {
    const controller = await fake();
    const directory = temporaryDirectory();
    const file = join(directory, 'ipcontroller-engine.json');
    const text = JSON.stringify(controller.connectionInfo);
    const lines: string[] = [];
    const log = (_level: string, line: string): void => void lines.push(line);
    const starting = Engine.start({ connectionFile: file, timeout: 60_000, log });
    await waitFor(() => lines.includes(`waiting for ${file}, which does not exist yet`));
    writeFileSync(file, text.slice(0, 40));
    await waitFor(() => lines.includes(`waiting for ${file}, which is not complete yet`));
    writeFileSync(`${file}.new`, text);
    renameSync(`${file}.new`, file);
    const engine = await starting;
    cleanups.push(() => engine.stop());
    expect(engine.id).toBe(0);
  });

  test.each([
    ['missing', undefined, /no such file \(waited [\d.]+ m?s\)/],
    ['truncated', '{"interface": "tcp', /is truncated: its JSON breaks off/],
    ['for clients', '{"notification": 1}', /is for clients/],
    ['foreign', '{"a": 1}', /"interface" is missing/],
  ])('%s: ConnectionFileError with the path', async (_what, text, problem) => {
    const file = join(temporaryDirectory(), 'ipcontroller-engine.json');
    if (text !== undefined) writeFileSync(file, text);
    const attempt = Engine.start({ connectionFile: file, timeout: 100, log: () => {} });
    await expect(attempt).rejects.toThrow(ConnectionFileError);
    await expect(attempt).rejects.toThrow(problem);
    await expect(attempt).rejects.toThrow(file);
  });
});

describe('incoming messages', () => {
  test('repeated, forged and malformed messages are dropped, counted and logged once', async () => {
    const controller = await fake();
    const { engine, lines } = await engineOn(controller);
    const message = controller.session.rawMessage('execute_request', {
      code: 'globalThis.runs = (globalThis.runs ?? 0) + 1',
    });
    const frames = controller.frames(message);
    for (let i = 0; i < 3; i++) controller.sendFrames('mux', engine.uuid, frames);
    // Each socket accepts the message once.
    controller.sendFrames('task', engine.uuid, frames);
    const forged = controller.frames(controller.session.rawMessage('execute_request', { code: '1' }));
    forged[2] = Buffer.from('0'.repeat(64));
    controller.sendFrames('mux', engine.uuid, forged);
    const unsigned = [...forged];
    unsigned[2] = Buffer.alloc(0);
    controller.sendFrames('control', engine.uuid, unsigned);
    controller.sendFrames('mux', engine.uuid, [Buffer.from('nonsense')]);
    controller.sendFrames('mux', engine.uuid, [Buffer.alloc(0)]);
    const shutdown = controller.frames(controller.session.rawMessage('shutdown_request', {}));
    shutdown[6] = Buffer.from('[]');
    controller.sendFrames('control', engine.uuid, shutdown);
    await waitFor(() => engine.stats.malformed === 2 && engine.stats.forged === 3);
    expect(engine.stats).toEqual({ malformed: 2, forged: 3, replayed: 2 });
    expect(lines.filter((line) => line.includes('dropped a'))).toHaveLength(3);
    // The task that arrived on the other socket may run after the next one.
    await waitFor(() => controller.of('execute_reply').length === 2);
    const runs = execute(controller, engine, 'globalThis.runs');
    await controller.replyTo(runs);
    await waitFor(() => controller.published(runs, 'execute_result').length > 0);
    expect(controller.published(runs, 'execute_result')[0]?.content.data).toEqual({ 'text/plain': '2' });
  });

  test('the engine replies to hostile contents or ignores them, and continues', async () => {
    const controller = await fake();
    const { engine } = await engineOn(controller);
    const hostile = [
      { code: 7 },
      {},
      { code: '1', user_expressions: 'x' },
      { code: '1', silent: 'yes', user_expressions: { a: 1, constructor: '2' } },
      JSON.parse('{"code": "1", "user_expressions": {"__proto__": "3"}}'),
    ];
    for (const content of hostile) {
      const reply = await controller.content('mux', engine.uuid, 'execute_request', content);
      expect(reply.status).toMatch(/^(ok|error)$/);
    }
    controller.submit('control', engine.uuid, 'nonsense_request', {});
    controller.submit('mux', engine.uuid, 'comm_msg', {});
    for (const sig of ['SIGNOTHING', -1, 1000, null, '__proto__', 'constructor']) {
      const reply = await controller.content('control', engine.uuid, 'signal_request', { sig });
      expect(reply.status).toBe('error');
    }
    const last = await controller.content('mux', engine.uuid, 'execute_request', { code: '1' });
    expect(last.status).toBe('ok');
  });
});

describe('heartbeats', () => {
  test('the engine replies to heartbeats while code never yields', async () => {
    const controller = await fake({ hbPeriod: 30 });
    const { engine } = await engineOn(controller);
    const id = execute(controller, engine, 'for (;;);');
    await waitFor(() => controller.published(id, 'execute_input').length > 0);
    const before = controller.pongs.length;
    await waitFor(() => controller.pongs.length > before + 10);
    expect((await controller.content('control', engine.uuid, 'kernel_info_request', {})).status).toBe('ok');
  });

  test('an engine ends when its controller sends no heartbeats', async () => {
    const controller = await fake({ hbPeriod: 30 });
    const { engine, lines } = await engineOn(controller, { maxHeartbeatMisses: 2 });
    const { kernelPid } = engine;
    await waitFor(() => controller.pongs.length > 1);
    controller.beating = false;
    const { reason, detail } = await engine.closed;
    expect(reason).toBe('controller-lost');
    expect(detail).toContain('no heartbeat from tcp://127.0.0.1');
    expect(lines.some((line) => line.startsWith('error: engine 0'))).toBe(true);
    expect(isAlive(kernelPid)).toBe(false);
  });

  test('occasional heartbeats are enough', async () => {
    const controller = await fake({ hbPeriod: 400 });
    // The engine checks every 900 ms. After a pause of this process, one check may precede the next heartbeat.
    const { engine } = await engineOn(controller, { maxHeartbeatMisses: 2 });
    const ended = engine.closed.then(() => 'ended');
    const beats = waitFor(() => controller.pongs.length >= 8).then(() => 'beats');
    expect(await Promise.race([ended, beats])).toBe('beats');
  });
});

describe('the end', () => {
  test('stop fails outstanding tasks, unregisters, ends the kernel and is idempotent', async () => {
    const controller = await fake();
    const { engine } = await engineOn(controller);
    const { kernelPid } = engine;
    const running = execute(controller, engine, 'await new Promise((r) => setTimeout(r, 1e6))');
    await waitFor(() => controller.published(running, 'execute_input').length > 0);
    const waiting = execute(controller, engine, '1', 'task');
    await arrived(controller, engine, 'task');
    await Promise.all([engine.stop(), engine.stop()]);
    await engine.stop();
    for (const id of [running, waiting]) {
      const { message } = await controller.replyTo(id);
      expect(message.content).toMatchObject({ status: 'error', ename: 'EngineError' });
      expect(message.metadata).toMatchObject({ status: 'error', engine: engine.uuid });
    }
    await waitFor(() => controller.of('unregistration_request').length > 0);
    expect(controller.of('unregistration_request').map(({ content }) => content)).toEqual([{ id: 0 }]);
    expect(isAlive(kernelPid)).toBe(false);
    expect(await engine.closed).toEqual({ reason: 'stopped', detail: 'was stopped' });
  });

  test('await using stops the engine', async () => {
    const controller = await fake();
    let kernelPid = 0;
    {
      await using engine = await Engine.start({ connectionInfo: controller.connectionInfo, log: () => {} });
      kernelPid = engine.kernelPid;
      expect(isAlive(kernelPid)).toBe(true);
    }
    expect(isAlive(kernelPid)).toBe(false);
  });

  test.each([
    ['process.exit(3)', 'exited with code 3'],
    ['process.kill(process.pid, "SIGKILL")', 'was killed by SIGKILL'],
  ])('the death of the kernel fails its task and ends the engine: %s', async (code, how) => {
    const controller = await fake();
    const { engine, lines } = await engineOn(controller);
    using gate = new Gate();
    const id = execute(controller, engine, `process.stdout.write("last words"); ${gate.javascript} ${code}`);
    const waiting = execute(controller, engine, '1');
    await arrived(controller, engine, 'mux');
    gate.open();
    for (const each of [id, waiting]) {
      const { content } = (await controller.replyTo(each)).message;
      expect(content).toMatchObject({ status: 'error', ename: 'EngineError' });
      expect(content.evalue).toContain(how);
    }
    expect(await engine.closed).toEqual({ reason: 'kernel-died', detail: `its kernel process ${how}` });
    await waitFor(() => controller.of('unregistration_request').length > 0);
    expect(lines.at(-1)).toContain(`error: engine 0 (${engine.uuid}) ends: its kernel process ${how}`);
  });

  test('output before process.exit is published', async () => {
    const controller = await fake();
    const { engine } = await engineOn(controller);
    const id = execute(controller, engine, 'console.log("last words"); process.exit(0)');
    await waitFor(() => controller.published(id, 'stream').length > 0);
    expect(controller.published(id, 'stream')[0]?.content).toEqual({ name: 'stdout', text: 'last words\n' });
  });

  test('a kernel that runs out of memory fails its task with the reason', async () => {
    const controller = await fake();
    const { engine } = await engineOn(controller, { nodeArgs: ['--max-old-space-size=32'] });
    const id = execute(controller, engine, 'const all = []; for (;;) all.push(new Array(1e5).fill({}));');
    const { content } = (await controller.replyTo(id, 60_000)).message;
    expect(content).toMatchObject({ status: 'error', ename: 'EngineError' });
    expect(content.evalue).toMatch(/ran out of memory: .*heap out of memory; .*--max-old-space-size/);
    expect((await engine.closed).reason).toBe('kernel-died');
  });

  test('processes that the code started end with the kernel', async () => {
    const controller = await fake();
    const { engine } = await engineOn(controller);
    const id = execute(
      controller,
      engine,
      'require("node:child_process").spawn("sleep", ["1000"], { stdio: "ignore" }).pid',
    );
    await waitFor(() => controller.published(id, 'execute_result').length > 0);
    const data = controller.published(id, 'execute_result')[0]?.content.data as Record<string, string>;
    const pid = Number(data['text/plain']);
    expect(isAlive(pid)).toBe(true);
    await engine.stop();
    await waitFor(() => !isAlive(pid));
  });
});
