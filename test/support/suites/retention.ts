// Retention in every store: by age, by number of records, by bytes; the store reports what it removes.
import { emptyTask, type StoredTask, type TaskDatabase } from '@ipyparallel-js/hub/internal';
import { formatWireDate } from '@ipyparallel-js/protocol';
import { DEFAULT_SORT, parseQuery } from '@ipyparallel-js/protocol/internal';
import { afterEach, describe, expect, test } from 'vitest';
import { waitFor } from '../wait-for.js';

export const HOUR = 3_600_000;

export interface Limits {
  readonly recordLimit?: number;
  readonly sizeLimit?: number;
  readonly maxAge?: number;
}

/** Opens an empty store with these limits. */
type Open = (limits: Limits) => Promise<TaskDatabase>;

const ago = (ms: number): string => formatWireDate(new Date(Date.now() - ms));

/** A task that was submitted so long ago, and has ended a second later. */
export const ended = (msgId: string, age: number, fields: Partial<StoredTask> = {}): StoredTask => ({
  ...emptyTask(msgId),
  ...{ submitted: ago(age), completed: ago(age - 1000), ...fields },
});
/** One of this run whose result is still to come. */
const pending = (msgId: string): StoredTask => ({ ...emptyTask(msgId), submitted: ago(-1000) });

export async function idsOf(db: TaskDatabase): Promise<string[]> {
  const ids: string[] = [];
  for await (const tasks of db.find(parseQuery({}), { sort: DEFAULT_SORT, keys: [] }))
    for (const { msg_id } of tasks) ids.push(msg_id);
  return ids;
}

export function describeRetention(name: string, open: Open): void {
  describe(`what is kept in ${name}`, () => {
    let db: TaskDatabase;
    afterEach(() => db.close());

    /** Adds tasks, and gathers what the store names as given up until these are all that is left. */
    const left = async (tasks: readonly StoredTask[], wanted: readonly string[]): Promise<string[]> => {
      const culled = [...(await db.write(tasks.map((task) => ({ op: 'add', task })))).culled];
      await waitFor(
        async () => {
          culled.push(...(await db.write([])).culled);
          return (await idsOf(db)).join() === wanted.join();
        },
        { timeout: 30_000, what: `only ${wanted.join()} to be left` },
      );
      culled.push(...(await db.write([])).culled);
      return culled.sort();
    };
    const spread = (count: number, fields: Partial<StoredTask> = {}): StoredTask[] =>
      Array.from({ length: count }, (_, i) =>
        ended(`t${String(i).padStart(3, '0')}`, HOUR - i * 1000, fields),
      );
    const namesFrom = (first: number, count: number): string[] =>
      Array.from({ length: count - first }, (_, i) => `t${String(first + i).padStart(3, '0')}`);

    test('by age, also when nothing more is written; what is still to come stays', async () => {
      db = await open({ maxAge: HOUR });
      const tasks = [
        ended('old', 3 * HOUR),
        ended('older', 5 * HOUR),
        ended('new', HOUR / 2),
        pending('open'),
      ];
      expect(await left(tasks, ['new', 'open'])).toEqual(['old', 'older']);
      expect((await db.get(['old', 'new'])).size).toBe(1);
    });

    test('by count, the oldest first', async () => {
      db = await open({ recordLimit: 100 });
      const culled = await left(spread(101), namesFrom(11, 101));
      expect(culled).toEqual(namesFrom(0, 11));
      expect(await db.count(parseQuery({}))).toBe(90);
      expect(await db.history()).toEqual(namesFrom(11, 101));
    });

    test('past the limit by tasks whose results are still to come none of them goes, and writing goes on', async () => {
      db = await open({ recordLimit: 10 });
      const open20 = Array.from({ length: 20 }, (_, i) => pending(`p${String(i).padStart(3, '0')}`));
      await db.write([ended('done', HOUR), ...open20].map((task) => ({ op: 'add', task })));
      for (let i = 0; i < 20; i++)
        await db.write([{ op: 'update', msgId: `p${String(i).padStart(3, '0')}`, set: { queue: 'mux' } }]);
      await waitFor(async () => {
        await db.write([]);
        return (await db.count(parseQuery({}))) === 20;
      });
      expect(await db.count(parseQuery({ queue: 'mux' }))).toBe(20);
    });

    test('by bytes, and what is left is whole', async () => {
      db = await open({ sizeLimit: 800_000 });
      const buffer = Buffer.alloc(20_000, 7);
      const culled: string[] = [];
      for (const task of spread(100, { result_buffers: [buffer] }))
        culled.push(...(await db.write([{ op: 'add', task }])).culled);
      await waitFor(
        async () => {
          culled.push(...(await db.write([])).culled);
          return (await db.count(parseQuery({}))) <= 42;
        },
        { timeout: 30_000, what: 'the store to keep its size' },
      );
      const ids = await idsOf(db);
      expect(ids.length).toBeGreaterThan(10);
      expect(ids).toEqual(namesFrom(100 - ids.length, 100));
      const found = await db.get(ids, ['result_buffers']);
      expect([...found.values()].every((task) => task.result_buffers?.[0]?.byteLength === 20_000)).toBe(true);
      culled.push(...(await db.write([])).culled);
      expect(culled.sort()).toEqual(namesFrom(0, 100 - ids.length));
    });

    test('what a query purges', async () => {
      db = await open({});
      await db.write(
        spread(30).map((task, i) => ({ op: 'add', task: { ...task, queue: i % 3 ? 'mux' : 'task' } })),
      );
      const query = parseQuery({ queue: 'task', completed: { $ne: null } });
      const dry = await db.remove({ query }, { dryRun: true });
      expect(dry).toMatchObject({ count: 10 });
      expect(dry.bytes).toBeGreaterThan(0);
      expect(await db.remove({ query })).toEqual(dry);
      expect(await db.count(parseQuery({}))).toBe(20);
      expect(await db.count(query)).toBe(0);
      expect((await db.remove({ query })).count).toBe(0);
    });
  });
}
