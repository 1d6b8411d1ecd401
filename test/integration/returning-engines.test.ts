// What a client takes on while the engines are not back yet at a controller that was out of reach, and what becomes of it.
import { Client, type ConnectOptions } from '@ipyparallel-js/client';
import {
  type Dict,
  EngineError,
  newId,
  TaskAbortedError,
  TaskLostError,
  UsageError,
} from '@ipyparallel-js/protocol';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Answer, FakeHub, type FakeHubOptions, type Request } from '../support/fakes/fake-hub.js';
import { waitFor } from '../support/wait-for.js';

const WAIT = { timeout: 40_000 };

async function fakeHub(options: FakeHubOptions): Promise<FakeHub> {
  const hub = await FakeHub.start(options);
  onTestFinished(() => hub.stop());
  return hub;
}

/** A controller with these engines, whose tasks get an answer where `answers` says so. */
function controller(engines: { now: Dict }, { ours = true, answers = true } = {}): Answer {
  const epoch = newId();
  return ({ message, channel }) => {
    if (message.msg_type === 'connection_request')
      return {
        ...{ status: 'ok', engines: engines.now },
        ...(ours ? { hub: { name: 'ipyparallel-js', version: '0', epoch, features: [] } } : {}),
      };
    if (message.msg_type === 'kernel_info_request')
      return answers && { status: 'ok', implementation: 'x', language_info: { name: 'python' } };
    if (channel === 'task' || channel === 'mux') return { status: 'ok', execution_count: 1 };
    return undefined;
  };
}

async function connect(hub: FakeHub, options: ConnectOptions = {}): Promise<Client> {
  const rc = await Client.connect({ connectionFile: hub.info, heartbeatInterval: 500, ...options });
  onTestFinished(() => rc.close());
  return rc;
}

const work = (hub: FakeHub): readonly Request[] =>
  hub.requests.filter(({ message }) => message.msg_type === 'execute_request');

const failureOf = (wait: Promise<unknown>): Promise<unknown> =>
  wait.then(
    () => 'no error',
    (error: unknown) => error,
  );

function came(hub: FakeHub, id: number, uuid: string): void {
  hub.notify(hub.session.rawMessage('registration_notification', { id, uuid }));
}

/** A client that knew two engines, at a controller that has started again and knows none yet. */
async function afterARestart(options: ConnectOptions = {}): Promise<{ hub: FakeHub; rc: Client }> {
  const before = await fakeHub({ answer: controller({ now: { 0: 'a', 1: 'b' } }) });
  const rc = await connect(before, options);
  await rc.engineLanguage(0);
  await rc.engineLanguage(1);
  await before.stop();
  await waitFor(() => !rc.connected, { ...WAIT, what: 'the end to be noticed' });
  const hub = await fakeHub({ like: before, answer: controller({ now: {} }) });
  await waitFor(() => rc.connected, { ...WAIT, what: 'the controller to be back' });
  expect(rc.ids).toEqual([]);
  return { hub, rc };
}

