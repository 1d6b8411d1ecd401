import { InvalidQueryError, IpyparallelError, UsageError } from '@ipyparallel-js/protocol';
import {
  columnOf,
  parseKeys,
  parseQuery,
  type QueryLimits,
  TASK_KEYS,
  testsOf,
} from '@ipyparallel-js/protocol/internal';
import { describe, expect, it } from 'vitest';

/** The message of the error for an invalid query. */
function refusal(query: unknown, limits?: Partial<QueryLimits>): string {
  try {
    parseQuery(query, limits === undefined ? {} : { limits });
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidQueryError);
    return (error as Error).message;
  }
  throw new Error(`the query was taken: ${String(query)}`);
}

/** The comparisons of a valid query. */
function comparisons(query: unknown): unknown[] {
  return [...testsOf(parseQuery(query))].map(({ field, comparison }) => ({
    field: field.name,
    ...comparison,
  }));
}

describe('a key that no TaskRecord has', () => {
  it('is refused with the message of the documentation', () => {
    expect(() => parseQuery({ complete: null })).toThrow(
      new InvalidQueryError('unknown TaskRecord key "complete", did you mean "completed"?'),
    );
  });

  it('throws an InvalidQueryError with its own name and code', () => {
    try {
      parseQuery({ complete: null });
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(UsageError);
      expect(error).toBeInstanceOf(IpyparallelError);
      expect(error).toMatchObject({ name: 'InvalidQueryError', code: 'INVALID_QUERY' });
      expect(String(error)).toBe(
        'InvalidQueryError: unknown TaskRecord key "complete", did you mean "completed"?',
      );
    }
  });

  it.each([
    ['msgid', 'msg_id'],
    ['Completed', 'completed'],
    ['engine_id', 'engine_uuid'],
    ['client_id', 'client_uuid'],
    ['std_out', 'stdout'],
    ['result_contents', 'result_content'],
  ])('%s: did you mean %s', (wrong, right) => {
    expect(refusal({ [wrong]: null })).toBe(`unknown TaskRecord key "${wrong}", did you mean "${right}"?`);
  });

  it('suggests nothing when no key is similar', () => {
    expect(refusal({ zzzzzzzzzz: null })).toBe('unknown TaskRecord key "zzzzzzzzzz"');
  });

  it.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty', ''])('%j is refused', (key) => {
    const query = JSON.parse(`{${JSON.stringify(key)}: null}`) as unknown;
    expect(refusal(query)).toContain(`unknown TaskRecord key ${JSON.stringify(key)}`);
    expect(() => parseKeys([key])).toThrow(InvalidQueryError);
  });

  it('is refused in keys too', () => {
    expect(() => parseKeys('complete')).toThrow(
      'unknown TaskRecord key "complete", did you mean "completed"?',
    );
    expect(() => parseKeys(['started', 'complete'])).toThrow(InvalidQueryError);
  });

  it('is refused before a dot too', () => {
    expect(refusal({ 'contents.a': 1 })).toContain('unknown TaskRecord key "contents"');
  });

  it('cannot be an operator', () => {
    for (const operator of ['$or', '$and', '$nor', '$expr', '$comment', '$eq', '$where']) {
      expect(refusal({ [operator]: [] })).toContain(`"${operator}"`);
    }
  });
});

describe('an unknown operator', () => {
  it.each([
    ['$gtee', '$gte'],
    ['$GT', '$gt'],
    ['$eqq', '$eq'],
    ['$inn', '$in'],
    ['$globb', '$glob'],
  ])('%s: did you mean %s', (wrong, right) => {
    const message = refusal({ msg_id: { [wrong]: 'x' } });
    expect(message).toContain(`unknown operator "${wrong}" on "msg_id"`);
    expect(message).toContain(`did you mean "${right}"?`);
  });

  it.each(['$__proto__', '$constructor', '$probe', '$'])('%s has no suggestion', (name) => {
    expect(refusal({ msg_id: { [name]: 'x' } })).toContain(`unknown operator "${name}"`);
  });

  it('is refused on a path and on every kind of column', () => {
    for (const key of ['started', 'content', 'content.a', 'buffers'])
      expect(refusal({ [key]: { $foo: 1 } })).toContain(`unknown operator "$foo" on "${key}"`);
  });
});

