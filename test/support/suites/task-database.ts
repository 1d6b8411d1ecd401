// The conformance tests of a Task Database. Each store has a test that runs them:
//
//     describeTaskDatabase('sqlite', async () => ({ db: await SqliteDatabase.open(…), dispose: async () => … }));
import {
  emptyTask,
  type FindOptions,
  type FoundTask,
  type StoredTask,
  type TaskDatabase,
} from '@ipyparallel-js/hub/internal';
import { type Dict, formatWireDate, type TaskKey } from '@ipyparallel-js/protocol';
import {
  DEFAULT_SORT,
  parseQuery,
  parseSort,
  TASK_COLUMNS,
  TASK_KEYS,
} from '@ipyparallel-js/protocol/internal';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

/** An empty store and the function that closes it after the test. */
export interface OpenStore {
  readonly db: TaskDatabase;
  readonly dispose: () => Promise<void>;
}

const BASE = Date.UTC(2026, 0, 1);

/** The date `micros` microseconds after BASE. */
function moment(micros: number): string {
  const date = formatWireDate(new Date(BASE + Math.floor(micros / 1000)));
  return `${date.slice(0, 23)}${String(micros % 1000).padStart(3, '0')}Z`;
}

function task(msgId: string, fields: Partial<StoredTask> = {}): StoredTask {
  return { ...emptyTask(msgId), submitted: moment(0), ...fields };
}

async function collectTasks(chunks: AsyncIterable<readonly FoundTask[]>): Promise<FoundTask[]> {
  const found: FoundTask[] = [];
  for await (const chunk of chunks) found.push(...chunk);
  return found;
}

