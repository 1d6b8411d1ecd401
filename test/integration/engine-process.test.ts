import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import {
  EngineProcess,
  type EngineProcessOptions,
  engineMain,
  untilGone,
} from '../support/clusters/engine-process.js';
import { FakeController, type FakeControllerOptions } from '../support/fakes/fake-controller.js';
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

async function engineOn(
  controller: FakeController,
  options: EngineProcessOptions = {},
): Promise<EngineProcess> {
  const env = { IPP_CONNECTION_INFO: JSON.stringify(controller.connectionInfo), ...options.env };
  const engine = await EngineProcess.start({ ...options, env });
  cleanups.push(() => engine[Symbol.asyncDispose]());
  return engine;
}

/** Starts code that never yields and waits until it runs in the kernel. */
async function busy(controller: FakeController, engine: EngineProcess): Promise<string> {
  const code = 'ipyparallel.task.publish({ runs: true }); for (;;);';
  const id = controller.submit('mux', engine.uuid, 'execute_request', { code, silent: false });
  await waitFor(() => controller.published(id, 'data_message').length > 0, { what: 'the code to run' });
  return id;
}

async function commandLine(
  ...args: string[]
): Promise<{ code: number | string; stdout: string; stderr: string }> {
  const engine = new EngineProcess({ args, env: { IPYTHONDIR: '/no/such/place' } });
  const code = await engine.exited;
  return { code, stdout: engine.stdout, stderr: engine.stderr };
}

describe('the command line', () => {
  test('--version and --help print the version and the options', async () => {
    const manifest = join(dirname(dirname(engineMain)), 'package.json');
    const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string };
    expect(await commandLine('--version')).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
    const help = await commandLine('--help');
    expect(help.code).toBe(0);
    for (const option of ['--file', '--profile-dir', '--cluster-id', '--parent-pid', 'IPP_CONNECTION_INFO']) {
      expect(help.stdout).toContain(option);
    }
  });

  test('reports an error on one line', async () => {
    expect(await commandLine('--nonsense')).toEqual({
      code: 2,
      stdout: '',
      stderr: "ippjs-engine: Unknown option '--nonsense'; --help lists the options\n",
    });
    const missing = await commandLine('--timeout=0.1', '--profile=p', '--log-level=warn');
    expect(missing.code).toBe(1);
    expect(missing.stderr).toMatch(
      /^ippjs-engine: ConnectionFileError: .*\/no\/such\/place\/profile_p\/security\/ipcontroller-engine\.json.*waited [\d.]+ m?s/,
    );
    expect(missing.stderr.trim().split('\n')).toHaveLength(1);
  });
});

