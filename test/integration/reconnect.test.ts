import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Client, type ConnectionStatus, type ConnectOptions } from '@ipyparallel-js/client';
import { ConnectionClosedError, type Dict, EngineError, TaskLostError } from '@ipyparallel-js/protocol';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { TestController } from '../support/clusters/test-controller.js';
import { CutProxy } from '../support/fakes/cut-proxy.js';
import { type Answer, FakeHub, type FakeHubOptions, type Request } from '../support/fakes/fake-hub.js';
import type { RawTask } from '../support/fakes/raw-engine.js';
import { HeldTimers } from '../support/held-timers.js';
import { waitFor } from '../support/wait-for.js';

/** The interval of heartbeats in ms; a link counts as cut after four intervals without a reply. */
const HEARTBEAT = 500;
const WAIT = { timeout: 60_000 };

async function fakeHub(options: FakeHubOptions = {}): Promise<FakeHub> {
  const hub = await FakeHub.start(options);
  onTestFinished(() => hub.stop());
  return hub;
}

/** Connects a client and records all states of its connection. */
async function connect(
  connectionFile: ConnectOptions['connectionFile'],
  options: ConnectOptions = {},
): Promise<{ rc: Client; states: ConnectionStatus[] }> {
  const rc = await Client.connect({
    ...(connectionFile === undefined ? {} : { connectionFile }),
    heartbeatInterval: HEARTBEAT,
    ...WAIT,
    ...options,
  });
  onTestFinished(() => rc.close());
  const states: ConnectionStatus[] = [];
  rc.connection$.subscribe((status) => states.push(status));
  return { rc, states };
}

async function throughProxy(
  info: Readonly<Record<string, unknown>>,
  options: ConnectOptions = {},
): Promise<{ proxy: CutProxy; rc: Client; states: ConnectionStatus[] }> {
  const proxy = await CutProxy.start(info);
  onTestFinished(() => proxy[Symbol.asyncDispose]());
  return { proxy, ...(await connect(proxy.info, options)) };
}

const connected = (rc: Client, incarnation: number): Promise<unknown> =>
  waitFor(
    () => {
      let now: ConnectionStatus | undefined;
      rc.connection$
        .subscribe((status) => {
          now = status;
        })
        .unsubscribe();
      return now?.state === 'connected' && now.incarnation >= incarnation;
    },
    { ...WAIT, what: `connection ${incarnation}` },
  );

const disconnected = (rc: Client): Promise<unknown> =>
  waitFor(() => !rc.connected, { ...WAIT, what: 'the cut to be noticed' });

const codeOf = (wait: Promise<unknown>): Promise<unknown> =>
  wait.then(
    () => 'no error',
    (error: unknown) => error,
  );

const requests = (hub: FakeHub, msgType: string): readonly Request[] =>
  hub.requests.filter(({ message }) => message.msg_type === msgType);

/** Replies for two engines whose languages are known, so that the client sends tasks at once. */
const engines: Answer = ({ message }) => {
  if (message.msg_type === 'connection_request')
    return { status: 'ok', engines: { 0: 'the first', 1: 'the second' } };
  if (message.msg_type === 'kernel_info_request')
    return { status: 'ok', implementation: 'x', language_info: { name: 'python' } };
  return undefined;
};

