// The rules of MongoDB's documentation, by operator. The expected matches are written by hand.
import { InvalidQueryError } from '@ipyparallel-js/protocol';
import { parseQuery, recordPredicate, toWireQuery } from '@ipyparallel-js/protocol/internal';
import { describe, expect, it } from 'vitest';

type Plain = { readonly [key: string]: unknown };

/** The positions, from 0, of the values of `content.v` that match a condition; undefined is a missing key. */
function found(condition: unknown, values: readonly unknown[], path = 'v'): number[] {
  const test = recordPredicate(parseQuery({ [`content.${path}`]: condition }));
  return values.flatMap((v, i) => (test({ content: v === undefined ? {} : { v } }) ? [i] : []));
}

const matches = (query: Plain, record: Plain): boolean => recordPredicate(parseQuery(query))(record);

function refusal(query: unknown): string {
  try {
    parseQuery(query);
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidQueryError);
    return (error as Error).message;
  }
  throw new Error(`the query was taken: ${JSON.stringify(query)}`);
}

describe('$and, $or and $nor', () => {
  const record = { queue: 'task', completed: null, stdout: 'x', content: { n: 5 } };

  it.each<[Plain, boolean]>([
    [{ $and: [{ queue: 'task' }, { stdout: 'x' }] }, true],
    [{ $and: [{ queue: 'task' }, { stdout: 'y' }] }, false],
    [{ $or: [{ queue: 'mux' }, { stdout: 'x' }] }, true],
    [{ $or: [{ queue: 'mux' }, { stdout: 'y' }] }, false],
    [{ $nor: [{ queue: 'mux' }, { stdout: 'y' }] }, true],
    [{ $nor: [{ queue: 'mux' }, { stdout: 'x' }] }, false],
    [{ $or: [{}] }, true],
    [{ $nor: [{}] }, false],
    [{ $and: [{}] }, true],
    [{ queue: 'mux', $or: [{ stdout: 'x' }] }, false],
    [{ queue: 'task', $or: [{ stdout: 'x' }], $nor: [{ 'content.n': { $gt: 5 } }] }, true],
    [{ $or: [{ $and: [{ queue: 'task' }, { $nor: [{ completed: null }] }] }, { 'content.n': 6 }] }, false],
    // `$nor` matches a missing field.
    [{ $nor: [{ 'content.m': { $gt: 1 } }] }, true],
  ])('%j: %s', (query, expected) => {
    expect(matches(query, record)).toBe(expected);
  });

  it.each([
    { $or: [] },
    { $and: {} },
    { $nor: 'x' },
    { $or: [5] },
    { $or: [null] },
    { $and: [[{}]] },
    { $or: new Array(1) },
  ])('%j is refused', (query) => {
    refusal(query);
  });

  it('stand next to keys, not inside their conditions; the error suggests the nearest operator', () => {
    expect(refusal({ queue: { $or: [{ queue: 'mux' }] } })).toContain('it combines queries');
    expect(refusal({ $orr: [{}] })).toContain('did you mean "$or"?');
    expect(refusal({ $not: { queue: 'mux' } })).toContain('cannot be used at the top level');
    expect(refusal({ $or: [{ complete: null }] })).toContain('did you mean "completed"?');
    for (const name of ['$expr', '$where', '$text', '$comment', '$jsonSchema'])
      expect(refusal({ [name]: {} })).toContain(`unknown operator "${name}"`);
  });
});

describe('$not', () => {
  const values = [5, '5', null, undefined, [1, 7], [], { a: 1 }];

  it('matches everything that the inner operators do not: missing fields and other types', () => {
    expect(found({ $not: { $gt: 4 } }, values)).toEqual([1, 2, 3, 5, 6]);
    expect(found({ $not: { $lte: 4 } }, values)).toEqual([0, 1, 2, 3, 5, 6]);
    expect(found({ $not: { $eq: null } }, values)).toEqual([0, 1, 4, 5, 6]);
    expect(found({ $not: { $exists: true } }, values)).toEqual([3]);
    expect(found({ $not: { $not: { $gt: 4 } } }, values)).toEqual([0, 4]);
    // Matches with two items: 1 is less than 3, 7 greater than 5.
    expect(found({ $not: { $lt: 3, $gt: 5 } }, values)).toEqual([0, 1, 2, 3, 5, 6]);
    expect(found({ $not: /5/ }, values)).toEqual([0, 2, 3, 4, 5, 6]);
    expect(found({ $gt: 1, $not: { $gt: 6 } }, values)).toEqual([0]);
  });

  it.each([5, 'x', null, [], [{ $gt: 1 }], {}, { a: 1 }, { $gt: 1, a: 1 }, { $foo: 1 }])(
    '%j is refused',
    (operand) => {
      refusal({ 'content.v': { $not: operand } });
    },
  );
});

