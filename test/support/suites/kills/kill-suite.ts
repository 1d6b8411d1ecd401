// What is killed while a client watches: nothing may hang, and its watch may neither miss nor repeat anything.

import { readFileSync } from 'node:fs';
import { Client, type ConnectionStatus } from '@ipyparallel-js/client';
import { expect, it } from 'vitest';
import { Closing } from '../../closing.js';
import { CutProxy } from '../../fakes/cut-proxy.js';
import { waitFor } from '../../wait-for.js';
import { WatchReplay } from '../../watch-replay.js';
import { endings, type KillGround, runs } from './kill-ground.js';
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

/** Within this long everything outstanding has to have ended, in ms; how long is the machine's affair. */
const BOUND_MS = 90_000;
/** How long the network is cut, in ms. */
const CUT_MS = 10_000;

/** Starts a cluster with two engines, for one test. */
export type StartGround = () => Promise<KillGround>;

export function engineIsKilled(start: StartGround): void {
  it('an engine that is killed in a task', { timeout: 180_000 }, async () => {
    await using closing = new Closing();
    const ground = closing.use(await start());
    const rc = closing.use(await connect(ground));
    const [victim = -1, survivor = -1] = rc.ids;
    const watches = watchesOf(rc);
    const outstanding = new Outstanding(ground);
    outstanding.add('long', 600_000, (code) => rc.directView(victim).execute(code));
    outstanding.add('behind it', 0, (code) => rc.directView(victim).execute(code));
    outstanding.add('elsewhere', 500, (code) => rc.directView(survivor).execute(code));
    for (let i = 0; i < 6; i++)
      outstanding.add(`any ${i}`, 100, (code) => rc.loadBalancedView().execute(code));
    await waitFor(() => runs(ground).includes('long'), { what: 'the long task to begin' });
    await ground.killEngine(victim);

    const ends = await outstanding.settled(BOUND_MS);
    expect(ends.get('long')).toMatchObject({ code: 'ENGINE_DIED', status: 'failed' });
    expect(ends.get('behind it')).toMatchObject({ code: 'ENGINE_DIED', status: 'failed' });
    expect(ends.get('elsewhere')).toMatchObject({ value: "'elsewhere'", status: 'completed' });
    for (let i = 0; i < 6; i++) {
      const { value, code } = ends.get(`any ${i}`) ?? {};
      expect(value ?? code).toMatch(/^'any \d'$|^ENGINE_DIED$/);
    }
    await waitFor(() => rc.ids.length === 1, { what: 'the client to know that the engine is gone' });
    await afterwards(ground, rc, 'after the engine');
    await agree(ground, watches);
  });
}

export function controllerIsKilled(
  start: StartGround,
  times: readonly ('once' | 'twice')[] = ['once', 'twice'],
): void {
  if (times.includes('once')) controllerIsKilledOnce(start);
  if (times.includes('twice')) controllerIsKilledTwice(start);
}

function controllerIsKilledOnce(start: StartGround): void {
  it('a controller that is killed and comes back', { timeout: 240_000 }, async () => {
    await using closing = new Closing();
    const ground = closing.use(await start());
    const rc = closing.use(await connect(ground));
    const colleague = closing.use(await connect(ground));
    const watches = watchesOf(rc);
    const states = statesOf(rc);
    const [first = 0, second = 1] = rc.ids;
    const outstanding = new Outstanding(ground);
    for (let i = 0; i < 3; i++)
      outstanding.add(`before ${i}`, 0, (code) => rc.loadBalancedView().execute(code));
    await outstanding.settled(BOUND_MS);
    // One ends while there is no controller, one after it is back, others have not begun.
    outstanding.add('ends meanwhile', 1_000, (code) => rc.directView(first).execute(code));
    outstanding.add('ends later', 8_000, (code) => rc.directView(second).execute(code));
    for (const id of [first, second])
      outstanding.add(`behind it ${id}`, 0, (code) => rc.directView(id).execute(code));
    for (let i = 0; i < 4; i++)
      outstanding.add(`queued ${i}`, 0, (code) => rc.loadBalancedView().execute(code));
    const theirs = colleague.directView(first).execute(ground.task('theirs', 0));
    await waitFor(() => ['ends meanwhile', 'ends later'].every((name) => runs(ground).includes(name)), {
      what: 'both engines to be busy',
    });
    await recorded(colleague, theirs);
    outstanding.follow('theirs', rc.getResult(theirs.msgIds[0] ?? ''));

    await ground.killController();
    await waitFor(() => states.at(-1)?.state === 'disconnected', { what: 'the client to notice' });
    await waitFor(() => endings(ground).includes('ends meanwhile'), { what: 'a task to end meanwhile' });
    await ground.restartController();
    await back(states);
    const promptly = submitPromptly(ground, rc, [first, second]);
    const ends = await outstanding.settled(BOUND_MS);
    await allHaveValues(promptly);
    for (const { name, value, code, message } of ends.values()) {
      // What engines had is theirs to finish; what waited in the controller's queue went with it.
      const may = ground.remembers && !name.startsWith('queued') ? /^value$/ : /^(?:value|TASK_LOST)$/;
      expect(value === undefined ? code : 'value', `${name}: ${message}`).toMatch(may);
    }
    await enginesAreBack(rc, [first, second]);
    await afterwards(ground, rc, 'after the controller');
    await agree(ground, watches);
    expect(rc.outstanding).toEqual([]);
  });
}

