// JavaScript work from our client through our controller to our engines.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Client,
  capture,
  EngineError,
  fromModule,
  type PartialResult,
  RemoteError,
  TaskAbortedError,
} from '@ipyparallel-js/client';
import { Cluster } from '@ipyparallel-js/cluster';
import { lastValueFrom, toArray } from 'rxjs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitFor } from '../support/wait-for.js';

let cluster: Cluster;
let rc: Client;
let directory: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'ippjs-work-'));
  cluster = await Cluster.start({ n: 2 });
  rc = await cluster.connect();
  await rc.waitForEngines(2);
});

afterAll(async () => {
  await rc?.close();
  await cluster?.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** Creates a function from its text, because the test runner does not know the globals of engines. */
function fromText<A extends unknown[], R>(text: string): (...args: A) => R {
  return new Function(`return ${text}`)() as (...args: A) => R;
}

test('captures and modules run in direct and load-balanced tasks, and on all engines', async () => {
  const k = 3;
  const square = (x: number): number => x * x;
  const fn = capture((x: number) => square(x) * k, { square, k });
  expect(await rc.directView([0, 1]).apply(fn, 2).get()).toEqual([12, 12]);
  expect(await rc.loadBalancedView().apply(fn, 3).get()).toBe(27);
  const file = join(directory, 'work.mjs');
  writeFileSync(file, "export const resize = async (name, size) => name + '@' + size;");
  const resize = fromModule<(name: string, size: number) => Promise<string>>(file, 'resize');
  expect(await rc.directView(1).apply(resize, 'cat', 2).get()).toBe('cat@2');
  const failed = rc.directView(0).apply(fromModule(join(directory, 'absent.mjs'), 'x'));
  await expect(failed.get()).rejects.toThrow(/ModuleNotFoundError: .* cannot read .*absent\.mjs/);
});

test('a map runs captured functions and generators', async () => {
  const k = 10;
  const scaled = capture((x: number) => x * k, { k });
  expect(await rc.loadBalancedView().map(scaled, [1, 2, 3], { chunksize: 2 }).get()).toEqual([10, 20, 30]);
  function* upTo(n: number): Generator<number, void> {
    for (let i = 0; i < n; i++) yield i;
  }
  const lists: number[][] = await rc.directView('all').map(upTo, [1, 3]).get();
  expect(lists).toEqual([[0], [0, 1, 2]]);
});

test('data, progress and yielded values reach the client while the task runs', async () => {
  const source = `async function* (n) {
    const { task } = ipyparallel;
    for (let i = 0; i < n; i++) { task.progress(i / n); yield { i }; }
    task.publish({ big: new Float64Array(20000).fill(0.5) });
    await new Promise((r) => task.signal.onabort = r);
    task.progress(1);
  }`;
  const ar = rc.directView(0).apply(fromText<[number], AsyncGenerator<{ i: number }>>(source), 300);
  const all: Promise<PartialResult<{ i: number }>[]> = lastValueFrom(
    ar.partials<{ i: number }>().pipe(toArray()),
  );
  await waitFor(() => ar.data[0]?.big !== undefined);
  expect(ar.data[0]?.progress).toBe(299 / 300);
  expect(ar.data[0]?.big).toEqual(new Float64Array(20_000).fill(0.5));
  await rc.abort(ar.msgIds);
  // An abort ends a generator only between two values, so this generator runs to its end.
  const expected = Array.from({ length: 300 }, (_, i) => ({ i }));
  expect(await ar.get()).toEqual(expected);
  await ar.waitForOutput();
  expect(ar.data[0]?.progress).toBe(1);
  expect((await all).map(({ value }) => value)).toEqual(expected);
  expect((await all).at(-1)).toMatchObject({ index: 299, engineId: 0, msgId: ar.msgIds[0] });
});

test('an abort reaches a running task through its signal, and its record is aborted', async () => {
  const ar = rc
    .loadBalancedView()
    .apply(
      fromText<[], Promise<void>>(
        'async () => { ipyparallel.task.publish({ here: 1 }); await require("node:timers/promises").setTimeout(1e6, 0, { signal: ipyparallel.task.signal }) }',
      ),
    );
  await waitFor(() => ar.data[0]?.here === 1);
  await ar.abort();
  await expect(ar.get()).rejects.toThrow(TaskAbortedError);
  await expect(ar.get()).rejects.toThrow(/aborted while it ran/);
  expect(ar.statuses).toEqual(['aborted']);
  const record = await waitFor(async () => {
    const [found] = await rc.dbQuery({ msg_id: ar.msgIds[0] ?? '' });
    return found?.completed == null ? undefined : found;
  });
  expect(record.result_content).toMatchObject({ status: 'aborted' });
});

test('a busy loop does not block its engine’s replies, the hub or other engines, and can be interrupted', async () => {
  const busy = rc.directView(0).apply(fromText<[], void>('() => { for (;;); }'));
  await waitFor(() => busy.metadata[0]?.begun !== null);
  const started = performance.now();
  // The loop runs for longer than several heartbeats.
  while (performance.now() - started < 1_500) {
    expect(
      await rc
        .directView(1)
        .apply((n: number) => n + 1, 1)
        .get(),
    ).toBe(2);
    const status = await rc.queueStatus();
    expect(status.engines[0]).toMatchObject({ queue: 1 });
    await rc.abort(['nobody']);
  }
  expect(rc.ids).toEqual([0, 1]);
  expect(busy.ready).toBe(false);
  await rc.abort(busy.msgIds);
  expect(busy.ready).toBe(false);
  await rc.sendSignal('SIGINT', { targets: 0 });
  await expect(busy.get()).rejects.toThrow(TaskAbortedError);
  const again = rc.directView(0).apply(fromText<[], void>('() => { for (;;); }'));
  await waitFor(() => again.metadata[0]?.begun !== null);
  await rc.sendSignal('SIGINT', { targets: 0 });
  await expect(again.get()).rejects.toThrow(RemoteError);
  await expect(again.get()).rejects.toThrow(/KeyboardInterrupt/);
});

test('an interrupt that arrives at the kernel before a large task ends that task', async () => {
  const large = new Uint8Array(40_000_000);
  const ar = rc
    .directView(0)
    .apply(fromText<[Uint8Array], Promise<void>>('() => new Promise(() => undefined)'), large);
  await waitFor(() => ar.metadata[0]?.begun !== null, { interval: 1 });
  await rc.sendSignal('SIGINT', { targets: 0 });
  await expect(ar.get({ timeout: 30_000 })).rejects.toMatchObject({ ename: 'KeyboardInterrupt' });
});

test('a task that exits its process fails with the reason; the other engine continues', async () => {
  const exits = rc.directView(1).apply(() => {
    process.exit(7);
  });
  await expect(exits.get()).rejects.toThrow(EngineError);
  await expect(exits.get()).rejects.toThrow(/exited with code 7/);
  await waitFor(() => rc.ids.length === 1);
  expect(
    await rc
      .loadBalancedView()
      .apply(() => 'on')
      .get(),
  ).toBe('on');
});