describe('a value of the wrong type', () => {
  class Custom {
    readonly a = 1;
  }
  const inAllPlaces = (value: unknown): unknown[] => [
    value,
    { $eq: value },
    { $ne: value },
    { $gt: value },
    { $gte: value },
    { $lt: value },
    { $lte: value },
    { $ge: value },
    { $le: value },
    { $in: [value] },
    { $nin: [value] },
  ];

  it.each([
    ['msg_id', 5],
    ['msg_id', true],
    ['msg_id', new Date(0)],
    ['msg_id', ['a']],
    ['msg_id', 5n],
    ['stdout', Buffer.from('x')],
    ['queue', Symbol('mux')],
    ['label', () => 'x'],
    ['resubmitted', new Date(0)],
    ['started', '2026-01-01T00:00:00Z'],
    ['started', 0],
    ['started', Date.now()],
    ['started', new Date(Number.NaN)],
    ['completed', [new Date(0)]],
    ['completed', true],
    ['header', 'x'],
    ['content', 5],
    ['content', ['x']],
    ['content', new Map()],
    ['content', new Custom()],
    ['content', { at: new Date(0) }],
    ['content', { n: 5n }],
    ['content', { f: () => 1 }],
    ['content', { u: undefined }],
    ['content', { n: Number.NaN }],
    ['content', { n: [Number.POSITIVE_INFINITY] }],
    ['content.at', new Date(0)],
    ['content.n', 5n],
    ['content.n', Number.NaN],
    ['content.n', Number.NEGATIVE_INFINITY],
    ['content.b', Buffer.from('x')],
    ['buffers', []],
    ['buffers', 'x'],
    ['result_buffers', {}],
  ] as const)('%s against %o', (key, value) => {
    const isDict = typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype;
    for (const condition of inAllPlaces(value)) {
      // An object as a plain value is a condition; other tests cover its error.
      if (isDict && condition === value && key === 'result_buffers') continue;
      expect(refusal({ [key]: condition })).toContain(`"${key}"`);
    }
  });

  it('is refused for a date with an example of a valid one', () => {
    expect(refusal({ started: { $gte: '2026-01-01' } })).toMatch(/"started" must be compared with a Date/);
    expect(refusal({ started: { $gte: new Date('nonsense') } })).toContain('invalid');
  });

  it('is refused if it is undefined, at any position', () => {
    for (const condition of inAllPlaces(undefined)) {
      expect(refusal({ msg_id: condition })).toContain('undefined');
      expect(refusal({ started: condition })).toContain('undefined');
      expect(refusal({ 'content.a': condition })).toContain('undefined');
    }
  });

  it('is refused with a hint if it is an unknown engine', () => {
    const engines = new Map([[3, 'a']]);
    const message = refusal({ engine_uuid: { $in: [3, 4].map((id) => engines.get(id)) } });
    expect(message).toContain('$in of "engine_uuid", item 1');
    expect(message).toContain('no engine with that id');
  });

  it('is refused if it is a sparse array', () => {
    const holes: unknown[] = ['a'];
    holes[2] = 'b';
    expect(refusal({ msg_id: { $in: holes } })).toContain('undefined');
    expect(refusal({ msg_id: { $nin: new Array(1) } })).toContain('undefined');
    expect(refusal({ 'content.a': holes })).toContain('undefined');
  });

  it('is refused if the operator requires an array', () => {
    for (const operand of ['mux', null, undefined, 5, {}, { length: 1 }, new Set(['mux'])]) {
      expect(refusal({ queue: { $in: operand } })).toContain('$in of "queue" must be an array');
      expect(refusal({ queue: { $nin: operand } })).toContain('$nin of "queue" must be an array');
    }
  });

  it('is refused if the operator requires a pattern', () => {
    for (const operand of [null, undefined, 5, /a/, ['a']])
      expect(refusal({ stdout: { $glob: operand } })).toContain('$glob of "stdout" must be a string');
    for (const key of ['started', 'content', 'buffers'])
      expect(refusal({ [key]: { $glob: '*' } })).toContain('a pattern matches only keys that hold text');
  });
});

