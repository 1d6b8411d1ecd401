import {
  columnsOf,
  compareText,
  compilePredicate,
  parseQuery,
  recordPredicate,
  testsOf,
} from '@ipyparallel-js/protocol/internal';
import { describe, expect, it } from 'vitest';

type Plain = { readonly [key: string]: unknown };

const matches = (query: Plain, record: Plain): boolean => recordPredicate(parseQuery(query))(record);

/** The positions, from 0, of the values of one key that match a condition. */
function found(key: string, condition: unknown, values: readonly unknown[]): number[] {
  const test = recordPredicate(parseQuery({ [key]: condition }));
  const column = key.split('.')[0] ?? key;
  return values.flatMap((value, i) => (test(value === undefined ? {} : { [column]: value }) ? [i] : []));
}

const at = (text: string): Date => new Date(`2026-01-01T00:00:${text}Z`);

describe('null and missing fields', () => {
  // 0: a string, 1: another string, 2: the empty string, 3: null, 4: missing
  const values = ['b', 'a', '', null, undefined];

  it.each([
    [null, [3, 4]],
    [{ $eq: null }, [3, 4]],
    [{ $ne: null }, [0, 1, 2]],
    [{ $gte: null }, [3, 4]],
    [{ $lte: null }, [3, 4]],
    [{ $gt: null }, []],
    [{ $lt: null }, []],
    [{ $ge: null }, []],
    [{ $le: null }, []],
    [{ $in: [null] }, [3, 4]],
    [{ $in: [null, 'a'] }, [1, 3, 4]],
    [{ $nin: [null] }, [0, 1, 2]],
    [{ $nin: [null, 'a'] }, [0, 2]],
    ['a', [1]],
    [{ $eq: 'a' }, [1]],
    [{ $ne: 'a' }, [0, 2, 3, 4]],
    [{ $nin: ['a'] }, [0, 2, 3, 4]],
    [{ $gt: 'a' }, [0]],
    [{ $ge: 'a' }, [0]],
    [{ $gte: 'a' }, [0, 1]],
    [{ $lt: 'a' }, [2]],
    [{ $le: 'a' }, [2]],
    [{ $lte: 'a' }, [1, 2]],
    [{ $gte: '' }, [0, 1, 2]],
    [{ $lt: '' }, []],
    [{ $in: [] }, []],
    [{ $nin: [] }, [0, 1, 2, 3, 4]],
    [{ $glob: '*' }, [0, 1, 2]],
  ])('%o', (condition, positions) => {
    expect(found('queue', condition, values)).toEqual(positions);
  });

  it('includes a path in a dict that is null, missing, or has no such key', () => {
    const records = [{ a: 1 }, { a: null }, {}, null, undefined];
    expect(found('content.a', null, records)).toEqual([1, 2, 3, 4]);
    expect(found('content.a', { $ne: null }, records)).toEqual([0]);
    expect(found('content.a', { $ne: 1 }, records)).toEqual([1, 2, 3, 4]);
    expect(found('content.a.b', null, records)).toEqual([0, 1, 2, 3, 4]);
  });
});

describe('several conditions', () => {
  const record = { queue: 'task', completed: null, started: at('10'), stdout: 'hello' };

  it('must all match, on one key or on several', () => {
    expect(matches({}, record)).toBe(true);
    expect(matches({}, {})).toBe(true);
    expect(matches({ queue: 'task', completed: null }, record)).toBe(true);
    expect(matches({ queue: 'mux', completed: null }, record)).toBe(false);
    expect(matches({ completed: null, queue: 'mux' }, record)).toBe(false);
    expect(matches({ queue: 'task', started: { $gte: at('10'), $lt: at('11') } }, record)).toBe(true);
    expect(matches({ queue: 'task', started: { $gte: at('10'), $lt: at('10') } }, record)).toBe(false);
    expect(matches({ pyin: null, execute_input: 'x' }, { execute_input: 'x' })).toBe(false);
  });
});