describe('$exists', () => {
  it('tests whether a path exists, null or not', () => {
    const values = [1, null, undefined, [], [{ a: 1 }, 5], { a: null }];
    expect(found({ $exists: true }, values)).toEqual([0, 1, 3, 4, 5]);
    expect(found({ $exists: false }, values)).toEqual([2]);
    expect(found({ $exists: true }, values, 'v.a')).toEqual([4, 5]);
    expect(found({ $exists: false }, values, 'v.a')).toEqual([0, 1, 2, 3]);
    expect(found({ $exists: 0 }, values)).toEqual([2]);
  });

  it('is true for every key, null or not, except the keys that some hubs lack', () => {
    for (const key of ['completed', 'stdout', 'content', 'buffers', 'queue']) {
      expect(matches({ [key]: { $exists: true } }, { [key]: null })).toBe(true);
      expect(matches({ [key]: { $exists: false } }, { [key]: null })).toBe(false);
    }
    for (const key of ['label', 'display_data']) {
      expect(matches({ [key]: { $exists: true } }, { [key]: null })).toBe(false);
      expect(matches({ [key]: { $exists: false } }, {})).toBe(true);
    }
    expect(matches({ label: { $exists: true } }, { label: 'x' })).toBe(true);
    expect(matches({ queue: { $not: { $exists: true } } }, { queue: null })).toBe(false);
  });

  it.each(['true', null, {}, []])('%j is refused', (operand) => {
    expect(refusal({ 'content.v': { $exists: operand } })).toContain('true or false');
  });
});

describe('$mod', () => {
  const values = [
    12,
    12.9,
    -12,
    13,
    '12',
    null,
    undefined,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    [5, 8],
    12n,
    2 ** 63,
    0,
    -0,
  ];

  it('truncates fractions, and keeps the sign of the value', () => {
    expect(found({ $mod: [4, 0] }, values)).toEqual([0, 1, 2, 9, 10, 12, 13]);
    expect(found({ $mod: [5, 2] }, values)).toEqual([0, 1, 10]);
    expect(found({ $mod: [5, -2] }, values)).toEqual([2]);
    expect(found({ $mod: [-5, 2] }, values)).toEqual([0, 1, 10]);
    expect(found({ $mod: [4.7, 0.5] }, values)).toEqual([0, 1, 2, 9, 10, 12, 13]);
  });

  it.each<[unknown, string]>([
    [[4], 'two numbers'],
    [[4, 0, 1], 'two numbers'],
    [[], 'two numbers'],
    [4, 'two numbers'],
    [{}, 'two numbers'],
    [[0, 1], 'must not be 0'],
    [[0.5, 1], 'must not be 0'],
    [['4', 0], 'divisor'],
    [[4, '0'], 'remainder'],
    [[4, null], 'remainder'],
    [[Number.NaN, 0], 'divisor'],
    [[4, Number.POSITIVE_INFINITY], 'remainder'],
    [[2 ** 63, 0], 'divisor'],
    [new Array(2), 'divisor'],
  ])('%j is refused', (operand, message) => {
    expect(refusal({ 'content.v': { $mod: operand } })).toContain(message);
  });

  it('is refused on keys that never hold a number', () => {
    for (const key of ['stdout', 'started', 'content', 'buffers'])
      expect(refusal({ [key]: { $mod: [2, 0] } })).toContain('never a number');
  });
});