describe('a connection that is reset', () => {
  it('returns at once, with another routing id and the same session', async () => {
    const hub = await fakeHub();
    const { proxy, rc, states } = await throughProxy(hub.info);
    expect(rc.connected).toBe(true);
    proxy.reset();
    await connected(rc, 2);
    expect(states.map(({ state, incarnation }) => [state, incarnation])).toEqual([
      ['connected', 1],
      ['disconnected', 1],
      ['connected', 2],
    ]);
    expect(states[1]?.reason).toMatch(/the link to tcp:.* broke/);
    expect(states.every(({ since, address }) => since instanceof Date && address.startsWith('tcp://'))).toBe(
      true,
    );
    expect(await rc.hubHistory(WAIT)).toEqual([]);
    const first = requests(hub, 'connection_request')[0];
    const last = requests(hub, 'history_request')[0];
    expect(first?.ident).not.toEqual(last?.ident);
    expect(first?.message.header.session).toBe(last?.message.header.session);
    expect(rc.session.session).toBe(last?.message.header.session);
  });

  it('many times does not keep the client busy, and the client is connected in the end', async () => {
    const hub = await fakeHub();
    const { proxy, rc } = await throughProxy(hub.info);
    for (let incarnation = 2; incarnation < 7; incarnation++) {
      proxy.reset();
      await connected(rc, incarnation);
    }
    expect(await rc.hubHistory(WAIT)).toEqual([]);
    expect(proxy.accepted).toBeLessThan(150);
  });

  it('requests the engines again', async () => {
    let registered: Dict = { 0: 'the first', 1: 'the second' };
    const hub = await fakeHub({
      answer: ({ message }) =>
        message.msg_type === 'connection_request' ? { status: 'ok', engines: registered } : undefined,
    });
    const { proxy, rc } = await throughProxy(hub.info);
    expect(rc.ids).toEqual([0, 1]);
    registered = { 1: 'the second', 2: 'the third' };
    proxy.reset();
    await connected(rc, 2);
    expect([...rc.engines]).toEqual([
      [1, 'the second'],
      [2, 'the third'],
    ]);
  });

  it('repeats requests that only read, and reports the outcome of others as unknown', async () => {
    let mute = true;
    const hub = await fakeHub({
      answer: ({ message }) => {
        if (message.msg_type === 'connection_request') return undefined;
        if (message.msg_type === 'purge_request') return mute ? false : { status: 'ok' };
        return mute ? false : undefined;
      },
    });
    const { proxy, rc } = await throughProxy(hub.info);
    const history = rc.hubHistory(WAIT);
    const rows = rc.dbQuery({ msg_id: 'x' }, { keys: 'queue', ...WAIT });
    const found = rows.then((all) => all);
    const purge = codeOf(rc.purgeHubResults('x', WAIT));
    const hasty = codeOf(rc.hubHistory({ timeout: 300 }));
    expect(await hasty).toMatchObject({ code: 'TIMEOUT' });
    await waitFor(() => requests(hub, 'purge_request').length === 1);
    mute = false;
    proxy.reset();
    expect(await history).toEqual([]);
    expect(await found).toEqual([]);
    const error = await purge;
    expect(error).toBeInstanceOf(ConnectionClosedError);
    expect(String(error)).toMatch(/purge_request.*whether the hub carried out the request is unknown/);
    expect(requests(hub, 'purge_request')).toHaveLength(1);
    expect(requests(hub, 'history_request').length).toBeGreaterThanOrEqual(3);
  });
});

