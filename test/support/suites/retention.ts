// The limits of every store: age, number of records, bytes. A store reports the tasks that it removes.
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

type Open = (limits: Limits) => Promise<TaskDatabase>;

const ago = (ms: number): string => formatWireDate(new Date(Date.now() - ms));

/** A task that was submitted `age` ms ago and ended a second later. */
export const ended = (msgId: string, age: number, fields: Partial<StoredTask> = {}): StoredTask => ({
  ...emptyTask(msgId),
  ...{ submitted: ago(age), completed: ago(age - 1000), ...fields },
});
/** A task of this run without a result. */
const pending = (msgId: string): StoredTask => ({ ...emptyTask(msgId), submitted: ago(-1000) });

export async function idsOf(db: TaskDatabase): Promise<string[]> {
  const ids: string[] = [];
  for await (const tasks of db.find(parseQuery({}), { sort: DEFAULT_SORT, keys: [] }))
    for (const { msg_id } of tasks) ids.push(msg_id);
  return ids;
}

export function describeRetention(name: string, open: Open): void {
  describe(`limits of ${name}`, () => {
    let db: TaskDatabase;
    afterEach(() => db.close());

    /**
     * Adds tasks and waits until only the tasks `remaining` are stored and the store has reported all others. A store may
     * report a task a moment after its removal, so the test must wait for both.
     * @returns the reported ids, sorted
     */
    const cullAllBut = async (
      tasks: readonly StoredTask[],
      remaining: readonly string[],
    ): Promise<string[]> => {
      const culled = [...(await db.write(tasks.map((task) => ({ op: 'add', task })))).culled];
      await waitFor(
        async () => {
          culled.push(...(await db.write([])).culled);
          const isReported = culled.length >= tasks.length - remaining.length;
          return isReported && (await idsOf(db)).join() === remaining.join();
        },
        { timeout: 30_000, what: `only ${remaining.join()} to remain` },
      );
      return culled.sort();
    };
    const endedTasks = (count: number, fields: Partial<StoredTask> = {}): StoredTask[] =>
      Array.from({ length: count }, (_, i) =>
        ended(`t${String(i).padStart(3, '0')}`, HOUR - i * 1000, fields),
      );
    const namesFrom = (first: number, count: number): string[] =>
      Array.from({ length: count - first }, (_, i) => `t${String(first + i).padStart(3, '0')}`);

    test('removes tasks by age, even without further writes, but no pending task', async () => {
      db = await open({ maxAge: HOUR });
      const tasks = [
        ended('old', 3 * HOUR),
        ended('older', 5 * HOUR),
        ended('new', HOUR / 2),
        pending('open'),
      ];
      expect(await cullAllBut(tasks, ['new', 'open'])).toEqual(['old', 'older']);
      expect((await db.get(['old', 'new'])).size).toBe(1);
    });

    test('removes tasks by count, the oldest first', async () => {
      db = await open({ recordLimit: 100 });
      const culled = await cullAllBut(endedTasks(101), namesFrom(11, 101));
      expect(culled).toEqual(namesFrom(0, 11));
      expect(await db.count(parseQuery({}))).toBe(90);
      expect(await db.history()).toEqual(namesFrom(11, 101));
    });

    test('removes no pending task when pending tasks exceed the limit, and accepts further writes', async () => {
      db = await open({ recordLimit: 10 });
      const pendingTasks = Array.from({ length: 20 }, (_, i) => pending(`p${String(i).padStart(3, '0')}`));
      await db.write([ended('done', HOUR), ...pendingTasks].map((task) => ({ op: 'add', task })));
      for (let i = 0; i < 20; i++)
        await db.write([{ op: 'update', msgId: `p${String(i).padStart(3, '0')}`, set: { queue: 'mux' } }]);
      await waitFor(async () => {
        await db.write([]);
        return (await db.count(parseQuery({}))) === 20;
      });
      expect(await db.count(parseQuery({ queue: 'mux' }))).toBe(20);
    });

    test('removes tasks by bytes, and the remaining records are complete', async () => {
      db = await open({ sizeLimit: 800_000 });
      const buffer = Buffer.alloc(20_000, 7);
      const culled: string[] = [];
      for (const task of endedTasks(100, { result_buffers: [buffer] }))
        culled.push(...(await db.write([{ op: 'add', task }])).culled);
      // The store may remove tasks in several steps, so it may also remove some between two reads. Compare a consistent
      // state only: the same ids before and after the other reads.
      const { ids, found } = await waitFor(
        async () => {
          const before = await idsOf(db);
          const tasks = await db.get(before, ['result_buffers']);
          culled.push(...(await db.write([])).culled);
          const isConsistent = (await idsOf(db)).join() === before.join();
          const isReported = culled.length === 100 - before.length;
          return isConsistent && isReported && before.length <= 42 && { ids: before, found: tasks };
        },
        { timeout: 30_000, what: 'the store to keep its limit and to report all removed tasks' },
      );
      expect(ids.length).toBeGreaterThan(10);
      expect(ids).toEqual(namesFrom(100 - ids.length, 100));
      expect([...found.keys()].sort()).toEqual(ids);
      expect([...found.values()].every((task) => task.result_buffers?.[0]?.byteLength === 20_000)).toBe(true);
      expect(culled.sort()).toEqual(namesFrom(0, 100 - ids.length));
    });

    test('a purge by query removes the matches that its dry run reports', async () => {
      db = await open({});
      await db.write(
        endedTasks(30).map((task, i) => ({ op: 'add', task: { ...task, queue: i % 3 ? 'mux' : 'task' } })),
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
