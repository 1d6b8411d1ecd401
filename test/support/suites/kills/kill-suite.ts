// Kills processes and cuts connections while a client watches: nothing may hang, and its watch must neither miss nor
// repeat a change.
import { readFileSync } from 'node:fs';
import { Client, type ConnectionStatus } from '@ipyparallel-js/client';
import { expect, it } from 'vitest';
import { Closing } from '../../closing.js';
import { CutProxy } from '../../fakes/cut-proxy.js';
import { Gate } from '../../gate.js';
import { waitFor } from '../../wait-for.js';
import { WatchReplay } from '../../watch-replay.js';
import { endings, type KillableCluster, runs } from './killable-cluster.js';
import { Outstanding } from './outstanding.js';

const KEYS = [
  'client_uuid',
  'engine_uuid',
  'queue',
  'submitted',
  'started',
  'completed',
  'result_content',
  'stdout',
] as const;

/** How long everything outstanding may take to end, in ms; generous, because machines differ. */
const BOUND_MS = 90_000;
/** How long the network is cut, in ms. */
const CUT_MS = 10_000;

/** Starts a cluster with two engines, for one test. */
export type StartCluster = () => Promise<KillableCluster>;

export function engineIsKilled(start: StartCluster): void {
  it('an engine that is killed in a task', { timeout: 300_000 }, async () => {
    await using closing = new Closing();
    const cluster = closing.use(await start());
    const rc = closing.use(await connect(cluster));
    const [victim = -1, survivor = -1] = rc.ids;
    const watches = watchesOf(rc);
    const outstanding = new Outstanding(cluster);
    outstanding.add('long', 600_000, (code) => rc.directView(victim).execute(code));
    outstanding.add('behind it', 0, (code) => rc.directView(victim).execute(code));
    outstanding.add('elsewhere', 500, (code) => rc.directView(survivor).execute(code));
    for (let i = 0; i < 6; i++)
      outstanding.add(`any ${i}`, 100, (code) => rc.loadBalancedView().execute(code));
    await waitFor(() => runs(cluster).includes('long'), { what: 'the long task to begin' });
    await cluster.killEngine(victim);

    const ends = await outstanding.settled(BOUND_MS);
    expect(ends.get('long')).toMatchObject({ code: 'ENGINE_DIED', status: 'failed' });
    expect(ends.get('behind it')).toMatchObject({ code: 'ENGINE_DIED', status: 'failed' });
    expect(ends.get('elsewhere')).toMatchObject({ value: "'elsewhere'", status: 'completed' });
    for (let i = 0; i < 6; i++) {
      const { value, code } = ends.get(`any ${i}`) ?? {};
      expect(value ?? code).toMatch(/^'any \d'$|^ENGINE_DIED$/);
    }
    await waitFor(() => rc.ids.length === 1, { what: 'the client to remove the engine' });
    await checkCluster(cluster, rc, 'after the engine');
    await expectAgreement(cluster, watches);
  });
}

export function controllerIsKilled(
  start: StartCluster,
  times: readonly ('once' | 'twice')[] = ['once', 'twice'],
): void {
  if (times.includes('once')) controllerIsKilledOnce(start);
  if (times.includes('twice')) controllerIsKilledTwice(start);
}

