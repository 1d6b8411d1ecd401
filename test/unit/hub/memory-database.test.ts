import {
  emptyTask,
  type FoundTask,
  MemoryDatabase,
  NoDatabase,
  type StoredTask,
} from '@ipyparallel-js/hub/internal';
import type { TaskKey } from '@ipyparallel-js/protocol';
import { DEFAULT_SORT, parseQuery, parseSort } from '@ipyparallel-js/protocol/internal';
import { describe, expect, test } from 'vitest';

const moment = (n: number): string => `2026-01-01T00:00:00.${String(n).padStart(6, '0')}Z`;

function task(msgId: string, fields: Partial<StoredTask> = {}): StoredTask {
  return { ...emptyTask(msgId), submitted: moment(0), ...fields };
}

async function add(db: MemoryDatabase, ...tasks: StoredTask[]): Promise<string[]> {
  const { culled } = await db.write(tasks.map((added) => ({ op: 'add', task: added })));
  return [...culled];
}

async function found(chunks: AsyncIterable<readonly FoundTask[]>): Promise<FoundTask[]> {
  const all: FoundTask[] = [];
  for await (const chunk of chunks) all.push(...chunk);
  return all;
}

async function ids(db: MemoryDatabase, query: unknown, options = {}): Promise<string[]> {
  const records = await found(db.find(parseQuery(query, { dates: 'text' }), options));
  return records.map(({ msg_id }) => msg_id);
}

describe('records', () => {
  test('are returned as stored, in the order of arrival, with buffers only if requested', async () => {
    const db = new MemoryDatabase();
    await add(db, task('b', { header: { x: 1 }, buffers: [Buffer.from('in')] }), task('a'));
    const [b, a] = await found(db.find(parseQuery({})));
    expect([b?.msg_id, a?.msg_id]).toEqual(['b', 'a']);
    expect(b?.header).toEqual({ x: 1 });
    expect(b).not.toHaveProperty('buffers');
    const keys: TaskKey[] = ['buffers'];
    expect(await found(db.find(parseQuery({ msg_id: 'b' }), { keys }))).toEqual([
      { msg_id: 'b', buffers: [new Uint8Array(Buffer.from('in'))] },
    ]);
  });

  test('a change does not modify a record that was returned before', async () => {
    const db = new MemoryDatabase();
    await add(db, task('a'));
    const [before] = await found(db.find(parseQuery({})));
    await db.write([{ op: 'update', msgId: 'a', set: { completed: moment(5) } }]);
    expect(before?.completed).toBeNull();
    expect((await db.get(['a'])).get('a')?.completed).toBe(moment(5));
  });

  test('output that arrived before its request is kept', async () => {
    const db = new MemoryDatabase();
    await db.write([
      { op: 'update', msgId: 'a', append: { stdout: 'one ' }, orAdd: true },
      { op: 'update', msgId: 'a', append: { stdout: 'two' }, orAdd: true },
      { op: 'update', msgId: 'a', set: { execute_input: 'code' }, orAdd: true },
    ]);
    expect(await db.history()).toEqual([]);
    await add(db, task('a', { queue: 'mux' }));
    expect((await db.get(['a'])).get('a')).toMatchObject({
      stdout: 'one two',
      execute_input: 'code',
      queue: 'mux',
    });
    expect(await db.history()).toEqual(['a']);
  });

  test('an update of an unknown task does nothing', async () => {
    const db = new MemoryDatabase();
    await db.write([{ op: 'update', msgId: 'nobody', set: { engine_uuid: 'x' } }]);
    expect(await db.count(parseQuery({}))).toBe(0);
  });

  test('a small buffer does not keep the memory of its batch', async () => {
    const db = new MemoryDatabase();
    const batch = Buffer.alloc(1 << 20, 7);
    await add(db, task('a', { result_buffers: [batch.subarray(10, 20)] }));
    const kept = (await db.get(['a'], ['result_buffers'])).get('a')?.result_buffers?.[0];
    expect(kept?.buffer.byteLength).toBe(10);
  });
});

