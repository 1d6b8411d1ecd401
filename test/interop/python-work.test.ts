// Python functions, arguments and results with stock engines behind stock controllers.
import { inspect, isDeepStrictEqual } from 'node:util';
import { Client } from '@ipyparallel-js/client';
import {
  DataFrame,
  NdArray,
  type PyCallable,
  type PyReference,
  packApplyMessage,
  packObject,
  py,
  RemoteError,
  ref,
  Series,
  StructuredArray,
  TimeDelta,
  tuple,
  UnpickleError,
  unpackApplyMessage,
  unpackResult,
} from '@ipyparallel-js/protocol';
import { taskError } from '@ipyparallel-js/protocol/internal';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Closing } from '../support/closing.js';
import { OurController } from '../support/clusters/our-controller.js';
import { StockCluster, stockVersions } from '../support/clusters/stock-cluster.js';
import { RawClient } from '../support/fakes/raw-client.js';
import { pythonValues, Random, type Sample, sample } from '../support/generators/python-values.js';
import { describeStock } from '../support/python/describe-stock.js';

/** Sets the pickle protocol of the engine's results. */
const pickleWith = py`
  def set(protocol):
      from ipyparallel.serialize import serialize
      serialize.PICKLE_PROTOCOL = protocol
`;

/** Returns the indexes of the values that differ from their descriptions. */
const wrong = py`
  def check(values, described):
      return [i for i, value in enumerate(values) if not same(value, make(json.loads(described[i])))]
`;