describe('a silent network cut', () => {
  it('is noticed, and work submitted meanwhile is sent once when the network returns', async () => {
    const hub = await fakeHub({ answer: engines });
    const { proxy, rc, states } = await throughProxy(hub.info);
    await rc.engineLanguage(0);
    await rc.engineLanguage(1);
    proxy.pause();
    await disconnected(rc);
    expect(states.at(-1)).toMatchObject({ state: 'disconnected', incarnation: 1 });
    const ar = rc.loadBalancedView().execute('1');
    const direct = rc.directView(1).execute('2');
    const asked = rc.hubHistory(WAIT);
    expect(ar.ready).toBe(false);
    expect(rc.stats).toMatchObject({ connections: 1, heldSubmissions: 2, outstanding: 2 });
    expect(rc.stats.heldBytes).toBeGreaterThan(0);
    proxy.resume();
    await connected(rc, 2);
    expect(await asked).toEqual([]);
    // A stock hub may list engines that are not linked yet, so the client probes them first.
    await waitFor(() => rc.stats.heldSubmissions === 0, { ...WAIT, what: 'work to leave' });
    expect(rc.stats).toMatchObject({ connections: 2, heldSubmissions: 0, heldBytes: 0 });
    const sent = await waitFor(() => {
      const work = requests(hub, 'execute_request');
      return work.length >= 2 && work;
    }, WAIT);
    expect(sent.map(({ channel, message }) => [channel, message.msg_id])).toEqual(
      expect.arrayContaining([
        ['task', ar.msgIds[0]],
        ['mux', direct.msgIds[0]],
      ]),
    );
    // A reply on the new connection is the result.
    for (const request of sent) hub.finish(request, { status: 'ok', execution_count: 1 });
    expect(await ar.get(WAIT)).toMatchObject({ executionCount: 1 });
    proxy.reset();
    await connected(rc, 3);
    expect(requests(hub, 'execute_request')).toHaveLength(2);
  });

  it('is not diagnosed when only the hub is slow', async () => {
    let busy = false;
    const hub = await fakeHub({ answer: () => (busy ? false : undefined) });
    const { rc, states } = await throughProxy(hub.info);
    busy = true;
    const error = await codeOf(rc.hubHistory({ timeout: 8 * HEARTBEAT }));
    expect(error).toMatchObject({ code: 'TIMEOUT' });
    expect(states.map(({ state }) => state)).toEqual(['connected']);
  });

  it('longer than reconnectTimeout fails everything that waits; later calls work when it is over', async () => {
    using timers = new HeldTimers(700);
    const hub = await fakeHub({ answer: engines });
    const { proxy, rc } = await throughProxy(hub.info, { reconnectTimeout: 700 });
    await rc.engineLanguage(0);
    const before = rc.directView(0).execute('1');
    await waitFor(() => requests(hub, 'execute_request').length === 1);
    proxy.pause();
    await disconnected(rc);
    const during = rc.directView(0).execute('2');
    const waits = [before.get(WAIT), during.get(WAIT), rc.hubHistory(WAIT)].map(codeOf);
    timers.fire(700);
    for (const error of await Promise.all(waits)) {
      expect(error).toBeInstanceOf(ConnectionClosedError);
      expect(String(error)).toMatch(/unreachable for 700 ms/);
    }
    expect(await codeOf(rc.directView(0).execute('3').get(WAIT))).toBeInstanceOf(ConnectionClosedError);
    const late = rc.hubHistory(WAIT);
    proxy.resume();
    await connected(rc, 2);
    expect(await late).toEqual([]);
    const after = rc.directView(0).execute('4');
    await waitFor(() => requests(hub, 'execute_request').length === 2, WAIT);
    expect(requests(hub, 'execute_request').map(({ message }) => message.msg_id)).toEqual([
      before.msgIds[0],
      after.msgIds[0],
    ]);
  });

  it('holds a limited number of submissions', async () => {
    const hub = await fakeHub({ answer: engines });
    const { proxy, rc } = await throughProxy(hub.info);
    const view = rc.directView(0);
    await rc.engineLanguage(0);
    proxy.pause();
    await disconnected(rc);
    await rc.engineLanguage(1);
    const results = Array.from({ length: 9_999 }, () => view.execute('1'));
    // The second of two tasks of one call exceeds the limit; the first waits and will be sent.
    const [first, second] = rc.directView().execute('1').split();
    if (first === undefined || second === undefined) throw new Error('there are two engines');
    expect([first.ready, second.ready]).toEqual([false, true]);
    results.push(first, second);
    const refused = results.filter(({ ready }) => ready);
    expect(refused).toEqual([results.at(-1)]);
    const error = await codeOf(refused[0]?.get() ?? Promise.resolve());
    expect(error).toBeInstanceOf(ConnectionClosedError);
    expect(String(error)).toMatch(/10000 submissions wait for the connection already; this one was not sent/);
  });

  it('does not delay close()', async () => {
    const hub = await fakeHub();
    const { proxy, rc, states } = await throughProxy(hub.info);
    proxy.pause();
    await disconnected(rc);
    const asked = codeOf(rc.hubHistory(WAIT));
    const began = performance.now();
    await rc.close();
    expect(performance.now() - began).toBeLessThan(30_000);
    expect(await asked).toMatchObject({ code: 'CONNECTION_CLOSED' });
    expect(states.at(-1)).toMatchObject({ state: 'closed', incarnation: 1 });
    expect(rc.connected).toBe(false);
  });
});

