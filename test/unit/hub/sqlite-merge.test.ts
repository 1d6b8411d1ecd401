import { emptyTask, MemoryDatabase, mergeChanges, type TaskChange } from '@ipyparallel-js/hub/internal';
import { expect, test } from 'vitest';

const task = { ...emptyTask('a'), header: { x: 1 }, stdout: 'given ' };
const date = '2026-01-01T00:00:00.000001Z';

const CHANGES: readonly TaskChange[] = [
  { op: 'add', task },
  { op: 'add', task: { ...task, header: { y: 2 }, label: 'l', stdout: '' } },
  { op: 'update', msgId: 'a', set: { engine_uuid: 'e' } },
  { op: 'update', msgId: 'a', set: { engine_uuid: null, completed: date } },
  { op: 'update', msgId: 'a', append: { stdout: 'one ' } },
  { op: 'update', msgId: 'a', append: { stdout: 'two ', stderr: 'bad ' }, orAdd: true },
  { op: 'update', msgId: 'a', set: { stdout: 'instead ' } },
  { op: 'update', msgId: 'a', set: { execute_input: 'code' }, orAdd: true },
];

const EARLIER_CHANGES: readonly (readonly TaskChange[])[] = [
  [],
  [{ op: 'add', task: { ...emptyTask('a'), engine_uuid: 'old', stdout: 'old ', label: 'old' } }],
];

async function outcome(changes: readonly TaskChange[]): Promise<unknown> {
  const db = new MemoryDatabase();
  await db.write(changes);
  return (await db.get(['a'])).get('a');
}

test('a merged change has the effect of both changes', async () => {
  let merged = 0;
  for (const before of EARLIER_CHANGES) {
    for (const earlier of CHANGES) {
      for (const later of CHANGES) {
        const one = mergeChanges(earlier, later);
        if (one === undefined) continue;
        merged++;
        expect(await outcome([...before, one]), JSON.stringify([earlier, later])).toEqual(
          await outcome([...before, earlier, later]),
        );
      }
    }
  }
  expect(merged).toBeGreaterThan(30);
});