export function describeTaskDatabase(name: string, open: () => Promise<OpenStore>): void {
  describe(`a Task Database in ${name}`, () => {
    let store: OpenStore;
    let db: TaskDatabase;

    beforeEach(async () => {
      store = await open();
      db = store.db;
    });
    afterEach(() => store.dispose());

    const add = (...tasks: StoredTask[]) => db.write(tasks.map((added) => ({ op: 'add', task: added })));
    const ids = async (query: unknown, options: FindOptions = {}): Promise<string[]> =>
      (await collectTasks(db.find(parseQuery(query), { sort: DEFAULT_SORT, ...options }))).map(
        ({ msg_id }) => msg_id,
      );
    const one = async (msgId: string, keys?: readonly TaskKey[]): Promise<FoundTask | undefined> =>
      (await db.get([msgId], keys)).get(msgId);

    test('returns complete records, with buffers only if requested', async () => {
      const full: StoredTask = {
        msg_id: 'full_1',
        header: { msg_id: 'full_1', date: moment(1), nested: { list: [1, 2.5, null, true, 'x'] } },
        metadata: { label: 'l' },
        content: { code: "print('é😀\u0000')\n" },
        buffers: [Buffer.from('a'), Buffer.alloc(0), Buffer.alloc(300, 7)],
        submitted: moment(123_456),
        client_uuid: 'client',
        engine_uuid: 'engine',
        started: moment(123_457),
        completed: moment(1_000_000),
        resubmitted: 'other',
        received: moment(1_000_001),
        result_header: { status: 'ok' },
        result_metadata: {},
        result_content: { status: 'ok' },
        result_buffers: [Buffer.alloc(70_000, 1)],
        queue: 'mux',
        execute_input: 'input',
        execute_result: { data: { 'text/plain': '1' } },
        error: { ename: 'E' },
        stdout: 'out\u0000é😀',
        stderr: 'err',
        label: 'l',
        display_data: { data: {} },
      };
      await add(full);
      const { buffers, result_buffers, ...rest } = full;
      expect(await one('full_1')).toEqual(rest);
      const found = await one('full_1', ['buffers', 'result_buffers']);
      expect(found?.buffers?.map((buffer) => Buffer.from(buffer))).toEqual(buffers);
      expect(found?.result_buffers?.map((buffer) => Buffer.from(buffer))).toEqual(result_buffers);
      expect(Object.keys(found ?? {}).sort()).toEqual(['buffers', 'msg_id', 'result_buffers']);
      expect(await collectTasks(db.find(parseQuery({ msg_id: 'full_1' })))).toEqual([rest]);
      expect(await collectTasks(db.find(parseQuery({ queue: 'mux' })))).toEqual([rest]);
    });

    test('stores an empty record unchanged', async () => {
      await add(emptyTask('empty'));
      const { buffers, result_buffers, ...rest } = emptyTask('empty');
      expect([buffers, result_buffers]).toEqual([null, null]);
      expect(await one('empty')).toEqual(rest);
      expect((await one('empty', ['buffers']))?.buffers).toBeNull();
    });

    test('pages of JSON have the content of the records, if the store supports them', async () => {
      if (db.readPage === undefined) return;
      const odd = {
        header: { __x: 1.5, list: [null, 'é😀\\"'] },
        stdout: 'a\u0000"\\\n\u2028',
        error: { e: 'E' },
      };
      await add(
        ...Array.from({ length: 300 }, (_, i) =>
          task(`p_${String(i).padStart(3, '0')}`, {
            ...{
              submitted: i % 50 === 7 ? null : moment(i * 1_000_000),
              started: moment(i),
              label: `l"${i}`,
            },
            ...(i % 3 === 0 ? odd : {}),
            ...(i % 100 === 99 ? { display_data: { i } } : {}),
          }),
        ),
      );
      const fields = TASK_KEYS.filter((key) => TASK_COLUMNS[key] !== 'buffers').map((column) => ({
        ...{ name: column, column, optional: column === 'display_data' },
      }));
      const query = parseQuery({ msg_id: { $ne: 'p_004' } });
      const expected = (await collectTasks(db.find(query, { sort: DEFAULT_SORT }))).map(
        ({ display_data, ...rest }) => (display_data === null ? rest : { ...rest, display_data }),
      );
      for (const [limit, bytes] of [
        [1000, 1e9],
        [7, 1e9],
        [1000, 1],
        [1000, 30_000],
      ] as const) {
        const found: unknown[] = [];
        let skip = 0;
        for (let more = true; more; skip = found.length) {
          const { json, last } = await db.readPage(query, fields, { sort: DEFAULT_SORT, limit, bytes, skip });
          const records = JSON.parse(`[${json.map((part) => Buffer.from(part).toString('utf8')).join(',')}]`);
          found.push(...records);
          more = last !== undefined;
          if (last !== undefined) expect(last.msg_id).toBe(records.at(-1).msg_id);
          if (last !== undefined) expect(records.length).toBeGreaterThan(0);
        }
        expect(found).toEqual(expected);
      }
    });

    test('applies changes in order, and ignores updates of unknown tasks', async () => {
      await add(task('a', { engine_uuid: 'e1' }));
      await db.write([
        { op: 'update', msgId: 'a', set: { engine_uuid: 'e2', completed: moment(5) } },
        { op: 'update', msgId: 'nobody', set: { engine_uuid: 'e3' } },
        { op: 'update', msgId: 'a', set: { engine_uuid: null, display_data: { a: 1 } } },
        { op: 'update', msgId: 'a', set: { label: 'later' } },
      ]);
      expect(await one('a')).toMatchObject({
        ...{ engine_uuid: null, completed: moment(5), display_data: { a: 1 }, label: 'later' },
      });
      expect(await db.count(parseQuery({}))).toBe(1);
    });

    test('keeps output that arrived before its request', async () => {
      await db.write([
        { op: 'update', msgId: 'a', append: { stdout: 'one ' }, orAdd: true },
        { op: 'update', msgId: 'a', append: { stdout: 'two', stderr: 'bad' }, orAdd: true },
        { op: 'update', msgId: 'a', set: { execute_input: 'code' }, orAdd: true },
      ]);
      expect(await db.history()).toEqual([]);
      expect(await ids({ header: null })).toEqual(['a']);
      await db.write([
        { op: 'add', task: task('a', { queue: 'mux', header: { x: 1 } }) },
        { op: 'update', msgId: 'a', append: { stdout: ' three' } },
      ]);
      expect(await one('a')).toMatchObject({
        ...{ stdout: 'one two three', stderr: 'bad', execute_input: 'code', queue: 'mux', header: { x: 1 } },
      });
      expect(await db.history()).toEqual(['a']);
    });

    test('treats values with SQL, quotes, operators and __proto__ as data', async () => {
      const specialTexts = [
        '\'; DROP TABLE "ipython-tasks"; --',
        '" OR 1=1 --',
        '$ne',
        '__proto__',
        'constructor',
        '100%_*?[a-z]',
        'ſtraße \u{1f600}',
      ];
      const proto = JSON.parse('{"__proto__": {"polluted": true}, "constructor": "c", "a.b": 1}') as Dict;
      await add(
        ...specialTexts.map((id, i) =>
          task(id, { client_uuid: id, submitted: moment(i * 1000), content: proto }),
        ),
      );
      for (const id of specialTexts) {
        expect(await ids({ client_uuid: id })).toEqual([id]);
        expect(await ids({ msg_id: { $in: [id] } })).toEqual([id]);
        expect(JSON.stringify((await one(id))?.content)).toBe(JSON.stringify(proto));
      }
      expect(await ids({ client_uuid: { $nin: specialTexts } })).toEqual([]);
      expect(await ids({ client_uuid: { $gte: '\u{1f600}' } })).toEqual([]);
      expect(await ids({ 'content.constructor': 'c' })).toEqual(specialTexts);
      expect(({} as Dict)['polluted']).toBeUndefined();
      expect((await db.remove({ msgIds: specialTexts })).count).toBe(specialTexts.length);
    });

    test('treats nulls as MongoDB does, and compares dates to the millisecond', async () => {
      await add(
        task('unknown', { submitted: null }),
        task('first', { submitted: moment(1_000), completed: moment(2_000) }),
        task('same', { submitted: moment(1_999) }),
        task('second', { submitted: moment(2_000_000), completed: moment(3_000_001) }),
      );
      const at = new Date(BASE + 1);
      expect(await ids({ submitted: at })).toEqual(['first', 'same']);
      expect(await ids({ submitted: { $gt: at } })).toEqual(['second']);
      expect(await ids({ submitted: { $gte: at, $lt: new Date(BASE + 2) } })).toEqual(['first', 'same']);
      expect(await ids({ submitted: { $ne: at } })).toEqual(['unknown', 'second']);
      expect(await ids({ submitted: { $lte: new Date(9e13) } })).toEqual(['first', 'same', 'second']);
      expect(await ids({ submitted: null })).toEqual(['unknown']);
      expect(await ids({ completed: { $nin: [new Date(BASE + 2)] } })).toEqual(['unknown', 'same', 'second']);
      expect(await ids({ completed: { $in: [null, new Date(BASE + 3000)] } })).toEqual([
        'unknown',
        'same',
        'second',
      ]);
      expect(await ids({ $nor: [{ completed: null }, { submitted: at }] })).toEqual(['second']);
      expect(await ids({ $or: [{ submitted: null }, { completed: { $gt: at } }] })).toEqual([
        'unknown',
        'first',
        'second',
      ]);
    });

    test('sorts, skips, limits and counts', async () => {
      const order = [3, 1, 4, 1, 5, 9, 2, 6];
      await add(
        ...order.map((n, i) => task(`t${i}`, { submitted: moment(n * 1000 + i), engine_uuid: `e${n % 3}` })),
      );
      expect(await ids({})).toEqual(['t1', 't3', 't6', 't0', 't2', 't4', 't7', 't5']);
      expect(await ids({}, { skip: 2, limit: 3 })).toEqual(['t6', 't0', 't2']);
      expect(await ids({}, { limit: 0 })).toEqual([]);
      expect(await ids({}, { skip: 100 })).toEqual([]);
      const sort = parseSort({ engine_uuid: -1, submitted: 1 });
      expect(await ids({}, { sort })).toEqual(['t6', 't4', 't1', 't3', 't2', 't0', 't7', 't5']);
      const regex = { engine_uuid: { $regex: '^e[01]' } };
      expect(await ids(regex, { skip: 1, limit: 2 })).toEqual(['t3', 't0']);
      expect(await db.count(parseQuery(regex))).toBe(6);
      expect(await db.count(parseQuery({ engine_uuid: 'e2' }))).toBe(2);
    });

    test('continues after a position while records are added and removed', async () => {
      await add(
        ...Array.from({ length: 20 }, (_, i) => task(`t${i % 10}${i}`, { submitted: moment(i * 400) })),
      );
      const seen: string[] = [];
      let after: readonly unknown[] | undefined;
      for (;;) {
        const page = await collectTasks(
          db.find(parseQuery({}), {
            ...{ sort: DEFAULT_SORT, limit: 3, keys: ['submitted'] },
            ...(after === undefined ? {} : { after }),
          }),
        );
        const last = page.at(-1);
        if (last === undefined) break;
        seen.push(...page.map(({ msg_id }) => msg_id));
        after = [new Date(`${last.submitted?.slice(0, 23)}Z`), last.msg_id];
        await db.remove({ msgIds: [last.msg_id] });
        await add(task(`late${seen.length}`, { submitted: null }));
      }
      expect(new Set(seen).size).toBe(20);
      const position = { after: [null, 'late3'], sort: DEFAULT_SORT };
      expect((await ids({ submitted: null }, position)).every((id) => id > 'late3')).toBe(true);
      const descending = parseSort({ submitted: -1 });
      expect(
        await ids({ submitted: { $ne: null } }, { sort: descending, after: [new Date(BASE + 2), 't44'] }),
      ).toEqual(expect.arrayContaining(['t00']));
    });

    test('finds thousands of ids in one query, and yields chunks of limited size', async () => {
      const many = Array.from({ length: 6_000 }, (_, i) => task(`id${i}`, { submitted: moment(i * 1000) }));
      await db.write(many.map((added) => ({ op: 'add', task: added })));
      const wanted = Array.from({ length: 5_000 }, (_, i) => `id${i * 2}`);
      expect(await ids({ msg_id: { $in: wanted } })).toEqual(wanted.filter((_, i) => i < 3_000));
      expect(await db.count(parseQuery({ msg_id: { $nin: wanted } }))).toBe(3_000);
      expect((await db.get(wanted, ['msg_id'])).size).toBe(3_000);
      expect(await db.history()).toEqual(many.map(({ msg_id }) => msg_id));
      let chunks = 0;
      for await (const chunk of db.find(parseQuery({}))) {
        chunks++;
        expect(chunk.length).toBeLessThanOrEqual(1_000);
        if (chunks === 3) break;
      }
      expect(chunks).toBe(3);
      expect(await db.count(parseQuery({}))).toBe(6_000);
    });

    test('removes by id and by query; a dry run reports the same', async () => {
      await add(
        task('a', { completed: moment(1), stdout: 'x'.repeat(10_000), display_data: { a: 1 } }),
        task('b', { completed: moment(2) }),
        task('c'),
      );
      const ended = { query: parseQuery({ completed: { $ne: null } }) };
      const dry = await db.remove(ended, { dryRun: true });
      expect(dry).toMatchObject({ count: 2 });
      expect([...dry.msgIds].sort()).toEqual(['a', 'b']);
      expect(dry.bytes).toBeGreaterThan(10_000);
      expect(await db.count(parseQuery({}))).toBe(3);
      const removed = await db.remove(ended);
      expect([removed.count, removed.bytes]).toEqual([dry.count, dry.bytes]);
      expect(await ids({})).toEqual(['c']);
      expect(await db.remove({ msgIds: ['c', 'c', 'unknown'] })).toMatchObject({ count: 1, msgIds: ['c'] });
      expect(await db.remove({ query: parseQuery({}) })).toMatchObject({ count: 0, bytes: 0 });
      expect(await one('a')).toBeUndefined();
    });

    test('a read during writes sees all earlier writes', async () => {
      let written = 0;
      const writing = (async () => {
        for (let i = 0; i < 30; i++) {
          await add(...Array.from({ length: 20 }, (_, j) => task(`w${i}_${j}`)));
          written += 20;
        }
      })();
      while (written < 600) {
        const before = written;
        expect(await db.count(parseQuery({ queue: null }))).toBeGreaterThanOrEqual(before);
      }
      await writing;
    });

    test('can be closed twice', async () => {
      await db.close();
      await expect(db.close()).resolves.toBeUndefined();
    });
  });
}
