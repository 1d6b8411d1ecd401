// Scenarios of ipyparallel's test_view.py on direct views and, like test_view_broadcast.py, on coalescing broadcasts.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  AsyncMapResult,
  type AsyncResult,
  type Client,
  CompositeError,
  type DirectView,
  kwargs,
  NdArray,
  OpaqueValue,
  py,
  RemoteError,
  ref,
  Series,
  StructuredArray,
  TaskAbortedError,
  tuple,
} from '@ipyparallel-js/client';
import { describe, expect, test } from 'vitest';
import { Gate } from '../../gate.js';
import { waitFor } from '../../wait-for.js';
import { abortBehind } from './abort-behind.js';
import type { ScenarioCluster } from './scenario-cluster.js';

const RESULT_TIMEOUT = { timeout: 60_000 };
const echo = py`lambda x: x`;
const square = py<number>`lambda x: x ** 2`;

type Many = DirectView<'all' | readonly number[]>;

function range(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i);
}

/** The Python name of the error on an engine, or of the first of several. */
async function enameOf(wait: PromiseLike<unknown>): Promise<string> {
  const error = await wait.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  const cause = error instanceof CompositeError ? error.errors[0] : error;
  return cause instanceof RemoteError ? cause.ename : String(error);
}

/** Scenarios that need several engines, on a view of all of them. */
function manyScenarios(
  cluster: () => ScenarioCluster,
  viewOf: (rc: Client) => Many,
  coalescing = false,
): void {
  const rc = (): Client => cluster().rc;
  const all = (): Many => viewOf(rc());
  const each = <V>(value: V): V[] => rc().ids.map(() => value);

  test('test_push_pull: names on every engine', async () => {
    const data = { a: 10, b: 1.05, c: range(10), d: { e: tuple(1, 2), f: 'hi' } };
    const read = { ...data, d: { e: [1, 2], f: 'hi' } };
    await all().push({ data }).get(RESULT_TIMEOUT);
    expect(await all().pull('data').get(RESULT_TIMEOUT)).toEqual(each(read));
    await all().push({ a: 10, b: 20 }).get(RESULT_TIMEOUT);
    expect(await all().pull(['a', 'b']).get(RESULT_TIMEOUT)).toEqual(each([10, 20]));
  });

  test('test_scatter_gather, test_scatter_gather_lazy, test_scatter_gather_nonblocking', async () => {
    const view = all();
    await view.scatter('a', range(16)).get(RESULT_TIMEOUT);
    expect(await view.gather('a').get(RESULT_TIMEOUT)).toEqual(range(16));
    expect(view.gather('a')).toBeInstanceOf(AsyncMapResult);
    expect(await enameOf(view.gather('asdf').get(RESULT_TIMEOUT))).toBe('NameError');
  });

  test('test_map, test_map_empty_sequence, test_map_iterable', async () => {
    const ar = all().map(square, range(16));
    expect(ar.length).toBe(16);
    expect(await ar.get(RESULT_TIMEOUT)).toEqual(range(16).map((n) => n ** 2));
    expect(await all().mapSync(echo, [])).toEqual([]);
    // 101 is prime, so it cannot be evenly distributed.
    expect(await all().mapSync(echo, range(101).values())).toEqual(range(101));
  });

  test('test_execute, test_execute_result, test_execute_silent', async () => {
    const done = all().execute('c=30');
    expect(await done.get(RESULT_TIMEOUT)).toHaveLength(rc().ids.length);
    expect(await all().get('c')).toEqual(each(30));
    const shown = await all().execute('5').get(RESULT_TIMEOUT);
    expect(shown.map(({ data }) => data)).toEqual(each({ 'text/plain': '5' }));
    const silent = await all().execute('5', { silent: true }).get(RESULT_TIMEOUT);
    expect(silent.map(({ text }) => text)).toEqual(each(null));
  });

  test('test_execute_magic: IPython’s commands run on engines', async () => {
    await all().execute('whos_finds_me = 5').get(RESULT_TIMEOUT);
    for (const { stdout } of await all().execute('%whos').get(RESULT_TIMEOUT)) {
      expect(stdout).toMatch(/^whos_finds_me\s+int\s+5$/m);
    }
  });

  test('test_execute_displaypub, test_apply_displaypub: displayed output belongs to its task', async () => {
    const expected = each(range(5).map((n) => ({ 'text/plain': String(n) })));
    const mimes = (ar: { readonly outputs: readonly (readonly { readonly data?: unknown }[])[] }): unknown =>
      ar.outputs.map((outputs) => outputs.map(({ data }) => data));
    const direct = rc().directView('all');
    await direct.execute('from IPython.display import *').get(RESULT_TIMEOUT);
    const executed = direct.execute('[ display(i) for i in range(5) ]', { silent: true });
    await executed.get(RESULT_TIMEOUT);
    expect(await executed.waitForOutput(RESULT_TIMEOUT)).toBe(true);
    expect(mimes(executed)).toEqual(expected);
    const applied = direct.apply(py`lambda: [display(i) for i in range(5)] and None`);
    await applied.get(RESULT_TIMEOUT);
    expect(await applied.waitForOutput(RESULT_TIMEOUT)).toBe(true);
    expect(mimes(applied)).toEqual(expected);
  });

  test('test_map_reference, test_apply_reference, test_map_ref: names of the engine as functions and arguments', async () => {
    const { ids } = rc();
    await all()
      .scatter('n', [...ids], { flatten: true })
      .get(RESULT_TIMEOUT);
    await all().execute('f = lambda x, y: x * y\ng = lambda x: n * x').get(RESULT_TIMEOUT);
    const down = range(10).reverse();
    expect(await all().map(ref('f'), down, range(10)).get(RESULT_TIMEOUT)).toEqual(down.map((m, n) => m * n));
    expect(await all().apply(ref('g'), 5).get(RESULT_TIMEOUT)).toEqual(ids.map((id) => 5 * id));
    expect(
      await all()
        .map(py`lambda x: x * 2`, each(ref('n')))
        .get(RESULT_TIMEOUT),
    ).toEqual(ids.map((id) => id * 2));
  });

  test('test_len', () => {
    expect(all().length).toBe(rc().ids.length);
    expect(rc().directView(-1).length).toBe(1);
    expect(rc().directView(rc().ids.slice(0, 1)).length).toBe(1);
    expect(rc().loadBalancedView().length).toBe(rc().ids.length);
  });

  test('test_compositeerror_render_exception, test_compositeerror_truncate: one error lists all', async () => {
    const error: unknown = await all()
      .apply(py`lambda: 1 / 0`)
      .get(RESULT_TIMEOUT)
      .catch((caught: unknown) => caught);
    // A coalescing broadcast fails as a whole.
    const errors = error instanceof CompositeError ? error.errors : [error];
    expect(errors).toHaveLength(coalescing ? 1 : rc().ids.length);
    for (const each of errors) expect(each).toMatchObject({ ename: 'ZeroDivisionError' });
    const { message } = error as Error;
    expect(message).toContain('ZeroDivisionError');
    expect(message.length).toBeLessThan(2_000);
    const requests = range(10).map(() => all().execute('1/0'));
    const many: unknown = await rc()
      .getResult(requests)
      .get(RESULT_TIMEOUT)
      .catch((caught: unknown) => caught);
    expect(many).toBeInstanceOf(CompositeError);
    expect((many as CompositeError).errors).toHaveLength(10 * rc().ids.length);
    expect((many as Error).message).toContain('more');
    expect((many as Error).message.length).toBeLessThan(2_000);
  });
}

