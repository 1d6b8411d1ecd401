// The parts of the MongoDB store that need no server.
import {
  compileQuery,
  emptyTask,
  isPlainRegex,
  loadDriver,
  parseCommandLine,
  regexOfGlob,
  resolveControllerOptions,
  type TaskChange,
  WriteQueue,
  withoutPassword,
} from '@ipyparallel-js/hub/internal';
import { parseQuery } from '@ipyparallel-js/protocol/internal';
import { createLogger } from '@ipyparallel-js/wire';
import { describe, expect, test } from 'vitest';

const mongo = {
  ...{ name: 'MongoDB', supportsFullQueries: true, maxListLength: Number.POSITIVE_INFINITY },
  ...{ supportsAnyKey: true, supportsNestedLists: true, maxUpdates: 1000, batchDelay: 0 },
};
const ferret = { ...mongo, name: 'FerretDB', supportsFullQueries: false, maxListLength: 50 };
const compile = (query: unknown, traits = mongo) => compileQuery(parseQuery(query), traits);

describe('patterns for MongoDB', () => {
  test('a glob has the same meaning as in Python', () => {
    expect(regexOfGlob('a*b?')).toBe('^a(?s:.*)b(?s:.)\\z');
    expect(regexOfGlob('x.y')).toBe('^x\\x{2e}y\\z');
    expect(regexOfGlob('[!a-c]')).toBe('^[^\\x{61}-\\x{63}]\\z');
    expect(regexOfGlob('[]x]')).toBe('^[\\x{5d}-\\x{5d}\\x{78}-\\x{78}]\\z');
    expect(regexOfGlob('[z-a]')).toBe('^[^\\x{0}-\\x{10ffff}]\\z');
    expect(regexOfGlob('[')).toBe('^\\x{5b}\\z');
  });

  test('patterns that a backtracking matcher may need long for are not sent', () => {
    expect(regexOfGlob('*a*b*c*d*')).toBeUndefined();
    expect(regexOfGlob('x'.repeat(40_000))).toBeUndefined();
    for (const pattern of ['(a+)+b', 'a|b', '\\d', 'a$', '(?i)a', 'a.*b.*c.*d', 'é', '[z-a]', '\\bx', 'a{3}'])
      expect({ pattern, plain: isPlainRegex(pattern, '') }).toEqual({ pattern, plain: false });
    expect(isPlainRegex('abc', 'i')).toBe(false);
    for (const pattern of ['abc', '^ab.*c', 'a\\.b', '[a-z]+x'])
      expect({ pattern, plain: isPlainRegex(pattern, '') }).toEqual({ pattern, plain: true });
  });
});

describe('a query for MongoDB', () => {
  test('is compiled completely', () => {
    expect(
      compile({
        $or: [{ queue: 'mux' }, { 'content.n': { $gt: 3, $mod: [2, 1] } }],
        pyin: { $glob: 'a*' },
        $nor: [{ 'header.x': { $size: 2 } }],
      }),
    ).toEqual({
      filter: {
        $and: [
          { $or: [{ queue: { $eq: 'mux' } }, expect.objectContaining({ $and: expect.any(Array) })] },
          { execute_input: { $regex: '^a(?s:.*)\\z' } },
          { $nor: [{ 'header.x': { $size: 2 } }] },
        ],
      },
      residual: undefined,
    });
  });

  test('has a residual where the server is not exact, and its filter accepts every match', () => {
    const { filter, residual } = compile({ queue: 'mux', stdout: { $regex: '(a|b)+' } });
    expect(filter).toEqual({ queue: { $eq: 'mux' } });
    expect(residual).toBeDefined();
    expect(compile({ $or: [{ queue: 'mux' }, { stdout: { $regex: 'a|b' } }] }).filter).toEqual({});
    expect(compile({ $nor: [{ stdout: { $regex: 'a|b' } }] }).filter).toEqual({});
    expect(compile({ label: { $ne: 'x' } }, ferret)).toMatchObject({
      filter: {},
      residual: expect.anything(),
    });
    expect(compile({ label: 'x' }, ferret)).toEqual({ filter: { label: { $eq: 'x' } }, residual: undefined });
    const external = compileQuery(parseQuery({ stdout: 'x' }), mongo, new Set(['stdout'] as const));
    expect(external).toEqual({
      filter: { $or: [{ stdout: { $eq: 'x' } }, { 'ipyparallel_js.outside.stdout': { $exists: true } }] },
      residual: expect.anything(),
    });
  });

  test('contains no value that the server could interpret as an operator', () => {
    expect(compile({ 'content.$where': 1 })).toMatchObject({ filter: {} });
  });
});

