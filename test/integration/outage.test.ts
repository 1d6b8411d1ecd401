// A controller that is unavailable: during connect, between requests, for too long, and during close.
import { setMaxListeners } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, type ConnectOptions, TimeoutError } from '@ipyparallel-js/client';
import type { Dict } from '@ipyparallel-js/protocol';
import { lastValueFrom, toArray } from 'rxjs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Closing } from '../support/closing.js';
import { type Answer, FakeHub, type FakeHubOptions } from '../support/fakes/fake-hub.js';
import { Gate } from '../support/gate.js';
import { endings, runs } from '../support/suites/kills/killable-cluster.js';
import { OurKillableCluster } from '../support/suites/kills/our-killable-cluster.js';
import { waitFor } from '../support/wait-for.js';
import { WatchReplay } from '../support/watch-replay.js';

const WAIT = { timeout: 60_000 };

async function fakeHub(options: FakeHubOptions = {}): Promise<FakeHub> {
  const hub = await FakeHub.start(options);
  onTestFinished(() => hub.stop());
  return hub;
}

function connect(connectionFile: ConnectOptions['connectionFile'], options: ConnectOptions = {}) {
  return Client.connect({
    ...(connectionFile === undefined ? {} : { connectionFile }),
    ...{ heartbeatInterval: 500, ...WAIT },
    ...options,
  }).then((rc) => {
    onTestFinished(() => rc.close());
    return rc;
  });
}

