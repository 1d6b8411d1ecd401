// Views on our controller and JavaScript engines: every way to run work, move data and query engines.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type AsyncResult,
  type BroadcastView,
  Client,
  capture,
  type DirectView,
  depend,
  dependency,
  type LoadBalancedView,
  RemoteError,
  requireModules,
  UsageError,
} from '@ipyparallel-js/client';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { EngineProcess } from '../support/clusters/engine-process.js';
import { TestController } from '../support/clusters/test-controller.js';
import { Gate } from '../support/gate.js';
import { waitFor } from '../support/wait-for.js';

const waitOptions = { timeout: 60_000 };

let controller: TestController;
let engines: EngineProcess[];
let rc: Client;
let dv: DirectView<'all'>;
let lv: LoadBalancedView;
let bv: BroadcastView<'all'>;

beforeAll(async () => {
  controller = await TestController.start();
  const args = ['--file', controller.controller.engineFile];
  engines = await Promise.all([0, 1, 2].map(() => EngineProcess.start({ args })));
  rc = await Client.connect({ connectionFile: controller.controller.clientFile, ...waitOptions });
  await rc.waitForEngines(3, waitOptions);
}, 120_000);

beforeEach(() => {
  dv = rc.directView();
  lv = rc.loadBalancedView();
  bv = rc.broadcastView();
});

afterAll(async () => {
  await rc?.close();
  await Promise.all((engines ?? []).map((engine) => engine[Symbol.asyncDispose]()));
  await controller?.stop();
});

/** Waits until the task has begun, because an interrupt has no effect before. */
const begun = (ar: AsyncResult<unknown, unknown, unknown>): Promise<unknown> =>
  waitFor(() => ar.metadata.every((each) => each.begun !== null), {
    timeout: 60_000,
    what: 'the task to begin',
  });

const value = <T, E, P>(ar: AsyncResult<T, E, P>): Promise<T> => ar.get(waitOptions);

test('apply, applyAsync and applySync run a function on the targets', async () => {
  const add = (a: number, b: number) => a + b;
  expect(await value(dv.apply(add, 1, 2))).toEqual([3, 3, 3]);
  expect(await value(dv.applyAsync(add, 1, 2))).toEqual([3, 3, 3]);
  expect(await dv.applySync(add, 1, 2)).toEqual([3, 3, 3]);
  expect(await lv.applySync(add, 1, 2)).toBe(3);
  expect(await rc.directView(1).applySync(add, 1, 2)).toBe(3);
  expect(await rc.directView([2, 0]).applySync(add, 1, 2)).toEqual([3, 3]);
  const last = rc.directView(-1);
  expect(last.targets).toBe(2);
  expect(await dv.with({ targets: [-1, 0] }).applySync(add, 2, 2)).toEqual([4, 4]);
  expect([dv.length, last.length, rc.directView([0, 1]).length]).toEqual([3, 1, 2]);
  expect(() => rc.directView(-4)).toThrow('no engine at position -4; 3 are registered');
  expect(() => rc.directView(7).apply(add, 1, 2)).toThrow('no engine 7; registered: 0, 1, 2');
});