function controllerIsKilledTwice(start: StartGround): void {
  it('a controller that is killed twice, and an engine with it', { timeout: 240_000 }, async () => {
    await using closing = new Closing();
    const ground = closing.use(await start());
    const rc = closing.use(await connect(ground));
    const watches = watchesOf(rc);
    const states = statesOf(rc);
    const [victim = 0, survivor = 1] = rc.ids;
    const outstanding = new Outstanding(ground);
    outstanding.add('dies', 600_000, (code) => rc.directView(victim).execute(code));
    outstanding.add('behind it', 0, (code) => rc.directView(victim).execute(code));
    // Longer than both restarts take: a reply to a controller that is killed as it comes is lost for good.
    outstanding.add('lives', 12_000, (code) => rc.directView(survivor).execute(code));
    await waitFor(() => ['dies', 'lives'].every((name) => runs(ground).includes(name)), {
      what: 'both engines to be busy',
    });
    await ground.killController();
    await ground.killEngine(victim);
    await ground.restartController();
    await ground.killController();
    await waitFor(() => states.at(-1)?.state === 'disconnected', { what: 'the client to notice' });
    await ground.restartController();
    await back(states);
    const promptly = submitPromptly(ground, rc, [survivor]);
    const ends = await outstanding.settled(BOUND_MS);
    await allHaveValues(promptly);
    for (const name of ['dies', 'behind it'])
      expect(ends.get(name)).toMatchObject({ code: expect.stringMatching(/^(?:TASK_LOST|ENGINE_DIED)$/) });
    const { value, code } = ends.get('lives') ?? {};
    expect(value ?? code).toMatch(ground.remembers ? /^'lives'$/ : /^'lives'$|^TASK_LOST$/);
    await enginesAreBack(rc, [survivor]);
    await afterwards(ground, rc, 'after both');
    await agree(ground, watches);
    expect(rc.outstanding).toEqual([]);
  });
}

