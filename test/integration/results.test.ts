// Metadata, status and cached results of tasks on our controller with JavaScript engines.
import { inspect } from 'node:util';
import { AsyncResult, Client, type TaskOutput } from '@ipyparallel-js/client';
import { Engine } from '@ipyparallel-js/engine';
import { CompositeError, newId, TaskNotFoundError, UsageError } from '@ipyparallel-js/protocol';
import { lastValueFrom, toArray } from 'rxjs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Closing } from '../support/closing.js';
import { TestController } from '../support/clusters/test-controller.js';
import { FakeHub } from '../support/fakes/fake-hub.js';
import { HeldTimers } from '../support/held-timers.js';
import { waitFor } from '../support/wait-for.js';

/** Code that runs until it is aborted, which may happen before it begins. */
const UNTIL_ABORTED = `
  const { signal } = ipyparallel.task;
  signal.throwIfAborted();
  await new Promise((_, end) => { signal.onabort = () => end(signal.reason) });
`;

const closing = new Closing();
let controller: TestController;
let connectionFile: string;
let rc: Client;

const connect = (options = {}): Promise<Client> => Client.connect({ connectionFile, ...options });

beforeAll(async () => {
  controller = closing.use(await TestController.start());
  connectionFile = controller.controller.clientFile;
  for (let i = 0; i < 2; i++) {
    const engine = await Engine.start({
      connectionFile: controller.controller.engineFile,
      timeout: 60_000,
      log: () => undefined,
    });
    closing.use({ [Symbol.asyncDispose]: () => engine.stop() });
  }
  rc = closing.use(await connect());
  await rc.waitForEngines(2, { timeout: 60_000 });
});
afterAll(async () => {
  await closing.close();
});

describe('the metadata of a task', () => {
  test('is the same for the submitting client, for another client, and in the record', async () => {
    const ar = rc
      .loadBalancedView({ label: 'known' })
      .execute('console.log("out"); console.error("err"); 6 * 7');
    expect((await ar.get()).text).toBe('42');
    await ar.waitForOutput();
    const [own] = ar.metadata;
    const [id = ''] = ar.msgIds;
    const record = await waitFor(async () => {
      const row = await rc.dbQuery({ msg_id: id }).first();
      return row?.completed && row.stdout && row.stderr && row.execute_result ? row : undefined;
    });
    const other = closing.use(await connect());
    const theirs = other.getResult(id);
    await theirs.get();
    const [seen] = theirs.metadata;
    for (const metadata of [own, seen]) {
      expect(metadata).toMatchObject({
        msgId: id,
        submitted: record.submitted,
        started: record.started,
        completed: record.completed,
        engineUuid: record.engine_uuid,
        engineId: expect.any(Number),
        status: 'ok',
        label: 'known',
        stdout: 'out\n',
        stderr: 'err\n',
        executeResult: record.execute_result,
        executeInput: 'console.log("out"); console.error("err"); 6 * 7',
        error: null,
      });
      expect(metadata?.received).toBeInstanceOf(Date);
    }
    expect(own?.begun).toBeInstanceOf(Date);
    for (const result of [ar, theirs]) {
      expect(result.serialTime).toBeGreaterThanOrEqual(0);
      expect(result.wallTime).toBeGreaterThanOrEqual(result.serialTime);
    }
  });

  test('contains the error of a failure', async () => {
    const ar = rc.directView([0, 1]).execute('throw new TypeError("no")');
    await expect(ar.get()).rejects.toThrow(CompositeError);
    await ar.waitForOutput();
    expect(ar.metadata.map(({ status, error }) => [status, error?.ename])).toEqual([
      ['error', 'TypeError'],
      ['error', 'TypeError'],
    ]);
    expect(ar.error.map((error) => error?.message)).toEqual([
      expect.stringContaining('no'),
      expect.stringContaining('no'),
    ]);
    expect((await ar.settled()).map(({ engineId, status }) => [engineId, status])).toEqual([
      [0, 'rejected'],
      [1, 'rejected'],
    ]);
  });

  test('is updated while the task runs: its start, its output and its published data', async () => {
    const ar = rc.directView(0).execute(`
      ipyparallel.task.publish({ half: [1, 2] });
      ipyparallel.task.progress(0.5);
      console.log('running');
      ${UNTIL_ABORTED}
    `);
    const pieces: TaskOutput[] = [];
    ar.output$.subscribe(({ output }) => pieces.push(output));
    await waitFor(() => ar.data[0]?.['progress'] === 0.5 && ar.stdout[0] === 'running\n');
    expect(ar.ready).toBe(false);
    expect(ar.statuses).toEqual(['assigned']);
    expect(ar.metadata[0]?.begun).toBeInstanceOf(Date);
    expect(ar.data).toEqual([{ half: [1, 2], progress: 0.5 }]);
    expect(ar.elapsed).toBeGreaterThan(0);
    await ar.abort();
    await ar.wait();
    await ar.waitForOutput();
    expect(ar.statuses).toEqual(['aborted']);
    expect(ar.cancelled).toBe(true);
    expect(pieces.some(({ type }) => type === 'data')).toBe(true);
    await expect(ar.abort()).rejects.toThrow(UsageError);
  });

  test('is available by engine, in order, and as completed', async () => {
    const view = rc.directView('all');
    const ar = view.execute('ipyparallel.task.msgId');
    const byEngine = await ar.getDict();
    expect([...byEngine.keys()]).toEqual([0, 1]);
    const texts: (string | null)[] = [];
    for await (const { text } of ar) texts.push(text);
    expect(texts).toEqual(ar.msgIds.map((id) => `'${id}'`));
    const joined = AsyncResult.join(...ar.split());
    expect(await joined.get()).toEqual(await ar.get());
  });
});