describe('a restarted controller', () => {
  it('on the same ports is connected again', async () => {
    const hub = await fakeHub();
    const { rc, states } = await connect(hub.info);
    await hub.stop();
    await disconnected(rc);
    const asked = rc.hubHistory(WAIT);
    const next = await fakeHub({ like: hub });
    expect(await asked).toEqual([]);
    expect(requests(next, 'history_request')).toHaveLength(1);
    expect(states.map(({ state }) => state)).toEqual(['connected', 'disconnected', 'connected']);
  });

  it('at another address, with another key, is found by its connection file', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'ippjs-reconnect-'));
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    const file = join(directory, 'ipcontroller-client.json');
    const hub = await fakeHub();
    writeFileSync(file, JSON.stringify(hub.info));
    const { rc, states } = await connect(file);
    const { session } = rc.session;
    await hub.stop();
    await disconnected(rc);
    rmSync(file);
    const asked = rc.hubHistory(WAIT);
    const next = await fakeHub({ answer: engines });
    writeFileSync(file, JSON.stringify(next.info));
    expect(await asked).toEqual([]);
    expect(next.key).not.toBe(hub.key);
    expect(states.at(-1)).toMatchObject({ state: 'connected', address: next.address });
    expect(requests(next, 'history_request')[0]?.message.header.session).toBe(session);
    const ids = next.requests.map(({ message }) => message.msg_id);
    expect(new Set([...ids, ...hub.requests.map(({ message }) => message.msg_id)]).size).toBe(
      next.requests.length + hub.requests.length,
    );
    // Work on the new connection is signed with the new key.
    const ar = rc.loadBalancedView().execute('1');
    const [work] = await waitFor(() => {
      const all = requests(next, 'execute_request');
      return all.length > 0 && all;
    }, WAIT);
    if (work !== undefined) next.finish(work, { status: 'ok', execution_count: 7 });
    expect(await ar.get(WAIT)).toMatchObject({ executionCount: 7 });
  });

  it('on the same ports with another key is refused, and the error names the key as the reason', async () => {
    const emit = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    onTestFinished(() => emit.mockRestore());
    using timers = new HeldTimers(4_000);
    const hub = await fakeHub();
    const { rc, states } = await connect(hub.info, { reconnectTimeout: 4_000 });
    await hub.stop();
    await disconnected(rc);
    const impostor = await fakeHub({ like: hub, signingKey: 'another key' });
    const asked = codeOf(rc.hubHistory(WAIT));
    await waitFor(() => states.at(-1)?.reason?.includes('signs with another key'), WAIT);
    timers.fire(4_000);
    const error = await asked;
    expect(error).toBeInstanceOf(ConnectionClosedError);
    expect(String(error)).toMatch(/unreachable for 4.0 s.*signs with another key/);
    expect(states.every(({ incarnation }) => incarnation === 1)).toBe(true);
    expect(requests(impostor, 'history_request')).toEqual([]);
    await impostor.stop();
    await fakeHub({ like: hub });
    await connected(rc, 2);
  });

  it('reconnects after an announced shutdown, and fails its earlier tasks', async () => {
    const hub = await fakeHub({ answer: engines });
    const { rc, states } = await connect(hub.info);
    const ar = rc.loadBalancedView().execute('1');
    await waitFor(() => {
      hub.notify(hub.session.rawMessage('shutdown_notification', {}));
      return ar.ready;
    });
    expect(await codeOf(ar.get(WAIT))).toBeInstanceOf(ConnectionClosedError);
    expect(states.at(-1)).toMatchObject({ state: 'disconnected', reason: 'the controller has shut down' });
    await hub.stop();
    const next = await fakeHub({ like: hub, answer: engines });
    await connected(rc, 2);
    const again = rc.loadBalancedView().execute('2');
    await waitFor(() => requests(next, 'execute_request').length === 1, WAIT);
    expect(requests(next, 'execute_request')[0]?.message.msg_id).toBe(again.msgIds[0]);
  });
});

