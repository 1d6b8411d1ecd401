import type { AnyMessage, Dict } from '@ipyparallel-js/protocol';
import { decodeJsResult, decodeTaskData, encodeJsCall } from '@ipyparallel-js/protocol/internal';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EngineProcess, untilGone } from '../support/clusters/engine-process.js';
import { StockCluster, type StockClusterOptions, stockVersions } from '../support/clusters/stock-cluster.js';
import { executeContent, RawClient, type Submitted } from '../support/fakes/raw-client.js';
import { isAlive } from '../support/processes.js';
import { describeStock } from '../support/python/describe-stock.js';
import { waitFor } from '../support/wait-for.js';

const taskMetadata = { after: [], follow: [], timeout: 0, targets: [], retries: 0 };

async function engineOn(
  cluster: StockCluster,
  rc: RawClient,
  args: readonly string[] = [],
): Promise<EngineProcess> {
  const engine = await EngineProcess.start({
    args: ['--profile-dir', cluster.profileDir, ...args],
    cwd: cluster.directory,
  });
  await waitFor(async () => [...(await rc.engines()).values()].includes(engine.uuid), {
    what: 'the hub to register the engine',
  });
  return engine;
}

function submitCall(rc: RawClient, fn: (...args: never[]) => unknown, ...args: unknown[]): Submitted {
  const { content, buffers } = encodeJsCall(fn, args);
  return rc.submit('task', 'apply_request', content, undefined, { buffers, metadata: taskMetadata });
}

/**
 * Submits requests until the engine replies to one. A Python controller drops a request for an engine whose socket is not
 * linked yet, and the engine cannot know of a broken link before ZeroMQ reports it.
 */
async function untilReplied(submit: () => Submitted): Promise<AnyMessage> {
  return await waitFor(
    () =>
      submit()
        .reply(1_000)
        .catch(() => undefined),
    { timeout: 60_000, what: 'a reply of the engine' },
  );
}

