import { InvalidQueryError } from '@ipyparallel-js/protocol';
import {
  afterQuery,
  compareRecords,
  DEFAULT_SORT,
  decodeCursor,
  encodeCursor,
  getOwn,
  isAfterKeys,
  parseSort,
  recordPredicate,
  type Sort,
  sortKeyReader,
  sortRecords,
  toWireSort,
} from '@ipyparallel-js/protocol/internal';
import { describe, expect, it } from 'vitest';

type Row = { readonly [key: string]: unknown };

const read = (row: Row, key: string): unknown => getOwn(row, key);
const at = (ms: number): Date => new Date(Date.UTC(2026, 0, 1) + ms);

function ids(rows: readonly Row[], sort?: unknown): unknown[] {
  return sortRecords(rows, parseSort(sort), read).map((row) => row.msg_id);
}

describe('a sort', () => {
  it('is by submitted by default, nulls first, with msg_id to break ties', () => {
    const rows = [
      { msg_id: 'd', submitted: at(5) },
      { msg_id: 'c', submitted: at(1) },
      { msg_id: 'b', submitted: at(1) },
      { msg_id: 'z', submitted: null },
      { msg_id: 'y' },
    ];
    for (const sort of [undefined, null, {}, []]) expect(ids(rows, sort)).toEqual(['y', 'z', 'b', 'c', 'd']);
    expect(parseSort(undefined)).toBe(DEFAULT_SORT);
    expect([...rows].sort(compareRecords(DEFAULT_SORT, read)).map((row) => row.msg_id)).toEqual([
      'y',
      'z',
      'b',
      'c',
      'd',
    ]);
  });

  it('follows the requested keys, nulls last in descending order', () => {
    const rows = [
      { msg_id: 'a', completed: at(1), queue: 'mux' },
      { msg_id: 'b', completed: null, queue: 'task' },
      { msg_id: 'c', completed: at(2), queue: 'mux' },
      { msg_id: 'd', completed: at(2), queue: 'task' },
    ];
    expect(ids(rows, { completed: -1 })).toEqual(['c', 'd', 'a', 'b']);
    expect(ids(rows, { completed: 1 })).toEqual(['b', 'a', 'c', 'd']);
    expect(
      ids(rows, [
        ['queue', -1],
        ['completed', -1],
      ]),
    ).toEqual(['d', 'b', 'c', 'a']);
    expect(ids(rows, { msg_id: -1 })).toEqual(['d', 'c', 'b', 'a']);
    expect(
      ids(rows, [
        ['completed', 1],
        ['msg_id', -1],
      ]),
    ).toEqual(['b', 'a', 'd', 'c']);
  });

  it('orders strings by code point', () => {
    const rows = ['\u{1f600}', '\uff5e', 'z', 'é', 'Z'].map((msg_id) => ({ msg_id }));
    expect(ids(rows, { msg_id: 1 })).toEqual(['Z', 'z', 'é', '\uff5e', '\u{1f600}']);
  });

  it('orders values at paths like MongoDB: by type, then by value', () => {
    const values = [[], null, Number.NaN, -1, 2, '10', '9', { a: 1 }, false, true];
    const rows = values.map((v, i) => ({ msg_id: `${i}`, content: { v } }));
    expect(ids([...rows].reverse(), { 'content.v': 1 })).toEqual(rows.map((row) => row.msg_id));
    expect(ids(rows, { 'content.v': -1 })).toEqual(rows.map((row) => row.msg_id).reverse());
  });

  it('uses the smallest item of a list, or the greatest in descending order', () => {
    const rows = [
      { msg_id: 'a', content: { v: [5, 1] } },
      { msg_id: 'b', content: { v: 3 } },
      { msg_id: 'c', content: { v: [2, 'x'] } },
      { msg_id: 'd', content: { v: [{ w: 9 }, 7] } },
      { msg_id: 'e', content: null },
    ];
    expect(ids(rows, { 'content.v': 1 })).toEqual(['e', 'a', 'c', 'b', 'd']);
    expect(ids(rows, { 'content.v': -1 })).toEqual(['d', 'c', 'a', 'b', 'e']);
    // An item that is not an object counts as an object without `w`.
    expect(ids(rows, { 'content.v.w': -1 })).toEqual(['d', 'a', 'b', 'c', 'e']);
    expect(ids(rows, { 'content.v.0': -1 })).toEqual(['d', 'a', 'c', 'b', 'e']);
  });

  it('accepts older names of keys, and consists of pairs on the wire', () => {
    expect(toWireSort(parseSort({ pyin: -1, 'pyerr.ename': 1 }))).toEqual([
      ['execute_input', -1],
      ['error.ename', 1],
      ['msg_id', 1],
    ]);
    expect(
      toWireSort(
        parseSort([
          ['msg_id', -1],
          ['queue', 1],
        ]),
      ),
    ).toEqual([['msg_id', -1]]);
    const sort = parseSort({ completed: -1 });
    expect(parseSort(JSON.parse(JSON.stringify(toWireSort(sort))))).toEqual(sort);
  });

  it.each<[unknown, string]>([
    [{ complete: 1 }, 'did you mean "completed"'],
    [{ completed: 2 }, 'must be 1 (ascending) or -1 (descending), got 2'],
    [{ completed: '1' }, '1 (ascending)'],
    [{ completed: true }, '1 (ascending)'],
    ['completed', 'an array of pairs'],
    [5, 'an array of pairs'],
    [['completed'], 'must be a pair like'],
    [[['completed', 1, 1]], 'must be a pair like'],
    [[[5, 1]], 'must be a pair like'],
    [new Array(3), 'must be a pair like'],
    [
      [
        ['queue', 1],
        ['queue', -1],
      ],
      'twice',
    ],
    [
      [
        ['pyin', 1],
        ['execute_input', 1],
      ],
      'twice',
    ],
    [{ buffers: 1 }, 'cannot sort by'],
    [{ content: 1 }, 'a path inside'],
    [{ 'stdout.x': 1 }, 'is not a dict'],
    [{ $natural: 1 }, 'sort keys must be TaskRecord keys or paths'],
    [
      Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`content.k${i}`, 1])),
      'at most 32 keys, got 33',
    ],
  ])('%j is refused', (sort, message) => {
    expect(() => parseSort(sort)).toThrow(InvalidQueryError);
    expect(() => parseSort(sort)).toThrow(message);
  });
});