/** Scenarios with values of several engines, or of numpy and pandas. */
function arrayScenarios(cluster: () => ScenarioCluster): void {
  const one = (): DirectView<number> => cluster().rc.directView(-1);
  const all = (): DirectView<'all'> => cluster().rc.directView('all');
  const listOf = py<number[]>`lambda a: a.tolist()`;

  test('test_scatter_gather_numpy, test_scatter_gather_numpy_nonblocking, test_map_numpy, test_apply_numpy', async () => {
    const whole = new Float64Array(64).map((_, i) => i / 3);
    await all().scatter('a', whole).get(RESULT_TIMEOUT);
    expect((await all().apply(py<string>`lambda: type(a).__name__`).get(RESULT_TIMEOUT))[0]).toBe('ndarray');
    const gathered: unknown = await all().gather('a').get(RESULT_TIMEOUT);
    expect(gathered).toBeInstanceOf(NdArray);
    expect((gathered as NdArray).data).toEqual(whole);
    const doubled = all().map(py<number>`lambda x: x * 2`, whole);
    expect(doubled.length).toBe(whole.length);
    expect(await doubled.get(RESULT_TIMEOUT)).toEqual([...whole].map((x) => x * 2));
    for (const data of [
      new Int32Array(100).map((_, i) => i - 50),
      new Uint8ClampedArray(100).map((_, i) => i),
      new Float32Array(100).map((_, i) => i / 2),
      new Float64Array(100).map((_, i) => i / 3),
    ]) {
      const array = new NdArray(data, { shape: [10, 10] });
      const back = await one().apply(py<NdArray>`lambda x: x.T.copy().T`, array).get(RESULT_TIMEOUT);
      expect(back).toBeInstanceOf(NdArray);
      expect(back.shape).toEqual([10, 10]);
      expect(await one().apply(listOf, back).get(RESULT_TIMEOUT)).toEqual(
        await one().apply(listOf, array).get(RESULT_TIMEOUT),
      );
    }
  });

  test('test_apply_numpy_object_dtype, test_push_pull_recarray: objects unchanged, records field by field', async () => {
    await one()
      .execute(
        'import numpy; A = numpy.array([dict(a=5)]); R = numpy.array([(1, b"hi", 0.5)], [("n", int), ("s", "|S10"), ("f", float)])',
      )
      .get(RESULT_TIMEOUT);
    const [objects, records] = (await one().get(['A', 'R'])) as unknown[];
    expect(objects).toEqual(new NdArray([{ a: 5 }]));
    expect(records).toBeInstanceOf(StructuredArray);
    expect((records as StructuredArray).shape).toEqual([1]);
    await one().push({ again: records }).get(RESULT_TIMEOUT);
    expect(
      await one()
        .apply(py<boolean>`lambda: again.dtype == R.dtype and bool((again == R).all())`)
        .get(RESULT_TIMEOUT),
    ).toBe(true);
    expect(
      await one().apply(py<boolean>`lambda: R.shape == (1,) and R['n'][0] == 1`).get(RESULT_TIMEOUT),
    ).toBe(true);
  });

  test('test_push_pull_timeseries: a series returns as a series', async () => {
    await one().execute('import pandas; ts = pandas.Series(list(range(10)))').get(RESULT_TIMEOUT);
    const series = await one().get<Series>('ts');
    expect(series).toBeInstanceOf(Series);
    await one().push({ again: series }).get(RESULT_TIMEOUT);
    expect(await one().apply(py<boolean>`lambda: bool((again == ts).all())`).get(RESULT_TIMEOUT)).toBe(true);
  });
}