describe('types', () => {
  const values = [null, 5, '5', true, false, { a: 5 }, [5], []].map((v) => ({ v }));

  it('are never ordered relative to each other', () => {
    expect(found('content.v', { $gt: 4 }, values)).toEqual([1, 6]);
    expect(found('content.v', { $gt: '' }, values)).toEqual([2]);
    expect(found('content.v', { $gte: false }, values)).toEqual([3, 4]);
    expect(found('content.v', { $gt: false }, values)).toEqual([3]);
    expect(found('content.v', { $gte: {} }, values)).toEqual([5]);
    expect(found('content.v', { $gte: [] }, values)).toEqual([6, 7]);
    expect(found('content.v', { $lt: 1_000 }, values)).toEqual([1, 6]);
  });

  it('are never equal to each other', () => {
    expect(found('content.v', 5, values)).toEqual([1, 6]);
    expect(found('content.v', '5', values)).toEqual([2]);
    expect(found('content.v', { $in: ['true', true, 1, 0] }, values)).toEqual([3]);
    expect(found('content.v', { $ne: 5 }, values)).toEqual([0, 2, 3, 4, 5, 7]);
    expect(found('content.v', { $nin: [5, 'x'] }, values)).toEqual([0, 2, 3, 4, 5, 7]);
  });

  it('include numbers of both signs and any size', () => {
    const numbers = [-1.5, -0, 0, 2, 10, 2 ** 60].map((v) => ({ v }));
    expect(found('content.v', { $gte: 0 }, numbers)).toEqual([1, 2, 3, 4, 5]);
    expect(found('content.v', { $lt: 10 }, numbers)).toEqual([0, 1, 2, 3]);
    expect(found('content.v', { $eq: -0 }, numbers)).toEqual([1, 2]);
  });

  it('are the same for number and bigint', () => {
    const integers = [5n, 6n, 2n ** 60n + 1n].map((v) => ({ v }));
    expect(found('content.v', 5, integers)).toEqual([0]);
    expect(found('content.v', { $gt: 5 }, integers)).toEqual([1, 2]);
    expect(found('content.v', { $lte: 5 }, integers)).toEqual([0]);
    expect(found('content.v', { $gte: 2 ** 60 }, integers)).toEqual([2]);
  });
});

describe('arrays', () => {
  const values = [[1, 2, 3], [[1, 2]], [], 2, [4, null], [{ b: 1 }]].map((v) => ({ v }));

  it('match by any item, or as a complete array', () => {
    expect(found('content.v', 2, values)).toEqual([0, 3]);
    expect(found('content.v', [1, 2], values)).toEqual([1]);
    expect(found('content.v', [1, 2, 3], values)).toEqual([0]);
    expect(found('content.v', [], values)).toEqual([2]);
    expect(found('content.v', null, values)).toEqual([4]);
    expect(found('content.v', { $in: [3, 4] }, values)).toEqual([0, 4]);
    expect(found('content.v', { $in: [[1, 2]] }, values)).toEqual([1]);
    expect(found('content.v', { b: 1 }, values)).toEqual([5]);
  });

  it('do not match a negation if any item matches its operand', () => {
    expect(found('content.v', { $ne: 2 }, values)).toEqual([1, 2, 4, 5]);
    expect(found('content.v', { $nin: [2, null] }, values)).toEqual([1, 2, 5]);
  });

  it('may match two conditions with two different items', () => {
    expect(found('content.v', { $gt: 2, $lt: 2 }, values)).toEqual([0]);
  });

  it('are ordered item by item', () => {
    expect(found('content.v', { $gt: [1, 2] }, values)).toEqual([0, 1, 4, 5]);
    expect(found('content.v', { $lte: [1, 2] }, values)).toEqual([1, 2]);
  });
});

