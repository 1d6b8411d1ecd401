// Views of Python engines with stock controllers and with ours.
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type AsyncResult,
  Client,
  depend,
  dependency,
  kwargs,
  NdArray,
  py,
  RemoteError,
  ref,
  requireModules,
} from '@ipyparallel-js/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { EngineProcess } from '../support/clusters/engine-process.js';
import { OurController } from '../support/clusters/our-controller.js';
import { StockCluster, type StockVersion } from '../support/clusters/stock-cluster.js';
import { Gate } from '../support/gate.js';
import { describeStock } from '../support/python/describe-stock.js';
import { waitFor } from '../support/wait-for.js';

const wait = { timeout: 60_000 };
const value = <T, E, P>(ar: AsyncResult<T, E, P>): Promise<T> => ar.get(wait);

function suite(controller: 'stock' | 'ours', version: StockVersion): void {
  describeStock(version, `${controller} controller, engines of ${version}`, () => {
    let cluster: StockCluster | OurController;
    let rc: Client;

    beforeAll(async () => {
      cluster =
        controller === 'stock'
          ? await StockCluster.start({ version, engines: 3 })
          : await OurController.start({ version, engines: 3 });
      rc = await Client.connect({ connectionFile: cluster.connectionFile, ...wait });
      await rc.waitForEngines(3, wait);
    }, 120_000);

    afterAll(async () => {
      await rc?.close();
      await cluster?.stop();
    });

    test('apply accepts keyword arguments, references and names', async () => {
      const dv = rc.directView();
      expect(await value(dv.apply(py`lambda a, b=1: a * b`, 3, kwargs({ b: 4 })))).toEqual([12, 12, 12]);
      expect(await dv.with({ targets: -1 }).applySync(py('math.factorial'), 5)).toBe(120);
      await value(dv.push({ x: 20 }));
      expect(await value(dv.apply(py`lambda a: a + 1`, ref('x')))).toEqual([21, 21, 21]);
      expect(await rc.loadBalancedView().applySync(py`lambda: x`)).toBe(20);
      await expect(dv.applySync(py`lambda: 1/0`)).rejects.toMatchObject({ errors: [{}, {}, {}] });
    });

    test('execute, run, push, pull and clear work on Python engines', async () => {
      const one = rc.directView(0);
      const file = join(cluster.directory, 'work.py');
      writeFileSync(file, 'import sys\nfrom_file = 7\nprint("ran")\nfrom_file * 6');
      expect(await value(one.run(file))).toMatchObject({ text: '42', stdout: 'ran\n' });
      await value(one.update({ word: 'hé', numbers: [1, 2, 3], box: new Map([['a', 1]]) }));
      expect(await value(one.pull(['word', 'numbers[-1]', 'box', 'from_file']))).toEqual([
        'hé',
        3,
        { a: 1 },
        7,
      ]);
      await value(one.execute('class Thing: pass\nthing = Thing()', { silent: true }));
      await value(one.push({ 'thing.size': 5 }));
      expect(await one.get('thing.size')).toBe(5);
      expect(await one.get('sorted(k for k in globals() if "value" in k)')).toEqual([]);
      await expect(one.get('nothing')).rejects.toMatchObject({ ename: 'NameError' });
      await rc.directView().clear(wait);
      await expect(one.get('from_file')).rejects.toMatchObject({ ename: 'NameError' });
    });

    test('scatter and gather distribute lists and typed arrays', async () => {
      const dv = rc.directView();
      const list = ['a', 'b', 'c', 'd'];
      await value(dv.scatter('part', list));
      expect(await value(dv.pull('part'))).toEqual([['a', 'b'], ['c'], ['d']]);
      expect(await value(dv.gather('part'))).toEqual(list);
      await value(dv.scatter('dealt', list, { dist: 'roundRobin' }));
      expect(await value(dv.pull('dealt'))).toEqual([['a', 'd'], ['b'], ['c']]);
      expect(await value(dv.gather('dealt', { dist: 'roundRobin' }))).toEqual(list);
      await value(dv.scatter('numbers', Float64Array.of(1, 2, 3, 4)));
      expect(await value(dv.apply(py`lambda: (type(numbers).__name__, float(numbers.sum()))`))).toEqual([
        ['ndarray', 3],
        ['ndarray', 3],
        ['ndarray', 4],
      ]);
      expect(await value(dv.gather('numbers'))).toEqual(new NdArray(Float64Array.of(1, 2, 3, 4)));
      const rows = new NdArray(Int32Array.of(1, 2, 3, 4, 5, 6), { shape: [3, 2] });
      await value(dv.scatter('rows', rows, { flatten: true }));
      expect(await value(dv.apply(py`lambda: rows.tolist()`))).toEqual([
        [1, 2],
        [3, 4],
        [5, 6],
      ]);
      await value(dv.scatter('rows', rows, { dist: 'roundRobin' }));
      expect(await value(dv.gather('rows'))).toEqual(rows);
      // Names of the user must not hide builtins that the client uses.
      await value(dv.push({ list: 1, map: 2, eval: 3, globals: 4, isinstance: 5, str: 6, exec: 7 }));
      expect(await value(dv.pull(['list', 'exec']))).toEqual(Array(3).fill([1, 7]));
      expect(await value(dv.map(py`lambda n: n`, [1, 2]))).toEqual([1, 2]);
      await dv.clear(wait);
    });

    test('map works directly, load-balanced and lazily', async () => {
      const numbers = Array.from({ length: 20 }, (_, i) => i);
      const squares = numbers.map((n) => n * n);
      const square = py<number>`lambda n: n * n`;
      const lv = rc.loadBalancedView();
      expect(await value(rc.directView().map(square, numbers))).toEqual(squares);
      expect(await value(lv.map(square, numbers, { chunksize: 6 }))).toEqual(squares);
      expect(await lv.mapSync(py`lambda a, b: b * a`, [1, 2, 3], ['x', 'y', 'z'])).toEqual([
        'x',
        'yy',
        'zzz',
      ]);
      const mixed: unknown[] = await value(
        lv.map(py`lambda n: 6 // n`, [1, 0, 3], { returnExceptions: true }),
      );
      expect([mixed[0], mixed[2]]).toEqual([6, 2]);
      expect(mixed[1]).toBeInstanceOf(RemoteError);
      const lazy: number[] = [];
      for await (const each of lv.imap(square, numbers, { maxOutstanding: 4, chunksize: 3 })) lazy.push(each);
      expect(lazy).toEqual(squares);
      const parts = rc.directView().parallel(py<number[]>`lambda part: [sum(part)]`);
      expect(await value(parts([1, 2, 3, 4]))).toEqual([3, 3, 4]);
    });

    test('dependencies and retries apply to load-balanced work', async () => {
      const lv = rc.loadBalancedView();
      const where = py<number>('os.getpid');
      const first = lv.apply(where);
      expect(await value(lv.with({ follow: first }).apply(where))).toBe(await value(first));
      const slow = lv.apply(py<number>`
        def slow():
            import time
            time.sleep(0.3)
            return time.time()
      `);
      const after = lv.with({ after: [slow] }).apply(py<number>('time.time'));
      expect(await value(after)).toBeGreaterThanOrEqual(await value(slow));
      const failed = lv.apply(py`lambda: 1/0`);
      await expect(value(lv.with({ after: failed }).apply(where))).rejects.toMatchObject({
        ename: 'ImpossibleDependency',
      });
      const either = dependency([failed], { failure: true });
      expect(await value(lv.with({ after: either }).apply(py`lambda: 'done'`))).toBe('done');
      const pids = await value(rc.directView().apply(where));
      expect(await value(lv.with({ targets: [-1] }).apply(where))).toBe(pids[2]);
      const picky = py`
        def picky(good):
            import os
            assert os.getpid() == good
            return good
      `;
      expect(await value(lv.with({ retries: 5 }).apply(picky, pids[1]))).toBe(pids[1]);
      await value(rc.directView(1).push({ marked: true }));
      const onMarked = depend(py`lambda: 'marked' in globals()`)(where);
      for (let i = 0; i < 4; i++) expect(await value(lv.apply(onMarked))).toBe(pids[1]);
      const nowhere = depend(py`lambda: False`)(where);
      // A stock scheduler queues such a task until an engine registers.
      if (controller === 'ours') await expect(value(lv.apply(nowhere))).rejects.toBeInstanceOf(RemoteError);
      expect(await value(lv.apply(requireModules('string', 'os.path')(py`lambda: string.digits`)))).toBe(
        '0123456789',
      );
    });

    test('broadcasts return single and coalesced replies', async () => {
      const pids = await value(rc.directView().apply(py<number>('os.getpid')));
      const plain = rc.broadcastView();
      expect(await value(plain.apply(py('os.getpid')))).toEqual(pids);
      expect((await value(plain.execute('print(6 * 7)'))).map(({ stdout }) => stdout)).toEqual(
        Array(3).fill('42\n'),
      );
      const coalescing = rc.broadcastView([2, 0, 1], { coalescing: true });
      expect(await value(coalescing.apply(py('os.getpid')))).toEqual([pids[2], pids[0], pids[1]]);
      const big = await value(coalescing.apply(py<Uint8Array>`lambda: bytes(2000000)`));
      expect(big.map(({ length }) => length)).toEqual([2_000_000, 2_000_000, 2_000_000]);
      await value(coalescing.push({ cast: [1] }));
      expect(await value(coalescing.pull('cast'))).toEqual([[1], [1], [1]]);
      const onOne = py`
        def fail_on(pid):
            import os
            assert os.getpid() != pid
      `;
      for (const pid of pids) await expect(value(coalescing.apply(onOne, pid))).rejects.toThrow();
      expect(await value(plain.map(py`lambda n: n + 1`, [1, 2, 3, 4]))).toEqual([2, 3, 4, 5]);
    });

    test('engines receive signals, aborts and a shutdown', async () => {
      const one = rc.directView(0);
      using ready = new Gate();
      const sleeping = one.apply(
        py(`
        def sleep():
            import os, signal, time
            def stop(*ignored):
                raise KeyboardInterrupt('stop')
            signal.signal(signal.SIGUSR1, stop)
            os.remove(${JSON.stringify(ready.path)})
            time.sleep(600)
      `),
      );
      const waiting = one.apply(py`lambda: 1`);
      // The signal would end the engine before the task handles it.
      await waitFor(() => !existsSync(ready.path), { what: 'the task to be ready for a signal' });
      // An engine of 7.1 replies when its only thread is idle.
      if (version !== '7.1') await one.abort(waiting, wait);
      await rc.sendSignal('SIGUSR1', { targets: 0, ...wait });
      await expect(value(sleeping)).rejects.toMatchObject({ ename: 'KeyboardInterrupt' });
      using gate = new Gate();
      const more = one.apply(py(gate.pythonFunction));
      await waitFor(() => more.metadata[0]?.begun !== null);
      const last = one.apply(py`lambda: 2`);
      const aborting = rc.abort('all', { targets: 0, ...wait });
      // An engine of 7.1 replies after the task.
      if (version === '7.1') gate.open();
      await aborting;
      gate.open();
      expect(await value(more)).toBe(null);
      if (version !== '7.1') await expect(value(last)).rejects.toMatchObject({ code: 'TASK_ABORTED' });
      if (version === '7.1') expect(await value(waiting)).toBe(1);
      else await expect(value(waiting)).rejects.toMatchObject({ code: 'TASK_ABORTED' });
      await rc.directView(-1).shutdown(wait);
      await waitFor(() => rc.ids.length === 2, { timeout: 60_000 });
    });
  });
}