describe('after a restart, before any engine is back', () => {
  it('load-balanced work waits for an engine, whichever comes, and leaves once and in order', async () => {
    const { hub, rc } = await afterARestart();
    const results = ['1', '2', '3'].map((code) => rc.loadBalancedView().execute(code));
    expect(rc.stats).toMatchObject({ heldSubmissions: 3, outstanding: 3 });
    expect(await failureOf(results[0]?.get({ timeout: 50 }) ?? Promise.resolve())).toMatchObject({
      code: 'TIMEOUT',
    });
    const reason = new Error('enough');
    expect(await failureOf(results[0]?.get({ signal: AbortSignal.abort(reason) }) ?? Promise.resolve())).toBe(
      reason,
    );
    expect(work(hub)).toEqual([]);
    came(hub, 7, 'a new one');
    for (const result of results) expect(await result.get(WAIT)).toMatchObject({ executionCount: 1 });
    expect(work(hub).map(({ channel, message }) => [channel, message.content.code])).toEqual([
      ['task', '1'],
      ['task', '2'],
      ['task', '3'],
    ]);
    expect(rc.stats).toMatchObject({ heldSubmissions: 0, heldBytes: 0 });
  });

  it('work for a certain engine waits for that one', async () => {
    const { hub, rc } = await afterARestart();
    const first = rc.directView(0).execute('first');
    const second = rc.directView(-1).execute('second');
    const all = rc.directView().execute('both');
    const chosen = rc.loadBalancedView({ targets: [1] }).execute('chosen');
    came(hub, 1, 'b');
    expect(await second.get(WAIT)).toMatchObject({ executionCount: 1 });
    expect(await chosen.get(WAIT)).toMatchObject({ executionCount: 1 });
    expect(first.ready).toBe(false);
    came(hub, 0, 'a');
    expect(await first.get(WAIT)).toMatchObject({ executionCount: 1 });
    expect(await all.get(WAIT)).toHaveLength(2);
    expect(work(hub)).toHaveLength(5);
  });

  it('what waits can be aborted, and is never sent', async () => {
    const { hub, rc } = await afterARestart();
    const [one, two, three] = ['1', '2', '3'].map((code) => rc.loadBalancedView().execute(code));
    const direct = rc.directView(0).execute('4');
    if (one === undefined || two === undefined || three === undefined) throw new Error('there are three');
    await one.abort(WAIT);
    await rc.abort([...two.msgIds, ...direct.msgIds], WAIT);
    for (const result of [one, two, direct]) {
      const error = await failureOf(result.get(WAIT));
      expect(error).toBeInstanceOf(TaskAbortedError);
      expect(String(error)).toContain('before it was sent');
      expect(result.statuses).toEqual(['aborted']);
    }
    came(hub, 0, 'a');
    expect(await three.get(WAIT)).toMatchObject({ executionCount: 1 });
    expect(work(hub).map(({ message }) => message.content.code)).toEqual(['3']);
  });

  it('close() fails what waits', async () => {
    const { hub, rc } = await afterARestart();
    const waiting = [rc.loadBalancedView().execute('1'), rc.directView(0).execute('2')];
    await rc.close();
    for (const result of waiting)
      expect(await failureOf(result.get(WAIT))).toMatchObject({ code: 'CONNECTION_CLOSED' });
    expect(work(hub)).toEqual([]);
  });

  it('engines that do not come are waited for so long, and no longer', { timeout: 120_000 }, async () => {
    const { hub, rc } = await afterARestart({ reconnectTimeout: 16_000 });
    const balanced = rc.loadBalancedView().execute('1');
    const direct = rc.directView([0, 1]).execute('2');
    const broadcast = rc.broadcastView().execute('3');
    for (const result of [...direct.split(), ...broadcast.split()]) {
      const error = await failureOf(result.get(WAIT));
      expect(error).toBeInstanceOf(EngineError);
      expect(String(error)).toMatch(
        /did not register again within 12.0 s of the reconnection; the task was not sent/,
      );
    }
    // From now on they are not there, for work of their own.
    expect(() => rc.directView(0).execute('4')).toThrow('no engine 0; none is registered');
    expect(balanced.ready).toBe(false);
    const late = rc.loadBalancedView().execute('5');
    for (const result of [balanced, late]) {
      const error = await failureOf(result.get(WAIT));
      expect(error).toBeInstanceOf(UsageError);
      expect(error).toMatchObject({ code: 'NO_ENGINES' });
      expect(String(error)).toMatch(/no engine registered again at tcp:.* within 16.0 s of the reconnection/);
    }
    expect(() => rc.loadBalancedView().execute('6')).toThrow('no engines are registered');
    came(hub, 0, 'a');
    await rc.waitForEngines(1, WAIT);
    const after = rc.loadBalancedView().execute('7');
    expect(await after.get(WAIT)).toMatchObject({ executionCount: 1 });
    expect(work(hub).map(({ message }) => message.content.code)).toEqual(['7']);
    expect(rc.outstanding).toEqual([]);
  });

  it('two restarts in quick succession change nothing about that', async () => {
    const before = await fakeHub({ answer: controller({ now: { 0: 'a' } }) });
    const rc = await connect(before);
    await rc.engineLanguage(0);
    let last = before;
    const results = [];
    for (let life = 0; life < 2; life++) {
      await last.stop();
      await waitFor(() => !rc.connected, WAIT);
      results.push(rc.loadBalancedView().execute(`without ${life}`));
      last = await fakeHub({ like: before, answer: controller({ now: {} }) });
      await waitFor(() => rc.connected, WAIT);
      results.push(rc.loadBalancedView().execute(`with ${life}`), rc.directView(0).execute(`for it ${life}`));
      expect(work(last)).toEqual([]);
    }
    came(last, 0, 'a');
    for (const result of results) expect(await result.get(WAIT)).toMatchObject({ executionCount: 1 });
    expect(work(last)).toHaveLength(6);
  });

  it('a client that knew no engines is told so at once', async () => {
    const before = await fakeHub({ answer: controller({ now: {} }) });
    const rc = await connect(before);
    await before.stop();
    await waitFor(() => !rc.connected, WAIT);
    expect(() => rc.loadBalancedView().execute('1')).toThrow('no engines are registered');
    await fakeHub({ like: before, answer: controller({ now: {} }) });
    await waitFor(() => rc.connected, WAIT);
    expect(() => rc.loadBalancedView().execute('1')).toThrow('no engines are registered');
  });
});

