import {
  DataFrame,
  Decimal,
  exactTime,
  float,
  NdArray,
  OpaqueValue,
  PlainDate,
  PlainTime,
  packApplyMessage,
  packObject,
  py,
  readPickle,
  ref,
  TimeDelta,
  tuple,
  UsageError,
  Uuid,
  unpackApplyMessage,
  unpackResult,
  writePickle,
} from '@ipyparallel-js/protocol';
import { describe, expect, it } from 'vitest';

const PROTOCOLS = [2, 3, 4, 5] as const;

describe('shared and cyclic references', () => {
  it.each(PROTOCOLS)('are preserved in protocol %i', (protocol) => {
    const shared = [1];
    const value: Record<string, unknown> = { a: shared, b: new Map([[1, shared]]), set: new Set([1]) };
    value.self = value;
    value.tuple = tuple(value, 2);
    const back = readPickle(writePickle(value, { protocol })) as typeof value;
    expect(back.self).toBe(back);
    expect((back.b as Map<number, unknown>).get(1)).toBe(back.a);
    expect((back.tuple as unknown[])[0]).toBe(back);
  });

  it.each(PROTOCOLS)(
    'are preserved when a tuple contains a list that contains the tuple, in protocol %i',
    (protocol) => {
      const list: unknown[] = [];
      const pair = tuple(list, 1, 2, 3);
      list.push(pair);
      const back = readPickle(writePickle(pair, { protocol })) as unknown[][];
      expect(back[0]?.[0]).toBe(back);
    },
  );
});

describe('numbers', () => {
  it('are floats if sent with float()', () => {
    const hex = (value: unknown): string => writePickle(value).toString('hex');
    expect(hex(2)).toBe('80044b022e');
    expect(hex(float(2))).toBe('8004474000000000000000942e');
    expect(readPickle(writePickle([1, 2].map(float)))).toStrictEqual([1, 2]);
    expect(readPickle(writePickle(float(-0)))).toBe(-0);
    expect(JSON.stringify({ x: float(2) })).toBe('{"x":2}');
    expect(() => float('2' as never)).toThrow(UsageError);
  });
});

describe('datetimes received from Python', () => {
  const ascii = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));
  const zone = (days: string, seconds: string): string =>
    `cdatetime\ntimezone\n(cdatetime\ntimedelta\n(${days}${seconds}K\x00tRtR`;
  const noon = 'C\x0a\x07\xea\x07\x01\x0c\x00\x00\x00\x00\x07';

  it.each([
    ['without a zone', '', '2026-07-01T12:00:00.000007', '2026-07-01T12:00:00.000Z'],
    ['in UTC', zone('K\x00', 'K\x00'), '2026-07-01T12:00:00.000007+00:00', '2026-07-01T12:00:00.000Z'],
    [
      'with an offset',
      zone('J\xff\xff\xff\xff', 'M\x10\x0e'),
      '2026-07-01T12:00:00.000007-23:00',
      '2026-07-02T11:00:00.000Z',
    ],
    [
      'in a named zone',
      'czoneinfo\nZoneInfo\n(\x8c\x0dEurope/BerlintR',
      '2026-07-01T12:00:00.000007+02:00',
      '2026-07-01T10:00:00.000Z',
    ],
  ])('keep their exact text and are sent back unchanged: %s', (_what, tzinfo, text, iso) => {
    const date = readPickle(ascii(`cdatetime\ndatetime\n(${noon}${tzinfo}tR.`)) as Date;
    expect(date).toStrictEqual(new Date(iso));
    expect(Object.keys(date)).toStrictEqual([]);
    expect(exactTime(date)).toBe(text);
    for (const protocol of PROTOCOLS) {
      expect(exactTime(readPickle(writePickle(date, { protocol })) as Date)).toBe(text);
    }
    date.setTime(date.getTime() + 1);
    expect(exactTime(date)).toBeNull();
    expect(exactTime(readPickle(writePickle(date)) as Date)).toBe(
      `${date.toISOString().slice(0, 23)}000+00:00`,
    );
  });

  it('a Date made in JavaScript has no exact text', () => {
    expect(exactTime(new Date())).toBeNull();
  });
});

