import {
  NdArray,
  OpaqueValue,
  readPickle,
  StructuredArray,
  UsageError,
  writePickle,
} from '@ipyparallel-js/protocol';
import { describe, expect, it } from 'vitest';
import { fromHex, readStructureFixtures } from '../../support/generators/typed-json.js';

const fixtures = readStructureFixtures();

const expected: Readonly<Record<string, StructuredArray | 'opaque'>> = {
  nested: new StructuredArray({
    p: new NdArray(Float32Array.of(1, 2, 5, 6), { shape: [2, 2] }),
    n: new StructuredArray({ x: new NdArray(Int8Array.of(3, 7)), y: new NdArray(Int16Array.of(4, 8)) }),
  }),
  aligned: new StructuredArray({
    a: new NdArray(Int8Array.of(1)),
    b: new NdArray(Float64Array.of(2.5)),
    t: new NdArray(['ab'], { dtype: 'U2' }),
  }),
  titled: new StructuredArray({ a: new NdArray(Int8Array.of(7)) }),
  one: new StructuredArray(
    {
      p: new NdArray(Float32Array.of(1, 2), { shape: [2] }),
      n: new StructuredArray(
        { x: new NdArray(Int8Array.of(3), { shape: [] }), y: new NdArray(Int16Array.of(4), { shape: [] }) },
        { shape: [] },
      ),
    },
    { shape: [] },
  ),
  fortran: 'opaque',
  objects: 'opaque',
};

describe('arrays of records', () => {
  it.each(fixtures)('decode to one array per field: $name by $by', ({ name, pickles }) => {
    expect(expected).toHaveProperty(name);
    for (const hex of pickles) {
      const value = readPickle(fromHex(hex));
      if (expected[name] === 'opaque') {
        expect(value).toBeInstanceOf(OpaqueValue);
        expect(String(value)).toBe('<Python numpy.ndarray object>');
      } else expect(value).toStrictEqual(expected[name]);
    }
  });

  it.each([2, 3, 4, 5] as const)('are unchanged after a round trip in protocol %i', (protocol) => {
    for (const array of Object.values(expected)) {
      if (array !== 'opaque') expect(readPickle(writePickle(array, { protocol }))).toStrictEqual(array);
    }
    const none = new StructuredArray({ a: new NdArray(new Float64Array(0)) });
    expect(readPickle(writePickle(none, { protocol }))).toStrictEqual(none);
  });

  it('return rows and fields', () => {
    const { nested, one } = expected;
    if (!(nested instanceof StructuredArray && one instanceof StructuredArray)) throw new Error('opaque');
    expect(nested.size).toBe(2);
    expect(nested.rows()[1]).toStrictEqual(
      new Map<string, unknown>([
        ['p', [5, 6]],
        [
          'n',
          new Map([
            ['x', 7],
            ['y', 8],
          ]),
        ],
      ]),
    );
    expect(one.rows()).toHaveLength(1);
    expect(one.rows()[0]?.get('p')).toStrictEqual([1, 2]);
    expect(nested.field('p').shape).toStrictEqual([2, 2]);
    expect(() => nested.field('q')).toThrow(UsageError);
  });

  it('require every field to begin with the shape of the records', () => {
    const three = new NdArray(Float64Array.of(1, 2, 3));
    const two = new NdArray(Float64Array.of(1, 2));
    expect(() => new StructuredArray({ a: three, b: two })).toThrow(
      /"b" must be an NdArray or StructuredArray whose shape begins with \(3\)/,
    );
    expect(() => new StructuredArray({ a: [1] as never })).toThrow(UsageError);
    const objects = new StructuredArray({ a: new NdArray([null], { dtype: 'object' }) });
    expect(() => writePickle(objects)).toThrow(/object fields cannot be sent/);
  });
});