suite('stock', '9');
suite('stock', '7.1');
suite('ours', '9');

describeStock('9', 'a cluster of both languages', () => {
  test('each engine receives names in its language, and work is sent to engines that can run it', async () => {
    await using cluster = await OurController.start({ version: '9', engines: 1 });
    const file = join(cluster.directory, 'profile', 'security', 'ipcontroller-engine.json');
    await using rc = await Client.connect({ connectionFile: cluster.connectionFile, ...wait });
    await rc.waitForEngines(1, wait);
    await using _engine = await EngineProcess.start({ args: ['--file', file] });
    await rc.waitForEngines(2, wait);
    const dv = rc.directView();
    await value(dv.push({ n: 6, list: [1, 2] }));
    expect(await value(dv.pull(['n * 7', 'list']))).toEqual([
      [42, [1, 2]],
      [42, [1, 2]],
    ]);
    await value(dv.scatter('part', [1, 2, 3]));
    expect(await value(dv.gather('part'))).toEqual([1, 2, 3]);
    const lv = rc.loadBalancedView();
    expect(await value(lv.map(py`lambda n: n + 1`, [1, 2, 3]))).toEqual([2, 3, 4]);
    expect(await value(lv.map((n: number) => n + 1, [1, 2, 3]))).toEqual([2, 3, 4]);
    await expect(value(dv.apply(py`lambda: 1`))).rejects.toMatchObject({ code: 'LANGUAGE_MISMATCH' });
    await expect(value(dv.execute('1'))).rejects.toMatchObject({ code: 'LANGUAGE_MISMATCH' });
  });
});