describe('how an engine ends', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)(
    '%s: unregisters, kills the kernel, exits 0 promptly',
    async (signal) => {
      const controller = await fake();
      const engine = await engineOn(controller);
      const { kernelPid } = engine;
      const task = await busy(controller, engine);
      const since = performance.now();
      engine.child.kill(signal);
      expect(await engine.exited).toBe(0);
      expect(performance.now() - since).toBeLessThan(30_000);
      expect(isAlive(kernelPid)).toBe(false);
      expect((await controller.replyTo(task)).message.content.ename).toBe('EngineError');
      await waitFor(() => controller.of('unregistration_request').length === 1);
    },
  );

  test('SIGTERM before the registration ends the engine', async () => {
    const controller = await fake({ register: () => undefined });
    const engine = new EngineProcess({
      env: { IPP_CONNECTION_INFO: JSON.stringify(controller.connectionInfo) },
    });
    cleanups.push(() => engine[Symbol.asyncDispose]());
    await waitFor(() => controller.of('registration_request').length > 0);
    engine.child.kill('SIGTERM');
    expect(await engine.exited).toBe(0);
  });

  test('SIGTERM without a controller ends the engine quickly', async () => {
    const controller = await fake();
    const engine = await engineOn(controller);
    controller.stop();
    const since = performance.now();
    engine.child.kill('SIGTERM');
    expect(await engine.exited).toBe(0);
    expect(performance.now() - since).toBeLessThan(30_000);
  });

  test('SIGKILL to the engine ends a busy kernel', async () => {
    const controller = await fake();
    const engine = await engineOn(controller);
    const { kernelPid } = engine;
    await busy(controller, engine);
    expect(isAlive(kernelPid)).toBe(true);
    const since = performance.now();
    engine.child.kill('SIGKILL');
    // The kernel unregisters the engine; otherwise the hub would wait for ten missed heartbeats.
    await waitFor(() => controller.of('unregistration_request').length === 1);
    await untilGone(kernelPid);
    expect(performance.now() - since).toBeLessThan(30_000);
    expect(controller.of('unregistration_request')[0]?.content).toEqual({ id: 0 });
  });

  test('SIGKILL to the engine ends its kernel after a clear, and without a controller', async () => {
    const controller = await fake({ curve: true });
    const engine = await engineOn(controller);
    await controller.content('control', engine.uuid, 'clear_request', {});
    const { kernelPid } = engine;
    engine.child.kill('SIGKILL');
    await waitFor(() => controller.of('unregistration_request').length === 1);
    await untilGone(kernelPid);
    const other = await engineOn(controller);
    const kernel = other.kernelPid;
    expect(isAlive(kernel)).toBe(true);
    controller.stop();
    other.child.kill('SIGKILL');
    await untilGone(kernel);
    expect(controller.of('unregistration_request')).toHaveLength(1);
  });

  test('SIGKILL to the kernel ends the engine with a log line', async () => {
    const controller = await fake();
    const engine = await engineOn(controller);
    const task = await busy(controller, engine);
    process.kill(engine.kernelPid, 'SIGKILL');
    expect(await engine.exited).toBe(1);
    expect(engine.stderr).toContain('ERROR [engine] engine 0');
    expect(engine.stderr).toContain('its kernel process was killed by SIGKILL');
    expect((await controller.replyTo(task)).message.content.ename).toBe('EngineError');
    await waitFor(() => controller.of('unregistration_request').length === 1);
  });

  test('signal_request: SIGTERM ends kernel and engine, SIGINT to the kernel itself ends nothing', async () => {
    const controller = await fake();
    const engine = await engineOn(controller);
    const execute = (code: string) => controller.submit('mux', engine.uuid, 'execute_request', { code });
    // Otherwise the signal could arrive during the next task.
    const listening = execute('process.once("SIGINT", () => console.log("received SIGINT"));');
    await controller.replyTo(listening);
    process.kill(engine.kernelPid, 'SIGINT');
    await waitFor(() => controller.published(listening, 'stream').length > 0, { what: 'the signal' });
    expect((await controller.replyTo(execute('1'))).message.content.status).toBe('ok');
    expect(await controller.content('control', engine.uuid, 'signal_request', { sig: 'SIGTERM' })).toEqual({
      status: 'ok',
    });
    expect(await engine.exited).toBe(1);
    expect(engine.stderr).toContain('was killed by SIGTERM');
  });

  test('shutdown_request: replies, publishes shutdown_reply, unregisters, exits 0', async () => {
    const controller = await fake();
    const engine = await engineOn(controller);
    const id = controller.submit('control', engine.uuid, 'shutdown_request', { restart: false });
    const { message } = await controller.replyTo(id);
    expect(message.content).toEqual({ status: 'ok', restart: false });
    expect(message.metadata).toEqual({ engine: engine.uuid });
    expect(await engine.exited).toBe(0);
    // Messages on two sockets arrive in any order.
    await waitFor(() => controller.of('unregistration_request').length === 1);
    await waitFor(() => controller.published(id).length >= 3);
    const published = controller.published(id);
    expect(published.map(({ msg_type: type }) => type)).toEqual(['status', 'shutdown_reply', 'status']);
    expect(published[1]?.idents.map(String)).toEqual(['engine.0.shutdown']);
    expect(published[1]?.header.session).toBe(engine.uuid);
  });

  test('the engine ends when the controller stops sending heartbeats', async () => {
    const controller = await fake({ hbPeriod: 30 });
    const engine = await engineOn(controller, { args: ['--max-heartbeat-misses=1'] });
    // A pause of this process for half a second is also a silence that ends the engine.
    await Promise.race([waitFor(() => controller.pongs.length > 0), engine.exited]);
    controller.beating = false;
    expect(await engine.exited).toBe(1);
    expect(engine.stderr).toContain('lost its controller: no heartbeat');
  });

  test('the engine ends when its parent disconnects', async () => {
    const controller = await fake();
    const engine = await engineOn(controller);
    const { kernelPid } = engine;
    engine.child.disconnect();
    expect(await engine.exited).toBe(0);
    expect(isAlive(kernelPid)).toBe(false);
  });

  test('the engine ends when the process of --parent-pid has ended', async () => {
    const controller = await fake();
    const other = spawn('sleep', ['1000'], { stdio: 'ignore' });
    cleanups.push(() => void other.kill('SIGKILL'));
    const engine = await engineOn(controller, { args: [`--parent-pid=${other.pid}`] });
    const { kernelPid } = engine;
    other.kill('SIGKILL');
    expect(await engine.exited).toBe(0);
    expect(engine.stderr).toContain(`lost its parent process ${other.pid}`);
    expect(isAlive(kernelPid)).toBe(false);
  });
});

test('the engine sends its id, uuid and pid to its parent', async () => {
  const controller = await fake();
  const engine = await engineOn(controller, { args: ['--id=3'] });
  expect(engine.registered).toEqual({ type: 'registered', id: 0, uuid: engine.uuid, pid: engine.pid });
  expect(controller.registered).toEqual([engine.uuid]);
});

test('arguments of node are passed to the kernel', async () => {
  const controller = await fake();
  const engine = await engineOn(controller, { nodeArgs: ['--stack-size=700'] });
  const id = controller.submit('mux', engine.uuid, 'execute_request', {
    code: 'process.execArgv.includes("--stack-size=700")',
    silent: false,
  });
  await waitFor(() => controller.published(id, 'execute_result').length > 0);
  expect(controller.published(id, 'execute_result')[0]?.content.data).toEqual({ 'text/plain': 'true' });
});

test('two engines of one process do not keep each other’s kernels alive', async () => {
  const script = join(import.meta.dirname, '../support/programs/two-engines.mjs');
  const controller = await fake();
  const host = spawn(process.execPath, [script], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: { ...process.env, IPP_CONNECTION_INFO: JSON.stringify(controller.connectionInfo) },
  });
  cleanups.push(() => void host.kill('SIGKILL'));
  const kernels = await new Promise<number[]>((resolve) => {
    host.once('message', (pids) => resolve(pids as number[]));
  });
  expect(kernels.map(isAlive)).toEqual([true, true]);
  host.kill('SIGKILL');
  for (const pid of kernels) await untilGone(pid);
});