describe('queries', () => {
  test('compare dates as dates, and treat nulls as MongoDB does', async () => {
    const db = new MemoryDatabase();
    await add(
      db,
      task('done', { completed: '2026-01-01T12:00:00.500000Z', queue: 'mux' }),
      task('open', { queue: 'task' }),
    );
    expect(await ids(db, { completed: { $gte: '2026-01-01T13:00:00+01:00' } })).toEqual(['done']);
    expect(await ids(db, { completed: null })).toEqual(['open']);
    expect(await ids(db, { queue: { $ne: 'mux' }, completed: null })).toEqual(['open']);
    expect(await db.count(parseQuery({ queue: { $in: ['mux', 'task'] } }))).toBe(2);
  });

  test('with msg_id return records in the order of arrival', async () => {
    const db = new MemoryDatabase();
    await add(db, task('z'), task('m'), task('a'));
    expect(await ids(db, { msg_id: { $in: ['a', 'z', 'nobody'] } })).toEqual(['z', 'a']);
    expect(await ids(db, { msg_id: 'm' })).toEqual(['m']);
    expect(await ids(db, { msg_id: { $in: ['a', 'z'] }, queue: 'mux' })).toEqual([]);
  });

  test('sort, skip and limit', async () => {
    const db = new MemoryDatabase();
    await add(db, ...[3, 1, 2].map((n) => task(`t${n}`, { completed: moment(n * 1000) })), task('t0'));
    const sort = parseSort({ completed: 1 });
    expect(await ids(db, {}, { sort })).toEqual(['t0', 't1', 't2', 't3']);
    expect(await ids(db, {}, { sort: parseSort({ completed: -1 }), limit: 2 })).toEqual(['t3', 't2']);
    expect(await ids(db, {}, { sort, skip: 1, limit: 2 })).toEqual(['t1', 't2']);
    expect(await ids(db, {}, { skip: 3 })).toEqual(['t0']);
    expect(await ids(db, {}, { limit: 0 })).toEqual([]);
  });

  test('the default order continues after a position while records are added and removed', async () => {
    const db = new MemoryDatabase({ recordLimit: 100_000 });
    const at = (id: string, ms: number | null) =>
      task(id, { submitted: ms === null ? null : new Date(ms).toISOString(), completed: moment(0) });
    await add(db, at('c', 2_000), at('b', 2_000), at('ghost', null), at('a', 3_000), at('z', 1_000));
    expect(await ids(db, {}, { sort: DEFAULT_SORT })).toEqual(['ghost', 'z', 'b', 'c', 'a']);
    const after = [new Date(2_000), 'b'];
    expect(await ids(db, {}, { sort: DEFAULT_SORT, after })).toEqual(['c', 'a']);
    expect(await ids(db, { msg_id: { $in: ['a', 'b'] } }, { sort: DEFAULT_SORT, after })).toEqual(['a']);
    await db.remove({ msgIds: ['b', 'c'] });
    await add(db, at('bb', 2_000), at('old', 500), at('new', 4_000));
    expect(await ids(db, {}, { sort: DEFAULT_SORT, after })).toEqual(['bb', 'a', 'new']);
    await db.write([{ op: 'update', msgId: 'ghost', set: { submitted: new Date(2_500).toISOString() } }]);
    expect(await ids(db, {}, { sort: DEFAULT_SORT })).toEqual(['old', 'z', 'bb', 'ghost', 'a', 'new']);
    expect(await ids(db, {}, { sort: parseSort({ submitted: -1 }), after: [new Date(2_500), 'x'] })).toEqual([
      'bb',
      'z',
      'old',
    ]);
  });

  test('a purge in the middle of a sorted scan skips nothing else', async () => {
    const db = new MemoryDatabase({ recordLimit: 100_000 });
    const name = (i: number): string => `t${String(i).padStart(5, '0')}`;
    await add(db, ...Array.from({ length: 8_000 }, (_, i) => task(name(i), { completed: moment(0) })));
    const seen: string[] = [];
    for await (const chunk of db.find(parseQuery({}), { sort: DEFAULT_SORT })) {
      const from = seen.length;
      seen.push(...chunk.map(({ msg_id }) => msg_id));
      // Some that were read, and every second one of the next.
      await db.remove({ msgIds: Array.from({ length: 300 }, (_, k) => name(from + 2 * k)) });
    }
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen).toEqual([...seen].sort());
    const left = await ids(db, {});
    expect(left.filter((id) => !seen.includes(id))).toEqual([]);
  });

  test('over many records do not block the thread', async () => {
    const db = new MemoryDatabase({ recordLimit: 100_000 });
    await add(
      db,
      ...Array.from({ length: 30_000 }, (_, i) => task(`t${i}`, { content: { n: i, text: 'x'.repeat(50) } })),
    );
    let turns = 0;
    let isCounting = true;
    const count = (): void => {
      turns++;
      if (isCounting) setImmediate(count);
    };
    setImmediate(count);
    expect(
      await db.count(parseQuery({ 'content.n': { $gte: 15_000 }, 'content.text': { $glob: '*x' } })),
    ).toBe(15_000);
    isCounting = false;
    expect(turns).toBeGreaterThan(2);
  });

  test('history is in the order of submission to the microsecond', async () => {
    const db = new MemoryDatabase();
    await add(
      db,
      task('c', { submitted: moment(3) }),
      task('a', { submitted: moment(1) }),
      task('b', { submitted: moment(2) }),
    );
    expect(await db.history()).toEqual(['a', 'b', 'c']);
  });
});