function controllerIsKilledOnce(start: StartCluster): void {
  it('a controller that is killed and restarted', { timeout: 300_000 }, async () => {
    await using closing = new Closing();
    const cluster = closing.use(await start());
    const rc = closing.use(await connect(cluster));
    const colleague = closing.use(await connect(cluster));
    const watches = watchesOf(rc);
    const states = statesOf(rc);
    const [first = 0, second = 1] = rc.ids;
    const outstanding = new Outstanding(cluster);
    for (let i = 0; i < 3; i++)
      outstanding.add(`before ${i}`, 0, (code) => rc.loadBalancedView().execute(code));
    await outstanding.settled(BOUND_MS);
    // One task ends while no controller runs, one after the restart, and the others have not started. A reply that arrives
    // while the controller is killed would be lost.
    using meanwhile = new Gate();
    using later = new Gate();
    outstanding.add('ends meanwhile', meanwhile, (code) => rc.directView(first).execute(code));
    outstanding.add('ends later', later, (code) => rc.directView(second).execute(code));
    for (const id of [first, second])
      outstanding.add(`behind it ${id}`, 0, (code) => rc.directView(id).execute(code));
    for (let i = 0; i < 4; i++)
      outstanding.add(`queued ${i}`, 0, (code) => rc.loadBalancedView().execute(code));
    const theirs = colleague.directView(first).execute(cluster.task('theirs', 0));
    await waitFor(() => ['ends meanwhile', 'ends later'].every((name) => runs(cluster).includes(name)), {
      what: 'both engines to be busy',
    });
    // A controller that has recorded a direct task has given it to its engine.
    for (const result of [theirs, ...outstanding.results]) await waitUntilRecorded(colleague, result);
    outstanding.follow('theirs', rc.getResult(theirs.msgIds[0] ?? ''));

    await cluster.killController();
    await waitFor(() => states.at(-1)?.state === 'disconnected', { what: 'the client to notice' });
    meanwhile.open();
    await waitFor(() => endings(cluster).includes('ends meanwhile'), { what: 'a task to end meanwhile' });
    await cluster.restartController();
    await waitUntilConnected(states);
    const promptly = submitPromptly(cluster, rc, [first, second]);
    later.open();
    const ends = await outstanding.settled(BOUND_MS);
    await expectValues(promptly);
    for (const { name, value, code, message } of ends.values()) {
      // Engines finish the tasks that they have. Tasks in the controller's queue are lost with it.
      const may = cluster.keepsRecords && !name.startsWith('queued') ? /^value$/ : /^(?:value|TASK_LOST)$/;
      expect(value === undefined ? code : 'value', `${name}: ${message}`).toMatch(may);
    }
    await waitUntilRegistered(rc, [first, second]);
    await checkCluster(cluster, rc, 'after the controller');
    await expectAgreement(cluster, watches);
    expect(rc.outstanding).toEqual([]);
  });
}

function controllerIsKilledTwice(start: StartCluster): void {
  it('a controller that is killed twice, and an engine with it', { timeout: 300_000 }, async () => {
    await using closing = new Closing();
    const cluster = closing.use(await start());
    const rc = closing.use(await connect(cluster));
    const watches = watchesOf(rc);
    const states = statesOf(rc);
    const [victim = 0, survivor = 1] = rc.ids;
    const outstanding = new Outstanding(cluster);
    outstanding.add('dies', 600_000, (code) => rc.directView(victim).execute(code));
    outstanding.add('behind it', 0, (code) => rc.directView(victim).execute(code));
    // It ends after both restarts, because a reply that arrives while the controller is killed is lost.
    using gate = new Gate();
    outstanding.add('lives', gate, (code) => rc.directView(survivor).execute(code));
    await waitFor(() => ['dies', 'lives'].every((name) => runs(cluster).includes(name)), {
      what: 'both engines to be busy',
    });
    for (const result of outstanding.results) await waitUntilRecorded(rc, result);
    await cluster.killController();
    await cluster.killEngine(victim);
    await cluster.restartController();
    await cluster.killController();
    await waitFor(() => states.at(-1)?.state === 'disconnected', { what: 'the client to notice' });
    await cluster.restartController();
    await waitUntilConnected(states);
    const promptly = submitPromptly(cluster, rc, [survivor]);
    await waitUntilRegistered(rc, [survivor]);
    gate.open();
    const ends = await outstanding.settled(BOUND_MS);
    await expectValues(promptly);
    for (const name of ['dies', 'behind it'])
      expect(ends.get(name)).toMatchObject({ code: expect.stringMatching(/^(?:TASK_LOST|ENGINE_DIED)$/) });
    const { value, code } = ends.get('lives') ?? {};
    expect(value ?? code).toMatch(cluster.keepsRecords ? /^'lives'$/ : /^'lives'$|^TASK_LOST$/);
    await waitUntilRegistered(rc, [survivor]);
    await checkCluster(cluster, rc, 'after both');
    await expectAgreement(cluster, watches);
    expect(rc.outstanding).toEqual([]);
  });
}