for (const version of stockVersions) {
  describeStock(version, `Python work on ipyparallel ${version}`, () => {
    const closing = new Closing();
    let client: RawClient;

    beforeAll(async () => {
      const cluster = closing.use(await StockCluster.start({ version, engines: 1 }));
      client = closing.use(RawClient.fromFile(cluster.connectionFile));
      await execute(pythonValues);
    });
    afterAll(async () => {
      await closing.close();
    });

    async function execute(code: string): Promise<void> {
      const uuid = [...(await client.engines()).values()][0];
      const reply = await client.execute(uuid ?? '', code);
      if (reply.content.status !== 'ok') throw taskError(reply.content);
    }

    async function apply(
      fn: PyCallable | PyReference,
      args: readonly unknown[] = [],
      kwargs?: Record<string, unknown>,
    ): Promise<unknown> {
      return unpackResult(await applyForBuffers(fn, args, kwargs)).value;
    }

    async function applyForBuffers(
      fn: PyCallable | PyReference,
      args: readonly unknown[] = [],
      kwargs?: Record<string, unknown>,
    ): Promise<readonly Uint8Array[]> {
      const buffers = packApplyMessage(fn, args, kwargs);
      const reply = await client.submit('task', 'apply_request', {}, undefined, { buffers }).reply();
      if (reply.content.status !== 'ok') throw taskError(reply.content);
      return reply.buffers;
    }

    it('calls expressions, names, modules and blocks', async () => {
      await execute('base = 100\ndef square(x): return x * x');
      expect(await apply(py`lambda x: x**2`, [5])).toBe(25);
      expect(await apply(py`lambda x: base + x`, [5])).toBe(105);
      expect(await apply(py('square'), [7])).toBe(49);
      expect(await apply(ref('square'), [7])).toBe(49);
      expect(await apply(py('math.factorial'), [25])).toBe(15_511_210_043_330_985_984_000_000n);
      expect(await apply(py('os.path.join'), ['a', 'b'])).toBe('a/b');
      expect(await apply(py('xml.etree.ElementTree.__name__.upper'))).toBe('XML.ETREE.ELEMENTTREE');
      expect(
        await apply(
          py`
            import math

            def gcd(a, b):
                return a if b == 0 else gcd(b, a % b)

            def lcm(a, b=base):
                """Of two numbers."""
                return math.floor(a * b / gcd(a, b))
          `,
          [15],
        ),
      ).toBe(300);
      expect(
        await apply(
          py`
            lambda *words: '\n'.join(
                word.upper()
                for word in words
            )
          `,
          ['a', 'b'],
        ),
      ).toBe('A\nB');
      // A block adds no names to the namespace, and sees names defined later.
      await execute("assert 'gcd' not in globals() and 'block' not in globals()\nbase = 200");
      expect(await apply(py`lambda: base`)).toBe(200);
    });

    it('sends keyword arguments, references and functions as arguments', async () => {
      await execute('data = {"x": [1, 2, 3]}');
      expect(await apply(py('dict'), [], { z: 1, a: 2, __proto_: null })).toStrictEqual({
        a: 2,
        z: 1,
        __proto_: null,
      });
      expect(await apply(py('sum'), [ref("data['x']")])).toBe(6);
      expect(await apply(py('sorted'), [[3, -5, 1]], { key: py('abs'), reverse: true })).toStrictEqual([
        -5, 3, 1,
      ]);
      expect(
        await apply(py`lambda f, *seqs: list(map(f, *seqs))`, [py`lambda x, y: x * y`, [1, 2], [3, 4]]),
      ).toStrictEqual([3, 8]);
      expect(await apply(py`lambda tree: tree['a'][0]['b'] is data`, [{ a: [{ b: ref('data') }] }])).toBe(
        true,
      );
    });

    it('preserves the order, identity and types of arguments', async () => {
      const shared = [1];
      const loop: Record<string, unknown> = { z: shared, a: shared, '10': 1 };
      loop.self = loop;
      expect(await apply(py`lambda d: [list(d), d['z'] is d['a'], d['self'] is d]`, [loop])).toStrictEqual([
        ['10', 'z', 'a', 'self'],
        true,
        true,
      ]);
      const mixed = new Map<unknown, unknown>([
        [1, 'a'],
        ['1', 'b'],
        [[1, new Set([2])], null],
      ]);
      expect(await apply(py('repr'), [mixed])).toBe("{1: 'a', '1': 'b', (1, frozenset({2})): None}");
      expect(await apply(py('repr'), [[tuple(1), tuple(), [1], -0, 1e16, 2n ** 70n]])).toBe(
        '[(1,), (), [1], -0.0, 1e+16, 1180591620717411303424]',
      );
    });

    it('fails with the error of the engine', async () => {
      const failure = async (fn: PyCallable, args: readonly unknown[] = []): Promise<RemoteError> => {
        const error: unknown = await apply(fn, args).catch((reason: unknown) => reason);
        if (!(error instanceof RemoteError)) throw new Error(`${inspect(error)} must be a RemoteError`);
        return error;
      };
      expect((await failure(py('lambda x:: x'))).ename).toBe('SyntaxError');
      expect((await failure(py('def f(:\n    pass'))).ename).toBe('SyntaxError');
      expect((await failure(py('x = 1\ny = 2'))).message).toContain('must end with a def');
      expect((await failure(py('nosuchname'))).message).toContain("name 'nosuchname' is not defined");
      expect((await failure(py('nosuchmodule.f'))).message).toContain("No module named 'nosuchmodule'");
      expect((await failure(py('math.nosuch'))).message).toContain("has no attribute 'nosuch'");
      expect((await failure(py`lambda x: 1 / x`, [0])).ename).toBe('ZeroDivisionError');
      expect((await failure(py('len'), [ref('nosuchdata')])).ename).toBe('NameError');
      await execute(
        "import sys; held = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split('.')[0] == 'numpy'}; sys.modules['numpy'] = None",
      );
      const missing = await failure(py('len'), [new Float64Array(3)]);
      expect(missing.ename, 'an array for an engine without numpy').toBe('ModuleNotFoundError');
      expect(missing.message).toContain('numpy');
      await execute("del sys.modules['numpy']; sys.modules.update(held)");
    });

    it.each([2, 3, 4, 5])('values are unchanged after a round trip, protocol %i', async (protocol) => {
      await apply(pickleWith, [protocol]);
      const [first] = await applyForBuffers(py('list'));
      expect(first?.[1], 'the protocol of a result').toBe(protocol);
      const seed = Number(process.env.SEED ?? Date.now() & 0x7fff_ffff);
      console.log(`values through an engine: seed ${seed}`);
      const random = new Random(seed + protocol);
      const samples: Sample[] = Array.from({ length: 60 }, () => sample(random, 3, true));
      const values = samples.map(({ value }) => value);
      const described = samples.map((one) => JSON.stringify(one.described));
      expect((await apply(wrong, [values, described])) as number[], `seed ${seed}`).toStrictEqual([]);
      // The values are in a list, because ipyparallel cans the outermost list and cannot send arrays of dates directly in it.
      const [back] = (await apply(py`lambda *values: [list(values)]`, values)) as unknown[][];
      for (const [i, one] of samples.entries()) {
        if (isDeepStrictEqual(back?.[i], one.back)) continue;
        expect.fail(`seed ${seed}: ${inspect(back?.[i])} is not ${inspect(one.back)}`);
      }
    });

    it('large bytes are sent and received', async () => {
      const bytes = Buffer.alloc(30_000, 'ab');
      expect(await apply(py`lambda v: [type(v).__name__, v]`, [bytes])).toStrictEqual([
        'bytes',
        new Uint8Array(bytes),
      ]);
      expect(
        await apply(py`lambda v: v['a'][0][:3] + bytes([len(v['b']) & 255])`, [{ a: [bytes], b: bytes }]),
      ).toStrictEqual(new Uint8Array(Buffer.from('aba\x30', 'latin1')));
    });

    it('deserialize_object of ipyparallel reads packObject', async () => {
      const buffers = packObject({ a: 1 });
      expect(
        await apply(py`lambda frames: __import__('ipyparallel').serialize.deserialize_object(frames)[0]`, [
          buffers,
        ]),
      ).toStrictEqual({ a: 1 });
    });

    it('large arrays are sent and received in separate frames', async () => {
      const data = Float64Array.from({ length: 1_000_000 }, (_, i) => i / 3);
      const frames = packApplyMessage(py('abs'), [data]);
      expect(frames.at(-1)?.buffer).toBe(data.buffer);
      const back = (await apply(py`lambda v: v * 2`, [data])) as NdArray<Float64Array>;
      expect(back.shape).toStrictEqual([1_000_000]);
      expect(back.data[999_999]).toBe((999_999 / 3) * 2);
      const sums = await apply(py`lambda v: [float(v['x'][0].sum()), v['y'].dtype.str, v['y'].tolist()]`, [
        { x: [new NdArray(data, { shape: [1000, 1000] })], y: Int16Array.of(1, -2) },
      ]);
      expect(sums).toStrictEqual([expect.closeTo(166_666_500_000, -1), '<i2', [1, -2]]);
    });

    it('arrays of every order and dtype are received', async () => {
      const code = `
import numpy
arrays = {
    'big': numpy.array([1, -2, 300], dtype='>i4'),
    'fortran': numpy.asfortranarray(numpy.arange(6.0).reshape(2, 3)),
    'strided': numpy.arange(10)[::3],
    'reversed': numpy.arange(4, dtype='u1')[::-1],
    'half': numpy.array([0.5, 65504, numpy.inf], dtype='f2'),
    'bool': numpy.array([[True], [False]]),
    'text': numpy.array(['a', 'grüße'], dtype='>U6'),
    'objects': numpy.array([[1, 'a'], [None, {'x': 1}]], dtype=object, order='F'),
    'none': numpy.zeros((0, 3)),
    'point': numpy.array(7),
    'struct': numpy.zeros(2, dtype=[('a', '<i4'), ('b', '<f8')]),
}
scalars = [numpy.float32(0.5), numpy.int64(2**60), numpy.uint8(3), numpy.bool_(True), numpy.complex128(1+2j), numpy.str_('a'), numpy.bytes_(b'b')]
`;
      await execute(code);
      const check = (read: Record<string, unknown>): void => {
        expect(read).toMatchObject({
          big: new NdArray(Int32Array.of(1, -2, 300)),
          strided: new NdArray(BigInt64Array.of(0n, 3n, 6n, 9n)),
          reversed: new NdArray(Uint8Array.of(3, 2, 1, 0)),
          half: new NdArray(Float32Array.of(0.5, 65504, Infinity), { dtype: 'float16' }),
          bool: new NdArray(Uint8Array.of(1, 0), { dtype: 'bool', shape: [2, 1] }),
          text: new NdArray(['a', 'grüße'], { dtype: 'U6' }),
          objects: new NdArray([1, 'a', null, { x: 1 }], { shape: [2, 2] }),
          none: new NdArray(new Float64Array(0), { shape: [0, 3] }),
          point: new NdArray(BigInt64Array.of(7n), { shape: [] }),
          struct: new StructuredArray({
            a: new NdArray(new Int32Array(2)),
            b: new NdArray(new Float64Array(2)),
          }),
        });
        expect((read.fortran as NdArray).toNested()).toStrictEqual([
          [0, 1, 2],
          [3, 4, 5],
        ]);
      };
      check((await apply(py`lambda: arrays`)) as Record<string, unknown>);
      check(((await apply(py`lambda: [[arrays]]`)) as Record<string, unknown>[][])[0]?.[0] ?? {});
      expect(await apply(py`lambda: scalars`)).toMatchObject([
        0.5,
        2n ** 60n,
        3,
        true,
        { real: 1, imag: 2 },
        'a',
        Uint8Array.of(98),
      ]);
    });

    if (version !== '9') return;

    it('tables are received by column, and sent', async () => {
      await execute(`
import pandas
frame = pandas.DataFrame({
    'id': [1, 2], 'name': ['x', None], 'size': [1.5, 2.5], 'when': pandas.to_datetime(['2026-01-01', '2026-01-02']),
    'kind': pandas.Categorical(['p', 'q']), 'maybe': pandas.array([1, None], dtype='Int64'),
}, index=['r1', 'r2'])
`);
      const frame = (await apply(py`lambda: frame`)) as DataFrame;
      expect(frame).toBeInstanceOf(DataFrame);
      expect(frame.columns).toStrictEqual(['id', 'name', 'size', 'when', 'kind', 'maybe']);
      expect(frame.column('id')).toStrictEqual(new NdArray(BigInt64Array.of(1n, 2n)));
      expect(frame.column('name')).toStrictEqual(['x', null]);
      expect(frame.column('kind')).toStrictEqual(['p', 'q']);
      expect(frame.column('maybe')).toStrictEqual([1n, null]);
      expect(frame.index?.data).toStrictEqual(['r1', 'r2']);
      expect(
        await apply(
          py`lambda f: f[['id', 'size', 'kind', 'when']].astype({'kind': 'category'}).equals(frame[['id', 'size', 'kind', 'when']])`,
          [frame],
        ),
      ).toBe(true);
      const series = (await apply(py`lambda: frame['size']`)) as Series;
      expect(series).toBeInstanceOf(Series);
      expect(series.name).toBe('size');
      expect(await apply(py`lambda s: s.equals(frame['size'])`, [series])).toBe(true);
      const times = await apply(
        py`lambda: [pandas.Timestamp('2026-01-01T01:00+01:00'), pandas.Timestamp(-1), pandas.Timedelta(days=-1, milliseconds=1)]`,
      );
      expect(times).toStrictEqual([
        new Date('2026-01-01T00:00:00Z'),
        new Date(-1),
        new TimeDelta(-1, 0, 1000),
      ]);
      const made = new DataFrame(['a', 'b'], [Float64Array.of(1, 2), ['x', 'y']]);
      expect(await apply(py`lambda f: [float(f['a'].sum()), ''.join(f['b']), len(f)]`, [made])).toStrictEqual(
        [3, 'xy', 2],
      );
    });
  });
}

