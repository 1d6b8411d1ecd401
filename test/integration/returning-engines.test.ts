// Work that is submitted after a controller has restarted and before its engines have registered again.
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
import { HeldTimers } from '../support/held-timers.js';
import { waitFor } from '../support/wait-for.js';

const WAIT = { timeout: 60_000 };

async function fakeHub(options: FakeHubOptions): Promise<FakeHub> {
  const hub = await FakeHub.start(options);
  onTestFinished(() => hub.stop());
  return hub;
}

/** Replies like a controller with these engines. `answers`: whether the engines reply to requests for their language. */
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
  const rc = await Client.connect({ connectionFile: hub.info, heartbeatInterval: 500, ...WAIT, ...options });
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

function notifyRegistered(hub: FakeHub, id: number, uuid: string): void {
  hub.notify(hub.session.rawMessage('registration_notification', { id, uuid }));
}

/** Returns a client that knew two engines and is connected to a restarted controller without engines. */
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

describe('after a restart, before any engine has returned', () => {
  it('load-balanced work waits for any engine, and is sent once and in order', async () => {
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
    notifyRegistered(hub, 7, 'a new one');
    for (const result of results) expect(await result.get(WAIT)).toMatchObject({ executionCount: 1 });
    expect(work(hub).map(({ channel, message }) => [channel, message.content.code])).toEqual([
      ['task', '1'],
      ['task', '2'],
      ['task', '3'],
    ]);
    expect(rc.stats).toMatchObject({ heldSubmissions: 0, heldBytes: 0 });
  });

  it('work for one engine waits for that engine', async () => {
    const { hub, rc } = await afterARestart();
    const first = rc.directView(0).execute('first');
    const second = rc.directView(-1).execute('second');
    const all = rc.directView().execute('both');
    const chosen = rc.loadBalancedView({ targets: [1] }).execute('chosen');
    notifyRegistered(hub, 1, 'b');
    expect(await second.get(WAIT)).toMatchObject({ executionCount: 1 });
    expect(await chosen.get(WAIT)).toMatchObject({ executionCount: 1 });
    expect(first.ready).toBe(false);
    notifyRegistered(hub, 0, 'a');
    expect(await first.get(WAIT)).toMatchObject({ executionCount: 1 });
    expect(await all.get(WAIT)).toHaveLength(2);
    expect(work(hub)).toHaveLength(5);
  });

  it('waiting work can be aborted, and is then never sent', async () => {
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
    notifyRegistered(hub, 0, 'a');
    expect(await three.get(WAIT)).toMatchObject({ executionCount: 1 });
    expect(work(hub).map(({ message }) => message.content.code)).toEqual(['3']);
  });

  it('close() fails waiting work', async () => {
    const { hub, rc } = await afterARestart();
    const waiting = [rc.loadBalancedView().execute('1'), rc.directView(0).execute('2')];
    await rc.close();
    for (const result of waiting)
      expect(await failureOf(result.get(WAIT))).toMatchObject({ code: 'CONNECTION_CLOSED' });
    expect(work(hub)).toEqual([]);
  });

  it('the wait for engines that do not return is limited', async () => {
    using timers = new HeldTimers(12_000, 16_000);
    const { hub, rc } = await afterARestart({ reconnectTimeout: 16_000 });
    const balanced = rc.loadBalancedView().execute('1');
    const direct = rc.directView([0, 1]).execute('2');
    const broadcast = rc.broadcastView().execute('3');
    timers.fire(12_000);
    for (const result of [...direct.split(), ...broadcast.split()]) {
      const error = await failureOf(result.get(WAIT));
      expect(error).toBeInstanceOf(EngineError);
      expect(String(error)).toMatch(
        /did not register again within 12.0 s of the reconnection; the task was not sent/,
      );
    }
    // The engines now count as missing for direct work.
    expect(() => rc.directView(0).execute('4')).toThrow('no engine 0; none is registered');
    expect(balanced.ready).toBe(false);
    const late = rc.loadBalancedView().execute('5');
    timers.fire(16_000);
    for (const result of [balanced, late]) {
      const error = await failureOf(result.get(WAIT));
      expect(error).toBeInstanceOf(UsageError);
      expect(error).toMatchObject({ code: 'NO_ENGINES' });
      expect(String(error)).toMatch(/no engine registered again at tcp:.* within 16.0 s of the reconnection/);
    }
    expect(() => rc.loadBalancedView().execute('6')).toThrow('no engines are registered');
    notifyRegistered(hub, 0, 'a');
    await rc.waitForEngines(1, WAIT);
    const after = rc.loadBalancedView().execute('7');
    expect(await after.get(WAIT)).toMatchObject({ executionCount: 1 });
    expect(work(hub).map(({ message }) => message.content.code)).toEqual(['7']);
    expect(rc.outstanding).toEqual([]);
  });

  it('two restarts in quick succession have the same effect', async () => {
    const before = await fakeHub({ answer: controller({ now: { 0: 'a' } }) });
    const rc = await connect(before);
    await rc.engineLanguage(0);
    let last = before;
    const results = [];
    for (let run = 0; run < 2; run++) {
      await last.stop();
      await waitFor(() => !rc.connected, WAIT);
      results.push(rc.loadBalancedView().execute(`without ${run}`));
      last = await fakeHub({ like: before, answer: controller({ now: {} }) });
      await waitFor(() => rc.connected, WAIT);
      results.push(rc.loadBalancedView().execute(`with ${run}`), rc.directView(0).execute(`for it ${run}`));
      expect(work(last)).toEqual([]);
    }
    notifyRegistered(last, 0, 'a');
    for (const result of results) expect(await result.get(WAIT)).toMatchObject({ executionCount: 1 });
    expect(work(last)).toHaveLength(6);
  });

  it('a client that never had engines gets the error at once', async () => {
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
  it('receives work when the engines reply', async () => {
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

  it('receives work after a delay when the engines do not reply, as busy engines do not', async () => {
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

it('the language request to an engine is repeated if the first one was lost', async () => {
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

describe('a task of another client that a restarted controller has forgotten', () => {
  /** Returns the error of a stock hub. */
  const unknown = (msgIds: unknown): Dict => ({
    ...{ status: 'error', ename: 'KeyError', evalue: `'No such message: ${String(msgIds)}'`, traceback: [] },
  });

  it('is lost if it was requested before the restart; otherwise it is not found', async () => {
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
