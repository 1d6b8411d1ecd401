// Results of real engines for every common type, alone and all in one result, in pickle protocols 2 to 5. Each type is
// decoded to a value that can be sent back unchanged, or to an opaque value that names its class. No type prevents the
// decoding of others.
import { inspect, isDeepStrictEqual } from 'node:util';
import {
  Complex,
  DataFrame,
  Decimal,
  exactTime,
  Fraction,
  float,
  Index,
  NdArray,
  OpaqueValue,
  PlainDate,
  PlainTime,
  type PyCallable,
  packApplyMessage,
  py,
  Series,
  StructuredArray,
  TimeDelta,
  tuple,
  Uuid,
  unpackResult,
} from '@ipyparallel-js/protocol';
import { taskError } from '@ipyparallel-js/protocol/internal';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Closing } from '../support/closing.js';
import { StockCluster, stockVersions } from '../support/clusters/stock-cluster.js';
import { RawClient } from '../support/fakes/raw-client.js';
import { describeStock } from '../support/python/describe-stock.js';

/** Python code that the engine runs before the tests. */
const definitions = `
import array, collections, dataclasses, datetime, decimal, enum, fractions, functools, ipaddress, pathlib, random, re, types, uuid
Point = collections.namedtuple('Point', 'x y')
@dataclasses.dataclass
class Shape:
    sides: int
    names: list
class Color(enum.Enum):
    RED = 'red'
class Size(enum.IntEnum):
    BIG = 3
class Wrong(Exception):
    pass
class Text(str): pass
class Numbers(list): pass
class Held:
    def __init__(self): self.x = 1
class Outer:
    class Inner: pass
class Slotted:
    __slots__ = ('a',)
    def __init__(self): self.a = 1
def function(x): return x
try:
    import numpy as np
except ImportError:
    np = None
try:
    import pandas as pd
except ImportError:
    pd = None
berlin = datetime.timezone(datetime.timedelta(hours=2), 'CEST')
noon = (2026, 7, 1, 12, 0, 0, 123456)
def attributed(value):
    value.note = 1
    return value

def values(sources):
    return [[eval(source)] for source in sources]

def same(source, value):
    wanted = eval(source)
    kind = type(wanted).__name__
    if type(wanted) is not type(value): return repr(value)
    if kind in ('DataFrame', 'Series', 'Index', 'RangeIndex'): return wanted.equals(value) or repr(value)
    if kind == 'ndarray':
        plain = wanted.dtype == object
        equal = wanted.tolist() == value.tolist() if plain else wanted.tobytes() == value.tobytes()
        return (wanted.dtype == value.dtype and wanted.shape == value.shape and equal) or repr(value)
    if isinstance(wanted, datetime.datetime): return (wanted == value and wanted.utcoffset() == value.utcoffset()) or repr(value)
    return (wanted == value and repr(wanted) == repr(value)) or repr(value)
`;

/** A Python expression and the expected value, or the name of its class if it stays opaque. */
interface Row {
  readonly source: string;
  readonly opaque?: string;
  readonly value?: unknown;
  /** Python's isoformat of a datetime. */
  readonly text?: string;
  /** Whether the value is unchanged when it is sent back. */
  readonly back?: boolean;
  readonly needs?: 'numpy' | 'pandas';
}

const opaque = (source: string, name: string): Row => ({ source, opaque: name });
const comes = (source: string, value: unknown): Row => ({ source, value });
const returns = (source: string, value: unknown): Row => ({ source, value, back: true });
const time = (source: string, text: string, iso: string): Row => ({
  ...returns(source, new Date(iso)),
  text,
});
const array = (source: string, data: NdArray['data'], dtype: string, shape = [data.length]): Row => ({
  ...returns(source, new NdArray(data, { dtype, shape })),
  needs: 'numpy',
});
const numpy = (row: Row): Row => ({ ...row, needs: 'numpy' });
const pandas = (row: Row): Row => ({ ...row, needs: 'pandas' });

