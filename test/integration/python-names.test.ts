// Names of Python's API that stand for something else here, or only hold something: each does what docs/python-api.md says.
import { AsyncResult, type Client, TaskAbortedError } from '@ipyparallel-js/client';
import { Cluster } from '@ipyparallel-js/cluster';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Gate } from '../support/gate.js';

const PATIENCE = { timeout: 30_000 };
let cluster: Cluster;
let rc: Client;

beforeAll(async () => {
  cluster = await Cluster.start({ n: 1 });
  rc = await cluster.connect();
});
afterAll(async () => {
  await rc.close();
  await cluster.stop();
});

test('a result under its other names', async () => {
  const ar = rc.directView(0).apply((n: number) => n * 2, 21);
  expect(ar.running).toBe(!ar.done);
  expect(await ar.r).toBe(42);
  expect(await ar.result(PATIENCE)).toBe(42);
  expect(await ar.resultDict).toEqual(new Map([[0, 42]]));
  expect(await ar.exception(PATIENCE)).toBeNull();
  expect([ar.done, ar.running, ar.cancelled, ar.sent, ar.successful]).toEqual([
    true,
    false,
    false,
    true,
    true,
  ]);
});

test('a task that was aborted is cancelled', async () => {
  using gate = new Gate();
  const busy = rc.directView(0).execute(gate.javascript);
  const ar = rc.directView(0).apply(() => 1);
  await rc.abort(ar, PATIENCE);
  expect(await ar.exception(PATIENCE)).toBeInstanceOf(TaskAbortedError);
  expect([ar.cancelled, ar.successful]).toEqual([true, false]);
  gate.open();
  await busy.get(PATIENCE);
});

test('times between any two moments of tasks', async () => {
  const ar = rc.directView(0).apply(() => 1);
  await ar.get(PATIENCE);
  const [{ submitted, received } = { submitted: null, received: null }] = ar.metadata;
  if (submitted === null || received === null) throw new Error('the task has no times');
  expect(ar.timedelta(submitted, received)).toBe(received.getTime() - submitted.getTime());
});

test('a view has its client, its flags, its history and what is held of its results', async () => {
  const first = rc.loadBalancedView().apply(() => 1);
  const flags = { label: 'named', retries: 2, after: first, follow: first, timeout: 5_000 };
  const view = rc.loadBalancedView(flags);
  expect({
    label: view.label,
    retries: view.retries,
    after: view.after,
    follow: view.follow,
    timeout: view.timeout,
  }).toEqual(flags);
  for (const each of [view, rc.directView('all'), rc.broadcastView('all')]) {
    expect(each.client).toBe(rc);
    expect(each.history).toEqual([]);
    expect(each.results.size).toBe(0);
  }
  expect(rc.directView('all').targets).toBe('all');
  const ar = view.apply(() => 'kept');
  expect(view.outstanding).toEqual(ar.msgIds);
  expect(await view.wait(undefined, PATIENCE)).toBe(true);
  expect(view.history).toEqual(ar.msgIds);
  expect([...view.results]).toEqual([[ar.msgIds[0], 'kept']]);
});

test('several results as one', async () => {
  const view = rc.directView('all');
  const joined = AsyncResult.join(
    view.apply(() => 1),
    view.apply(() => 2),
  );
  expect(await joined.get(PATIENCE)).toEqual([1, 2]);
});

test('a closed client refuses', async () => {
  const other = await cluster.connect();
  await other.close();
  await expect(other.directView(0).execute('1').get(PATIENCE)).rejects.toMatchObject({
    code: 'CONNECTION_CLOSED',
  });
});