describe('tasks that were outstanding when the connection broke', () => {
  it('are settled from their records, whether they ended meanwhile or later', async () => {
    const held: RawTask[] = [];
    await using controller = await TestController.start();
    await using proxy = await CutProxy.start(await clientInfo(controller));
    const engine = await controller.engine({ onTask: (task) => held.push(task) });
    const { rc } = await connect(proxy.info);
    await rc.waitForEngines(1, WAIT);
    const view = rc.directView(engine.id, { language: 'python' });
    const soon = view.execute('soon');
    const late = view.execute('late');
    const balanced = rc.loadBalancedView({ language: 'python' }).execute('balanced');
    await waitFor(() => held.length === 3, { ...WAIT, what: 'the engine to have them' });
    const reply = (id: string | undefined, count: number): void =>
      held
        .find(({ message }) => message.msg_id === id)
        ?.reply({ status: 'ok', execution_count: count, user_expressions: {} });
    proxy.pause();
    await disconnected(rc);
    reply(soon.msgIds[0], 1);
    proxy.resume();
    await connected(rc, 2);
    expect(await soon.get(WAIT)).toMatchObject({ executionCount: 1 });
    expect(late.ready).toBe(false);
    reply(late.msgIds[0], 2);
    reply(balanced.msgIds[0], 3);
    expect(await late.get(WAIT)).toMatchObject({ executionCount: 2 });
    expect(await balanced.get(WAIT)).toMatchObject({ executionCount: 3 });
    expect(rc.outstanding).toEqual([]);
    expect(held).toHaveLength(3);
  });

  it('fail if their engine was lost meanwhile', async () => {
    await using controller = await TestController.start();
    await using proxy = await CutProxy.start(await clientInfo(controller));
    const engine = await controller.engine();
    const { rc } = await connect(proxy.info);
    await rc.waitForEngines(1, WAIT);
    const ar = rc.directView(engine.id, { language: 'python' }).execute('x');
    await waitFor(() => engine.tasks.length === 1, WAIT);
    proxy.pause();
    await disconnected(rc);
    await engine.unregister();
    await waitFor(async () => (await (await controller.client()).engines()).size === 0, WAIT);
    proxy.resume();
    expect(await codeOf(ar.get(WAIT))).toBeInstanceOf(EngineError);
  });

  it('are lost if they have no record', async () => {
    const hub = await fakeHub({ answer: engines });
    const { proxy, rc, states } = await throughProxy(hub.info);
    const ar = rc.loadBalancedView().execute('x');
    await waitFor(() => requests(hub, 'execute_request').length === 1, WAIT);
    proxy.reset();
    await connected(rc, 2);
    const error = await codeOf(ar.get(WAIT));
    expect(error).toBeInstanceOf(TaskLostError);
    expect(error).toMatchObject({ code: 'TASK_LOST', msgIds: ar.msgIds });
    expect(String(error)).toMatch(/the connection broke while it was outstanding.*no record/);
    // The client waits until the record can no longer arrive.
    const since = states.findLast(({ state }) => state === 'connected')?.since;
    expect(Date.now() - Number(since)).toBeGreaterThan(4 * HEARTBEAT);
    expect(ar.statuses).toEqual(['lost']);
    expect(requests(hub, 'execute_request')).toHaveLength(1);
  });

  it('of a broadcast are lost one by one, and a held broadcast is sent once', async () => {
    const hub = await fakeHub({ answer: engines });
    const { proxy, rc } = await throughProxy(hub.info);
    await rc.engineLanguage(0);
    await rc.engineLanguage(1);
    const before = rc.broadcastView().execute('1');
    await waitFor(() => requests(hub, 'execute_request').length === 1, WAIT);
    proxy.pause();
    await disconnected(rc);
    const during = rc.broadcastView().execute('2');
    proxy.resume();
    await connected(rc, 2);
    await before.wait(WAIT);
    expect(before.statuses).toEqual(['lost', 'lost']);
    await waitFor(() => requests(hub, 'execute_request').length === 2, WAIT);
    expect(during.ready).toBe(false);
    expect(requests(hub, 'execute_request').map(({ message }) => message.content.code)).toEqual(['1', '2']);
  });

  it('are lost at once on a hub without records', async () => {
    const hub = await fakeHub({
      answer: (request, self) =>
        request.message.msg_type === 'db_request'
          ? { status: 'error', ename: 'NoData', evalue: 'no db', traceback: [] }
          : engines(request, self),
    });
    const { proxy, rc } = await throughProxy(hub.info);
    const ar = rc.loadBalancedView().execute('x');
    await waitFor(() => requests(hub, 'execute_request').length === 1, WAIT);
    proxy.reset();
    const error = await codeOf(ar.get(WAIT));
    expect(error).toBeInstanceOf(TaskLostError);
    expect(String(error)).toMatch(/no Task Database/);
  });
});