describe.each(stockVersions)('on ipcontroller %s', (version) => {
  describeStock(version, 'a JavaScript engine', () => {
    let cluster: StockCluster;
    let rc: RawClient;
    let engine: EngineProcess;

    beforeAll(async () => {
      cluster = await StockCluster.start({
        version,
        db: version === '8.8' ? 'sqlitedb' : 'dictdb',
        // The hub detects missed heartbeats only after 60 s, so it learns of the end of an engine by a notification.
        controllerArgs: ['--HeartMonitor.max_heartmonitor_misses=300'],
      });
      rc = RawClient.fromFile(cluster.connectionFile);
      engine = await engineOn(cluster, rc);
    });

    afterAll(async () => {
      await engine?.[Symbol.asyncDispose]();
      rc?.close();
      await cluster?.stop();
    });

    /** Returns a record after the hub has stored its result and all its output. */
    async function settledRecord(id: string): Promise<Dict> {
      await rc.untilIdle(id);
      return await waitFor(
        async () => {
          const record = await rc.record(id);
          return record?.completed ? record : undefined;
        },
        { what: `the record of ${id}` },
      );
    }

    test('execute produces a reply, output, a result and a record', async () => {
      const task = rc.submit(
        'mux',
        'execute_request',
        executeContent('console.log("hello"); console.error("oops"); 6 * 7'),
        engine.uuid,
      );
      const reply = await task.reply();
      expect(reply.content).toEqual({ status: 'ok', execution_count: 1, user_expressions: {}, payload: [] });
      expect(await rc.streamText(task.id, 'stdout')).toBe('hello\n');
      const record = await waitFor(async () => {
        const found = await settledRecord(task.id);
        return found.stdout !== '' && found.stderr !== '' && found.execute_result ? found : undefined;
      });
      expect(record).toMatchObject({
        stdout: 'hello\n',
        stderr: 'oops\n',
        engine_uuid: engine.uuid,
        queue: 'mux',
      });
      // SQLite returns objects as text.
      const result =
        typeof record.execute_result === 'string' ? JSON.parse(record.execute_result) : record.execute_result;
      expect(result).toMatchObject({ data: { 'text/plain': '42' } });
      expect(record.started).toBe(reply.metadata.started);
      expect(record.result_content).toMatchObject({ status: 'ok' });
    });

    test('an execute that fails is recorded with its error', async () => {
      const task = rc.submit(
        'mux',
        'execute_request',
        executeContent('function f() { throw new RangeError("far") }\nf()'),
        engine.uuid,
      );
      const { content, metadata } = await task.reply();
      expect(content).toMatchObject({ status: 'error', ename: 'RangeError', evalue: 'far' });
      expect(content.engine_info).toEqual({ engine_uuid: engine.uuid, engine_id: 0, method: 'execute' });
      expect(metadata.status).toBe('error');
      const record = await settledRecord(task.id);
      expect(record.result_content).toMatchObject({ status: 'error', ename: 'RangeError' });
    });

    test('apply runs through the task scheduler', async () => {
      const task = submitCall(rc, (n: number) => n * n, 12);
      const reply = await task.reply();
      expect(decodeJsResult(reply.content, reply.buffers)).toBe(144);
      expect(reply.metadata).toMatchObject({ dependencies_met: true, engine: engine.uuid, status: 'ok' });
      expect((await settledRecord(task.id)).queue).toBe('task');
      const failing = submitCall(rc, () => {
        throw new TypeError('bad');
      });
      expect((await failing.reply()).content).toMatchObject({ status: 'error', ename: 'TypeError' });
    });

    test('a task resubmitted by the hub runs again', async () => {
      const task = submitCall(rc, (n: number) => n + 1, 1);
      await task.reply();
      await settledRecord(task.id);
      const answer = await rc.submit('registration', 'resubmit_request', { msg_ids: [task.id] }).reply();
      const [again] = Object.values(answer.content.resubmitted as Record<string, string>);
      const record = await waitFor(async () => {
        const found = await rc.record(again ?? '');
        return found?.completed ? found : undefined;
      });
      expect(record.result_content).toMatchObject({ status: 'ok', language: 'javascript' });
    });

    test('a broadcast reaches the engine', async () => {
      const metadata = { targets: [[engine.uuid, 0]], is_broadcast: true, is_coalescing: false };
      const task = rc.submit(
        'broadcast',
        'execute_request',
        executeContent('globalThis.reached = true'),
        undefined,
        { metadata },
      );
      const part = `${task.id}_${engine.uuid}`;
      const reply = await rc.replyTo(part);
      expect(reply.metadata).toMatchObject({
        is_broadcast: true,
        original_msg_id: task.id,
        engine: engine.uuid,
      });
      expect((await rc.execute(engine.uuid, 'reached')).content.status).toBe('ok');
    });

    test('kernel_info, abort, clear and signal work; kernel_info leaves no record', async () => {
      const info = rc.submit('control', 'kernel_info_request', {}, engine.uuid);
      expect((await info.reply()).content).toMatchObject({
        implementation: 'ipyparallel-js',
        language_info: { name: 'javascript' },
      });
      await rc.untilIdle(info.id);

      const busy = rc.submit('mux', 'execute_request', executeContent('while (true) {}'), engine.uuid);
      const waiting = rc.submit('mux', 'execute_request', executeContent('1'), engine.uuid);
      await waitFor(() => rc.published(busy.id, 'execute_input').length > 0);
      const abort = rc.submit('control', 'abort_request', { msg_ids: [waiting.id] }, engine.uuid);
      expect((await abort.reply()).content).toEqual({ status: 'ok' });
      expect((await waiting.reply()).content).toEqual({ status: 'aborted' });
      const signal = rc.submit('control', 'signal_request', { sig: 2 }, engine.uuid);
      expect((await signal.reply()).content).toEqual({ status: 'ok' });
      expect((await busy.reply()).content).toMatchObject({ status: 'error', ename: 'KeyboardInterrupt' });

      await rc.execute(engine.uuid, 'var here = 1');
      const clear = rc.submit('control', 'clear_request', {}, engine.uuid);
      expect((await clear.reply()).content).toEqual({ status: 'ok' });
      const after = rc.submit('mux', 'execute_request', executeContent('here'), engine.uuid);
      expect((await after.reply()).content).toMatchObject({ ename: 'ReferenceError' });
      // The hub has processed everything that the engine published before this error.
      await waitFor(async () => Boolean((await rc.record(after.id))?.error), {
        what: 'the hub to store the error',
      });
      expect(await rc.record(info.id)).toBeUndefined();
    });

    test('published data and values of a generator arrive; a running task is aborted', async () => {
      const wait = (): string => `const { task } = ipyparallel;
        task.publish({ phase: 'begun' });
        await new Promise((r) => task.signal.onabort = r);`;
      const source = `async function* () { ${wait()} yield 1; task.signal.throwIfAborted() }`;
      const { content, buffers } = encodeJsCall(() => 0, []);
      const task = rc.submit('task', 'apply_request', { ...content, source }, undefined, {
        buffers,
        metadata: taskMetadata,
      });
      const data = () =>
        rc
          .published(task.id, 'data_message')
          .map((message) => decodeTaskData(message.content, message.buffers));
      await waitFor(() => data().length > 0);
      const abort = rc.submit('control', 'abort_request', { msg_ids: [task.id] }, engine.uuid);
      expect((await abort.reply()).content).toEqual({ status: 'ok' });
      expect((await task.reply()).content).toMatchObject({ status: 'aborted', ename: 'TaskAborted' });
      await rc.untilIdle(task.id);
      expect(data()).toEqual([{ phase: 'begun' }, { partial: { from: 0, values: [1] } }]);
      expect((await settledRecord(task.id)).result_content).toMatchObject({ status: 'aborted' });
    });

    test("Python's client reads published data, and aborts a running task", async () => {
      const seen = await cluster.runPython<Dict>(`
        import sys, json, time, ipyparallel
        from subscribed import wait_until_subscribed
        rc = ipyparallel.Client(sys.argv[1], timeout=60)
        wait_until_subscribed(rc[0])
        code = """
          const { task } = ipyparallel;
          task.progress({ done: 1, total: 2 });
          task.publish({ names: ['a', null], odd: new Map([[1, 2]]) });
          await new Promise((r) => task.signal.onabort = r);
          task.signal.throwIfAborted();
        """
        ar = rc[0].execute(code, silent=False, block=False)
        deadline = time.time() + 60
        while 'names' not in ar.data and time.time() < deadline:
            time.sleep(0.02)
        out = dict(data=ar.data)
        rc.abort(ar.msg_ids, targets=[0], block=True)
        try:
            ar.get(60)
        except ipyparallel.error.TaskAborted as e:
            out['error'] = type(e).__name__
        print(json.dumps(out))
      `);
      expect(seen).toEqual({
        data: { progress: { done: 1, total: 2 }, names: ['a', null] },
        error: 'TaskAborted',
      });
    });

    test("Python's client runs code here, and its calls are rejected with a clear message", async () => {
      const seen = await cluster.runPython<Dict>(`
        import sys, json, time, ipyparallel
        from subscribed import wait_until_subscribed
        rc = ipyparallel.Client(sys.argv[1], timeout=60)
        view = rc[0]
        wait_until_subscribed(view)
        ar = view.execute('console.log("for python"); 6 * 7', silent=False)
        ar.get(60)
        ar.wait_for_output(60)
        def failure(ar):
            try:
                ar.get(60)
            except ipyparallel.RemoteError as e:
                return [e.ename, e.evalue, (e.engine_info or {}).get('engine_id')]
        out = dict(ids=rc.ids, stdout=ar.stdout, result=ar.execute_result['data']['text/plain'] if hasattr(ar, 'execute_result') and isinstance(ar.execute_result, dict) else repr(ar.get(5)))
        out['failed'] = failure(view.execute('throw new TypeError("bad")'))
        out['mismatch'] = failure(view.apply_async(pow, 2, 3))
        out['status'] = ar.metadata['status']
        # The hub may reply to requests before it has processed the traffic of tasks.
        deadline = time.time() + 60
        while ar.msg_ids[0] not in rc.hub_history() and time.time() < deadline:
            time.sleep(0.02)
        out['history'] = ar.msg_ids[0] in rc.hub_history()
        rc.clear(block=True)
        print(json.dumps(out))
      `);
      expect(seen).toMatchObject({ ids: [0], stdout: 'for python\n', status: 'ok', history: true });
      expect(String(seen.result)).toContain('42');
      expect((seen.failed as unknown[]).slice(0, 2)).toEqual(['TypeError', 'bad']);
      expect((seen.mismatch as unknown[])[0]).toBe('LanguageMismatchError');
    });

    test('SIGKILL to a kernel fails its task at once and unregisters the engine', async () => {
      const doomed = await engineOn(cluster, rc);
      const task = rc.submit('mux', 'execute_request', executeContent('for (;;);'), doomed.uuid);
      await waitFor(() => rc.published(task.id, 'execute_input').length > 0);
      process.kill(doomed.kernelPid, 'SIGKILL');
      expect((await task.reply()).content).toMatchObject({ status: 'error', ename: 'EngineError' });
      expect(await doomed.exited).toBe(1);
      await waitFor(async () => ![...(await rc.engines()).values()].includes(doomed.uuid));
    });

    test('SIGKILL to an engine leaves no process, and the hub is notified', async () => {
      const doomed = await engineOn(cluster, rc);
      const { kernelPid } = doomed;
      const task = rc.submit('mux', 'execute_request', executeContent('for (;;);'), doomed.uuid);
      await waitFor(() => rc.published(task.id, 'execute_input').length > 0);
      expect(isAlive(kernelPid)).toBe(true);
      doomed.child.kill('SIGKILL');
      await untilGone(kernelPid);
      await waitFor(async () => ![...(await rc.engines()).values()].includes(doomed.uuid));
      expect(doomed.child.signalCode).toBe('SIGKILL');
      expect(isAlive(kernelPid)).toBe(false);
    });

    test('shutdown_request and SIGTERM unregister the engine', async () => {
      const first = await engineOn(cluster, rc);
      const second = await engineOn(cluster, rc);
      const kernels = [first.kernelPid, second.kernelPid];
      const shutdown = rc.submit('control', 'shutdown_request', { restart: false }, first.uuid);
      expect((await shutdown.reply()).content).toEqual({ status: 'ok', restart: false });
      second.child.kill('SIGTERM');
      expect(await Promise.all([first.exited, second.exited])).toEqual([0, 0]);
      expect(kernels.map(isAlive)).toEqual([false, false]);
      await waitFor(async () => (await rc.engines()).size === 1);
      const notices = (): unknown[] =>
        rc.received
          .filter(
            ({ channel, message }) =>
              channel === 'notification' && message.msg_type === 'unregistration_notification',
          )
          .map(({ message }) => message.content.uuid);
      // Notices arrive on another socket than replies.
      await waitFor(() => [first, second].every(({ uuid }) => notices().includes(uuid)), {
        what: () => `notices of ${first.uuid} and ${second.uuid}; received ${notices().join(', ')}`,
      });
      expect(notices()).toEqual(expect.arrayContaining([first.uuid, second.uuid]));
    });

    test('the engine survives a controller that is killed and restarted with --restore', async () => {
      await rc.execute(engine.uuid, 'globalThis.kept = 41');
      const { kernelPid } = engine;
      await cluster.killController();
      const broken = /link to the controller at \S+ broke/;
      await waitFor(() => broken.test(engine.stderr), { what: () => `the disconnect: ${engine.stderr}` });
      // The engine is stopped, so that it is not connected when the hub lists it again, which stock hubs do at once.
      engine.child.kill('SIGSTOP');
      await cluster.restartController(['--restore']);
      await using again = RawClient.fromFile(cluster.connectionFile);
      expect([...(await again.engines()).values()]).toContain(engine.uuid);
      // The scheduler sends the task to no peer, and would wait for the reply indefinitely.
      const lost = submitCall(again, (n: number) => n * n, 11);
      const lostDirect = again.submit('mux', 'execute_request', executeContent('1'), engine.uuid);
      await waitFor(async () => (await again.record(lost.id))?.engine_uuid === engine.uuid, {
        what: 'the task to be sent',
      });
      await waitFor(() => again.record(lostDirect.id), { what: 'the direct task to be sent' });
      const queued = submitCall(again, (n: number) => n * n, 12);
      engine.child.kill('SIGCONT');
      await waitFor(() => engine.stderr.includes('links to the controller at tcp://127.0.0.1 are up again'), {
        timeout: 60_000,
        what: () => `the connections: ${engine.stderr}`,
      });
      await untilReplied(() => again.submit('mux', 'execute_request', executeContent('0'), engine.uuid));
      const info = await untilReplied(() => again.submit('control', 'kernel_info_request', {}, engine.uuid));
      expect(info.content).toMatchObject({ implementation: 'ipyparallel-js' });
      const code = 'ipyparallel.task.publish({ kept }); console.log(kept + 1)';
      const task = again.submit('mux', 'execute_request', executeContent(code), engine.uuid);
      expect((await task.reply()).content).toMatchObject({ status: 'ok' });
      expect(await again.streamText(task.id, 'stdout')).toBe('42\n');
      expect(again.published(task.id, 'data_message')).toHaveLength(1);
      expect(engine.kernelPid).toBe(kernelPid);

      // The engine reports the tasks that it never received, so the scheduler continues.
      const reply = await queued.reply();
      expect(decodeJsResult(reply.content, reply.buffers)).toBe(144);
      for (const { id } of [lost, lostDirect]) {
        const record = await waitFor(
          async () => {
            const found = await again.record(id);
            return found?.completed ? found : undefined;
          },
          { what: 'the lost tasks to fail' },
        );
        expect(record.result_content).toMatchObject({ status: 'error', ename: 'EngineError' });
        // The engine publishes the error and then that it is idle, on another socket than its reply.
        await again.untilIdle(id);
        expect(again.published(id, 'error')).toHaveLength(1);
      }
      expect((await lost.reply()).content.evalue).toContain('the message was lost and the task did not run');
    });
  });

  describeStock(version, 'a JavaScript engine with other settings', () => {
    test.each<[string, Partial<StockClusterOptions>, readonly string[]]>([
      ['CURVE', { env: { IPP_ENABLE_CURVE: '1' } }, []],
      ['msgpack', { pack: 'msgpack.packb' }, []],
      ['a cluster id', { clusterId: 'named' }, ['--cluster-id', 'named']],
    ])('%s', async (what, options, args) => {
      await using cluster = await StockCluster.start({ version, ...options });
      if (what === 'CURVE') {
        const engine = await EngineProcess.start({ args: ['--file', cluster.engineConnectionFile] });
        try {
          // On a busy machine, Python's client sometimes waits a minute in vain under CURVE, so a new client retries.
          const stdout = await cluster.runPython<string>(
            `
            import sys, json, time, ipyparallel
            stdout = ''
            end = time.time() + 180
            while not stdout and time.time() < end:
                rc = None
                try:
                    rc = ipyparallel.Client(sys.argv[1], timeout=20)
                    rc.wait_for_engines(1, timeout=20)
                    ar = rc[0].execute('console.log(2 ** 10)')
                    ar.get(20)
                    ar.wait_for_output(5)
                    stdout = ar.stdout
                except TimeoutError as error:
                    print('once more:', repr(error), file=sys.stderr)
                finally:
                    if rc is not None:
                        rc.close()
            print(json.dumps(stdout))
          `,
            [],
            { timeout: 240_000 },
          );
          expect(stdout).toBe('1024\n');
        } finally {
          await engine[Symbol.asyncDispose]();
        }
        return;
      }
      await using rc = RawClient.fromFile(cluster.connectionFile);
      const engine = await engineOn(cluster, rc, args);
      try {
        const task = rc.submit('mux', 'execute_request', executeContent('console.log(2 ** 10)'), engine.uuid);
        expect((await task.reply()).content.status).toBe('ok');
        expect(await rc.streamText(task.id, 'stdout')).toBe('1024\n');
      } finally {
        await engine[Symbol.asyncDispose]();
      }
    });
  });
});
