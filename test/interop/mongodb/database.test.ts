// The MongoDB store on a real server: documents, queries, unusual values, outages.
import {
  emptyTask,
  type FindOptions,
  type FoundTask,
  MemoryDatabase,
  MongoDatabase,
  type StoredTask,
  type TaskDatabase,
} from '@ipyparallel-js/hub/internal';
import { parseQuery, parseSort } from '@ipyparallel-js/protocol/internal';
import { createLogger } from '@ipyparallel-js/wire';
import { type Document, MongoClient } from 'mongodb';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Closing } from '../../support/closing.js';
import { describeMongo, MongoServer } from '../../support/clusters/mongo-server.js';
import { waitFor } from '../../support/wait-for.js';

const moment = (n: number): string => `2026-01-01T00:00:00.${String(n).padStart(6, '0')}Z`;
const task = (msgId: string, fields: Partial<StoredTask> = {}): StoredTask => ({
  ...emptyTask(msgId),
  submitted: moment(0),
  ...fields,
});

async function all(chunks: AsyncIterable<readonly FoundTask[]>): Promise<FoundTask[]> {
  const found: FoundTask[] = [];
  for await (const chunk of chunks) found.push(...chunk);
  return found;
}

async function ids(db: TaskDatabase, query: unknown, options: FindOptions = {}): Promise<string[]> {
  const tasks = await all(db.find(parseQuery(query, { dates: 'text' }), { keys: [], ...options }));
  return tasks.map(({ msg_id }) => msg_id);
}

async function add(db: TaskDatabase, ...tasks: StoredTask[]): Promise<readonly string[]> {
  const { culled } = await db.write(tasks.map((added) => ({ op: 'add', task: added })));
  return culled;
}

interface Opened {
  readonly db: MongoDatabase;
  readonly log: string[];
  readonly database: string;
}

async function open(
  server: MongoServer,
  options: Partial<Parameters<typeof MongoDatabase.open>[0]> = {},
): Promise<Opened & AsyncDisposable> {
  const log: string[] = [];
  const database = options.database ?? server.newDatabase();
  const logger = createLogger('info', (level, line) => log.push(`${level} ${line}`));
  const db = await MongoDatabase.open(
    { uri: server.uri, database, ...options },
    { log: logger, session: 'a-session' },
  );
  return { db, log, database, [Symbol.asyncDispose]: () => db.close() };
}

async function documents(server: MongoServer, database: string): Promise<Document[]> {
  const client = new MongoClient(server.uri);
  try {
    return await client.db(database).collection('task_records').find().sort({ _id: 1 }).toArray();
  } finally {
    await client.close();
  }
}