describe('status', () => {
  test('is shown when a result is printed; a view shows its engines, a client its connection', async () => {
    const one = rc.directView(0).execute('1');
    await one.get();
    expect(inspect(one)).toBe(`AsyncResult <task ${one.msgIds[0]}, completed>`);
    const map = rc.loadBalancedView().map((n: number) => n, [1, 2, 3]);
    await map.get();
    expect(inspect(map)).toBe('AsyncMapResult <3 tasks, 3 completed>');
    expect(inspect(rc.directView([0, 1]))).toBe('DirectView <engines 0,1>');
    expect(inspect(rc)).toMatch(/^Client <tcp:.*, 2 engines, session .*>$/);
  });

  test('has the same value in every method', async () => {
    const ar = rc.directView(1).execute(UNTIL_ABORTED);
    const [id = ''] = ar.msgIds;
    const other = closing.use(await connect({ pollInterval: 20 }));
    const told = [rc.taskStatus$(id), other.taskStatus$(id), rc.taskStatus$(-1)].map((status) =>
      lastValueFrom(status.pipe(toArray())),
    );
    await waitFor(async () => ar.metadata[0]?.begun && (await other.resultStatus(id).catch(() => null)));
    expect((await rc.resultStatus(id)).statuses).toEqual({ [id]: 'assigned' });
    await ar.abort();
    for (const words of await Promise.all(told)) {
      expect(words.at(-1)).toBe('aborted');
      expect(words.slice(0, -1).every((word) => word === 'unassigned' || word === 'assigned')).toBe(true);
    }
    expect((await rc.resultStatus(id)).statuses).toEqual({ [id]: 'aborted' });
    await rc.purgeHubResults(id);
    expect(await lastValueFrom(other.taskStatus$(id))).toBe('purged');
  });

  test('does not exist for an unknown task, which is no longer requested', async () => {
    const ids = [`${newId()}_1`, `${newId()}_2`];
    const ar = rc.getResult(ids);
    await expect(ar.get()).rejects.toThrow(CompositeError);
    expect(ar.statuses).toEqual(['unassigned', 'unassigned']);
    expect(ar.error.every((error) => error instanceof TaskNotFoundError)).toBe(true);
    expect(rc.stats.followed).toBe(0);
  });

  test('of tasks of other clients is requested only while somebody subscribes', async () => {
    const ar = rc.directView(1).execute(UNTIL_ABORTED);
    const other = closing.use(await connect({ pollInterval: 20 }));
    const [id = ''] = ar.msgIds;
    const first = other.taskStatus$(id).subscribe();
    const second = other.taskStatus$(id).subscribe();
    first.unsubscribe();
    expect(other.stats.followed).toBe(1);
    second.unsubscribe();
    expect(other.stats.followed).toBe(0);
    await waitFor(() => ar.metadata[0]?.begun);
    await ar.abort();
    await ar.wait();
  });
});