function singleScenarios(cluster: () => ScenarioCluster): void {
  const rc = (): Client => cluster().rc;
  const one = (): DirectView<number> => rc().directView(-1);

  test('test_z_crash_mux: an engine that dies fails its task only', async () => {
    const id = await cluster().startEngine();
    const other = rc().ids[0] ?? -1;
    const view = rc().directView([other, id]);
    await view.scatter('should_crash', [false, true], { flatten: true }).get(RESULT_TIMEOUT);
    const ar = view.apply(py`lambda crash: __import__('os')._exit(1) if crash else 1`, ref('should_crash'));
    const ends = await ar.settled(RESULT_TIMEOUT);
    expect(ends.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    await waitFor(() => !rc().ids.includes(id), { timeout: 60_000, what: 'the engine to be unregistered' });
  });

  test('test_push_pull_function, test_push_function_globals, test_push_function_defaults', async () => {
    await one().push({ testf: py`lambda x: 2.0 * x`, echo10: py`lambda a=10: a` }).get(RESULT_TIMEOUT);
    await one().execute('r = testf(10); b = echo10()').get(RESULT_TIMEOUT);
    expect(await one().get(['r', 'b'])).toEqual([20, 10]);
    expect(await one().apply(ref('testf'), 1).get(RESULT_TIMEOUT)).toBe(2);
    const pulled = await one().get('testf');
    expect(pulled).toBeInstanceOf(OpaqueValue);
    await rc().clear({ targets: [-1], ...RESULT_TIMEOUT });
    await one().push({ geta: py`lambda: a` }).get(RESULT_TIMEOUT);
    expect(await enameOf(one().execute('b = geta()').get(RESULT_TIMEOUT))).toBe('NameError');
    await one().execute('a = 5').get(RESULT_TIMEOUT);
    await one().execute('b = geta()').get(RESULT_TIMEOUT);
    expect(await one().get('b')).toBe(5);
  });

  test('test_get_result: a view gets results of other clients, and its own by index', async () => {
    await using other = await cluster().connect();
    const ar = other.directView(-1).apply(py<number>`lambda: 6 * 7`);
    expect(await ar.get(RESULT_TIMEOUT)).toBe(42);
    expect(
      await one()
        .getResult<number>(ar.msgIds[0] ?? '')
        .get(RESULT_TIMEOUT),
    ).toBe(42);
    const view = one();
    const submitted = view.apply(py<number>`lambda: 3`);
    expect(view.getResult(-1).msgIds).toEqual(submitted.msgIds);
    expect(await submitted.get(RESULT_TIMEOUT)).toBe(3);
  });

  test('test_run_newline: a file without a final newline runs', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'ippjs-run-'));
    try {
      const file = join(directory, 'work.py');
      writeFileSync(file, 'def g():\n    return 5\n    ');
      await one().run(file).get(RESULT_TIMEOUT);
      expect(await one().apply(py<number>`lambda f: f()`, ref('g')).get(RESULT_TIMEOUT)).toBe(5);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test('test_apply_f_kwarg: any keyword argument, f included', async () => {
    const ar = one().apply(py`lambda **kwargs: kwargs`, kwargs({ f: 5 }));
    expect(await ar.get(RESULT_TIMEOUT)).toEqual({ f: 5 });
  });

  test('test_remote_reference, test_eval_reference, test_reference_nameerror', async () => {
    await one()
      .push({ a: 123, g: range(5) })
      .get(RESULT_TIMEOUT);
    expect(await one().apply(echo, ref('a')).get(RESULT_TIMEOUT)).toBe(123);
    expect(await one().apply(echo, ref('g[1]')).get(RESULT_TIMEOUT)).toBe(1);
    expect(await enameOf(one().apply(echo, ref('elvis_has_left')).get(RESULT_TIMEOUT))).toBe('NameError');
  });

  test('test_abort, test_abort_all: tasks queued at the engine never run', async () => {
    const view = one();
    const atGate = async (gate: Gate): Promise<AsyncResult<null>> => {
      const ar = view.apply(py<null>(gate.pythonFunction));
      await waitFor(() => ar.metadata[0]?.begun !== null, { timeout: 30_000, what: 'the first to start' });
      return ar;
    };
    using first = new Gate();
    const begun = await atGate(first);
    const named = [view.apply(py`lambda: 2`), view.apply(py`lambda: 3`)];
    await abortBehind(cluster(), first, Promise.all(named.map((ar) => view.abort(ar, RESULT_TIMEOUT))));
    for (const ar of named) await expect(ar.get(RESULT_TIMEOUT)).rejects.toBeInstanceOf(TaskAbortedError);
    expect(await begun.get(RESULT_TIMEOUT)).toBeNull();
    using second = new Gate();
    await atGate(second);
    const waiting = Array.from({ length: 8 }, (_, i) => view.apply(echo, i));
    await abortBehind(cluster(), second, view.abort(undefined, RESULT_TIMEOUT));
    expect(await view.wait(undefined, RESULT_TIMEOUT)).toBe(true);
    for (const ar of waiting) await expect(ar.get()).rejects.toBeInstanceOf(TaskAbortedError);
  });

  test('test_temp_flags: apply temporarily', async () => {
    const view = one();
    expect(view.label).toBeUndefined();
    view.tempFlags({ label: 'for a while' }, (same) => expect(same.label).toBe('for a while'));
    expect(view.label).toBeUndefined();
    await view.tempFlags({ label: 'until it is done' }, (same) => same.applySync(echo, 1));
    expect(view.label).toBeUndefined();
  });

  test('test_importer, test_sync_imports, test_sync_imports_quiet: later code sees an import by execute', async () => {
    await rc().clear({ targets: [-1], ...RESULT_TIMEOUT });
    await one().execute('import re').get(RESULT_TIMEOUT);
    const found = one().apply(
      py<string[]>`lambda pattern, text: re.findall(pattern, text)`,
      '\\w+',
      'hello world',
    );
    expect(await found.get(RESULT_TIMEOUT)).toEqual(['hello', 'world']);
  });

  test('test_unicode_execute, test_unicode_apply_result, test_unicode_apply_arg', async () => {
    await one().execute("a='é'").get(RESULT_TIMEOUT);
    expect(await one().get('a')).toBe('é');
    expect(await one().apply(py<string>`lambda: 'é'`).get(RESULT_TIMEOUT)).toBe('é');
    const same = py<boolean>`lambda text, check: isinstance(check, bytes) and text.encode('utf8') == check`;
    for (const text of ['é', 'ßø®∫', 'asdf', '😀']) {
      expect(await one().apply(same, text, Buffer.from(text)).get(RESULT_TIMEOUT)).toBe(true);
    }
  });

  test('test_single_engine_map', async () => {
    expect(await one().mapSync(py<number>`lambda x: -1 * x`, range(5))).toEqual(
      range(5).map((n) => -1 * n + 0),
    );
  });

  test('test_execute_reply, test_execute_reply_stdout, test_execute_reply_rich', async () => {
    const reply = await one().execute('print (5)\n5').get(RESULT_TIMEOUT);
    expect(reply).toMatchObject({ text: '5', data: { 'text/plain': '5' }, stdout: '5\n' });
    expect(reply.executionCount).toBeGreaterThan(0);
    await one().execute('from IPython.display import Image, HTML').get(RESULT_TIMEOUT);
    const image = await one().execute("Image(data=b'garbage', format='png', width=10)").get(RESULT_TIMEOUT);
    expect(String(image.data['image/png']).trim()).toBe(Buffer.from('garbage').toString('base64'));
    const html = await one().execute("HTML('<b>bold</b>')").get(RESULT_TIMEOUT);
    expect(html.data['text/html']).toBe('<b>bold</b>');
  });

  test('test_execute_raises, test_remoteerror_render_exception: the message of the engine', async () => {
    const error: unknown = await one()
      .execute('1/0')
      .get(RESULT_TIMEOUT)
      .catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(RemoteError);
    expect(error).toMatchObject({ ename: 'ZeroDivisionError', evalue: 'division by zero' });
    expect((error as RemoteError).traceback.join('\n')).toContain('ZeroDivisionError');
  });

  test('test_func_default_func: a function as the default of another', async () => {
    const bar = py<string>`
      def foo():
          return 'foo'

      def bar(f=foo):
          return f()
    `;
    expect(await one().apply(bar).get(RESULT_TIMEOUT)).toBe('foo');
  });

  test('test_data_pub_single, test_data_pub: the data that a task publishes', async () => {
    const code = 'from ipyparallel.datapub import publish_data\nfor i in range(5): publish_data(dict(i=i))';
    const single = one().execute(code);
    expect(single.data).toEqual([{}]);
    await single.get(RESULT_TIMEOUT);
    expect(await single.waitForOutput(RESULT_TIMEOUT)).toBe(true);
    expect(single.data).toEqual([{ i: 4 }]);
    const all = rc().directView('all').execute(code);
    await all.get(RESULT_TIMEOUT);
    expect(await all.waitForOutput(RESULT_TIMEOUT)).toBe(true);
    expect(all.data).toEqual(rc().ids.map(() => ({ i: 4 })));
  });

  test('test_can_list_arg, test_can_dict_arg, test_can_list_kwarg, test_can_dict_kwarg: references within arguments', async () => {
    await one().push({ a: 128 }).get(RESULT_TIMEOUT);
    const echoX = py`lambda x=5: x`;
    expect(
      await one()
        .apply(echo, [ref('a')])
        .get(RESULT_TIMEOUT),
    ).toEqual([128]);
    expect(
      await one()
        .apply(echo, { foo: ref('a') })
        .get(RESULT_TIMEOUT),
    ).toEqual({ foo: 128 });
    expect(
      await one()
        .apply(echoX, kwargs({ x: [ref('a')] }))
        .get(RESULT_TIMEOUT),
    ).toEqual([128]);
    expect(
      await one()
        .apply(echoX, kwargs({ x: { foo: ref('a') } }))
        .get(RESULT_TIMEOUT),
    ).toEqual({ foo: 128 });
  });

  test('test_nested_getitem_setitem: a path to a property', async () => {
    await one().execute('class A: pass\na = A()\na.b = 128').get(RESULT_TIMEOUT);
    expect(await one().get('a.b')).toBe(128);
    await one().push({ 'a.b': 0 }).get(RESULT_TIMEOUT);
    expect(await one().apply(py<number>`lambda x: x.b`, ref('a')).get(RESULT_TIMEOUT)).toBe(0);
  });

  test('test_return_namedtuple, test_apply_namedtuple: a named tuple with its fields, or a tuple', async () => {
    await one()
      .execute('from collections import namedtuple\nPoint = namedtuple("Point", "x y")')
      .get(RESULT_TIMEOUT);
    const point = await one().apply(py`lambda x, y: Point(x, y)`, 1, 2).get(RESULT_TIMEOUT);
    expect(point).toBeInstanceOf(OpaqueValue);
    expect((point as OpaqueValue).qualname).toBe('Point');
    expect(await one().apply(py`lambda p: [p[1], p[0]]`, tuple(1, 2)).get(RESULT_TIMEOUT)).toEqual([2, 1]);
  });
}

export function viewScenarios(cluster: () => ScenarioCluster): void {
  describe('one engine', () => singleScenarios(cluster));
  describe('arrays', () => arrayScenarios(cluster));
  describe('all engines', () => manyScenarios(cluster, (rc) => rc.directView('all')));
}

export function broadcastScenarios(cluster: () => ScenarioCluster): void {
  describe('coalescing', () =>
    manyScenarios(cluster, (rc) => rc.broadcastView('all', { coalescing: true }) as Many, true));
  describe('plain', () => manyScenarios(cluster, (rc) => rc.broadcastView('all') as Many));

  test('test_block_kwarg: a view created with flags', async () => {
    const view = cluster().rc.broadcastView('all', { coalescing: true, label: 'made with' });
    expect(view.isCoalescing).toBe(true);
    expect(view.label).toBe('made with');
    expect(await view.execute('5').get(RESULT_TIMEOUT)).toHaveLength(cluster().rc.ids.length);
  });

  test('test_target_ordering, test_engine_metadata: values are in the order of the targets', async () => {
    const { rc } = cluster();
    const { ids } = rc;
    await rc
      .directView(ids)
      .scatter('rank', [...ids], { flatten: true })
      .get(RESULT_TIMEOUT);
    const even = ids.filter((_, i) => i % 2 === 0);
    for (const targets of [ids, ids.toReversed(), even, even.toReversed(), ids.slice(0, 1)]) {
      for (const coalescing of [true, false]) {
        const ar = rc.broadcastView(targets, { coalescing }).pull<number>('rank');
        expect(await ar.get(RESULT_TIMEOUT)).toEqual(targets);
        expect(ar.engineIds).toEqual(targets);
        expect(ar.metadata.map(({ engineUuid }) => engineUuid)).toEqual(
          targets.map((id) => rc.engines.get(id)),
        );
      }
    }
  });
}