describe('$all', () => {
  const values = [[1, 2, 3], [1, 2], 1, [[1, 2]], [], null, undefined, ['a1', 'b2'], [null]];

  it('requires every value, in a list or as a plain value', () => {
    expect(found({ $all: [1, 2] }, values)).toEqual([0, 1]);
    expect(found({ $all: [1] }, values)).toEqual([0, 1, 2]);
    expect(found({ $all: [1, 1] }, values)).toEqual([0, 1, 2]);
    expect(found({ $all: [[1, 2]] }, values)).toEqual([1, 3]);
    expect(found({ $all: [] }, values)).toEqual([]);
    expect(found({ $all: [null] }, values)).toEqual([5, 6, 8]);
    expect(found({ $all: [/^a/, /2$/] }, values)).toEqual([7]);
    expect(found({ $all: ['a1', /2$/] }, values)).toEqual([7]);
  });

  it('with $elemMatch requires an item for each', () => {
    const lists = [[{ a: 1 }, { b: 2 }], [{ a: 1, b: 2 }], [{ a: 1 }], { a: 1, b: 2 }];
    expect(found({ $all: [{ $elemMatch: { a: 1 } }, { $elemMatch: { b: 2 } }] }, lists)).toEqual([0, 1]);
    expect(found({ $not: { $all: [{ $elemMatch: { a: 1 } }, { $elemMatch: { b: 2 } }] } }, lists)).toEqual([
      2, 3,
    ]);
    expect(refusal({ 'content.v': { $all: [{ $elemMatch: { a: 1 } }, 5] } })).toContain(
      'every item must be an object with $elemMatch only',
    );
  });

  it('on a text, date or dict key tests for equality', () => {
    expect(matches({ queue: { $all: ['task'] } }, { queue: 'task' })).toBe(true);
    expect(matches({ queue: { $all: ['task', 'task'] } }, { queue: 'task' })).toBe(true);
    expect(matches({ queue: { $all: ['task', 'mux'] } }, { queue: 'task' })).toBe(false);
    expect(matches({ queue: { $all: [] } }, { queue: 'task' })).toBe(false);
    expect(matches({ queue: { $all: [null] } }, { queue: null })).toBe(true);
    expect(matches({ started: { $all: [new Date(5)] } }, { started: new Date(5) })).toBe(true);
  });

  it.each([5, 'x', { a: 1 }, [{ $gt: 1 }], [undefined]])('%j is refused', (operand) => {
    refusal({ 'content.v': { $all: operand } });
  });
});

describe('$size', () => {
  it('matches lists only, by their number of items', () => {
    const values = [[], [1], [[1, 2]], 'a', null, undefined, { length: 1 }, [{ w: [1, 2] }, { w: [] }]];
    expect(found({ $size: 0 }, values)).toEqual([0]);
    expect(found({ $size: 1 }, values)).toEqual([1, 2]);
    expect(found({ $size: 2 }, values)).toEqual([7]);
    expect(found({ $size: 2 }, values, 'v.w')).toEqual([7]);
    expect(found({ $size: 2 }, values, 'v.0')).toEqual([2]);
    expect(found({ $not: { $size: 1 } }, values)).toEqual([0, 3, 4, 5, 6, 7]);
  });

  it.each([-1, 1.5, '1', null, [], Number.NaN])('%j is refused', (operand) => {
    expect(refusal({ 'content.v': { $size: operand } })).toContain('must be a non-negative integer');
  });
});