describe('the form of a query', () => {
  class Query {
    readonly completed = null;
  }

  it('must be an object', () => {
    for (const query of [null, undefined, 'x', 5, true, [], [{}], new Map(), new Query(), () => ({})])
      expect(refusal(query)).toContain('query must be an object');
  });

  it('may have no prototype', () => {
    expect(comparisons(Object.assign(Object.create(null), { queue: 'mux' }))).toEqual([
      { field: 'queue', op: '$eq', value: 'mux' },
    ]);
  });

  it('must not have an empty condition on a key that cannot equal it', () => {
    for (const key of ['msg_id', 'started', 'buffers'])
      expect(refusal({ [key]: {} })).toContain(`the condition of "${key}" is an empty object`);
  });

  it('must not mix operators and plain keys in a condition', () => {
    for (const key of ['msg_id', 'started', 'content', 'content.a']) {
      expect(refusal({ [key]: { $ne: null, a: 1 } })).toContain('mixes operators with plain keys');
      expect(refusal({ [key]: { a: 1, $ne: null } })).toContain('mixes operators with plain keys');
    }
    const proto = JSON.parse('{"$ne": null, "__proto__": 1}') as unknown;
    expect(refusal({ content: proto })).toContain('mixes operators with plain keys');
  });

  it('must not have a path into a column without a dict, or an empty step', () => {
    for (const path of ['msg_id.a', 'started.a', 'buffers.0', 'stdout.length', 'pyin.a'])
      expect(refusal({ [path]: 1 })).toContain(`"${path}"`);
    for (const path of ['content.', 'content..a', 'content.a.'])
      expect(refusal({ [path]: 1 })).toContain('empty step');
    expect(refusal({ '.content': 1 })).toContain('unknown TaskRecord key ""');
  });

  it('is copied: later changes to the object have no effect', () => {
    const started = new Date(1_000);
    const ids = ['a'];
    const content = { a: { b: [1] } };
    const node = parseQuery({ started, msg_id: { $in: ids }, content, 'header.x': content });
    const before = JSON.stringify([...testsOf(node)]);
    started.setTime(Number.NaN);
    ids.push('b');
    content.a.b.push(2);
    Object.assign(content, { c: 1 });
    expect(JSON.stringify([...testsOf(node)])).toBe(before);
  });
});

describe('a valid query', () => {
  it('may have every operator of the documentation', () => {
    const at = new Date(0);
    expect(
      comparisons({
        started: { $eq: at, $ne: null, $gt: at, $gte: at, $lt: at, $lte: at, $ge: at, $le: at },
        queue: { $in: ['mux', null], $nin: [], $glob: 'm*' },
        completed: null,
      }),
    ).toEqual([
      { field: 'started', op: '$eq', value: at },
      { field: 'started', op: '$ne', value: null },
      { field: 'started', op: '$gt', value: at },
      { field: 'started', op: '$gte', value: at },
      { field: 'started', op: '$lt', value: at },
      { field: 'started', op: '$lte', value: at },
      { field: 'started', op: '$gt', value: at },
      { field: 'started', op: '$lt', value: at },
      { field: 'queue', op: '$in', values: ['mux', null] },
      { field: 'queue', op: '$nin', values: [] },
      { field: 'queue', op: '$glob', pattern: 'm*' },
      { field: 'completed', op: '$eq', value: null },
    ]);
  });

  it('may have every TaskRecord key of the documentation and of the current version', () => {
    const documented = [
      'msg_id header content buffers submitted client_uuid engine_uuid started completed resubmitted',
      'result_header result_content result_buffers queue stdout stderr',
      'metadata received result_metadata execute_input execute_result error label',
    ];
    for (const key of documented.join(' ').split(' ')) {
      expect(TASK_KEYS).toContain(key);
      expect(comparisons({ [key]: null })).toEqual([{ field: key, op: '$eq', value: null }]);
    }
  });

  it('may compare every key with null', () => {
    for (const key of [...TASK_KEYS, 'pyin', 'pyout', 'pyerr', 'content.a']) {
      expect(() => parseQuery({ [key]: { $eq: null, $ne: null } })).not.toThrow();
    }
  });

  it('may have older names of keys, which are replaced, also before a dot', () => {
    expect(comparisons({ pyin: 'a', pyout: null, pyerr: null, 'pyout.data': null })).toEqual([
      { field: 'execute_input', op: '$eq', value: 'a' },
      { field: 'execute_result', op: '$eq', value: null },
      { field: 'error', op: '$eq', value: null },
      { field: 'execute_result.data', op: '$eq', value: null },
    ]);
    expect(columnOf('pyerr')).toBe('error');
    expect(parseKeys(['pyout', 'execute_result'])).toEqual([
      { name: 'msg_id', column: 'msg_id' },
      { name: 'pyout', column: 'execute_result' },
      { name: 'execute_result', column: 'execute_result' },
    ]);
  });

  it('may have dicts and lists as values, and names like __proto__ in paths and values', () => {
    expect(comparisons({ content: { code: 'x' }, 'content.list': [1, { a: null }] })).toEqual([
      { field: 'content', op: '$eq', value: { code: 'x' } },
      { field: 'content.list', op: '$eq', value: [1, { a: null }] },
    ]);
    expect(comparisons({ content: {} })).toEqual([{ field: 'content', op: '$eq', value: {} }]);
    const [found] = comparisons({ content: JSON.parse('{"__proto__": {"polluted": 1}}') as unknown });
    expect(JSON.stringify(found)).toContain('__proto__');
    expect(comparisons({ 'content.__proto__.polluted': 1 })).toHaveLength(1);
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false);
  });

  it('may have dates as strings in a message', () => {
    const node = parseQuery({ started: { $gte: '2026-01-01T00:00:00.123456Z' } }, { dates: 'text' });
    expect([...testsOf(node)][0]?.comparison).toEqual({
      op: '$gte',
      value: new Date('2026-01-01T00:00:00.123Z'),
    });
    for (const far of [new Date(8.64e15), new Date(-8.64e15)]) {
      const bound = JSON.parse(JSON.stringify({ started: { $lt: far } })) as unknown;
      expect([...testsOf(parseQuery(bound, { dates: 'text' }))][0]?.comparison).toEqual({
        op: '$lt',
        value: far,
      });
    }
    for (const text of ['yesterday', '', '+999999-01-01T00:00:00.000Z', '2026-13-01T00:00:00Z'])
      expect(() => parseQuery({ started: text }, { dates: 'text' })).toThrow(InvalidQueryError);
    expect(() => parseQuery({ started: 5 }, { dates: 'text' })).toThrow(InvalidQueryError);
  });
});