describe('a program that is stopped and continued', () => {
  /** Starts the program; `next` returns the next line that it prints. */
  async function start(info: Readonly<Record<string, unknown>>) {
    const file = join(import.meta.dirname, '../support/programs/sleeper.ts');
    const child = spawn(process.execPath, ['--import', 'tsx', file, JSON.stringify(info)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    onTestFinished(() => {
      child.kill('SIGKILL');
    });
    const exit = new Promise<number | null>((resolve) => child.once('close', resolve));
    const lines: string[] = [];
    createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
    let read = 0;
    const next = async (): Promise<unknown> => {
      await waitFor(() => lines.length > read, { ...WAIT, what: 'the program to say something' });
      return JSON.parse(lines[read++] ?? '');
    };
    expect(await next()).toEqual({ ready: true });
    return { child, exit, next };
  }

  const asleep = (ms: number): Promise<unknown> => {
    const until = performance.now() + ms;
    return waitFor(() => performance.now() > until, { timeout: 60_000 });
  };

  it('keeps a connection that is still open, and lists the engines that registered meanwhile', async () => {
    let registered: Dict = { 0: 'the first' };
    const hub = await fakeHub({
      answer: ({ message }) =>
        message.msg_type === 'connection_request' ? { status: 'ok', engines: registered } : undefined,
    });
    const { child, exit, next } = await start(hub.info);
    child.kill('SIGSTOP');
    registered = { 1: 'the second' };
    await asleep(7_000);
    child.kill('SIGCONT');
    const status = await waitFor(async () => {
      child.stdin.write('how is it?\n');
      const now = (await next()) as { ids: number[] };
      return now.ids[0] === 1 && now;
    }, WAIT);
    expect(status).toEqual({ history: [], state: 'connected', incarnation: 1, ids: [1] });
    child.stdin.write('close\n');
    expect(await exit).toBe(0);
  });

  it('notices that its connection was cut meanwhile', async () => {
    const hub = await fakeHub();
    const proxy = await CutProxy.start(hub.info);
    onTestFinished(() => proxy[Symbol.asyncDispose]());
    const { child, exit, next } = await start(proxy.info);
    child.kill('SIGSTOP');
    proxy.reset();
    await asleep(1_500);
    child.kill('SIGCONT');
    child.stdin.write('how is it?\n');
    expect(await next()).toEqual({ history: [], state: 'connected', incarnation: 2, ids: [] });
    child.stdin.write('close\n');
    expect(await exit).toBe(0);
  });
});

async function clientInfo({ controller }: TestController): Promise<Readonly<Record<string, unknown>>> {
  return JSON.parse(await readFile(controller.clientFile, 'utf8')) as Readonly<Record<string, unknown>>;
}