describe('$type', () => {
  const values = [
    'a',
    5,
    5.5,
    2 ** 40,
    true,
    null,
    undefined,
    [],
    ['a', [1]],
    { a: 1 },
    new Uint8Array(1),
    2 ** 70,
    7n,
  ];

  it('matches a value, or an item of a list', () => {
    expect(found({ $type: 'string' }, values)).toEqual([0, 8]);
    expect(found({ $type: 2 }, values)).toEqual([0, 8]);
    expect(found({ $type: 'int' }, values)).toEqual([1, 12]);
    expect(found({ $type: 'double' }, values)).toEqual([2, 11]);
    expect(found({ $type: 'long' }, values)).toEqual([3]);
    expect(found({ $type: 'number' }, values)).toEqual([1, 2, 3, 11, 12]);
    expect(found({ $type: 'bool' }, values)).toEqual([4]);
    expect(found({ $type: 'null' }, values)).toEqual([5]);
    expect(found({ $type: 'array' }, values)).toEqual([7, 8]);
    expect(found({ $type: 'object' }, values)).toEqual([9]);
    expect(found({ $type: 'binData' }, values)).toEqual([10]);
    expect(found({ $type: ['null', 8] }, values)).toEqual([4, 5]);
    for (const type of ['undefined', 'objectId', 'date', 'regex', -1, 127, 19])
      expect(found({ $type: type }, values)).toEqual([]);
  });

  it('is fixed for a key', () => {
    const record = { queue: 'mux', started: new Date(0), completed: null, content: {}, label: null };
    const found = (type: unknown): string[] =>
      Object.keys(record).filter((key) => matches({ [key]: { $type: type } }, record));
    expect(found('string')).toEqual(['queue']);
    expect(found('date')).toEqual(['started']);
    expect(found('object')).toEqual(['content']);
    expect(found('null')).toEqual(['completed']);
    expect(found(['null', 'date'])).toEqual(['started', 'completed']);
    expect(found('number')).toEqual([]);
  });

  it.each<[unknown, string]>([
    ['text', 'unknown type'],
    ['strin', 'did you mean "string"?'],
    [99, 'unknown type number 99'],
    [[], 'at least one'],
    [null, 'the name or number'],
    [[null], 'the name or number'],
    [['string', 'foo'], 'unknown type'],
  ])('%j is refused', (operand, message) => {
    expect(refusal({ 'content.v': { $type: operand } })).toContain(message);
  });
});

describe('$elemMatch', () => {
  it('requires one item that matches all operators', () => {
    const values = [[1, 10], [5], 5, [[5]], [], null, [null], ['5']];
    expect(found({ $elemMatch: { $gt: 3, $lt: 7 } }, values)).toEqual([1]);
    expect(found({ $gt: 3, $lt: 7 }, values)).toEqual([0, 1, 2]);
    expect(found({ $elemMatch: { $elemMatch: { $eq: 5 } } }, values)).toEqual([3]);
    expect(found({ $elemMatch: { $size: 1 } }, values)).toEqual([3]);
    expect(found({ $elemMatch: { $ne: 5 } }, values)).toEqual([0, 3, 6, 7]);
    expect(found({ $elemMatch: { $not: { $gt: 3 } } }, values)).toEqual([0, 3, 6, 7]);
    expect(found({ $elemMatch: { $in: [null] } }, values)).toEqual([6]);
    expect(found({ $elemMatch: { $exists: true } }, values)).toEqual([0, 1, 3, 6, 7]);
    expect(found({ $not: { $elemMatch: { $gt: 3, $lt: 7 } } }, values)).toEqual([0, 2, 3, 4, 5, 6, 7]);
    expect(found({ $elemMatch: { $regex: '5' } }, values)).toEqual([7]);
  });

  it('requires one object that matches a query', () => {
    const values = [
      [
        { a: 1, b: 1 },
        { a: 2, b: 2 },
      ],
      [{ a: 1, b: 2 }],
      { a: 1, b: 2 },
      [{ a: { c: [1, 3] } }],
      [[7, 8]],
      [],
      [1],
      [{}],
    ];
    expect(found({ $elemMatch: { a: 1, b: 2 } }, values)).toEqual([1]);
    expect(found({ $elemMatch: { 'a.c': 3 } }, values)).toEqual([3]);
    expect(found({ $elemMatch: { $or: [{ a: 2 }, { b: 2 }] } }, values)).toEqual([0, 1]);
    expect(found({ $elemMatch: { a: { $ne: 1 }, b: { $exists: true } } }, values)).toEqual([0]);
    expect(found({ $elemMatch: { a: null } }, values)).toEqual([4, 7]);
    // The keys of a list in a list are its positions.
    expect(found({ $elemMatch: { 0: 7 } }, values)).toEqual([4]);
    expect(found({ $elemMatch: { 2: null } }, values)).toEqual([0, 1, 3, 4, 7]);
    expect(found({ $elemMatch: {} }, values)).toEqual([0, 1, 3, 4, 7]);
    expect(found({ $elemMatch: { $nor: [{ a: 1 }] } }, values)).toEqual([0, 3, 4, 7]);
  });

  it.each([
    5,
    'x',
    [],
    null,
    { $gt: 1, a: 1 },
    { a: 1, $gt: 1 },
    { $foo: 1 },
    { 'a..b': 1 },
    { a: undefined },
  ])('%j is refused', (operand) => {
    refusal({ 'content.v': { $elemMatch: operand } });
  });
});

