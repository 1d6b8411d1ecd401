// Scenarios of ipyparallel's test_lbview.py.
import { type LoadBalancedView, py, RemoteError, TaskAbortedError } from '@ipyparallel-js/client';
import { expect, test } from 'vitest';
import { Gate } from '../../gate.js';
import { waitFor } from '../../wait-for.js';
import { abortBehind } from './abort-behind.js';
import type { ScenarioCluster } from './scenario-cluster.js';

const RESULT_TIMEOUT = { timeout: 60_000 };
const square = py<number>`lambda x: x ** 2`;
const one = py<number>`lambda: 1`;
const fail = py<null>`
def fail():
    raise ValueError("Failed!")
`;
const slowly = py<number>`
def slowly(i):
    import time
    time.sleep(0.1)
    return i
`;

function range(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i);
}

function* count(): Generator<number> {
  for (let i = 0; ; i++) yield i;
}

async function engineOf(view: LoadBalancedView): Promise<number> {
  const ar = view.apply(one);
  await ar.get(RESULT_TIMEOUT);
  return ar.engineIds[0] ?? Number.NaN;
}

export function lbviewScenarios(cluster: () => ScenarioCluster): void {
  const view = (): LoadBalancedView => cluster().rc.loadBalancedView();

  test('test_z_crash: an engine that dies fails its task and is unregistered', async () => {
    const { rc, startEngine } = cluster();
    const id = await startEngine();
    const ar = rc.loadBalancedView({ targets: [id] }).apply(py`lambda: __import__('os')._exit(1)`);
    await expect(ar.get(RESULT_TIMEOUT)).rejects.toMatchObject({ code: 'ENGINE_DIED', ename: 'EngineError' });
    await waitFor(() => !rc.ids.includes(id), { timeout: 60_000, what: 'the engine to be unregistered' });
  });

  test('test_map, test_map_generator, test_map_iterable', async () => {
    const squares = range(16).map((n) => n ** 2);
    const ar = view().map(square, range(16));
    expect(ar.length).toBe(16);
    expect(await ar.get(RESULT_TIMEOUT)).toEqual(squares);
    expect(await view().map(square, range(16).values()).get(RESULT_TIMEOUT)).toEqual(squares);
    // 101 is prime, so it cannot be evenly distributed.
    expect(await view().mapSync(py<number>`lambda x: x`, range(101))).toEqual(range(101));
  });

  test('test_map_short_first, test_map_short_last: as long as the shortest sequence', async () => {
    const product = py<number>`lambda x, y: x * y`;
    const expected = range(4).map((n) => n * n);
    for (const [a, b] of [
      [range(10), range(4)],
      [range(4), range(10)],
    ] as const) {
      const ar = view().map(product, a, b);
      expect(ar.length).toBe(4);
      expect(await ar.get(RESULT_TIMEOUT)).toEqual(expected);
    }
  });

  test('test_map_unordered, test_map_ordered', async () => {
    const numbers = range(8).reverse();
    const expected = numbers.map((n) => n ** 2);
    // The first task ends after at least one other task.
    const lastFirst = (gate: Gate) =>
      py<number>(`
def last_first(x):
    import os, time
    while x == 7 and os.path.exists(${JSON.stringify(gate.path)}): time.sleep(0.01)
    return x ** 2
`);
    using first = new Gate();
    const ordered: number[] = [];
    const inOrder = view().map(lastFirst(first), numbers);
    await waitFor(() => inOrder.progress.done > 0, { timeout: 60_000, what: 'another task to end' });
    first.open();
    for await (const value of inOrder) ordered.push(value);
    expect(ordered).toEqual(expected);
    expect(await inOrder.get()).toEqual(expected);
    using second = new Gate();
    const asTheyCame: number[] = [];
    for await (const value of view().map(lastFirst(second), numbers, { ordered: false })) {
      asTheyCame.push(value);
      second.open();
    }
    expect(asTheyCame[0]).not.toBe(49);
    expect(asTheyCame.toSorted((a, b) => b - a)).toEqual(expected);
  });

  test('test_imap_max_outstanding, test_imap_infinite: reads its input only as results are consumed', async () => {
    const lazy = view();
    const map = lazy.imap(slowly, count(), { maxOutstanding: 2 });
    const results: number[] = [];
    for await (const value of map) {
      results.push(value);
      if (results.length === 1) expect(lazy.history.length).toBeGreaterThanOrEqual(2);
      if (value >= 3) break;
    }
    expect(results).toEqual([0, 1, 2, 3]);
    expect(await lazy.wait(undefined, RESULT_TIMEOUT)).toBe(true);
    expect(lazy.history.length).toBeGreaterThanOrEqual(4);
    expect(lazy.history.length).toBeLessThan(10);
    const five = view();
    const ahead = five.imap(slowly, count(), { maxOutstanding: 5 });
    expect(await ahead.next()).toMatchObject({ value: 0 });
    expect(five.history.length).toBeGreaterThanOrEqual(5);
    expect(await ahead.next()).toMatchObject({ value: 1 });
    expect(five.history.length).toBeGreaterThanOrEqual(5);
    expect(five.history.length).toBeLessThanOrEqual(10);
    ahead.cancel();
    expect(await five.wait(undefined, RESULT_TIMEOUT)).toBe(true);
  });

  test('test_imap_unordered: ready results come first', async () => {
    const lazy = view();
    using gate = new Gate();
    const wait = py<number>(`
def wait(n):
    import os, time
    while n == 0 and os.path.exists(${JSON.stringify(gate.path)}): time.sleep(0.01)
    return n
`);
    const results: number[] = [];
    for await (const value of lazy.imap(wait, range(10), { maxOutstanding: 2, ordered: false })) {
      results.push(value);
      if (results.length === 3) break;
    }
    expect(results).toEqual([1, 2, 3]);
    gate.open();
    expect(await lazy.wait(undefined, RESULT_TIMEOUT)).toBe(true);
    expect(lazy.history.length).toBeGreaterThanOrEqual(4);
    expect(lazy.history.length).toBeLessThanOrEqual(6);
  });

  test('test_imap_return_exceptions: errors keep their positions', async () => {
    const failOnEven = py<number>`
def fail_on_even(n):
    if n % 2 == 0:
        raise ValueError("even!")
    return n
`;
    const results: unknown[] = [];
    for await (const value of view().imap(failOnEven, range(5), { returnExceptions: true }))
      results.push(value);
    expect(results).toHaveLength(5);
    for (const [i, value] of results.entries()) {
      if (i % 2 === 1) expect(value).toBe(i);
      else expect(value).toBeInstanceOf(RemoteError);
    }
  });

  test('test_abort: a queued task never runs', async () => {
    const { rc } = cluster();
    using gate = new Gate();
    const busy = rc.directView('all').apply(py(gate.pythonFunction));
    await waitFor(() => busy.metadata.every(({ begun }) => begun !== null), {
      timeout: 30_000,
      what: 'the engines to be busy',
    });
    const lb = view();
    const second = lb.apply(py`lambda: 2`);
    const third = lb.apply(py`lambda: 3`);
    const aborting = [lb.abort(second, RESULT_TIMEOUT), lb.abort(third.msgIds, RESULT_TIMEOUT)];
    await abortBehind(cluster(), gate, Promise.all(aborting));
    await expect(second.get(RESULT_TIMEOUT)).rejects.toBeInstanceOf(TaskAbortedError);
    await expect(third.get(RESULT_TIMEOUT)).rejects.toBeInstanceOf(TaskAbortedError);
    await busy.get(RESULT_TIMEOUT);
  });

  test('test_retries: a task that fails everywhere fails; with no engine left it times out', async () => {
    const { rc } = cluster();
    for (let retries = 0; retries < rc.ids.length; retries++) {
      await expect(rc.loadBalancedView({ retries }).applySync(fail)).rejects.toMatchObject({
        ename: 'ValueError',
        evalue: 'Failed!',
      });
    }
    const viewWithTimeout = rc.loadBalancedView({ retries: rc.ids.length, timeout: 100 });
    await expect(viewWithTimeout.apply(fail).get(RESULT_TIMEOUT)).rejects.toMatchObject({
      ename: 'TaskTimeout',
    });
  });

  test('test_short_timeout: a timeout limits dependencies, not the run', async () => {
    const slowFail = py<null>`
def slow_fail():
    import time
    time.sleep(0.25)
    raise ValueError("Failed!")
`;
    const viewWithTimeout = cluster().rc.loadBalancedView({ retries: 1, timeout: 10 });
    await expect(viewWithTimeout.apply(slowFail).get(RESULT_TIMEOUT)).rejects.toMatchObject({
      ename: 'ValueError',
    });
  });

  test('test_invalid_dependency: a task cannot depend on an unknown task', async () => {
    const ar = view().with({ after: '12345' }).apply(one);
    await expect(ar.get(RESULT_TIMEOUT)).rejects.toMatchObject({ ename: 'InvalidDependency' });
  });

  test('test_impossible_dependency: two tasks of two engines cannot both be followed', async () => {
    const { rc } = cluster();
    const onEach = rc.ids.slice(0, 2).map((id) => rc.loadBalancedView({ targets: [id] }).apply(one));
    for (const ar of onEach) await ar.get(RESULT_TIMEOUT);
    const ar = view().with({ follow: onEach }).apply(one);
    await expect(ar.get(RESULT_TIMEOUT)).rejects.toMatchObject({ ename: 'ImpossibleDependency' });
  });

  test('test_follow: tasks run on the engine of the task that they follow', async () => {
    const first = view().apply(one);
    await first.get(RESULT_TIMEOUT);
    const following = view().setFlags({ follow: first });
    for (let i = 0; i < 5; i++) expect(await engineOf(following)).toBe(first.engineIds[0]);
  });

  test('test_after: a task starts when its dependency has ended', async () => {
    const lb = view();
    const first = lb.apply(py<null>('time.sleep'), 0.5);
    const second = lb.with({ after: first }).apply(one);
    await Promise.all([first.get(RESULT_TIMEOUT), second.get(RESULT_TIMEOUT)]);
    const [started, completed] = [second.metadata[0]?.started, first.metadata[0]?.completed];
    expect(started?.getTime()).toBeGreaterThanOrEqual(completed?.getTime() ?? Number.NaN);
  });
}