describe('bounds', () => {
  const done = (msgId: string, fields: Partial<StoredTask> = {}) =>
    task(msgId, { completed: moment(1), ...fields });

  test('the database removes and reports the oldest tenth beyond the limit', async () => {
    const db = new MemoryDatabase({ recordLimit: 20 });
    const culled = await add(db, ...Array.from({ length: 21 }, (_, i) => done(`t${i}`)));
    expect(culled).toEqual(['t0', 't1', 't2']);
    expect(await db.count(parseQuery({}))).toBe(18);
  });

  test('pending tasks are never removed', async () => {
    const db = new MemoryDatabase({ recordLimit: 10 });
    await add(db, ...Array.from({ length: 50 }, (_, i) => task(`open${i}`)));
    expect(await db.count(parseQuery({}))).toBe(50);
    await db.write([{ op: 'update', msgId: 'open7', set: { completed: moment(9) } }]);
    expect(await ids(db, { msg_id: 'open7' })).toEqual([]);
    expect(await db.count(parseQuery({}))).toBe(49);
  });

  test('the size limit counts buffers, output and contents', async () => {
    const db = new MemoryDatabase({ sizeLimit: 100_000, cullFraction: 0.05 });
    const big = { result_buffers: [Buffer.alloc(30_000)] };
    expect(await add(db, done('a', big), done('b', big), done('c', big))).toEqual([]);
    expect(await add(db, done('d', big))).toEqual(['a']);
    const { culled } = await db.write([{ op: 'update', msgId: 'd', append: { stdout: 'x'.repeat(40_000) } }]);
    expect(culled).toEqual(['b', 'c']);
  });

  test('a removal reports the bytes that it frees, by id and by query', async () => {
    const db = new MemoryDatabase();
    await add(db, done('a', { result_buffers: [Buffer.alloc(5000)] }), done('b'), task('open'));
    const byId = await db.remove({ msgIds: ['a', 'nobody'] });
    expect(byId).toMatchObject({ count: 1, msgIds: ['a'] });
    expect(byId.bytes).toBeGreaterThan(5000);
    expect(await db.remove({ query: parseQuery({ completed: { $ne: null } }) })).toMatchObject({
      msgIds: ['b'],
    });
    expect(await db.history()).toEqual(['open']);
  });
});

test('NoDatabase accepts every write and rejects every read', async () => {
  const db = new NoDatabase();
  await expect(db.write()).resolves.toEqual({ culled: [] });
  await expect(db.remove()).resolves.toMatchObject({ count: 0 });
  for (const read of [() => db.get(), () => db.count(), () => db.history(), () => found(db.find())]) {
    await expect(read()).rejects.toMatchObject({ ename: 'NoData' });
  }
});
