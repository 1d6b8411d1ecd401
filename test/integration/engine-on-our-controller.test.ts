// A JavaScript engine at our controller, with a client that uses sockets directly.
import { decodeJsResult, encodeJsCall } from '@ipyparallel-js/protocol/internal';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { EngineProcess, untilGone } from '../support/clusters/engine-process.js';
import { TestController } from '../support/clusters/test-controller.js';
import { executeContent, type RawClient } from '../support/fakes/raw-client.js';
import { waitFor } from '../support/wait-for.js';

let controller: TestController;
let rc: RawClient;
let engine: EngineProcess;

beforeEach(async () => {
  // The hub tolerates missed heartbeats for hours here, so only a message unregisters an engine.
  controller = await TestController.start({ maxHeartbeatMisses: 100_000 });
  rc = await controller.client();
  engine = await EngineProcess.start({ args: ['--file', controller.controller.engineFile] });
  await waitFor(async () => (await rc.engines()).get(0) === engine.uuid, { what: 'the engine' });
});

afterEach(async () => {
  await engine?.[Symbol.asyncDispose]();
  await controller?.stop();
});

test('the record contains output and results', async () => {
  const code = 'console.log("hello"); console.error("oops"); 6 * 7';
  const task = rc.submit('mux', 'execute_request', executeContent(code), engine.uuid);
  const reply = await task.reply();
  const record = await waitFor(async () => {
    const found = await rc.record(task.id);
    return found?.completed && found.stdout && found.stderr && found.execute_result ? found : undefined;
  });
  expect(record).toMatchObject({
    stdout: 'hello\n',
    stderr: 'oops\n',
    engine_uuid: engine.uuid,
    started: reply.metadata.started,
    execute_result: { data: { 'text/plain': '42' } },
  });
});

test('apply through the task scheduler and a broadcast return their results', async () => {
  const { content, buffers } = encodeJsCall((n: number) => n * n, [12]);
  const metadata = { after: [], follow: [], timeout: 0, targets: [], retries: 0 };
  const reply = await rc.submit('task', 'apply_request', content, undefined, { buffers, metadata }).reply();
  expect(decodeJsResult(reply.content, reply.buffers)).toBe(144);
  const to = { targets: [[engine.uuid, 0]], is_broadcast: true, is_coalescing: false };
  const cast = rc.submit('broadcast', 'execute_request', executeContent('1'), undefined, { metadata: to });
  const part = await rc.replyTo(`${cast.id}_${engine.uuid}`);
  expect(part.metadata).toMatchObject({ is_broadcast: true, original_msg_id: cast.id });
});

test('control requests get their replies and have their effects', async () => {
  const ask = async (msgType: string, content = {}) =>
    (await rc.submit('control', msgType, content, engine.uuid).reply()).content;
  expect(await ask('kernel_info_request')).toMatchObject({ language_info: { name: 'javascript' } });
  const busy = rc.submit('mux', 'execute_request', executeContent('for (;;);'), engine.uuid);
  const waiting = rc.submit('mux', 'execute_request', executeContent('1'), engine.uuid);
  await waitFor(() => rc.published(busy.id, 'execute_input').length > 0);
  expect(await ask('abort_request', { msg_ids: [waiting.id] })).toEqual({ status: 'ok' });
  expect((await waiting.reply()).content).toEqual({ status: 'aborted' });
  expect(await ask('signal_request', { sig: 'SIGINT' })).toEqual({ status: 'ok' });
  expect((await busy.reply()).content).toMatchObject({ ename: 'KeyboardInterrupt' });
  expect(await ask('clear_request')).toEqual({ status: 'ok' });
  expect(await ask('shutdown_request', { restart: false })).toEqual({ status: 'ok', restart: false });
  expect(await engine.exited).toBe(0);
  await waitFor(async () => (await rc.engines()).size === 0);
});

test.each(['kernel', 'engine'] as const)('SIGKILL to the %s: the hub is notified at once', async (victim) => {
  const { kernelPid } = engine;
  const task = rc.submit('mux', 'execute_request', executeContent('for (;;);'), engine.uuid);
  await waitFor(() => rc.published(task.id, 'execute_input').length > 0);
  process.kill(victim === 'kernel' ? kernelPid : engine.pid, 'SIGKILL');
  await waitFor(() => rc.received.some(({ message }) => message.msg_type === 'unregistration_notification'), {
    timeout: 60_000,
    what: 'the notification',
  });
  await engine.exited;
  await untilGone(kernelPid);
  expect(await rc.engines()).toEqual(new Map());
});

test('the engine ends after its controller has stopped', async () => {
  await using lonely = await EngineProcess.start({
    args: ['--file', controller.controller.engineFile, '--max-heartbeat-misses=1'],
  });
  await controller.controller.stop();
  expect(await lonely.exited).toBe(1);
  expect(lonely.stderr).toContain('lost its controller');
});