describe('a stock controller that lists its engines before they are linked', () => {
  it('is given work when they answer', async () => {
    const engines = { now: { 0: 'a' } };
    const before = await fakeHub({ answer: controller(engines, { ours: false }) });
    const rc = await connect(before);
    await rc.engineLanguage(0);
    await before.stop();
    await waitFor(() => !rc.connected, WAIT);
    let linked = false;
    const answer = controller(engines, { ours: false });
    const hub = await fakeHub({
      like: before,
      answer: (request, self) =>
        request.message.msg_type === 'kernel_info_request' && !linked ? false : answer(request, self),
    });
    await waitFor(() => rc.connected, WAIT);
    const results = [rc.loadBalancedView().execute('1'), rc.directView(0).execute('2')];
    const asked = (): number =>
      hub.requests.filter(({ message }) => message.msg_type === 'kernel_info_request').length;
    await waitFor(() => asked() >= 2, WAIT);
    expect(work(hub)).toEqual([]);
    linked = true;
    for (const result of results) expect(await result.get(WAIT)).toMatchObject({ executionCount: 1 });
    expect(work(hub)).toHaveLength(2);
  });

  it('is given it after a while when they say nothing, as one that computes does', async () => {
    const engines = { now: { 0: 'a' } };
    const before = await fakeHub({ answer: controller(engines, { ours: false }) });
    const rc = await connect(before);
    await rc.engineLanguage(0);
    await before.stop();
    await waitFor(() => !rc.connected, WAIT);
    await fakeHub({ like: before, answer: controller(engines, { ours: false, answers: false }) });
    await waitFor(() => rc.connected, WAIT);
    expect(await rc.loadBalancedView().execute('1').get(WAIT)).toMatchObject({ executionCount: 1 });
  });
});

it('an engine whose first question was lost is asked for its language again', async () => {
  let asked = 0;
  const hub = await fakeHub({
    answer: ({ message }) => {
      if (message.msg_type === 'connection_request') return { status: 'ok', engines: { 0: 'a' } };
      if (message.msg_type !== 'kernel_info_request') return undefined;
      return ++asked > 1 && { status: 'ok', implementation: 'x', language_info: { name: 'javascript' } };
    },
  });
  const rc = await connect(hub);
  await waitFor(async () => (await rc.engineLanguage(0)) === 'javascript', WAIT);
  expect(asked).toBeGreaterThan(1);
});

describe('a task of somebody else that a restarted controller has forgotten', () => {
  /** A stock hub's words. */
  const unknown = (msgIds: unknown): Dict => ({
    ...{ status: 'error', ename: 'KeyError', evalue: `'No such message: ${String(msgIds)}'`, traceback: [] },
  });

  it('is lost when it was asked for before; asked for afterwards, it is not found', async () => {
    const mute = await fakeHub({
      answer: ({ message }) => (message.msg_type === 'connection_request' ? undefined : false),
    });
    const rc = await connect(mute);
    const followed = rc.getResult('theirs');
    await waitFor(() => mute.requests.some(({ message }) => message.msg_type === 'db_request'), WAIT);
    await mute.stop();
    await waitFor(() => !rc.connected, WAIT);
    await fakeHub({
      like: mute,
      answer: ({ message }) =>
        message.msg_type === 'result_request' ? unknown(message.content.msg_ids) : undefined,
    });
    const error = await failureOf(followed.get(WAIT));
    expect(error).toBeInstanceOf(TaskLostError);
    expect(String(error)).toMatch(/followed before the connection broke.*does not know it/);
    expect(followed.statuses).toEqual(['lost']);
    expect(await failureOf(rc.getResult('never asked for').get(WAIT))).toMatchObject({
      code: 'TASK_NOT_FOUND',
    });
  });
});