const rows: readonly Row[] = [
  returns('[None, True, 1, 2.5, "a"]', [null, true, 1, 2.5, 'a']),
  returns('b"a"', Uint8Array.of(97)),
  returns('{1: "a"}', new Map([[1, 'a']])),
  returns('{1, 2}', new Set([1, 2])),
  returns('2**80', 2n ** 80n),
  returns('[float("inf"), float("nan"), -0.0]', [Number.POSITIVE_INFINITY, Number.NaN, -0]),
  returns('1j', new Complex(0, 1)),
  returns('decimal.Decimal("1.50")', new Decimal('1.50')),
  returns('fractions.Fraction(1, 3)', new Fraction(1, 3)),
  returns('uuid.UUID(int=1)', new Uuid('00000000000000000000000000000001')),
  returns('datetime.date(2026, 7, 1)', new PlainDate(2026, 7, 1)),
  returns('datetime.time(1, 2, 3, 4)', new PlainTime('01:02:03.000004')),
  returns('datetime.timedelta(-1, 2, 3)', new TimeDelta(-1, 2, 3)),
  time('datetime.datetime(*noon)', '2026-07-01T12:00:00.123456', '2026-07-01T12:00:00.123Z'),
  time(
    'datetime.datetime(*noon, tzinfo=berlin)',
    '2026-07-01T12:00:00.123456+02:00',
    '2026-07-01T10:00:00.123Z',
  ),
  time(
    'datetime.datetime(*noon, tzinfo=datetime.timezone.utc)',
    '2026-07-01T12:00:00.123456+00:00',
    '2026-07-01T12:00:00.123Z',
  ),
  time('datetime.datetime.max', '9999-12-31T23:59:59.999999', '9999-12-31T23:59:59.999Z'),
  time('datetime.datetime.min', '0001-01-01T00:00:00', '0001-01-01T00:00:00.000Z'),
  comes('(1, 2)', [1, 2]),
  comes('bytearray(b"a")', Uint8Array.of(97)),
  comes('frozenset([1])', new Set([1])),
  comes('collections.OrderedDict(a=1)', { a: 1 }),
  comes('attributed(collections.OrderedDict(a=1))', { a: 1 }),
  comes('collections.defaultdict(list, a=[1])', { a: [1] }),
  comes('collections.Counter("aab")', { a: 2, b: 1 }),
  comes('collections.deque([1, 2], maxlen=3)', [1, 2]),
  opaque('Point(1, 2)', '__main__.Point'),
  opaque('Shape(1, ["a"])', '__main__.Shape'),
  opaque('Color.RED', '__main__.Color'),
  opaque('Size.BIG', '__main__.Size'),
  opaque('Wrong("bad")', '__main__.Wrong'),
  opaque('attributed(ValueError("bad"))', 'builtins.ValueError'),
  opaque('KeyError("k")', 'builtins.KeyError'),
  opaque('Text("a")', '__main__.Text'),
  opaque('attributed(Numbers([1]))', '__main__.Numbers'),
  opaque('Held()', '__main__.Held'),
  opaque('Outer.Inner()', '__main__.Outer.Inner'),
  opaque('Slotted()', '__main__.Slotted'),
  opaque('pathlib.PurePosixPath("/a")', 'pathlib.PurePosixPath'),
  opaque('slice(1, 2)', 'builtins.slice'),
  opaque('functools.partial(function, 1)', 'functools.partial'),
  opaque('re.compile("a")', 're.Pattern'),
  opaque('types.SimpleNamespace(a=1)', 'types.SimpleNamespace'),
  opaque('ipaddress.ip_address("127.0.0.1")', 'ipaddress.IPv4Address'),
  opaque('random.Random(1)', 'random.Random'),
  opaque('datetime.timezone.utc', 'datetime.timezone'),
  opaque('function', '__main__.function'),
  opaque('Held', '__main__.Held'),
  opaque('...', 'builtins.Ellipsis'),
  opaque('NotImplemented', 'builtins.NotImplemented'),
  array('np.arange(3, dtype="i1")', Int8Array.of(0, 1, 2), 'int8'),
  array('np.arange(3, dtype="u2")', Uint16Array.of(0, 1, 2), 'uint16'),
  array('np.arange(3)', BigInt64Array.of(0n, 1n, 2n), 'int64'),
  array('np.array([True, False])', Uint8Array.of(1, 0), 'bool'),
  array('np.array([0.5, 65504], dtype="f2")', Float32Array.of(0.5, 65_504), 'float16'),
  array('np.array([1+2j], dtype="c8")', Float32Array.of(1, 2), 'complex64', [1]),
  array('np.array([1+2j])', Float64Array.of(1, 2), 'complex128', [1]),
  array('np.array(5.0)', Float64Array.of(5), 'float64', []),
  array('np.zeros((0, 3))', new Float64Array(0), 'float64', [0, 3]),
  array('np.arange(6.)[::2]', Float64Array.of(0, 2, 4), 'float64'),
  array('np.arange(3.)[::-1]', Float64Array.of(2, 1, 0), 'float64'),
  array('np.array(["2026-01-01"], dtype="M8[D]")', BigInt64Array.of(20_454n), 'datetime64[D]'),
  array('np.array([1, "NaT"], dtype="m8[us]")', BigInt64Array.of(1n, -(2n ** 63n)), 'timedelta64[us]'),
  array('np.array(["ab", "ü"])', ['ab', 'ü'], 'U2'),
  array(
    'np.array([b"ab", b"c"])',
    [Buffer.from('ab'), Buffer.from('c')].map((b) => new Uint8Array(b)),
    'S2',
  ),
  array('np.array([None, "a", 1], dtype=object)', [null, 'a', 1], 'object'),
  numpy(comes('np.arange(3, dtype=">i4")', new NdArray(Int32Array.of(0, 1, 2)))),
  numpy(comes('np.array(["ab"], dtype=">U2")', new NdArray(['ab'], { dtype: 'U2' }))),
  numpy(
    comes(
      'np.broadcast_to(np.arange(2.), (2, 2))',
      new NdArray(Float64Array.of(0, 1, 0, 1), { shape: [2, 2] }),
    ),
  ),
  numpy(comes('np.matrix([[1., 2.]])', new NdArray(Float64Array.of(1, 2), { shape: [1, 2] }))),
  numpy(comes('[np.int8(1), np.uint64(2**63), np.float32(.5), np.float16(2)]', [1, 2n ** 63n, 0.5, 2])),
  numpy(
    comes('[np.bool_(True), np.complex64(1j), np.str_("a"), np.bytes_(b"a")]', [
      true,
      new Complex(0, 1),
      'a',
      Uint8Array.of(97),
    ]),
  ),
  numpy(
    comes(
      'np.datetime64(5, "us")',
      new NdArray(BigInt64Array.of(5n), { dtype: 'datetime64[us]', shape: [] }),
    ),
  ),
  numpy(
    returns(
      'np.array([(1, .5, "a"), (2, 1.5, "bc")], dtype=[("i", "<i4"), ("x", "<f8"), ("t", "<U2")])',
      new StructuredArray({
        i: new NdArray(Int32Array.of(1, 2)),
        x: new NdArray(Float64Array.of(0.5, 1.5)),
        t: new NdArray(['a', 'bc'], { dtype: 'U2' }),
      }),
    ),
  ),
  numpy(
    returns(
      'np.array([((1, 2), (3, 4))], dtype=[("p", "<f4", (2,)), ("n", [("x", "i1"), ("y", "<i2")])])',
      new StructuredArray({
        p: new NdArray(Float32Array.of(1, 2), { shape: [1, 2] }),
        n: new StructuredArray({ x: new NdArray(Int8Array.of(3)), y: new NdArray(Int16Array.of(4)) }),
      }),
    ),
  ),
  numpy(
    comes(
      'np.array([(1, 2)], dtype=np.dtype([("a", "i1"), ("b", ">f8")], align=True)).view(np.recarray)',
      new StructuredArray({ a: new NdArray(Int8Array.of(1)), b: new NdArray(Float64Array.of(2)) }),
    ),
  ),
  numpy(
    comes(
      'np.array([(7,)], dtype=[("a", "i1")])[0]',
      new StructuredArray({ a: new NdArray(Int8Array.of(7), { shape: [] }) }, { shape: [] }),
    ),
  ),
  numpy(opaque('np.array([(1, "x")], dtype=[("a", "i4"), ("o", object)])', 'numpy.ndarray')),
  numpy(opaque('np.zeros(2, dtype=np.longdouble)', 'numpy.ndarray')),
  numpy(opaque('np.void(b"abc")', 'numpy.void')),
  numpy(opaque('np.dtype("f8")', 'numpy.dtype')),
  pandas(
    comes(
      'pd.DataFrame({"a": [1., 2.], "b": ["x", None]}, index=["r", "s"])',
      new DataFrame(['a', 'b'], [Float64Array.of(1, 2), ['x', null]], new Index(['r', 's'])),
    ),
  ),
  pandas(
    comes(
      'pd.Series([1, None], dtype="Int64", name="n")',
      new Series([1n, null], new Index(BigInt64Array.of(0n, 1n)), 'n'),
    ),
  ),
  pandas(
    returns(
      'pd.Series([1.5, 2.5])',
      new Series(Float64Array.of(1.5, 2.5), new Index(BigInt64Array.of(0n, 1n))),
    ),
  ),
  pandas(
    comes(
      'pd.Series(pd.Categorical(["a", "b", "a"]))',
      new Series(['a', 'b', 'a'], new Index(BigInt64Array.of(0n, 1n, 2n))),
    ),
  ),
  pandas(
    comes(
      'pd.to_timedelta([1, 2], unit="ns")',
      new Index(new NdArray(BigInt64Array.of(1n, 2n), { dtype: 'timedelta64[ns]' })),
    ),
  ),
  pandas({
    ...comes('pd.Timestamp(1782907200123456789)', new Date('2026-07-01T12:00:00.123Z')),
    text: '2026-07-01T12:00:00.123456789',
  }),
  pandas(comes('pd.Timedelta("1s")', new TimeDelta(0, 1))),
  pandas(opaque('pd.Series(pd.period_range("2026-01", "2026-03", freq="M"))', 'pandas.Series')),
  pandas(opaque('pd.Series(pd.arrays.SparseArray([0, 0, 1]))', 'pandas.Series')),
  pandas(opaque('pd.NA', 'pandas.NA')),
];