describe('keys', () => {
  it('are a key or an array; the result has each once, msg_id first', () => {
    const names = (keys: unknown): string[] => parseKeys(keys).map(({ name }) => name);
    expect(names('started')).toEqual(['msg_id', 'started']);
    expect(names([])).toEqual(['msg_id']);
    expect(names(['started', 'msg_id', 'started'])).toEqual(['msg_id', 'started']);
  });

  it('are refused in any other form', () => {
    for (const keys of [null, 5, {}, new Set(['msg_id']), [5], [null], [undefined], [['msg_id']]])
      expect(() => parseKeys(keys)).toThrow(InvalidQueryError);
    expect(() => parseKeys(new Array(2))).toThrow(InvalidQueryError);
    expect(() => parseKeys('content.a')).toThrow(InvalidQueryError);
  });
});

describe('limits', () => {
  function nested(depth: number): unknown {
    let value: unknown = 1;
    for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { a: value };
    return value;
  }

  it('apply to the number of conditions', () => {
    const query = (n: number) =>
      Object.fromEntries(Array.from({ length: n }, (_, i) => [`content.k${i}`, i]));
    expect(() => parseQuery(query(1_000))).not.toThrow();
    expect(refusal(query(1_001))).toContain('at most 1000 conditions');
    expect(refusal({ msg_id: { $ne: null, $gte: 'a' }, queue: 'mux' }, { conditions: 2 })).toContain('2');
  });

  it('apply to the length of a list', () => {
    const list = (n: number) => ({ msg_id: { $in: Array.from({ length: n }, (_, i) => `id${i}`) } });
    expect(() => parseQuery(list(100_000))).not.toThrow();
    expect(refusal(list(100_001))).toContain('at most 100000 values, got 100001');
    expect(refusal({ msg_id: { $nin: ['a', 'b'] } }, { listLength: 1 })).toContain('at most 1 values, got 2');
  });

  it('apply to the depth of a value, including lists of lists', () => {
    expect(() => parseQuery({ 'content.a': nested(100) })).not.toThrow();
    expect(refusal({ 'content.a': nested(101) })).toContain('must nest at most 100 levels deep');
    expect(refusal({ 'content.a': { $in: [nested(100_000)] } })).toContain('must nest at most');
    const circle: unknown[] = [];
    circle.push(circle);
    expect(refusal({ 'content.a': circle })).toContain('must nest at most');
  });

  it('apply to the length of a path', () => {
    expect(() => parseQuery({ [`content${'.a'.repeat(100)}`]: 1 })).not.toThrow();
    expect(refusal({ [`content${'.a'.repeat(101)}`]: 1 })).toContain('at most 100 steps');
  });

  it('keep error messages short, even if the query is long', () => {
    const long = 'x'.repeat(1_000_000);
    for (const query of [
      { [long]: 1 },
      { [`content.${'a.'.repeat(500_000)}`]: 1 },
      { msg_id: { [`$${long}`]: 1 } },
      { started: long },
      { [`stdout.${long}`]: 1 },
      { [`$${long}`]: 1 },
      { [`content.${long}`]: undefined },
    ]) {
      expect(refusal(query).length).toBeLessThan(3_000);
    }
  });
});