test('execute and run evaluate code and files', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'ippjs-run-'));
  try {
    const file = join(directory, 'work.js');
    writeFileSync(file, 'console.log("from a file"); globalThis.ran = 7;\nran * 6');
    const replies = await value(dv.run(file));
    expect(replies.map(({ text, stdout }) => [text, stdout])).toEqual(Array(3).fill(['42', 'from a file\n']));
    expect(() => dv.run(join(directory, 'nothing.js'))).toThrow(/nothing\.js cannot be read/);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('push, pull, get, update and clear change and read names on engines', async () => {
  expect(await value(dv.push({ a: 5, list: [1, 2] }))).toEqual([null, null, null]);
  expect(await value(dv.pull('a'))).toEqual([5, 5, 5]);
  expect(await value(rc.directView(0).pull(['a', 'list', 'list.length']))).toEqual([5, [1, 2], 2]);
  expect(await dv.get('a + list[1]')).toEqual([7, 7, 7]);
  // Names of both kinds, and paths into an object, can be updated.
  await value(dv.execute('let declared = 1; var old = 1; globalThis.box = { n: 1 }', { silent: true }));
  await value(dv.update({ declared: 2, old: 2, 'box.n': 2 }));
  expect(await rc.directView(2).get(['declared', 'old', 'box.n'])).toEqual([2, 2, 2]);
  expect(await value(rc.directView(0).execute('declared + old + box.n'))).toMatchObject({ text: '6' });
  expect(() => dv.push({ 'a b': 1 })).toThrow('must be an identifier or a path such as a.b, got "a b"');
  await expect(value(dv.pull('nothing'))).rejects.toThrow(/nothing is not defined/);
  await dv.clear(waitOptions);
  await expect(value(dv.pull('box'))).rejects.toThrow(/box is not defined/);
});

test('a __proto__ key is refused and not silently changed', async () => {
  const hostile: object = JSON.parse('{"__proto__": {"polluted": true}}');
  expect(() => dv.push(hostile as Record<string, unknown>)).toThrow('got "__proto__"');
  expect(() => dv.push({ 'box.__proto__': 1 })).toThrow(UsageError);
  expect(() => lv.apply((given: object) => given, [hostile] as object)).toThrow(/property named __proto__/);
  await expect(value(lv.apply(() => JSON.parse('{"__proto__": 1}') as object))).rejects.toThrow(
    /the result cannot be sent because it contains a property named __proto__/,
  );
  const map = new Map([['__proto__', 1]]);
  expect(await value(lv.apply((given: Map<string, number>) => given, map))).toEqual(map);
});

test.each(['block', 'roundRobin'] as const)(
  'scatter and gather distribute a sequence with %s',
  async (dist) => {
    const list = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
    await value(dv.scatter('part', list, { dist }));
    expect(await value(dv.pull('part'))).toEqual(
      dist === 'block'
        ? [
            ['a', 'b', 'c'],
            ['d', 'e'],
            ['f', 'g'],
          ]
        : [
            ['a', 'd', 'g'],
            ['b', 'e'],
            ['c', 'f'],
          ],
    );
    expect(await value(dv.gather('part', { dist }))).toEqual(list);
    await value(dv.scatter('numbers', Float64Array.of(1, 2, 3, 4), { dist }));
    expect(await value(rc.directView(0).pull('numbers'))).toEqual(
      dist === 'block' ? Float64Array.of(1, 2) : Float64Array.of(1, 4),
    );
    expect(Array.from(await value(dv.gather('numbers', { dist })))).toEqual([1, 2, 3, 4]);
    await value(dv.scatter('one', new Set([10, 20, 30]), { dist, flatten: true }));
    expect(await value(dv.pull('one'))).toEqual([10, 20, 30]);
    expect(await value(dv.gather('one', { dist }))).toEqual([10, 20, 30]);
    await value(dv.scatter('some', [1, 2, 3, 4], { dist, flatten: true }));
    expect(await value(dv.pull('some'))).toEqual(dist === 'block' ? [[1, 2], 3, 4] : [[1, 4], 2, 3]);
    expect(await value(dv.gather<number[]>('some', { dist }))).toEqual([1, 2, 3, 4]);
  },
);

test('map works in every view', async () => {
  const numbers = Array.from({ length: 10 }, (_, i) => i);
  const squares = numbers.map((n) => n * n);
  for (const view of [dv, lv, bv]) {
    expect(await value(view.map((n: number) => n * n, numbers))).toEqual(squares);
    expect(await value(view.mapAsync(async (n: number) => n * n, new Set(numbers)))).toEqual(squares);
    expect(await view.mapSync((a: number, b: string) => b + a, [1, 2, 3], 'xy')).toEqual(['x1', 'y2']);
    expect(await value(view.map((n: number) => n, []))).toEqual([]);
  }
  expect(dv.map((n: number) => n, [1, 2]).msgIds).toHaveLength(2);
  expect(lv.map((n: number) => n, numbers, { chunksize: 4 }).msgIds).toHaveLength(3);
  expect(await value(lv.map((n: number) => n * n, numbers, { chunksize: 4 }))).toEqual(squares);
  expect(await value(dv.map((n: number) => n * n, numbers, { dist: 'roundRobin' }))).toEqual(squares);
  const k = 3;
  expect(
    await value(
      lv.map(
        capture((n: number) => n * k, { k }),
        Uint8Array.of(1, 2),
      ),
    ),
  ).toEqual([3, 6]);
});

test('a map reports the errors of its elements', async () => {
  const odd = (n: number) => {
    if (n % 2 === 0) throw new RangeError(`no even numbers: ${n}`);
    return n;
  };
  await expect(value(lv.map(odd, [1, 2, 3]))).rejects.toThrow(/no even numbers: 2/);
  const values: unknown[] = await value(lv.map(odd, [1, 2, 3], { returnExceptions: true }));
  expect([values[0], values[2]]).toEqual([1, 3]);
  expect(values[1]).toBeInstanceOf(RemoteError);
  // A task has several elements; if one fails, none of them has a result.
  const chunks: unknown[] = await value(lv.map(odd, [1, 2, 3], { chunksize: 2, returnExceptions: true }));
  expect(chunks.map((each) => each instanceof RemoteError)).toEqual([true, true, false]);
  expect(() => lv.map(odd, 5 as unknown as number[])).toThrow(/must be iterable, got number/);
  expect(() => lv.map(odd, [1], { chunkSize: 2 } as object)).toThrow(
    'map has no option "chunkSize", did you mean "chunksize"?',
  );
  expect(() => dv.map(odd, [1], { chunksize: 2 })).toThrow(UsageError);
});

test('flags apply to a view, to a temporary scope and to a call', async () => {
  const labelOf = async (ar: AsyncResult<unknown>) => {
    await value(ar);
    const [record] = await rc.dbQuery({ msg_id: ar.msgIds[0] ?? '' }, ['label', 'metadata']);
    return record?.label ?? null;
  };
  const view = rc.loadBalancedView({ label: 'view' });
  expect(await labelOf(view.apply(() => 1))).toBe('view');
  const derived = view.with({ label: 'derived', retries: 2 });
  expect(await labelOf(derived.apply(() => 1))).toBe('derived');
  expect([derived.retries, view.retries, view.label]).toEqual([2, 0, 'view']);
  const temporary = view.tempFlags({ label: 'while' }, (same) => same.apply(() => 1));
  expect(await labelOf(temporary)).toBe('while');
  const later = view.tempFlags({ label: 'promise' }, async () => {
    await Promise.resolve();
    return view.apply(() => 1);
  });
  expect(view.label).toBe('promise');
  expect(await labelOf(await later)).toBe('promise');
  expect(view.label).toBe('view');
  expect(await labelOf(view.map((n: number) => n, [1], { label: 'map' }))).toBe('map');
  expect(await labelOf(view.remote(() => 1, { label: 'remote' })())).toBe('remote');
  expect(view.setFlags({ label: undefined }).label).toBeUndefined();
  expect(() => view.setFlags({ lable: 'x' } as object)).toThrow(/no flag "lable", did you mean "label"/);
  expect(() => view.setFlags({ retries: -1 })).toThrow(/retries must be an integer/);
  expect(() => view.setFlags({ after: 5 as unknown as string })).toThrow(/named by its msg_id/);
});

test('retries, after, follow, timeout and targets apply to load-balanced work', async () => {
  const pids = await value(dv.apply(() => process.pid));
  // Each attempt runs on another engine.
  const picky = (good: number | undefined) => {
    if (process.pid !== good) throw new Error('not here');
    return good;
  };
  expect(await value(lv.with({ retries: 4 }).apply(picky, pids[1]))).toBe(pids[1]);
  expect(await value(lv.with({ targets: -1 }).apply(picky, pids[2]))).toBe(pids[2]);
  await expect(value(lv.with({ retries: 4, targets: [0, 1] }).apply(picky, pids[2]))).rejects.toThrow(
    /not here/,
  );

  const where = () => process.pid;
  const first = lv.apply(where);
  const follower = lv.with({ follow: first }).apply(where);
  expect(await value(follower)).toBe(await value(first));
  const slow = lv.apply(async () => {
    await new Promise((resolve) => setTimeout(resolve, 200));
    return Date.now();
  });
  const after = lv.with({ after: [slow] }).apply(() => Date.now());
  expect(await value(after)).toBeGreaterThanOrEqual(await value(slow));

  const onLast = depend((pid: number | undefined) => process.pid === pid, pids[2])(() => process.pid);
  for (let i = 0; i < 4; i++) expect(await value(lv.apply(onLast))).toBe(pids[2]);
  await expect(value(lv.apply(depend(() => false)(where)))).rejects.toBeInstanceOf(RemoteError);
  expect(await value(lv.apply(requireModules('node:path')(where)))).toBeGreaterThan(0);
  await expect(value(lv.apply(requireModules('there-is-no-such-package')(where)))).rejects.toThrow();

  const failing = lv.apply(() => {
    throw new Error('on purpose');
  });
  await expect(value(lv.with({ after: failing }).apply(where))).rejects.toMatchObject({
    ename: 'ImpossibleDependency',
  });
  const whenFailed = dependency([failing], { success: false, failure: true });
  expect(await value(lv.with({ after: whenFailed }).apply(() => 'cleaned up'))).toBe('cleaned up');
  const never = lv.with({ targets: 0 }).apply(() => new Promise(() => undefined));
  const impatient = lv.with({ after: never, timeout: 200, targets: [1, 2] }).apply(where);
  await expect(value(impatient)).rejects.toMatchObject({ ename: 'TaskTimeout' });
  await begun(never);
  await rc.sendSignal('SIGINT', { targets: 0, ...waitOptions });
  await expect(value(never)).rejects.toMatchObject({ ename: 'KeyboardInterrupt' });
});

test('broadcast views run work on all engines, with single and coalesced replies', async () => {
  expect(await value(bv.apply((n: number) => n + 1, 1))).toEqual([2, 2, 2]);
  const pids = await value(dv.apply(() => process.pid));
  expect(await value(bv.apply(() => process.pid))).toEqual(pids);
  const coalescing = rc.broadcastView([2, 0, 1], { coalescing: true });
  expect(coalescing.isCoalescing).toBe(true);
  const ar = coalescing.apply(() => [process.pid, new Uint8Array(2_000_000)] as const);
  const gathered = await value(ar);
  expect(gathered.map(([pid]) => pid)).toEqual([pids[2], pids[0], pids[1]]);
  expect(gathered.map(([, bytes]) => bytes.length)).toEqual([2_000_000, 2_000_000, 2_000_000]);
  expect(ar.statuses).toEqual(['completed', 'completed', 'completed']);
  const replies = await value(coalescing.execute('console.log(process.pid)'));
  expect(replies.map(({ stdout }) => Number(stdout))).toEqual([pids[2], pids[0], pids[1]]);
  await value(coalescing.push({ cast: 1 }));
  expect(await value(coalescing.pull('cast'))).toEqual([1, 1, 1]);
  const [, one] = pids;
  const failing = coalescing.apply((pid: number | undefined) => {
    if (process.pid === pid) throw new RangeError('just me');
  }, one);
  await expect(value(failing)).rejects.toThrow(/just me/);
  expect(await value(rc.broadcastView(1, { coalescing: true }).apply(() => process.pid))).toBe(one);
});

test('imap reads its source as results are consumed, in order or as completed', async () => {
  let read = 0;
  let closed = false;
  function* endless() {
    try {
      for (;;) yield read++;
    } finally {
      closed = true;
    }
  }
  const taken: number[] = [];
  for await (const square of lv.imap((n: number) => n * n, endless(), { maxOutstanding: 2 })) {
    taken.push(square);
    if (taken.length === 20) break;
  }
  expect(taken).toEqual(Array.from({ length: 20 }, (_, i) => i * i));
  expect(closed).toBe(true);
  expect(read).toBeLessThan(40);

  // The first element ends when its gate opens, and the others at once.
  async function* elements(gate: Gate) {
    yield* [gate.path, 'b', 'c', 'd'];
  }
  const untilGone = async (path: string) => {
    const { existsSync } = process.getBuiltinModule('node:fs');
    while (existsSync(path)) await new Promise((resolve) => setTimeout(resolve, 10));
    return path;
  };
  const collect = async <T>(map: AsyncIterable<T>) => {
    const all: T[] = [];
    for await (const each of map) all.push(each);
    return all;
  };
  using first = new Gate();
  const own = rc.loadBalancedView();
  const inOrder = collect(own.imap(untilGone, elements(first)));
  await waitFor(() => own.history.length > 2 && own.outstanding.length === 1, {
    what: 'all tasks except the first to end',
  });
  first.open();
  expect(await inOrder).toEqual([first.path, 'b', 'c', 'd']);
  using last = new Gate();
  const asTheyCome: string[] = [];
  for await (const path of lv.imap(untilGone, elements(last), { ordered: false })) {
    asTheyCome.push(path);
    if (asTheyCome.length === 3) last.open();
  }
  expect(asTheyCome).toHaveLength(4);
  expect(asTheyCome.at(-1)).toBe(last.path);
  expect(await collect(dv.imap((n: number) => n + 1, [1, 2, 3, 4, 5], { chunksize: 2 }))).toEqual([
    2, 3, 4, 5, 6,
  ]);
  expect(await collect(lv.imap((n: number) => n, [], { maxOutstanding: 0 }))).toEqual([]);
  const many = Array.from({ length: 300 }, (_, i) => i);
  expect(await collect(lv.imap((n: number) => n, many, { maxOutstanding: 0, chunksize: 7 }))).toEqual(many);
});

test('imap ends cleanly after a failure', async () => {
  const fail = (n: number) => {
    if (n === 2) throw new RangeError('two');
    return n;
  };
  const map = lv.imap(fail, [1, 2, 3]);
  expect(await map.next()).toEqual({ done: false, value: 1 });
  await expect(map.next()).rejects.toThrow(/two/);
  expect(await map.next()).toEqual({ done: true, value: undefined });
  const kept: unknown[] = [];
  for await (const each of lv.imap(fail, [1, 2, 3], { returnExceptions: true })) kept.push(each);
  expect([kept[0], kept[2]]).toEqual([1, 3]);
  expect(kept[1]).toBeInstanceOf(RemoteError);

  async function* broken() {
    yield 1;
    throw new Error('the source broke');
  }
  const half = lv.imap((n: number) => n, broken());
  expect(await half.next()).toEqual({ done: false, value: 1 });
  await expect(half.next()).rejects.toThrow('the source broke');

  const stop = new AbortController();
  const forever = lv.imap(() => new Promise(() => undefined), [1, 2, 3, 4, 5, 6, 7, 8], {
    signal: stop.signal,
    label: 'stuck',
  });
  const waiting = forever.next();
  await waitFor(() => lv.outstanding.length === 3);
  stop.abort(new Error('enough'));
  await expect(waiting).rejects.toThrow('enough');
  // Tasks that had not begun fail with the next error.
  await waitFor(
    async () => {
      await rc.sendSignal('SIGINT', waitOptions);
      return await lv.wait(undefined, { timeout: 200 });
    },
    { timeout: 60_000, what: 'the stuck tasks to end' },
  );

  const cancelled = lv.imap((n: number) => n, [1, 2, 3, 4, 5, 6, 7, 8], { maxOutstanding: 1 });
  expect(await cancelled.next()).toMatchObject({ value: 1 });
  cancelled.cancel();
  const rest: number[] = [];
  for await (const each of cancelled) rest.push(each);
  expect(rest.length).toBeLessThan(5);
});

test('remote functions, parallel functions and the executor run work', async () => {
  const remote = lv.remote((a: number, b: number) => a * b);
  expect(await value(remote(6, 7))).toBe(42);
  const sum = dv.parallel((part: number[]) => [part.reduce((a, b) => a + b, 0)]);
  expect(await value(sum([1, 2, 3, 4, 5, 6]))).toEqual([3, 7, 11]);
  const twice = lv.parallel((part: number[]) => part.map((n) => n * 2), { chunksize: 2 });
  expect(await value(twice([1, 2, 3]))).toEqual([2, 4, 6]);
  expect(() => (sum as (...a: number[][]) => unknown)([1], [1, 2])).toThrow(/must have the same length/);
  const executor = rc.executor();
  expect(await value(executor.submit((n: number) => n + 1, 1))).toBe(2);
  const mapped: number[] = [];
  for await (const each of executor.map((n: number) => n + 1, [1, 2])) mapped.push(each);
  expect(mapped).toEqual([2, 3]);
  await executor.shutdown(waitOptions);
});

test('a view has the history and the outstanding tasks of its own work, and acts on them', async () => {
  const view = rc.directView(0);
  const busy = view.execute('await new Promise(() => {})', { silent: true });
  const waiting = view.apply(() => 1);
  expect(view.history).toEqual([...busy.msgIds, ...waiting.msgIds]);
  expect(view.outstanding).toEqual(view.history);
  expect(await view.wait(undefined, { timeout: 50 })).toBe(false);
  await waitFor(async () => (await view.queueStatus(waitOptions)).queue === 2);
  await view.abort(-1, waitOptions);
  await expect(value(view.getResult())).rejects.toMatchObject({ code: 'TASK_ABORTED' });
  await begun(busy);
  await rc.sendSignal('SIGINT', { targets: 0, ...waitOptions });
  expect(await view.wait(0, waitOptions)).toBe(true);
  await waitFor(() => view.outstanding.length === 0);
  expect(() => view.getResult(9)).toThrow('the view has no task at position 9; it has 2 in its history');
  await view.purgeResults([0], waitOptions);
  expect(await rc.dbQuery({ msg_id: busy.msgIds[0] ?? '' }, ['msg_id'])).toEqual([]);
});

test('a large map does not block the event loop, and all its tasks exist at once', async () => {
  const count = 1_000;
  let longest = 0;
  let before = performance.now();
  const timer = setInterval(() => {
    longest = Math.max(longest, performance.now() - before);
    before = performance.now();
  }, 1);
  const ar = lv.map(
    (n: number) => n + 1,
    Array.from({ length: count }, (_, i) => i),
  );
  expect(ar.msgIds).toHaveLength(count);
  const list = await value(ar);
  clearInterval(timer);
  expect([list.length, list[0], list.at(-1)]).toEqual([count, 1, count]);
  expect(longest).toBeLessThan(5_000);
});

test('a view sends no unsupported options to a scheduler with the scheme pure', async () => {
  const own = await TestController.start({ taskScheme: 'pure' });
  const client = await Client.connect({ connectionFile: own.controller.clientFile, ...waitOptions });
  try {
    await own.engine();
    await client.waitForEngines(1, waitOptions);
    const view = client.loadBalancedView();
    expect(() => view.with({ retries: 1, targets: 0 }).apply(() => 1)).toThrow(
      /pure scheme, which supports no retries, targets/,
    );
    expect(() => view.with({ after: 'x', timeout: 5 }).map((n: number) => n, [1])).toThrow(
      /no after, dependencyTimeout/,
    );
    expect(view.history).toEqual([]);
  } finally {
    await client.close();
    await own.stop();
  }
});

test('the death of an engine fails the whole coalescing broadcast', async () => {
  const own = await TestController.start();
  const args = ['--file', own.controller.engineFile];
  const mine = await Promise.all([EngineProcess.start({ args }), EngineProcess.start({ args })]);
  const client = await Client.connect({ connectionFile: own.controller.clientFile, ...waitOptions });
  try {
    await client.waitForEngines(2, waitOptions);
    const ar = client.broadcastView('all', { coalescing: true }).apply(() => new Promise(() => undefined));
    await waitFor(() => ar.metadata.every(({ begun }) => begun !== null));
    mine[1]?.child.kill('SIGKILL');
    await expect(value(ar)).rejects.toMatchObject({ code: 'ENGINE_DIED' });
    expect(ar.statuses).toEqual(['failed', 'failed']);
  } finally {
    await client.close();
    await Promise.all(mine.map((engine) => engine[Symbol.asyncDispose]()));
    await own.stop();
  }
});

test('shutdown ends one engine, or all engines and the controller', async () => {
  const own = await TestController.start();
  const args = ['--file', own.controller.engineFile];
  const mine = await Promise.all([EngineProcess.start({ args }), EngineProcess.start({ args })]);
  const client = await Client.connect({ connectionFile: own.controller.clientFile, ...waitOptions });
  try {
    await client.waitForEngines(2, waitOptions);
    await client.shutdown({ targets: 0, ...waitOptions });
    await waitFor(() => client.ids.length === 1);
    await client.shutdown({ hub: true, ...waitOptions });
    await own.controller.closed;
    await expect(Promise.all(mine.map(({ exited }) => exited))).resolves.toEqual([0, 0]);
  } finally {
    await client.close();
    await Promise.all(mine.map((engine) => engine[Symbol.asyncDispose]()));
    await own.stop();
  }
});