export function networkIsCut(start: StartGround): void {
  it('a network that is cut for ten seconds, silently and with resets', { timeout: 240_000 }, async () => {
    await using closing = new Closing();
    const ground = closing.use(await start());
    const info = JSON.parse(readFileSync(ground.connectionFile, 'utf8')) as Record<string, unknown>;
    const colleague = closing.use(await connect(ground));
    const silent = closing.use(await CutProxy.start(info));
    const resetting = closing.use(await CutProxy.start(info));
    const ends = await Promise.all(
      [silent, resetting].map(async (proxy) => {
        const rc = closing.use(await Client.connect({ connectionFile: proxy.info, timeout: 60_000 }));
        await rc.waitForEngines(2, { timeout: 60_000 });
        const outstanding = new Outstanding(ground);
        return {
          rc,
          watches: watchesOf(rc),
          states: statesOf(rc),
          outstanding,
          hasty: new Outstanding(ground),
        };
      }),
    );
    await Promise.all(ends.flatMap(({ watches }) => watches.map((watch) => watch.begun())));
    const [first = 0, second = 1] = colleague.ids;
    const old = colleague.directView(first).execute(ground.task('old', 0));
    await old.get({ timeout: BOUND_MS });
    await waitFor(async () => (await colleague.resultStatus(old)).pending.length === 0);
    // Some end while nothing passes, some after.
    for (const [i, { rc, outstanding }] of ends.entries()) {
      outstanding.add(`direct ${i}`, 500, (code) => rc.directView(first).execute(code));
      for (let n = 0; n < 3; n++)
        outstanding.add(`any ${i} ${n}`, 300, (code) => rc.loadBalancedView().execute(code));
      outstanding.add(`late ${i}`, 6_000, (code) => rc.directView(second).execute(code));
    }
    const theirs = colleague.directView(first).execute(ground.task('theirs', 100));
    for (const { rc, outstanding } of ends) {
      await recorded(colleague, theirs);
      for (const result of outstanding.results) await recorded(colleague, result);
      outstanding.follow('theirs', rc.getResult(theirs.msgIds[0] ?? ''));
    }

    silent.pause();
    resetting.pause();
    resetting.reset();
    const cut = performance.now();
    await waitFor(() => ends[1]?.states.at(-1)?.state === 'disconnected', { what: 'resets to be noticed' });
    const asked = Promise.allSettled(
      ends.map(({ rc }) => rc.dbQuery({}, { keys: 'msg_id', timeout: BOUND_MS })),
    );
    for (const [i, { rc, hasty }] of ends.entries())
      hasty.add(`in the cut ${i}`, 0, (code) => rc.directView(first).execute(code));
    // Meanwhile records come, change and go.
    const others = Array.from({ length: 5 }, (_, i) =>
      colleague.directView(first).execute(ground.task(`meanwhile ${i}`, 50)),
    );
    for (const other of others) await other.get({ timeout: BOUND_MS });
    await colleague.purgeResults(old);
    await waitFor(() => performance.now() - cut >= CUT_MS, { what: 'the end of the cut' });
    silent.resume();
    resetting.resume();

    for (const { outstanding, hasty } of ends) {
      // The controller has lived on, so nothing that had reached it is lost.
      for (const { name, value, message } of (await outstanding.settled(BOUND_MS)).values())
        expect(value, `${name}: ${message}`).toBe(`'${name}'`);
      for (const { name, value, code, message } of (await hasty.settled(BOUND_MS)).values())
        expect(value === undefined ? code : 'value', `${name}: ${message}`).toMatch(
          /^(?:value|TASK_LOST|CONNECTION_CLOSED)$/,
        );
    }
    // What was asked is answered.
    expect((await asked).map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled']);
    for (const [i, { rc, states, watches }] of ends.entries()) {
      await back(states);
      await afterwards(ground, rc, `after the cut ${i}`);
      await agree(ground, watches);
      expect(rc.outstanding).toEqual([]);
    }
  });
}

async function connect(ground: KillGround): Promise<Client> {
  const rc = await Client.connect({ connectionFile: ground.connectionFile, timeout: 60_000 });
  await rc.waitForEngines(2, { timeout: 60_000 });
  return rc;
}

/** A watch of everything, and one of what has not ended. */
function watchesOf(rc: Client) {
  return [
    new WatchReplay(rc.dbQuery({}, KEYS).watch()),
    new WatchReplay(rc.dbQuery({ completed: null }, KEYS).watch()),
  ] as const;
}

/** What a client has said of its connection, in order. */
function statesOf(rc: Client): ConnectionStatus[] {
  const states: ConnectionStatus[] = [];
  rc.connection$.subscribe((status) => states.push(status));
  return states;
}

/** The client has said that it is connected again. */
async function back(states: readonly ConnectionStatus[]): Promise<void> {
  await waitFor(() => states.at(-1)?.state === 'connected', {
    timeout: 60_000,
    what: () => `the client to be back: ${JSON.stringify(states)}`,
  });
}

/** Work that is submitted at the moment at which the client says that it is connected again, before engines are back. */
function submitPromptly(ground: KillGround, rc: Client, ids: readonly number[]): Outstanding {
  const promptly = new Outstanding(ground);
  for (let i = 0; i < 3; i++) promptly.add(`prompt ${i}`, 0, (code) => rc.loadBalancedView().execute(code));
  for (const id of ids) promptly.add(`prompt at ${id}`, 0, (code) => rc.directView(id).execute(code));
  return promptly;
}

async function allHaveValues(outstanding: Outstanding): Promise<void> {
  for (const { name, value, message } of (await outstanding.settled(BOUND_MS)).values())
    expect(value, `${name}: ${message}`).toBe(`'${name}'`);
}

/** These engines are there, and no others. */
async function enginesAreBack(rc: Client, ids: readonly number[]): Promise<void> {
  await waitFor(() => rc.ids.join() === ids.join(), {
    timeout: 60_000,
    what: () => `engines ${ids.join()}; there are ${rc.ids.join()}`,
  });
}

/** The hub has the record. */
async function recorded(rc: Client, { msgIds }: { readonly msgIds: readonly string[] }): Promise<void> {
  await waitFor(async () => (await rc.dbQuery({ msg_id: { $in: msgIds } }, [])).length === msgIds.length, {
    what: `records of ${msgIds.join()}`,
  });
}

/** The client works as before. */
async function afterwards(ground: KillGround, rc: Client, name: string): Promise<void> {
  const more = new Outstanding(ground);
  const [id = 0] = rc.ids;
  more.add(`${name}, direct`, 0, (code) => rc.directView(id).execute(code));
  more.add(`${name}, balanced`, 0, (code) => rc.loadBalancedView().execute(code));
  const ends = await more.settled(BOUND_MS);
  for (const { name: task, value, message } of ends.values())
    expect(value, `${task}: ${message}`).toBe(`'${task}'`);
}

/** The watches have told what a client that has just come reads. */
async function agree(ground: KillGround, [all, open]: ReturnType<typeof watchesOf>): Promise<void> {
  await using fresh = await Client.connect({ connectionFile: ground.connectionFile, timeout: 60_000 });
  await all.agrees(() => fresh.dbQuery({}, KEYS), 60_000);
  await open.agrees(() => fresh.dbQuery({ completed: null }, KEYS), 60_000);
  all.stop();
  open.stop();
}