describeMongo('the MongoDB store', () => {
  const closing = new Closing();
  let server: MongoServer;
  beforeAll(async () => {
    server = closing.use(await MongoServer.start());
  });
  afterAll(() => closing.close());

  test('writes the documents and indexes of ipyparallel, and the microseconds that BSON cannot store', async () => {
    await using store = await open(server);
    await add(
      store.db,
      task('a', {
        header: { msg_id: 'a', date: '2026-01-01T00:00:00.123456Z' },
        buffers: [Buffer.from('one'), Buffer.from('')],
        submitted: '2026-01-01T00:00:00.123456Z',
        completed: '2026-01-01T00:00:01.500000Z',
      }),
    );
    // A read first writes the queued changes.
    expect(await store.db.count(parseQuery({}))).toBe(1);
    const [document] = await documents(server, store.database);
    expect(document).toMatchObject({
      msg_id: 'a',
      header: { msg_id: 'a', date: '2026-01-01T00:00:00.123456Z' },
      submitted: new Date('2026-01-01T00:00:00.123Z'),
      completed: new Date('2026-01-01T00:00:01.500Z'),
      started: null,
      stdout: '',
      ipyparallel_js: { exact: { submitted: '2026-01-01T00:00:00.123456Z' } },
    });
    expect(document?.['buffers'][0].sub_type).toBe(0);
    const client = new MongoClient(server.uri);
    const indexes = await client.db(store.database).collection('task_records').indexes();
    await client.close();
    expect(indexes).toContainEqual(expect.objectContaining({ key: { msg_id: 1 }, unique: true }));
    expect(indexes).toContainEqual(expect.objectContaining({ key: { submitted: 1 } }));
    const [found] = await all(store.db.find(parseQuery({}), { keys: ['submitted', 'completed', 'buffers'] }));
    expect(found).toEqual({
      msg_id: 'a',
      submitted: '2026-01-01T00:00:00.123456Z',
      completed: '2026-01-01T00:00:01.500000Z',
      buffers: [Buffer.from('one'), Buffer.from('')],
    });
  });

  test('a reopened store returns complete records', async () => {
    const first = await open(server);
    const complete = task('complete', {
      header: { n: 1.5, list: [1, 'two', null, { three: 3 }], empty: {}, yes: true },
      metadata: {},
      content: { code: 'print("ä\u{1f600}")', big: 9007199254740991 },
      buffers: [],
      client_uuid: 'c',
      engine_uuid: 'e',
      resubmitted: 'other',
      result_buffers: [new Uint8Array([0, 255])],
      queue: 'mux',
      error: { ename: 'X', traceback: ['a', 'b'] },
      stdout: 'out\0put',
      label: 'l',
    });
    await add(first.db, complete);
    await first.db.close();
    await using reopened = await open(server, { database: first.database });
    const keys = Object.keys(complete) as (keyof StoredTask)[];
    const found = (await reopened.db.get(['complete'], keys)).get('complete');
    expect({ ...found, result_buffers: found?.result_buffers?.map((buffer) => [...buffer]) }).toEqual({
      ...complete,
      result_buffers: [[0, 255]],
    });
    expect(found?.header).toEqual(complete.header);
    expect(Object.keys(found?.header ?? {})).toEqual(['n', 'list', 'empty', 'yes']);
  });

  test('changes have the same effect in one batch and in several', async () => {
    await using store = await open(server);
    const { db } = store;
    await db.write([
      { op: 'update', msgId: 'early', append: { stdout: 'one ' }, orAdd: true },
      { op: 'update', msgId: 'early', append: { stdout: 'two' }, orAdd: true },
      { op: 'update', msgId: 'nobody', set: { engine_uuid: 'x' } },
      { op: 'add', task: task('new', { queue: 'task' }) },
      { op: 'update', msgId: 'new', set: { engine_uuid: 'e' }, append: { stderr: 'oops' } },
    ]);
    expect(await db.history()).toEqual(['new']);
    await db.write([
      { op: 'add', task: task('early', { queue: 'mux' }) },
      { op: 'update', msgId: 'early', append: { stdout: ' three' } },
      { op: 'update', msgId: 'new', set: { completed: moment(5) } },
    ]);
    const found = await db.get(['early', 'new', 'nobody']);
    expect([...found.keys()].sort()).toEqual(['early', 'new']);
    expect(found.get('early')).toMatchObject({ stdout: 'one two three', queue: 'mux', submitted: moment(0) });
    expect(found.get('new')).toMatchObject({ stderr: 'oops', engine_uuid: 'e', completed: moment(5) });
    expect(await ids(db, {})).toEqual(['early', 'new']);
  });

  test('returns the same results as the memory store', async () => {
    await using store = await open(server);
    const memory = new MemoryDatabase();
    const tasks = [
      task('b', { queue: 'mux', completed: moment(2000), label: 'x.y', content: { n: [1, 5], s: 'ab' } }),
      task('a', { queue: 'task', completed: moment(2500), content: { n: 3, nested: [[1], [2]] } }),
      task('c', { queue: 'mux', label: 'xzy\n', content: { n: null, s: 'AB', list: [{ k: 1 }, { k: 2 }] } }),
      task('d', { submitted: null, content: { n: '3', s: ['ab', 'cd'], 'dotted.key': 1, $dollar: 2 } }),
    ];
    await add(store.db, ...tasks);
    await add(memory, ...tasks);
    const queries: unknown[] = [
      {},
      { queue: 'mux' },
      { queue: { $ne: 'mux' } },
      { completed: null },
      { completed: { $gte: moment(2000) } },
      { completed: { $gt: moment(2000) } },
      { completed: { $lte: moment(2999) } },
      { label: { $glob: 'x?y*' } },
      { label: { $glob: 'x[!a-y]y*' } },
      { label: { $glob: 'x.y' } },
      { msg_id: { $in: ['c', 'a', 'x'] } },
      { msg_id: { $in: [] } },
      { msg_id: { $nin: ['a'] }, queue: { $in: ['mux', null] } },
      { 'content.n': 3 },
      { 'content.n': null },
      { 'content.n': { $gt: 2 } },
      { 'content.n': { $ne: 5 } },
      { 'content.n.0': 1 },
      { 'content.list.k': 2 },
      { 'content.nested': [[1], [2]] },
      { 'content.s': { $glob: 'a*' } },
      { content: { n: 3, nested: [[1], [2]] } },
      { 'content.$dollar': 2 },
    ];
    for (const query of queries) {
      const want = await ids(memory, query);
      expect({ query, ids: await ids(store.db, query) }).toEqual({ query, ids: want });
      expect({ query, count: await store.db.count(parseQuery(query, { dates: 'text' })) }).toEqual({
        query,
        count: want.length,
      });
    }
    for (const sort of [
      { completed: 1 },
      { completed: -1 },
      { label: 1 },
      { 'content.n': 1 },
      { queue: -1, label: 1 },
    ]) {
      const order = { sort: parseSort(sort) };
      const want = await ids(memory, {}, order);
      expect({ sort, ids: await ids(store.db, {}, order) }).toEqual({ sort, ids: want });
      expect(await ids(store.db, {}, { ...order, skip: 1, limit: 2 })).toEqual(want.slice(1, 3));
    }
    expect(await ids(store.db, { 'content.n': { $ne: 17 } }, { skip: 1, limit: 2 })).toEqual(['a', 'c']);
    expect(await ids(store.db, {}, { limit: 0 })).toEqual([]);
    expect(await store.db.history()).toEqual(await memory.history());
  });

  test('continues after a position in an order', async () => {
    await using store = await open(server);
    await add(store.db, ...[5, 3, 1, 4, 2].map((n) => task(`t${n}`, { submitted: moment(n * 1000) })));
    const sort = parseSort(undefined);
    const after = [new Date('2026-01-01T00:00:00.002Z'), 't2'];
    expect(await ids(store.db, {}, { sort, after })).toEqual(['t3', 't4', 't5']);
    expect(await ids(store.db, {}, { sort, after, limit: 1 })).toEqual(['t3']);
  });

  test('values that no document can contain are stored, found and removed', async () => {
    await using store = await open(server);
    let deep: Record<string, unknown> = { end: 'deep' };
    for (let i = 0; i < 150; i++) deep = { in: deep };
    const unusual: { [name: string]: Record<string, unknown> } = {
      proto: JSON.parse('{"__proto__": {"polluted": 1}, "constructor": 2, "toString": 3}'),
      protoList: JSON.parse('{"__proto__": [{"a": 1}], "constructor": [{"b": [{}]}]}'),
      deep,
      nul: { 'a\0b': 1 },
      dots: { 'a.b': 1, '.': 2, '': 3 },
      dollars: { $set: { a: 1 }, $where: 'x', nested: { $gt: 1 } },
      reference: { x: { $ref: 'a', $id: 'b' } },
      bson: { x: { _bsontype: 'ObjectId', id: 'no' }, y: { toBSON: 1 } },
      lone: { x: '\ud800', '\udfff': 1 },
      nested: { x: [[[]], [[1, [2]]]] },
      large: { x: 'x'.repeat(3 << 20) },
    };
    await add(store.db, ...Object.entries(unusual).map(([name, content]) => task(name, { content })));
    await add(store.db, task('text', { execute_input: 'half \ud83d', label: "'; DROP TABLE tasks; --" }));
    const found = await store.db.get([...Object.keys(unusual), 'text']);
    for (const [name, content] of Object.entries(unusual)) {
      expect({ name, same: JSON.stringify(found.get(name)?.content) === JSON.stringify(content) }).toEqual({
        name,
        same: true,
      });
    }
    expect(Object.getPrototypeOf(found.get('proto')?.content)).toBe(Object.prototype);
    expect(found.get('text')?.execute_input).toBe('half \ud83d');
    expect(await ids(store.db, { 'content.__proto__.polluted': 1 })).toEqual(['proto']);
    expect(await ids(store.db, { 'content.lone': null, 'content.nested': { $ne: null } })).toEqual([
      'dollars',
    ]);
    expect(await ids(store.db, { 'content.x': { $glob: 'xxx*' } })).toEqual(['large']);
    expect(await ids(store.db, { label: "'; DROP TABLE tasks; --" })).toEqual(['text']);
    const removed = await store.db.remove({ query: parseQuery({}) });
    expect(removed.count).toBe(12);
    expect(removed.bytes).toBeGreaterThan(3 << 20);
    expect(await documents(server, store.database)).toEqual([]);
    const client = new MongoClient(server.uri);
    expect(await client.db(store.database).collection('task_records.parts').countDocuments()).toBe(0);
    await client.close();
    expect(store.log.filter((line) => line.startsWith('error'))).toEqual([]);
  });

  test('stores buffers and output beyond 16 MB', async () => {
    await using store = await open(server);
    const { db } = store;
    const buffers = [
      Buffer.alloc(18 << 20, 7),
      Buffer.from('small'),
      Buffer.alloc(0),
      Buffer.alloc(3 << 20, 9),
    ];
    await add(db, task('big', { buffers }));
    await db.write([{ op: 'update', msgId: 'big', set: { result_buffers: [Buffer.alloc(9 << 20, 1)] } }]);
    for (let i = 0; i < 10; i++) {
      await db.write([{ op: 'update', msgId: 'big', append: { stdout: `${i}`.repeat(2 << 20) } }]);
    }
    const found = (await db.get(['big'], ['buffers', 'result_buffers', 'stdout'])).get('big');
    expect(found?.buffers?.map((buffer) => buffer.byteLength)).toEqual(buffers.map(({ length }) => length));
    expect(
      found?.buffers?.every((buffer, i) => Buffer.compare(buffer, buffers[i] ?? Buffer.of(1)) === 0),
    ).toBe(true);
    expect(found?.result_buffers?.[0]?.byteLength).toBe(9 << 20);
    expect(found?.stdout?.length).toBe(20 << 20);
    expect(
      [...(found?.stdout ?? '').matchAll(/(\d)\1*/g)].map(([run, digit]) => `${digit}${run.length}`),
    ).toEqual(Array.from({ length: 10 }, (_, i) => `${i}${2 << 20}`));
    expect(await ids(db, { stdout: { $glob: '000*999' } })).toEqual(['big']);
    expect(await ids(db, { result_buffers: { $ne: null } })).toEqual(['big']);
    const dry = await db.remove({ msgIds: ['big', 'nobody'] }, { dryRun: true });
    expect(dry).toMatchObject({ count: 1, msgIds: ['big'] });
    expect(dry.bytes).toBeGreaterThan(50 << 20);
    expect(await db.remove({ msgIds: ['big', 'nobody'] })).toEqual(dry);
    expect(await db.count(parseQuery({}))).toBe(0);
    expect(store.log.filter((line) => line.startsWith('error'))).toEqual([]);
  }, 120_000);

  test('the error of a store that cannot be opened states the reason, without the password', async () => {
    const startedAt = performance.now();
    const uri = 'mongodb://me:s3cret@127.0.0.1:1/?directConnection=true';
    const error = await open(server, { uri, timeout: 500, database: 'x' }).catch(
      (failure: unknown) => failure,
    );
    expect(performance.now() - startedAt).toBeLessThan(20_000);
    expect(error).toMatchObject({ code: 'DATABASE_UNAVAILABLE' });
    expect(String(error)).toMatch(/mongodb:\/\/\*\*\*@127\.0\.0\.1:1/);
    expect(String(error)).not.toContain('s3cret');
  });
});