describe('paths through lists', () => {
  const values = [[{ b: 1 }, { b: 2 }], [5, [{ b: 1 }]], [[5]], { 0: 5 }, [{ 0: 5 }], [5, 7], [], [{ c: 1 }]];

  it('continue in the objects of a list, and a number selects an item', () => {
    expect(found(1, values, 'v.b')).toEqual([0]);
    expect(found(1, values, 'v.1.b')).toEqual([1]);
    expect(found(2, values, 'v.1.b')).toEqual([0]);
    expect(found(5, values, 'v.0')).toEqual([1, 3, 4, 5]);
    expect(found([5], values, 'v.0')).toEqual([2]);
    expect(found(5, values, 'v.0.0')).toEqual([2, 4]);
  });

  it('do not count as missing in a list without objects', () => {
    expect(found(null, values, 'v.b')).toEqual([3, 4, 7]);
    expect(found({ $ne: 1 }, values, 'v.b')).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(found({ $exists: false }, values, 'v.b')).toEqual([1, 2, 3, 4, 5, 6, 7]);
    // The object at that position lacks `1.b`, although item 1 has a `b`.
    expect(found(null, values, 'v.1.b')).toEqual([0, 3, 4, 7]);
  });
});

describe('numbers', () => {
  it('include NaN, which equals only NaN and has no order', () => {
    const values = [Number.NaN, 1, Number.NEGATIVE_INFINITY];
    expect(found({ $lt: 5 }, values)).toEqual([1, 2]);
    expect(found({ $gt: -5 }, values)).toEqual([1]);
    expect(found({ $not: { $gte: 0 } }, values)).toEqual([0, 2]);
  });

  it('match values in lists by value, bigints included', () => {
    const values = [1n, 1, 2n ** 60n, 2 ** 60, -0, '1', 1.5];
    expect(found({ $in: [1, 2 ** 60] }, values)).toEqual([0, 1, 2, 3]);
    expect(found({ $in: [0, 1.5] }, values)).toEqual([4, 6]);
    expect(found({ $nin: [-0, 1] }, values)).toEqual([2, 3, 5, 6]);
  });
});

describe('$in and $nin', () => {
  it('accept values of every type', () => {
    const values = ['a', 1, true, null, undefined, { a: 1, b: 2 }, { b: 2, a: 1 }, [1, 2], [[1, 2]], 'b7'];
    expect(found({ $in: [{ a: 1, b: 2 }, [1, 2], true] }, values)).toEqual([2, 5, 7, 8]);
    expect(found({ $in: ['a', /^b\d/, null] }, values)).toEqual([0, 3, 4, 9]);
    expect(found({ $in: [/A/i, /^b/] }, values)).toEqual([0, 9]);
    expect(found({ $nin: ['a', /^b\d/, null] }, values)).toEqual([1, 2, 5, 6, 7, 8]);
    expect(found({ $not: { $nin: ['a', /^b/] } }, values)).toEqual([0, 9]);
    expect(refusal({ 'content.v': { $in: [{ $regex: 'x' }] } })).toContain(
      'must be a value, got an operator',
    );
  });

  it('look up 5,000 values in 100,000 records quickly', () => {
    const ids = Array.from({ length: 5_000 }, (_, i) => `id-${i * 7}`);
    const lists = [{ msg_id: { $in: ids } }, { 'content.o': { $in: ids.map((id) => ({ id })) } }];
    const records = Array.from({ length: 100_000 }, (_, i) => ({
      msg_id: `id-${i}`,
      content: { o: { id: `id-${i}` } },
    }));
    for (const query of lists) {
      const test = recordPredicate(parseQuery(query));
      const start = performance.now();
      expect(records.filter(test)).toHaveLength(5_000);
      expect(performance.now() - start).toBeLessThan(15_000);
    }
  });
});