describe('dotted paths', () => {
  const record = {
    content: {
      user: { name: 'a', tags: ['x', 'y'], 'odd.key': 1 },
      list: [{ n: 1, deep: [{ m: 5 }] }, { n: 2 }, 3],
      nested: [[{ n: 9 }]],
    },
  };

  it.each([
    [{ 'content.user.name': 'a' }, true],
    [{ 'content.user.name': 'b' }, false],
    [{ 'content.user.tags': 'y' }, true],
    [{ 'content.user.tags.1': 'y' }, true],
    [{ 'content.user.tags.0': 'y' }, false],
    [{ 'content.user.tags.01': 'y' }, false],
    [{ 'content.user.tags.length': 2 }, false],
    [{ 'content.user.odd.key': 1 }, false],
    [{ 'content.list.n': 2 }, true],
    [{ 'content.list.n': { $gt: 2 } }, false],
    [{ 'content.list.0.n': 1 }, true],
    [{ 'content.list.1.n': 1 }, false],
    [{ 'content.list.2': 3 }, true],
    [{ 'content.list.deep.m': 5 }, true],
    [{ 'content.list.deep': null }, true],
    [{ 'content.list.n': null }, false],
    [{ 'content.nested.n': 9 }, false],
    [{ 'content.nested.0.n': 9 }, true],
    [{ 'content.constructor': null }, true],
    [{ 'content.user.__proto__': null }, true],
    [{ 'content.user.hasOwnProperty': { $ne: null } }, false],
    [{ 'content.user.name.length': 1 }, false],
  ])('%o: %s', (query, expected) => {
    expect(matches(query, record)).toBe(expected);
  });

  it('find a key such as __proto__ only if a record has it', () => {
    const hostile = { content: JSON.parse('{"__proto__": {"a": 1}}') as unknown };
    expect(matches({ 'content.__proto__.a': 1 }, hostile)).toBe(true);
    expect(matches({ 'content.a': 1 }, hostile)).toBe(false);
  });
});

describe('objects', () => {
  const values = [{ a: 1, b: 2 }, { b: 2, a: 1 }, { a: 1 }, { a: 1, b: 2, c: 3 }, {}, null];

  it('are equal with the same keys in the same order', () => {
    expect(found('content', { a: 1, b: 2 }, values)).toEqual([0]);
    expect(found('content', { b: 2, a: 1 }, values)).toEqual([1]);
    expect(found('content', {}, values)).toEqual([4]);
    expect(found('content', { $eq: {} }, values)).toEqual([4]);
    expect(found('content', { $ne: { a: 1, b: 2 } }, values)).toEqual([1, 2, 3, 4, 5]);
    expect(found('content', { $in: [{ a: 1 }, null] }, values)).toEqual([2, 5]);
    expect(found('content', { $nin: [{ a: 1 }, null] }, values)).toEqual([0, 1, 3, 4]);
  });

  it('are compared at every depth', () => {
    const deep = [{ a: { b: [1, { c: null }] } }];
    expect(found('content', { a: { b: [1, { c: null }] } }, deep)).toEqual([0]);
    expect(found('content', { a: { b: [1, {}] } }, deep)).toEqual([]);
    expect(found('content', { a: { b: [1, { c: 0 }] } }, deep)).toEqual([]);
  });

  it('are ordered by key: type, name, value, then length', () => {
    expect(found('content', { $gt: { a: 1 } }, values)).toEqual([0, 1, 3]);
    expect(found('content', { $lt: { a: 1 } }, values)).toEqual([4]);
    expect(found('content', { $gt: { z: 0 } }, [{ a: 'text' }, { a: 5 }, { a: null }])).toEqual([0]);
  });
});

describe('dates', () => {
  const values = [at('00.999'), at('01.000'), at('01.001'), null, undefined];

  it('are compared to the millisecond', () => {
    const d = at('01');
    expect(found('started', d, values)).toEqual([1]);
    expect(found('started', { $ne: d }, values)).toEqual([0, 2, 3, 4]);
    expect(found('started', { $gt: d }, values)).toEqual([2]);
    expect(found('started', { $gte: d }, values)).toEqual([1, 2]);
    expect(found('started', { $lt: d }, values)).toEqual([0]);
    expect(found('started', { $lte: d }, values)).toEqual([0, 1]);
    expect(found('started', { $in: [d, null] }, values)).toEqual([1, 3, 4]);
    expect(found('started', { $nin: [d] }, values)).toEqual([0, 2, 3, 4]);
  });

  it('do not equal strings, even inside dicts', () => {
    expect(found('started', { $gte: at('00') }, [at('01').toISOString(), 5])).toEqual([]);
    const inside = [{ date: '2026-01-01T00:00:01.000000Z' }];
    expect(found('header.date', { $gte: '2026-01-01' }, inside)).toEqual([0]);
  });

  it('may have any time that a Date can have', () => {
    expect(found('started', { $lt: new Date(8.64e15), $gt: new Date(-8.64e15) }, values)).toEqual([0, 1, 2]);
  });
});