describeStock('9', 'Python work through a client, on our controller', () => {
  it('is returned as Python data, and is in the task records', async () => {
    await using controller = await OurController.start({ version: '9', engines: 1 });
    await using rc = await Client.connect({ connectionFile: controller.connectionFile });
    await rc.waitForEngines(1, { timeout: 60_000 });
    const view = rc.loadBalancedView();
    expect(await view.apply(py<number>`lambda x: x**2`, 5).get()).toBe(25);
    expect(await view.map(py<number>`lambda x, y: x * y`, [1, 2, 3], [4, 5, 6]).get()).toStrictEqual([
      4, 10, 18,
    ]);
    const data = Float64Array.from({ length: 100_000 }, (_, i) => i);
    const result = view.apply(py<NdArray<Float64Array>>`lambda v: v['deep'][0] + 1`, { deep: [data] });
    expect((await result.get()).data.at(-1)).toBe(100_000);
    const [id = ''] = result.msgIds;
    const [record] = await rc.dbQuery({ msg_id: id }, ['buffers', 'result_buffers']);
    const { f, args } = unpackApplyMessage(record?.buffers ?? []);
    expect(String(f)).toContain("lambda v: v['deep'][0] + 1");
    expect(args).toStrictEqual([{ deep: [new NdArray(data)] }]);
    expect(unpackResult(record?.result_buffers ?? []).value).toBeInstanceOf(NdArray);
    expect((await rc.getResult(id).get()) as NdArray).toBeInstanceOf(NdArray);

    const { connectionFile } = controller;
    await using careful = await Client.connect({ connectionFile, pickleLimits: { maxMemory: 10_000 } });
    const large = careful.loadBalancedView().apply(py`lambda n: list(range(n))`, 1000);
    await expect(large.get()).rejects.toThrow(/maxMemory = 10000/);
    await expect(careful.getResult(large.msgIds[0] ?? '').get()).rejects.toThrow(UnpickleError);
    expect(await rc.getResult(large.msgIds[0] ?? '').get()).toHaveLength(1000);
  });
});