describe('$regex', () => {
  const values = [
    'error: x',
    'an Error',
    'line\nerror',
    5,
    null,
    undefined,
    ['x', 'error'],
    '',
    'é\u{1f600}',
  ];

  it('matches anywhere in a string, or in a string of a list', () => {
    expect(found({ $regex: 'error' }, values)).toEqual([0, 2, 6]);
    expect(found(/error/, values)).toEqual([0, 2, 6]);
    expect(found({ $regex: /error/ }, values)).toEqual([0, 2, 6]);
    expect(found({ $regex: 'ERROR', $options: 'i' }, values)).toEqual([0, 1, 2, 6]);
    expect(found({ $options: 'i', $regex: 'ERROR' }, values)).toEqual([0, 1, 2, 6]);
    expect(found({ $regex: /ERROR/, $options: 'i' }, values)).toEqual([0, 1, 2, 6]);
    expect(found(/ERROR/i, values)).toEqual([0, 1, 2, 6]);
    expect(found({ $regex: '^error' }, values)).toEqual([0, 6]);
    expect(found({ $regex: '^error', $options: 'm' }, values)).toEqual([0, 2, 6]);
    expect(found({ $regex: 'line.error' }, values)).toEqual([]);
    expect(found({ $regex: 'line.error', $options: 's' }, values)).toEqual([2]);
    expect(found({ $regex: '' }, values)).toEqual([0, 1, 2, 6, 7, 8]);
    expect(found({ $regex: '^..$' }, values)).toEqual([8]);
    expect(found(/x\u00e9|\u00e9/, values)).toEqual([8]);
    expect(found(/\u00e9/, values)).toEqual([8]);
    expect(found({ $regex: '\\x{1F600}' }, values)).toEqual([8]);
  });

  it.each<[unknown, string]>([
    [{ $regex: '(?=a)' }, 'lookaround is not supported'],
    [{ $regex: '(?<!a)b' }, 'lookaround is not supported'],
    [/(?!a)b/, 'lookaround is not supported'],
    [{ $regex: '(a)\\1' }, 'back-references are not supported'],
    [/(a)\1/, 'back-references are not supported'],
    [/x/g, 'flag "g" is not supported'],
    [/x/y, 'not supported'],
    [/x/u, 'not supported'],
    [{ $regex: 'x', $options: 'x' }, 'not supported'],
    [{ $regex: 'x', $options: 5 }, '$options must be a string of the flags i, m and s'],
    [{ $regex: /x/i, $options: 'm' }, 'both $regex and $options'],
    [{ $options: 'i' }, 'requires a $regex'],
    [{ $regex: 5 }, 'must be a string or a regular expression'],
    [{ $regex: null }, 'must be a string or a regular expression'],
    [{ $regex: 'a\0b' }, 'null byte'],
    [{ $regex: '(' }, 'missing closing )'],
    [{ $regex: '[' }, 'missing closing ]'],
    [{ $regex: 'a**' }, 'repetition'],
    [{ $regex: '\\u0041' }, '\\x{1F600}'],
    [{ $eq: /x/ }, 'use $regex'],
    [{ $ne: /x/ }, 'use $regex, or $not'],
    [{ $gt: /x/ }, 'use $regex'],
  ])('%o is refused', (condition, message) => {
    expect(refusal({ 'content.v': condition })).toContain(message);
  });

  it('is refused on keys that do not hold text', () => {
    for (const key of ['started', 'content', 'buffers'])
      expect(refusal({ [key]: /x/ })).toContain('a pattern matches only keys that hold text');
  });

  it('takes time linear in the text, and has a limit on its own size', () => {
    const long = `${'a'.repeat(50_000)}!`;
    const start = performance.now();
    for (const pattern of ['(a+)+$', '(a|a)*$', '(.*a){12}$', '(x+x+)+y'])
      matches({ stdout: { $regex: pattern } }, { stdout: long });
    expect(performance.now() - start).toBeLessThan(30_000);
    expect(refusal({ stdout: { $regex: 'a'.repeat(1_001) } })).toContain('at most 1000 characters, got 1001');
    expect(refusal({ stdout: { $glob: 'a'.repeat(1_001) } })).toContain('at most 1000 characters, got 1001');
    expect(refusal({ stdout: { $regex: 'a{900}'.repeat(3) } })).toContain('at most 2000 instructions');
    expect(refusal({ stdout: { $regex: '((a{100}){100}){100}' } })).toContain('invalid repeat count');
    const many = Array.from({ length: 900 }, (_, i) => ({ stdout: { $regex: `x{${i}}` } }));
    expect(refusal({ $or: many })).toContain('instructions');
    expect(refusal({ stdout: { $regex: '('.repeat(1_000) } }).length).toBeLessThan(1_000);
  });
});

