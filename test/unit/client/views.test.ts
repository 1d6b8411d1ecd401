// Tests how views split sequences, and how they match the values of a coalesced reply with engines.
import { dependency, kwargs, NdArray, UsageError } from '@ipyparallel-js/client';
import { orderOfReplies, part, toSliceable } from '@ipyparallel-js/client/internal';
import { describe, expect, test } from 'vitest';

/** The order of values and the order of targets in the reply of a stock tree of broadcast schedulers. */
function stockTree(ids: readonly number[], depth: number): { values: number[]; targets: unknown[] } {
  if (depth === 0) return { values: [...ids], targets: ids.map((id) => `engine-${id}`) };
  const visit = (left: readonly number[], level: number): number[] => {
    if (level === depth) return [...left];
    const bit = (id: number): number => Math.floor(id / 2 ** (depth - 1 - level)) % 2;
    return [0, 1].flatMap((side) =>
      visit(
        left.filter((id) => bit(id) === side),
        level + 1,
      ),
    );
  };
  const top = (id: number): number => Math.floor(id / 2 ** (depth - 1)) % 2;
  const targets = [0, 1].flatMap((side) => ids.filter((id) => top(id) === side));
  return { values: visit(ids, 0), targets: targets.map((id) => [`engine-${id}`, id]) };
}

describe('the order of a coalesced reply', () => {
  const engines = (ids: readonly number[]) => ids.map((id) => ({ id, uuid: `engine-${id}` }));
  const sets = Array.from({ length: 2 ** 8 }, (_, bits) =>
    [0, 1, 2, 3, 5, 8, 9, 12].filter((_, i) => Math.floor(bits / 2 ** i) % 2 === 1),
  );

  test.each([0, 1])('is always known for a tree of depth %i', (depth) => {
    for (const ids of sets) {
      const { values, targets } = stockTree(ids, depth);
      expect(orderOfReplies(engines(ids), targets).map((index) => ids[index])).toEqual(values);
    }
  });

  test('is correct or refused for a deeper tree', () => {
    let refused = 0;
    let depthOne = 0;
    for (const ids of sets) {
      const { values, targets } = stockTree(ids, 2);
      // A reply that the usual depth could also produce counts as one of the usual depth.
      if (JSON.stringify(targets) === JSON.stringify(stockTree(ids, 1).targets)) depthOne++;
      else {
        try {
          expect(orderOfReplies(engines(ids), targets).map((index) => ids[index])).toEqual(values);
        } catch (error) {
          expect(error).toMatchObject({ code: 'ENGINE_DIED' });
          refused++;
        }
      }
    }
    expect(refused + depthOne).toBeLessThan(sets.length / 2);
  });
});

describe('the parts of a sequence', () => {
  const cut = (sequence: Iterable<unknown> | NdArray, parts: number, dist: 'block' | 'roundRobin') =>
    Array.from({ length: parts }, (_, i) => part(toSliceable(sequence), i, parts, dist));

  test.each([
    [[1, 2, 3, 4, 5], 3, [[1, 2], [3, 4], [5]], [[1, 4], [2, 5], [3]]],
    [[1, 2], 3, [[1], [2], []], [[1], [2], []]],
    [[], 2, [[], []], [[], []]],
    ['abc', 2, [['a', 'b'], ['c']], [['a', 'c'], ['b']]],
  ] as const)('%j is split into %i parts', (sequence, parts, block, roundRobin) => {
    expect(cut(sequence, parts, 'block').map(({ value }) => value)).toEqual(block);
    expect(cut(sequence, parts, 'roundRobin').map(({ value }) => value)).toEqual(roundRobin);
    expect(cut(sequence, parts, 'roundRobin').map(({ length }) => length)).toEqual(
      roundRobin.map(({ length }) => length),
    );
  });

  test('are arrays if the sequence is an array', () => {
    const floats = Float32Array.of(1, 2, 3);
    const first = toSliceable(floats).between(0, 2);
    expect(first).toEqual(Float32Array.of(1, 2));
    expect((first as Float32Array).buffer).toBe(floats.buffer);
    const rows = new NdArray(Int16Array.of(1, 2, 3, 4, 5, 6), { shape: [3, 2] });
    expect(cut(rows, 2, 'block').map(({ value }) => (value as NdArray).toNested())).toEqual([
      [
        [1, 2],
        [3, 4],
      ],
      [[5, 6]],
    ]);
    expect(cut(rows, 2, 'roundRobin').map(({ value }) => (value as NdArray).toNested())).toEqual([
      [
        [1, 2],
        [5, 6],
      ],
      [[3, 4]],
    ]);
  });

  test('are refused for a value that is not a sequence', () => {
    expect(() => toSliceable(5 as unknown as number[])).toThrow(UsageError);
    expect(() => toSliceable(new NdArray([1, 2, 3, 4], { shape: [2, 2], fortranOrder: true }))).toThrow(
      /C order/,
    );
  });
});

test('dependencies and keyword arguments are encoded as Python expects them', () => {
  expect(dependency(['a', 'b', 'a'], { all: false }).asDict()).toEqual({
    dependencies: ['a', 'b'],
    all: false,
    success: true,
    failure: false,
  });
  expect(() => dependency('a', { success: false })).toThrow(/success and failure must not both be false/);
  expect(() => dependency([5 as unknown as string])).toThrow(/got number/);
  expect(() => kwargs([] as unknown as Record<string, unknown>)).toThrow(UsageError);
});