describe('options', () => {
  test.each([
    [['--mongodb'], { type: 'mongodb' }],
    [
      ['--mongodb', '--MongoDB.connection_args=["db.example", 27018]', '--MongoDB.database=mine'],
      { type: 'mongodb', uri: 'mongodb://db.example:27018', database: 'mine' },
    ],
    [
      ['--mongodb', "--MongoDB.connection_args=['mongodb://h1,h2:5/?a=b']", '--max-age=5'],
      { type: 'mongodb', uri: 'mongodb://h1,h2:5/?a=b', maxAge: 5000 },
    ],
    [['--mongodb', '--mongodb-uri', 'mongodb://h1,h2'], { type: 'mongodb', uri: 'mongodb://h1,h2' }],
  ])('the arguments %j set the options of the database', (argv, db) => {
    expect(parseCommandLine(argv).options.db).toEqual(db);
  });

  test('MONGODB_URI is the default of the server', () => {
    const env = { MONGODB_URI: 'mongodb://elsewhere', HOME: '/' };
    expect(resolveControllerOptions({ db: 'mongodb' }, env).db).toEqual({
      type: 'mongodb',
      uri: 'mongodb://elsewhere',
    });
    const db = { type: 'mongodb', uri: 'mongodb://here' } as const;
    expect(resolveControllerOptions({ db }, env).db).toEqual(db);
  });

  test('passwords are removed from URIs', () => {
    expect(withoutPassword('mongodb://me:p@ss@host:1/?x=y')).toBe('mongodb://***@host:1/?x=y');
    expect(withoutPassword('mongodb://host')).toBe('mongodb://host');
  });

  test('without the driver the error states what to install', async () => {
    const missing = Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' });
    await expect(loadDriver(() => Promise.reject(missing))).rejects.toMatchObject({
      code: 'MISSING_DRIVER',
      message: expect.stringContaining('npm install mongodb'),
    });
  });
});

test('the number of queued changes is limited, and lost changes are logged', async () => {
  const log: string[] = [];
  const written: TaskChange[] = [];
  let unavailable = true;
  const queue = new WriteQueue({
    writeBatch: async (changes) => {
      if (unavailable) throw new Error('connection lost');
      written.push(...changes);
    },
    isOutage: () => true,
    server: 'the server',
    log: createLogger('info', (level, line) => log.push(`${level} ${line}`)),
    maxChanges: 10,
    retryDelay: 5,
  });
  const change = (n: number): TaskChange => ({ op: 'add', task: emptyTask(`t${n}`) });
  for (let n = 0; n < 12; n++) await queue.push([change(n)]);
  expect(queue.length).toBe(10);
  await expect(queue.drain()).rejects.toThrow('connection lost');
  unavailable = false;
  await queue.drain();
  await queue.push([change(99)]);
  expect(written.map((one) => (one.op === 'add' ? one.task.msg_id : ''))).toEqual([
    ...Array.from({ length: 10 }, (_, n) => `t${n}`),
    't99',
  ]);
  expect(log.filter((line) => line.startsWith('error'))).toEqual([
    expect.stringContaining('is unavailable'),
    expect.stringContaining('1 changes of tasks are lost'),
    expect.stringContaining('2 changes of tasks are lost'),
  ]);
  expect(log.at(-1)).toMatch(/available again after .*2 exceeded the limit and are lost/);
  queue.close();
});