describe('a query in a message', () => {
  it('has dates as strings at every depth', () => {
    const text = '2026-01-01T00:00:00.123456Z';
    const query = {
      $or: [{ started: { $not: { $gte: text } } }, { $and: [{ started: { $in: [text, null] } }] }],
    };
    const test = recordPredicate(parseQuery(query, { dates: 'text' }));
    expect(test({ started: new Date('2026-01-01T00:00:00.122Z') })).toBe(true);
    expect(test({ started: new Date('2026-01-01T00:00:00.123Z') })).toBe(true);
    expect(test({ started: new Date('2026-01-01T00:00:00.124Z') })).toBe(false);
    expect(test({ started: null })).toBe(true);
    expect(() => parseQuery({ $or: [{ started: 'soon' }] }, { dates: 'text' })).toThrow(InvalidQueryError);
  });
});

describe('limits', () => {
  it('apply to the depth and width of sub-queries', () => {
    const nested = (depth: number, wrap: (inner: unknown) => unknown, inner: unknown): unknown => {
      let query = inner;
      for (let i = 0; i < depth; i++) query = wrap(query);
      return query;
    };
    const ors = (depth: number): unknown => nested(depth, (inner) => ({ $or: [inner] }), { queue: 'mux' });
    expect(matches(ors(39) as Plain, { queue: 'mux' })).toBe(true);
    expect(refusal(ors(40))).toContain('at most 40 levels deep');
    expect(refusal(ors(5_000))).toContain('at most 40 levels deep');
    const nots = (depth: number): unknown => ({
      'content.v': nested(depth, (inner) => ({ $not: inner }), { $gt: 1 }),
    });
    expect(matches(nots(38) as Plain, { content: { v: 2 } })).toBe(true);
    expect(refusal(nots(5_000))).toContain('at most 40 levels deep');
    const items = (depth: number): unknown => ({
      'content.v': nested(depth, (inner) => ({ $elemMatch: inner }), { $gt: 1 }),
    });
    expect(refusal(items(5_000))).toContain('at most 40 levels deep');
    const circle: { $and: unknown[] } = { $and: [] };
    circle.$and.push(circle);
    expect(refusal(circle)).toContain('at most 40 levels deep');
    // An accepted query fits into a message, whose JSON may nest 200 levels.
    const value = nested(56, (inner) => [inner], 1);
    const deepest = nested(30, (inner) => ({ pyin: 'a', execute_input: 'b', $or: [inner] }), {
      'content.a': value,
    });
    const text = JSON.stringify(toWireQuery(parseQuery(deepest)));
    const levels = [...text].reduce(
      ([now, most], char) => {
        const next = now + ('[{'.includes(char) ? 1 : ']}'.includes(char) ? -1 : 0);
        return [next, Math.max(next, most)] as [number, number];
      },
      [0, 0] as [number, number],
    )[1];
    expect(levels).toBeGreaterThan(150);
    expect(levels).toBeLessThan(198);
    expect(refusal(nested(30, (inner) => ({ $or: [inner] }), { 'content.a': [value] }))).toContain(
      'levels deep',
    );
    expect(refusal({ $or: Array.from({ length: 1_001 }, () => ({})) })).toContain('at most 1000 conditions');
    expect(refusal({ 'content.v': { $all: Array.from({ length: 100_001 }, () => 1) } })).toContain(
      'at most 100000 values',
    );
  });
});