describe('values that cannot be sent', () => {
  it.each<[string, unknown, RegExp]>([
    [
      'undefined',
      { rows: [{ 'a b': undefined }] },
      /^the value\.rows\[0\]\["a b"\] cannot .* use null for None$/,
    ],
    ['a function', [() => 1], /^the value\[0\] .*lambda/],
    ['a symbol', Symbol('x'), /symbol/],
    ['a promise', [Promise.resolve(1)], /await/],
    ['an instance', [new URL('http://a')], /an instance of URL/],
    ['an object as a key', new Map([[{}, 1]]), /a dict cannot be a key/],
    ['an invalid date', [new Date(Number.NaN)], /invalid/],
    ['a date after the year 9999', [new Date(8.64e15)], /1 to 9999/],
    ['a value nested too deeply', deeplyNested(), /nested deeper|contains itself/],
    ['an opaque instance', [new OpaqueValue('instance', 'os', 'stat_result')], /only its description .* ref/],
    ['two columns with one label', new DataFrame(['a', 'a'], [[1], [2]]), /labels must be unique/],
  ])('%s is refused', (_what, value, message) => {
    expect(() => writePickle(value)).toThrow(UsageError);
    expect(() => writePickle(value)).toThrow(message);
  });

  function deeplyNested(): unknown {
    const value: unknown[] = [];
    let outer: unknown = value;
    for (let i = 0; i < 1000; i += 1) outer = [outer];
    return outer;
  }

  it('the error names the argument', () => {
    expect(() => packApplyMessage(py('f'), [1, [undefined]])).toThrow(/^argument 1\[0\]/);
    expect(() => packApplyMessage(py('f'), [], { key: () => 1 })).toThrow(/^keyword argument key/);
    expect(() => packApplyMessage((() => 1) as never)).toThrow(UsageError);
    expect(() => writePickle(1, { protocol: 1 as never })).toThrow(/protocol/);
  });

  it('constructors refuse invalid values', () => {
    expect(() => new Decimal('one')).toThrow(UsageError);
    expect(() => new Uuid('1-2')).toThrow(UsageError);
    expect(() => new PlainDate(2025, 2, 29)).toThrow(UsageError);
    expect(() => new PlainTime('25:00')).toThrow(UsageError);
    expect(() => new TimeDelta(1e9)).toThrow(UsageError);
    expect(() => new NdArray(new Float64Array(6), { shape: [4] })).toThrow(/6/);
    expect(() => new NdArray(new Float64Array(6), { dtype: 'int8' })).toThrow(/Int8Array/);
    expect(() => new NdArray([1], { dtype: 'U4' })).toThrow(/strings/);
    expect(() => new DataFrame(['a', 'b'], [[1], [2, 3]])).toThrow(/lengths/);
  });
});

describe('large data', () => {
  const big = Float64Array.from({ length: 10_000 }, (_, i) => i);

  it('is sent in separate frames at any depth, uncopied and once', () => {
    const bytes = Buffer.alloc(20_000, 7);
    const frames = packObject({ a: [{ b: big }], c: big, d: bytes });
    expect(frames.map(({ byteLength }) => byteLength).slice(-2)).toStrictEqual([80_000, 20_000]);
    expect(frames.at(-2)?.buffer).toBe(big.buffer);
    expect(frames.at(-1)?.buffer).toBe(bytes.buffer);
    const { value } = unpackResult(frames) as { value: { a: { b: NdArray }[]; c: NdArray; d: Uint8Array } };
    expect(value.c.data).toStrictEqual(big);
    expect((value.c.data as Float64Array).buffer).toBe(big.buffer);
    expect(value.a[0]?.b).toBe(value.c);
    expect(value.d).toStrictEqual(new Uint8Array(bytes));
  });

  it('is inside the pickle if it is small', () => {
    expect(packObject([new Uint8Array(100), new Float32Array(10)])).toHaveLength(1);
  });

  it('can be a part of a typed array', () => {
    const [, , frame] = packObject([big.subarray(10, 5000)]);
    expect(frame?.byteOffset).toBe(big.byteOffset + 80);
    expect(frame?.byteLength).toBe(4990 * 8);
  });
});