describe('a cursor', () => {
  const values = [
    null,
    undefined,
    [],
    0,
    -0,
    1.5,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    10n ** 20n,
    'text \u{1f600}',
    '',
    { a: [1, { b: null }], d: 'x' },
    [[], [1]],
    [1, 'a'],
    true,
    new Uint8Array([1, 2]),
  ];
  const rows: Row[] = values.flatMap((v, i) =>
    [0, 1].map((n) => ({
      msg_id: `m${i}-${n}`,
      submitted: i % 3 === 0 ? null : at(i % 4),
      queue: i % 2 === 0 ? 'mux' : null,
      content: v === undefined ? {} : { v },
    })),
  );
  const sorts: Sort[] = [
    {},
    { submitted: -1 },
    { msg_id: -1 },
    { queue: 1, submitted: -1 },
    { queue: -1, submitted: 1, msg_id: -1 },
    { 'content.v': 1 },
    { 'content.v': -1, queue: 1 },
  ].map(parseSort);

  it('continues after any record of its own sort, and is refused by another sort', () => {
    for (const sort of sorts) {
      const sorted = sortRecords(rows, sort, read);
      sorted.forEach((row, i) => {
        const cursor = encodeCursor(sort, sortKeyReader(sort, read)(row));
        const keys = decodeCursor(sort, cursor);
        const rest = sorted.slice(i + 1);
        expect(sorted.filter(isAfterKeys(sort, keys, read))).toEqual(rest);
        const query = afterQuery(sort, keys);
        expect(query === undefined).toBe(sort.some(({ field }) => field.path.length > 0));
        if (query !== undefined) expect(sorted.filter(recordPredicate(query))).toEqual(rest);
      });
    }
  });

  it('is refused if it belongs to another sort, is damaged or forged', () => {
    const sort = parseSort({ completed: -1 });
    const cursor = encodeCursor(sort, [at(0), 'a']);
    expect(decodeCursor(sort, cursor)).toEqual([at(0), 'a']);
    expect(() => decodeCursor(DEFAULT_SORT, cursor)).toThrow('another sort');
    const forged = (content: unknown): string => Buffer.from(JSON.stringify(content)).toString('base64url');
    const signature = JSON.stringify(toWireSort(sort));
    let deep: unknown = 1;
    for (let i = 0; i < 1_000; i++) deep = ['a', [deep]];
    for (const bad of [
      5,
      '',
      'xyz',
      cursor.slice(3),
      forged(null),
      forged([signature]),
      forged([signature, [['d', 1]]]),
      forged([signature, [['d', 'x'], 'a']]),
      forged([signature, [['d', 1], 5]]),
      forged([signature, ['2026', 'a']]),
      forged([signature, [{ $gt: 1 }, 'a']]),
      forged([signature, [['q'], 'a']]),
      forged([signature, [deep, 'a']]),
      'a'.repeat(2 << 20),
    ]) {
      expect(() => decodeCursor(sort, bad), String(bad).slice(0, 50)).toThrow(InvalidQueryError);
    }
  });
});