describe('strings', () => {
  it('are ordered by code point, as in Python, SQLite and MongoDB', () => {
    // JavaScript orders by UTF-16 unit, which would put the emoji before U+FF21.
    const ordered = [
      '',
      'A',
      'B',
      'Z',
      'a',
      'aa',
      'ab',
      'b',
      'é',
      'ÿ',
      '\uD7FF',
      '\uE000',
      '\uFF21',
      '😀',
      '😀a',
      '😁',
    ];
    ordered.forEach((text, i) => {
      expect(found('label', { $lt: text }, ordered)).toEqual(ordered.map((_, n) => n).slice(0, i));
      expect(found('label', { $gte: text }, ordered)).toEqual(ordered.map((_, n) => n).slice(i));
    });
    expect([...ordered].reverse().sort(compareText)).toEqual(ordered);
  });

  it('are equal by code points, not by Unicode equivalence', () => {
    expect(found('label', 'é', ['e\u0301', 'é', 'E'])).toEqual([1]);
    expect(found('stdout', 'a\n', ['a', 'a\n', 'a\r\n'])).toEqual([1]);
  });
});

describe('long lists', () => {
  it('use a lookup instead of a scan for 5,000 values', () => {
    const ids = Array.from({ length: 5_000 }, (_, i) => `id_${i}`);
    const test = recordPredicate(parseQuery({ msg_id: { $in: ids } }));
    const not = recordPredicate(parseQuery({ msg_id: { $nin: ids } }));
    const started = performance.now();
    let hits = 0;
    let disagreements = 0;
    for (let i = 0; i < 100_000; i++) {
      const record = { msg_id: `id_${i % 10_000}` };
      if (test(record)) hits++;
      if (not(record) === test(record)) disagreements++;
    }
    expect(hits).toBe(50_000);
    expect(disagreements).toBe(0);
    expect(performance.now() - started).toBeLessThan(30_000);
  });

  it('match each of their values, dates and mixed types included', () => {
    const dates = Array.from({ length: 5_000 }, (_, i) => new Date(i * 1_000));
    expect(found('completed', { $in: [...dates, null] }, [new Date(4_999_000), new Date(1), null])).toEqual([
      0, 2,
    ]);
    const mixed = [1, '1', true, null, { a: 1 }, [1, 2]];
    const values = [...mixed, 0, '0', false, { a: 2 }, [2]].map((v) => ({ v }));
    expect(found('content.v', { $in: mixed }, values)).toEqual([0, 1, 2, 3, 4, 5]);
  });
});

describe('a compiled query', () => {
  it('reads records through its column reader, and only the columns that the query names', () => {
    const node = parseQuery({ queue: 'mux', 'content.a': 1, pyout: null });
    const read: string[] = [];
    const test = compilePredicate<Map<string, unknown>>(node, (record, column) => {
      read.push(column);
      return record.get(column);
    });
    expect(
      test(
        new Map<string, unknown>([
          ['queue', 'mux'],
          ['content', { a: 1 }],
        ]),
      ),
    ).toBe(true);
    expect(new Set(read)).toEqual(new Set(['queue', 'content', 'execute_result']));
    expect(columnsOf(testsOf(node))).toEqual(new Set(read));
  });

  it('never reads an inherited property as a column', () => {
    const record = Object.create({ queue: 'mux' }) as Plain;
    expect(matches({ queue: 'mux' }, record)).toBe(false);
    expect(matches({ queue: null }, record)).toBe(true);
  });
});