function describe(value: unknown): string {
  return inspect(value, { depth: 6, breakLength: Number.POSITIVE_INFINITY });
}

function expectRow(value: unknown, row: Row, where: string): void {
  if (row.opaque !== undefined) {
    if (!(value instanceof OpaqueValue)) expect.fail(`${where}: ${describe(value)} is not opaque`);
    // pandas before 3 names the internal module of a class.
    const [module = '', name = ''] = row.opaque.split(/\.(?=[^.]*$)/);
    expect(value.name, where).toMatch(new RegExp(`^${module}(\\..*)?\\.${name}$`));
  } else if (!isDeepStrictEqual(value, row.value)) {
    expect.fail(`${where}: ${describe(value)} is not ${describe(row.value)}`);
  }
  if (row.text !== undefined) expect(exactTime(value as Date), where).toBe(row.text);
}

for (const version of stockVersions) {
  describeStock(version, `types of Python on ipyparallel ${version}`, () => {
    const closing = new Closing();
    let client: RawClient;
    let here: readonly Row[] = [];

    beforeAll(async () => {
      const cluster = closing.use(await StockCluster.start({ version, engines: 1 }));
      client = closing.use(RawClient.fromFile(cluster.connectionFile));
      const uuid = [...(await client.engines()).values()][0];
      const reply = await client.execute(uuid ?? '', definitions);
      if (reply.content.status !== 'ok') throw taskError(reply.content);
      const [numpyIsThere, pandasIsThere] = (await apply(
        py`lambda: [np is not None, pd is not None]`,
      )) as boolean[];
      expect([numpyIsThere, pandasIsThere]).toStrictEqual([
        version !== '8.8' || numpyIsThere,
        version === '9' || pandasIsThere,
      ]);
      here = rows.filter(
        ({ needs }) => needs === undefined || (needs === 'numpy' ? numpyIsThere : pandasIsThere),
      );
      expect(here.length).toBeGreaterThan(45);
    });
    afterAll(async () => {
      await closing.close();
    });

    async function apply(fn: PyCallable, args: readonly unknown[] = []): Promise<unknown> {
      const buffers = packApplyMessage(fn, args);
      const reply = await client.submit('task', 'apply_request', {}, undefined, { buffers }).reply();
      if (reply.content.status !== 'ok') throw taskError(reply.content);
      return unpackResult(reply.buffers).value;
    }

    it.each([2, 3, 4, 5])('arrive in one result and are sent back, in protocol %i', async (protocol) => {
      await apply(
        py`
          def set(protocol):
              from ipyparallel.serialize import serialize
              serialize.PICKLE_PROTOCOL = protocol
        `,
        [protocol],
      );
      const values = (await apply(py('values'), [here.map(({ source }) => source)])) as unknown[][];
      expect(values).toHaveLength(here.length);
      for (const [i, row] of here.entries())
        expectRow(values[i]?.[0], row, `${row.source}, protocol ${protocol}`);
      const back = here
        .map((row, i) => ({ row, value: values[i]?.[0] }))
        .filter(({ row }) => row.back === true);
      const answers = await apply(py`lambda pairs: [same(source, value) for source, value in pairs]`, [
        back.map(({ row, value }) => [row.source, value]),
      ]);
      expect(answers).toStrictEqual(
        back.map(({ row }) =>
          // These values are not equal to themselves.
          row.source.includes('nan') || row.source.includes('NaT') ? expect.anything() : true,
        ),
      );
    });

    it('arrive as separate results', async () => {
      // ipyparallel cannot send an array of times as a result, and some versions cannot send an array of records.
      const alone = here.filter(({ source }) => !/M8|m8/.test(source));
      for (const row of alone) {
        expectRow(await apply(py`lambda source: eval(source)`, [row.source]), row, row.source);
      }
      expect(alone.length).toBeGreaterThan(40);
    });

    it('are floats if sent with float()', async () => {
      const kinds = py`lambda values: [type(value).__name__ for value in values]`;
      expect(
        await apply(kinds, [[2, float(2), 2.5, -0, 2n, float(1e300), tuple(), Number.NaN]]),
      ).toStrictEqual(['int', 'float', 'float', 'float', 'int', 'float', 'tuple', 'float']);
      expect(await apply(py`lambda x: 1 / x`, [float(-0.5)])).toBe(-2);
    });
  });
}