export function networkIsCut(start: StartCluster): void {
  it('a network that is cut for ten seconds, silently and with resets', { timeout: 300_000 }, async () => {
    await using closing = new Closing();
    const cluster = closing.use(await start());
    const info = JSON.parse(readFileSync(cluster.connectionFile, 'utf8')) as Record<string, unknown>;
    const colleague = closing.use(await connect(cluster));
    const silent = closing.use(await CutProxy.start(info));
    const resetting = closing.use(await CutProxy.start(info));
    const ends = await Promise.all(
      [silent, resetting].map(async (proxy) => {
        const rc = closing.use(await Client.connect({ connectionFile: proxy.info, timeout: 60_000 }));
        await rc.waitForEngines(2, { timeout: 60_000 });
        const outstanding = new Outstanding(cluster);
        return {
          rc,
          watches: watchesOf(rc),
          states: statesOf(rc),
          outstanding,
          interruptedWork: new Outstanding(cluster),
        };
      }),
    );
    await Promise.all(ends.flatMap(({ watches }) => watches.map((watch) => watch.begun())));
    const [first = 0, second = 1] = colleague.ids;
    const old = colleague.directView(first).execute(cluster.task('old', 0));
    await old.get({ timeout: BOUND_MS });
    await waitFor(async () => (await colleague.resultStatus(old)).pending.length === 0);
    // Some tasks end during the cut, some after it.
    for (const [i, { rc, outstanding }] of ends.entries()) {
      outstanding.add(`direct ${i}`, 500, (code) => rc.directView(first).execute(code));
      for (let n = 0; n < 3; n++)
        outstanding.add(`any ${i} ${n}`, 300, (code) => rc.loadBalancedView().execute(code));
      outstanding.add(`late ${i}`, 6_000, (code) => rc.directView(second).execute(code));
    }
    const theirs = colleague.directView(first).execute(cluster.task('theirs', 100));
    for (const { rc, outstanding } of ends) {
      await waitUntilRecorded(colleague, theirs);
      for (const result of outstanding.results) await waitUntilRecorded(colleague, result);
      outstanding.follow('theirs', rc.getResult(theirs.msgIds[0] ?? ''));
    }

    silent.pause();
    resetting.pause();
    resetting.reset();
    const cut = performance.now();
    await waitFor(() => ends[1]?.states.at(-1)?.state === 'disconnected', {
      what: 'the client to notice the resets',
    });
    const queries = Promise.allSettled(
      ends.map(({ rc }) => rc.dbQuery({}, { keys: 'msg_id', timeout: BOUND_MS })),
    );
    for (const [i, { rc, interruptedWork }] of ends.entries())
      interruptedWork.add(`in the cut ${i}`, 0, (code) => rc.directView(first).execute(code));
    // During the cut, records are added, changed and removed.
    const others = Array.from({ length: 5 }, (_, i) =>
      colleague.directView(first).execute(cluster.task(`meanwhile ${i}`, 50)),
    );
    for (const other of others) await other.get({ timeout: BOUND_MS });
    await colleague.purgeResults(old);
    await waitFor(() => performance.now() - cut >= CUT_MS, { what: 'the end of the cut' });
    silent.resume();
    resetting.resume();

    for (const { outstanding, interruptedWork } of ends) {
      // The controller kept running, so no message that had reached it is lost.
      for (const { name, value, message } of (await outstanding.settled(BOUND_MS)).values())
        expect(value, `${name}: ${message}`).toBe(`'${name}'`);
      for (const { name, value, code, message } of (await interruptedWork.settled(BOUND_MS)).values())
        expect(value === undefined ? code : 'value', `${name}: ${message}`).toMatch(
          /^(?:value|TASK_LOST|CONNECTION_CLOSED)$/,
        );
    }
    // Both queries have their replies.
    expect((await queries).map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled']);
    for (const [i, { rc, states, watches }] of ends.entries()) {
      await waitUntilConnected(states);
      await checkCluster(cluster, rc, `after the cut ${i}`);
      await expectAgreement(cluster, watches);
      expect(rc.outstanding).toEqual([]);
    }
  });
}

async function connect(cluster: KillableCluster): Promise<Client> {
  const rc = await Client.connect({ connectionFile: cluster.connectionFile, timeout: 60_000 });
  await rc.waitForEngines(2, { timeout: 60_000 });
  return rc;
}

/** A watch of all tasks, and one of the tasks that have not ended. */
function watchesOf(rc: Client) {
  return [
    new WatchReplay(rc.dbQuery({}, KEYS).watch()),
    new WatchReplay(rc.dbQuery({ completed: null }, KEYS).watch()),
  ] as const;
}

/** The connection states that a client emits, in order. */
function statesOf(rc: Client): ConnectionStatus[] {
  const states: ConnectionStatus[] = [];
  rc.connection$.subscribe((status) => states.push(status));
  return states;
}

/** Waits until the client is connected again. */
async function waitUntilConnected(states: readonly ConnectionStatus[]): Promise<void> {
  await waitFor(() => states.at(-1)?.state === 'connected', {
    timeout: 60_000,
    what: () => `the client to reconnect: ${JSON.stringify(states)}`,
  });
}

/** Submits work as soon as the client is connected again, before its engines have registered. */
function submitPromptly(cluster: KillableCluster, rc: Client, ids: readonly number[]): Outstanding {
  const earlyWork = new Outstanding(cluster);
  for (let i = 0; i < 3; i++) earlyWork.add(`prompt ${i}`, 0, (code) => rc.loadBalancedView().execute(code));
  for (const id of ids) earlyWork.add(`prompt at ${id}`, 0, (code) => rc.directView(id).execute(code));
  return earlyWork;
}

async function expectValues(outstanding: Outstanding): Promise<void> {
  for (const { name, value, message } of (await outstanding.settled(BOUND_MS)).values())
    expect(value, `${name}: ${message}`).toBe(`'${name}'`);
}

/** Waits until exactly these engines are registered. */
async function waitUntilRegistered(rc: Client, ids: readonly number[]): Promise<void> {
  await waitFor(() => rc.ids.join() === ids.join(), {
    timeout: 60_000,
    what: () => `engines ${ids.join()}; registered are ${rc.ids.join()}`,
  });
}

/** Waits until the hub has the records. */
async function waitUntilRecorded(
  rc: Client,
  { msgIds }: { readonly msgIds: readonly string[] },
): Promise<void> {
  await waitFor(async () => (await rc.dbQuery({ msg_id: { $in: msgIds } }, [])).length === msgIds.length, {
    what: `records of ${msgIds.join()}`,
  });
}

/** Checks that the client works as before. */
async function checkCluster(cluster: KillableCluster, rc: Client, name: string): Promise<void> {
  const more = new Outstanding(cluster);
  const [id = 0] = rc.ids;
  more.add(`${name}, direct`, 0, (code) => rc.directView(id).execute(code));
  more.add(`${name}, balanced`, 0, (code) => rc.loadBalancedView().execute(code));
  const ends = await more.settled(BOUND_MS);
  for (const { name: task, value, message } of ends.values())
    expect(value, `${task}: ${message}`).toBe(`'${task}'`);
}

/** Checks that the watches agree with what a new client reads. */
async function expectAgreement(
  cluster: KillableCluster,
  [all, open]: ReturnType<typeof watchesOf>,
): Promise<void> {
  await using fresh = await Client.connect({ connectionFile: cluster.connectionFile, timeout: 60_000 });
  await all.agrees(() => fresh.dbQuery({}, KEYS), 60_000);
  await open.agrees(() => fresh.dbQuery({ completed: null }, KEYS), 60_000);
  all.stop();
  open.stop();
}
