// A JavaScript engine whose controller is killed and restarted on the same ports.
import { encodeJsCall } from '@ipyparallel-js/protocol/internal';
import { expect, test } from 'vitest';
import { EngineProcess } from '../support/clusters/engine-process.js';
import { RestartableController } from '../support/clusters/restartable-controller.js';
import { RawClient } from '../support/fakes/raw-client.js';
import { waitFor } from '../support/wait-for.js';

test('keeps its running task, context, output, control socket and broadcasts', async () => {
  await using controller = await RestartableController.start(['--restore']);
  await using client = RawClient.fromFile(controller.clientFile);
  await using engine = await EngineProcess.start({ args: ['--file', controller.engineFile] });
  const there = (rc: RawClient) =>
    waitFor(async () => [...(await rc.engines()).values()].includes(engine.uuid), {
      what: 'the engine to be registered',
      timeout: 60_000,
    });
  await there(client);
  await client.execute(engine.uuid, 'globalThis.kept = 0');
  const { content, buffers } = encodeJsCall(() => 0, []);
  const source =
    'async () => { ipyparallel.task.publish({ begun: 1 }); while (kept === 0) await new Promise((r) => setTimeout(r, 20)); return kept }';
  const running = client.submit('mux', 'apply_request', { ...content, source }, engine.uuid, { buffers });
  await waitFor(() => client.published(running.id, 'data_message').length > 0);
  const { kernelPid } = engine;

  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    await controller.kill(signal);
    await controller.start();
    await using again = RawClient.fromFile(controller.clientFile);
    await there(again);
    const info = again.submit('control', 'kernel_info_request', {}, engine.uuid);
    expect((await info.reply()).content).toMatchObject({ status: 'ok' });
    const status = await again
      .submit('registration', 'queue_request', { targets: null, verbose: false })
      .reply();
    expect(status.content).toMatchObject({ status: 'ok' });
  }

  await using again = RawClient.fromFile(controller.clientFile);
  await there(again);
  const to = { targets: [[engine.uuid, 0]], is_broadcast: true, is_coalescing: false };
  const cast = again.submit('broadcast', 'execute_request', { code: '1', silent: true }, undefined, {
    metadata: to,
  });
  const next = again.submit(
    'mux',
    'execute_request',
    { code: 'console.log(kept); kept', silent: false },
    engine.uuid,
  );
  // The reply is sent on the socket of the task.
  await client.linked();
  const interrupt = again.submit('control', 'interrupt_request', {}, engine.uuid);
  expect((await interrupt.reply()).content).toEqual({ status: 'ok' });
  expect((await running.reply()).content).toMatchObject({ ename: 'KeyboardInterrupt' });
  expect((await again.replyTo(`${cast.id}_${engine.uuid}`)).content).toMatchObject({ status: 'ok' });
  expect((await next.reply()).content).toMatchObject({ status: 'ok' });
  expect(await again.streamText(next.id, 'stdout')).toBe('0\n');
  expect(engine.kernelPid).toBe(kernelPid);
}, 120_000);
