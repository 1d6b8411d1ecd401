import { DataFrame, Index, NdArray, readPickle, Series } from '@ipyparallel-js/protocol';
import { describe, expect, it } from 'vitest';
import { fromHex, readPickleFixtures } from '../../support/generators/typed-json.js';

const { tables } = readPickleFixtures();

const times = (dtype: string, ...values: bigint[]): NdArray =>
  new NdArray(BigInt64Array.from(values), { dtype });
/** The first two days of 2026, in seconds. */
const [first, second] = [1_767_225_600n, 1_767_312_000n];

/** pandas 3 stores microseconds, pandas 2 nanoseconds. */
function expected(name: string, by: string): unknown {
  const [unit, scale] = by.startsWith('pandas 3') ? ['us', 10n ** 6n] : ['ns', 10n ** 9n];
  const rows = new Index(['r1', 'r2']);
  const size = new NdArray(Float64Array.of(1.5, 2.5));
  const missing = by.startsWith('pandas 3') ? Number.NaN : null;
  switch (name) {
    case 'frame':
      return new DataFrame(
        ['id', 'name', 'size', 'more', 'when', 'kind', 'maybe'],
        [
          BigInt64Array.of(1n, 2n),
          ['x', null],
          size,
          BigInt64Array.of(3n, 4n),
          times(`datetime64[${unit}]`, first * scale, second * scale),
          ['p', 'q'],
          [1n, null],
        ],
        rows,
      );
    case 'turned':
      return new DataFrame(
        ['r1', 'r2'],
        [BigInt64Array.of(1n, 3n), BigInt64Array.of(2n, 4n)],
        new Index(['id', 'more']),
      );
    case 'texts turned':
      return new DataFrame(
        ['r1', 'r2'],
        [
          ['x', 'p'],
          [missing, 'q'],
        ],
        new Index(['name', 'kind']),
      );
    case 'levels':
      return new DataFrame(
        ['size'],
        [size],
        new Index(
          [
            [1n, 'p'],
            [2n, 'q'],
          ],
          ['id', 'kind'],
        ),
      );
    case 'series':
      return new Series(size, rows, 'size');
    case 'index':
      return new Index(times(`datetime64[${unit}]`, first * scale), 'day');
    default:
      throw new Error(`table ${name} does not exist`);
  }
}

describe('tables pickled by pandas, protocols 0 to 5', () => {
  it.each(tables)('$name ($by)', ({ name, by, pickles }) => {
    expect(pickles).toHaveLength(6);
    for (const hex of pickles) expect(readPickle(fromHex(hex))).toStrictEqual(expected(name, by));
  });

  it('come from two versions', () => {
    expect(new Set(tables.map(({ by }) => by)).size).toBe(2);
  });

  it('return rows', () => {
    const frame = new DataFrame(['a', 'b'], [Int8Array.of(1, 2), ['x', 'y']]);
    expect(frame.rows()).toStrictEqual([
      new Map<unknown, unknown>([
        ['a', 1],
        ['b', 'x'],
      ]),
      new Map<unknown, unknown>([
        ['a', 2],
        ['b', 'y'],
      ]),
    ]);
    expect(() => frame.column('c')).toThrow(/no column "c"/);
  });
});