describeMongo(
  'outages of a MongoDB server',
  () => {
    test('changes are queued, reads fail within their timeout, and all changes are written afterwards', async () => {
      await using server = await MongoServer.start({ own: true });
      await using store = await open(server, { timeout: 2000 });
      const { db, log } = store;
      await add(db, task('before'));
      await server.kill();
      for (let i = 0; i < 5; i++) {
        await add(db, task(`during${i}`));
        await db.write([{ op: 'update', msgId: `during${i}`, append: { stdout: 'out' } }]);
      }
      await db.write([{ op: 'update', msgId: 'before', append: { stdout: 'put' } }]);
      const startedAt = performance.now();
      await expect(ids(db, {})).rejects.toMatchObject({ ename: 'DatabaseUnavailable' });
      await expect(db.get(['before'])).rejects.toThrow(/does not reply.*changes are queued/);
      expect(performance.now() - startedAt).toBeLessThan(30_000);
      expect(log.filter((line) => line.startsWith('error'))).toEqual([
        expect.stringContaining('is unavailable'),
      ]);
      await server.restart();
      await waitFor(() => log.some((line) => line.includes('is available again')), {
        timeout: 60_000,
        what: 'the store to write the queued changes',
      });
      expect(await ids(db, {})).toEqual(['before', 'during0', 'during1', 'during2', 'during3', 'during4']);
      const found = await db.get(['before', 'during4']);
      expect([found.get('before')?.stdout, found.get('during4')?.stdout]).toEqual(['put', 'out']);
    });

    test('reads fail within their timeout when the server does not reply', async () => {
      await using server = await MongoServer.start({ own: true });
      await using store = await open(server, { timeout: 400 });
      await add(store.db, task('a'));
      server.freeze(true);
      try {
        const startedAt = performance.now();
        // A server thread that was running when the signal arrived may still finish a reply.
        await waitFor(async () => {
          const failure = await store.db.count(parseQuery({})).then(
            () => undefined,
            (error: unknown) => error,
          );
          if (failure !== undefined) expect(failure).toMatchObject({ ename: 'DatabaseUnavailable' });
          return failure !== undefined;
        });
        expect(performance.now() - startedAt).toBeLessThan(30_000);
      } finally {
        server.freeze(false);
      }
      await waitFor(async () => (await store.db.count(parseQuery({})).catch(() => 0)) === 1);
    });

    test('repeated kills of the server during writes neither lose nor repeat a change', async () => {
      await using server = await MongoServer.start({ own: true });
      await using store = await open(server, { timeout: 2000 });
      const { db } = store;
      const outages = (): number => store.log.filter((line) => line.includes('is unavailable')).length;
      let isWriting = true;
      let n = 0;
      const outageSeries = (async () => {
        for (let i = 0; i < 4; i++) {
          const target = n + 20;
          await waitFor(async () => (await db.count(parseQuery({})).catch(() => 0)) > target, {
            timeout: 60_000,
          });
          const before = outages();
          await server.kill();
          await waitFor(() => outages() > before, {
            timeout: 20_000,
            what: 'the store to report the outage',
          });
          await server.restart();
        }
      })().finally(() => {
        isWriting = false;
      });
      while (isWriting) {
        const id = `t${String(n++).padStart(5, '0')}`;
        await db.write([{ op: 'add', task: task(id) }]);
        await db.write([{ op: 'update', msgId: id, append: { stdout: 'a' } }]);
        await db.write([{ op: 'update', msgId: id, append: { stdout: 'b' } }]);
        // The loop pauses for other work, because a write returns immediately during an outage.
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      await outageSeries;
      expect(store.log.filter((line) => line.includes('could not'))).toEqual([]);
      // The store reports the end of the last outage with its next write.
      await waitFor(() => store.log.filter((line) => line.includes('is available again')).length >= 4);
      const found = await all(db.find(parseQuery({}), { keys: ['stdout'] }));
      expect(found).toHaveLength(n);
      expect(found.filter(({ stdout }) => stdout !== 'ab')).toEqual([]);
    });
  },
  { own: true },
);