describe('Python text', () => {
  it('keeps backslashes and loses common indentation', () => {
    expect(py`lambda s: s.split('\n')`.source).toBe(String.raw`lambda s: s.split('\n')`);
    expect(
      py`
        def f(x):
            return x
      `.source,
    ).toBe('def f(x):\n    return x');
  });

  it('is evaluated unchanged if it is an expression', () => {
    expect(py`lambda x: x**2`.expression).toBe('lambda x: x**2');
    expect(py('square').expression).toBe('square');
    expect(py('math.sqrt').expression).toContain('import_module');
    expect(ref(' data["x"] ').expression).toBe('data["x"]');
  });

  it('is refused if it is empty, not a string, interpolated or has NUL characters', () => {
    expect(() => py('  \n ')).toThrow(UsageError);
    expect(() => py(1 as never)).toThrow(UsageError);
    expect(() => (py as (...args: unknown[]) => unknown)(['a', 'b'], 1)).toThrow(/interpolated/);
    expect(() => ref('a\0b')).toThrow(UsageError);
  });

  it('decodes to a reference in the record of a task', () => {
    const { f, args, kwargs } = unpackApplyMessage(
      packApplyMessage(py`lambda x: x`, [ref('a'), [ref('b')]], { '10': 1, '2': 'z' }),
    );
    expect(String(f)).toBe('<Python __main__.lambda x: x>');
    expect((args[0] as OpaqueValue).qualname).toBe('a');
    expect((args[1] as OpaqueValue[])[0]?.qualname).toBe('b');
    expect(kwargs).toStrictEqual({ '10': 1, '2': 'z' });
  });
});

describe('an NdArray', () => {
  it('returns its elements in C and Fortran order', () => {
    const data = Int32Array.of(0, 1, 2, 3, 4, 5);
    const c = new NdArray(data, { shape: [2, 3] });
    const f = new NdArray(data, { shape: [2, 3], fortranOrder: true });
    expect([...c]).toStrictEqual(c.toNested());
    expect([...f]).toStrictEqual(f.toNested());
    expect([...new NdArray(Uint8Array.of(0, 1), { dtype: 'bool' })]).toStrictEqual([false, true]);
    expect([...new NdArray(Uint8Array.of(1), { shape: [] })]).toEqual([1]);
    expect(c.toNested()).toStrictEqual([
      [0, 1, 2],
      [3, 4, 5],
    ]);
    expect(f.toNested()).toStrictEqual([
      [0, 2, 4],
      [1, 3, 5],
    ]);
    expect([c.at(1, -1), f.at(1, -1)]).toStrictEqual([5, 5]);
    expect(f.elements()).toStrictEqual([0, 2, 4, 1, 3, 5]);
    expect(() => c.at(2, 0)).toThrow(/out of bounds/);
    expect(new NdArray(Float32Array.of(1, 2), { dtype: 'complex64' }).toNested()).toStrictEqual([[1, 2]]);
    expect(new NdArray(Uint8Array.of(0, 1), { dtype: 'bool', shape: [2] }).toNested()).toStrictEqual([
      false,
      true,
    ]);
    expect(new NdArray(Float64Array.of(7), { shape: [] }).toNested()).toBe(7);
  });
});

describe('durations', () => {
  it('are normalized as in Python', () => {
    expect(TimeDelta.fromMs(-1)).toStrictEqual(new TimeDelta(-1, 86_399, 999_000));
    expect(TimeDelta.fromMs(90_061_001.5)).toStrictEqual(new TimeDelta(1, 3661, 1500));
    expect(new TimeDelta(0, -1, 2_500_000).ms).toBe(1500);
  });
});