describe('a handle', () => {
  test('to work whose client closed right after the submission leads to its results', async () => {
    const leaving = await connect();
    const one = leaving.loadBalancedView().apply((n: number) => n + 1, 1);
    const numbers = Array.from({ length: 200 }, (_, n) => n);
    const many = leaving.loadBalancedView().map((n: number) => n * 2, numbers);
    const handles = [one, many].map((ar) => JSON.stringify(ar));
    await leaving.close();
    const [first = '', second = ''] = handles;
    expect(await rc.attach(first).get({ timeout: 60_000 })).toBe(2);
    expect(await rc.attach(second).get({ timeout: 60_000 })).toEqual(numbers.map((n) => n * 2));
  });

  test('returns the result to another client in its original shape', async () => {
    const ar = rc.directView('all').execute('1 + 1');
    const handle = JSON.stringify(ar);
    const other = closing.use(await connect());
    const attached = other.attach<readonly { readonly text: string }[]>(handle);
    expect((await attached.get()).map(({ text }) => text)).toEqual(['2', '2']);
    expect([...(await attached.getDict()).keys()]).toEqual([0, 1]);
  });

  test('to another cluster is refused unless the check is disabled', async () => {
    const ar = rc.directView(0).execute('1');
    await ar.get();
    const elsewhere = closing.use(await TestController.start());
    const stranger = closing.use(await Client.connect({ connectionFile: elsewhere.controller.clientFile }));
    const handle = ar.toJSON();
    expect(() => stranger.attach(handle)).toThrow(expect.objectContaining({ code: 'WRONG_CLUSTER' }));
    const wanted = stranger.attach(handle, { anyCluster: true });
    await expect(wanted.get()).rejects.toThrow(TaskNotFoundError);
    expect(handle.cluster).toMatch(/^[0-9a-f]{32}$/);
  });
});

describe('the cache of results', () => {
  test('releases results that were read; an AsyncResult never loses its own', async () => {
    const client = closing.use(await connect({ resultCache: { count: 5 } }));
    const view = client.loadBalancedView();
    const results = Array.from({ length: 20 }, (_, n) => view.apply((x: number) => x * 2, n));
    await waitFor(() => client.stats.outstanding === 0 && client.stats.evictedResults === 15);
    expect(client.stats).toMatchObject({ unreadResults: 5, history: 20 });
    expect(client.results.size).toBe(5);
    expect(await Promise.all(results.map((ar) => ar.get()))).toEqual([...results.keys()].map((n) => n * 2));
    expect(client.stats).toMatchObject({ unreadResults: 0, unreadBytes: 0 });
    // A released result stays with its AsyncResult, and is found by its id.
    const [first] = results;
    const [id = ''] = first?.msgIds ?? [];
    expect(client.getResult(id).ready).toBe(true);
    expect(await client.getResult(-1).get()).toBe(38);
    expect(await client.getResult([0, 1]).get()).toEqual([0, 2]);
    expect(() => client.getResult(20)).toThrow(UsageError);
    expect(await client.wait()).toBe(true);
    client.purgeLocalResults('all');
    expect(client.history).toEqual([]);
    // The client now requests the result from the hub.
    expect(client.getResult(id).ready).toBe(false);
    expect(await client.getResult(id).get()).toBe(0);
  });

  test('does not receive a purged result again when its output ends', async () => {
    // The client waits ten seconds for output before it shows the result, and then as long for the rest.
    using timers = new HeldTimers(10_000);
    await using hub = await FakeHub.start({
      answer: (request, self) => {
        const { msg_type: type } = request.message;
        if (type === 'connection_request') return { status: 'ok', engines: { 0: 'e' } };
        if (type === 'kernel_info_request')
          return { status: 'ok', implementation: 'x', language_info: { name: 'python' } };
        if (type !== 'execute_request') return undefined;
        const error = { status: 'error', ename: 'Oh', evalue: 'no', traceback: [] };
        self.send(request, self.reply(request, error));
        return false;
      },
    });
    await using client = await Client.connect({ connectionFile: hub.info, timeout: 60_000 });
    const ar = client.directView(0).execute('x');
    await waitFor(() => timers.count(10_000) > 0, { what: 'the reply' });
    timers.fire(10_000);
    await ar.wait();
    expect(client.results.size).toBe(1);
    client.purgeLocalResults('all');
    expect(client.results.size).toBe(0);
    timers.fire(10_000);
    expect(await ar.waitForOutput()).toBe(true);
    expect(client.results.size).toBe(0);
  });

  test('is empty after 2,000 results were read', async () => {
    const client = closing.use(await connect());
    const views = [client.directView(0), client.directView(1)] as const;
    let sum = 0;
    for (let round = 0; round < 2; round++) {
      const batch = Array.from({ length: 1_000 }, (_, n) =>
        (n % 2 === 0 ? views[0] : views[1]).apply((x: number) => x, n),
      );
      for await (const value of AsyncResult.join(...batch).asCompleted()) sum += value;
    }
    expect(sum).toBe(1_000 * 999);
    await waitFor(() => client.metadata.size === 0);
    expect(client.stats).toMatchObject({
      outstanding: 0,
      followed: 0,
      unreadResults: 0,
      unreadBytes: 0,
      evictedResults: 0,
      history: 2_000,
    });
  });
});