function directory(): string {
  const path = mkdtempSync(join(tmpdir(), 'ippjs-outage-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

const engines: Answer = ({ message }) => {
  if (message.msg_type === 'connection_request') return { status: 'ok', engines: { 0: 'the first' } };
  if (message.msg_type === 'kernel_info_request')
    return { status: 'ok', implementation: 'x', language_info: { name: 'python' } };
  return undefined;
};

const failureOf = (wait: PromiseLike<unknown>): Promise<unknown> =>
  Promise.resolve(wait).then(
    () => 'no error',
    (error: unknown) => error,
  );

describe('a client that connects while its controller restarts', () => {
  it('waits until the controller listens', async () => {
    await using cluster = await OurKillableCluster.start({ engines: 0 });
    await cluster.killController();
    const connecting = connect(cluster.connectionFile);
    await cluster.restartController();
    expect(await (await connecting).hubHistory(WAIT)).toEqual([]);
  });

  it('repeats its request when the controller ends before it replied', async () => {
    const dying = await fakeHub({ answer: () => false });
    const connecting = connect(dying.info);
    await waitFor(() => dying.requests.length > 0, WAIT);
    await dying.stop();
    const next = await fakeHub({ like: dying, answer: engines });
    const rc = await connecting;
    expect(rc.ids).toEqual([0]);
    expect(next.requests[0]?.ident).not.toEqual(dying.requests[0]?.ident);
  });

  it('follows a rewritten connection file to another address', async () => {
    const file = join(directory(), 'ipcontroller-client.json');
    const before = await fakeHub();
    writeFileSync(file, JSON.stringify(before.info));
    await before.stop();
    const connecting = connect(file);
    const next = await fakeHub({ answer: engines });
    writeFileSync(file, JSON.stringify(next.info));
    const rc = await connecting;
    expect(rc.ids).toEqual([0]);
    expect(await rc.hubHistory(WAIT)).toEqual([]);
    expect(next.key).not.toBe(before.key);
  });

  it('fails at its timeout, and immediately when its signal aborts', async () => {
    const hub = await fakeHub();
    await hub.stop();
    const error = await failureOf(connect(hub.info, { timeout: 700 }));
    expect(error).toBeInstanceOf(TimeoutError);
    expect(String(error)).toMatch(/nothing accepts connections there/);
    const abort = new AbortController();
    const connecting = failureOf(connect(hub.info, { signal: abort.signal }));
    const reason = new Error('enough');
    abort.abort(reason);
    expect(await connecting).toBe(reason);
  });
});

/** Returns a client with an outstanding task whose controller has ended. */
async function withoutController(options: ConnectOptions = {}) {
  const hub = await fakeHub({ answer: engines });
  const rc = await connect(hub.info, options);
  await rc.engineLanguage(0);
  const sent = rc.directView(0).execute('sent');
  await waitFor(() => hub.requests.some(({ message }) => message.msg_type === 'execute_request'), WAIT);
  await hub.stop();
  await waitFor(() => !rc.connected, { ...WAIT, what: 'the end to be noticed' });
  return { hub, rc, sent };
}

/** Starts one wait of each kind. */
function waits(rc: Client, options: { readonly signal?: AbortSignal } = {}) {
  return {
    history: rc.hubHistory(options),
    query: rc.dbQuery({}, { keys: 'queue', ...options }),
    stream: collect(rc.dbQuery({}, { keys: 'queue', ...options }).stream()),
    status: rc.resultStatus('x', options),
    queues: rc.queueStatus('all', options),
    purge: rc.purgeHubResults('x', options),
    engines: rc.waitForEngines(5, options),
    result: rc.getResult('somebody else’s').get(options),
    balanced: rc.loadBalancedView().execute('1').get(options),
    direct: rc.directView(0).execute('1').get(options),
    broadcast: rc.broadcastView(0).execute('1').get(options),
    map: rc.loadBalancedView({ language: 'python' }).execute('1').waitForOutput(options),
    signal: rc.sendSignal('SIGINT', options),
  };
}

async function collect(all: AsyncIterable<unknown>): Promise<unknown[]> {
  const list: unknown[] = [];
  for await (const one of all) list.push(one);
  return list;
}

describe('while there is no controller', () => {
  it('an AbortSignal ends each wait with its reason, at once', async () => {
    const { rc, sent } = await withoutController();
    const abort = new AbortController();
    setMaxListeners(0, abort.signal);
    const reason = new Error('enough');
    const waiting = { ...waits(rc, { signal: abort.signal }), sent: sent.get({ signal: abort.signal }) };
    const ends = Object.entries(waiting).map(async ([name, wait]) => [name, await failureOf(wait)] as const);
    abort.abort(reason);
    for (const [name, error] of await Promise.all(ends)) expect(error, name).toBe(reason);
  });

  it('close() settles everything that waits', async () => {
    const { rc, sent } = await withoutController();
    const watch = lastValueFrom(rc.dbQuery({}, ['queue']).watch().pipe(toArray()));
    const poll = lastValueFrom(rc.dbQuery({}, ['queue']).poll(100).pipe(toArray()));
    const states = lastValueFrom(rc.connection$);
    const registry = lastValueFrom(rc.engines$);
    const status = lastValueFrom(sent.status$);
    const waiting = { ...waits(rc), sent: sent.get() };
    const { map, ...failing } = waiting;
    const ends = Object.entries(failing).map(async ([name, wait]) => [name, await failureOf(wait)] as const);
    await rc.close();
    for (const [name, error] of await Promise.all(ends))
      expect(error, name).toMatchObject({ code: 'CONNECTION_CLOSED' });
    expect(await map).toBe(true);
    // The live query and the poll had received nothing.
    expect(await watch).toEqual([]);
    expect(await poll).toEqual([]);
    expect(await states).toMatchObject({ state: 'closed' });
    expect(await registry).toEqual([{ id: 0, uuid: 'the first' }]);
    expect(await status).toEqual(['assigned']);
    expect(rc.outstanding).toEqual([]);
    expect(rc.stats).toMatchObject({ heldSubmissions: 0, heldBytes: 0 });
  });

  it('held work that is aborted is never sent', async () => {
    const { hub, rc } = await withoutController();
    const [one, two] = ['one', 'two'].map((code) => rc.directView(0).execute(code));
    await one?.abort(WAIT);
    expect(await failureOf(one?.get(WAIT) ?? Promise.resolve())).toMatchObject({ code: 'TASK_ABORTED' });
    const codes: unknown[] = [];
    await fakeHub({
      like: hub,
      answer: (request, self) => {
        if (request.channel !== 'mux') return engines(request, self);
        codes.push(request.message.content.code);
        return { status: 'ok', execution_count: 1 } satisfies Dict;
      },
    });
    expect(await two?.get(WAIT)).toMatchObject({ executionCount: 1 });
    expect(codes).toEqual(['two']);
  });
});

describe('a controller that is away for longer than reconnectTimeout', () => {
  it('is used again when it returns: live queries have missed nothing, and work runs', {
    timeout: 180_000,
  }, async () => {
    await using closing = new Closing();
    const cluster = closing.use(
      await OurKillableCluster.start({ engines: 1, controllerArgs: ['--sqlitedb'] }),
    );
    const rc = closing.use(
      await Client.connect({ connectionFile: cluster.connectionFile, reconnectTimeout: 1_000, ...WAIT }),
    );
    const [id = -1] = await rc.waitForEngines(1, WAIT);
    const replay = new WatchReplay(rc.dbQuery({}, ['queue', 'completed', 'engine_uuid']).watch());
    await rc.directView(id).execute(cluster.task('before', 0)).get(WAIT);
    using gate = new Gate();
    const sent = rc.directView(id).execute(cluster.task('sent', gate));
    await waitFor(() => runs(cluster).includes('sent'), WAIT);
    const { msgIds } = sent;
    await waitFor(async () => (await rc.dbQuery({ msg_id: { $in: msgIds } }).count()) === 1, WAIT);
    await cluster.killController();
    expect(await failureOf(sent.get(WAIT))).toMatchObject({ code: 'CONNECTION_CLOSED' });
    const refused = rc.loadBalancedView().execute(cluster.task('refused', 0));
    const error = await failureOf(refused.get(WAIT));
    expect(error).toMatchObject({ code: 'CONNECTION_CLOSED' });
    expect(String(error)).toMatch(/unreachable for 1.0 s.*not sent/);
    expect(refused.statuses).toEqual(['failed']);
    gate.open();
    await waitFor(() => endings(cluster).includes('sent'), WAIT);
    await cluster.restartController();
    await waitFor(() => rc.connected, WAIT);
    const after = rc.loadBalancedView().execute(cluster.task('after', 0));
    expect(await after.get(WAIT)).toMatchObject({ text: "'after'" });
    // The client no longer waits for the result, but the record contains it.
    expect(await rc.getResult(sent.msgIds[0] ?? '').get(WAIT)).toMatchObject({ text: "'sent'" });
    expect(runs(cluster)).toEqual(['before', 'sent', 'after']);
    await using fresh = await Client.connect({ connectionFile: cluster.connectionFile, ...WAIT });
    await replay.agrees(() => fresh.dbQuery({}, ['queue', 'completed', 'engine_uuid']), 60_000);
    expect(replay.events[0]).toMatchObject({ type: 'snapshot' });
    replay.stop();
  });
});
