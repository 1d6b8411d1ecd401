// Tests the ids of submitted tasks that a client and its views store.
import { SubmissionHistory, Task, ViewHistory } from '@ipyparallel-js/client/internal';
import { describe, expect, test } from 'vitest';

const idsFrom = (first: number, end: number): string[] =>
  Array.from({ length: end - first }, (_, n) => `task-${first + n}`);

describe('the history of a client', () => {
  test('stores the newest 10,000 ids in order', () => {
    const history = new SubmissionHistory();
    for (const id of idsFrom(0, 12_000)) history.add(id);
    expect(history.length).toBe(10_000);
    expect(history.ids).toEqual(idsFrom(2_000, 12_000));
    expect(history.has('task-1999')).toBe(false);
    expect(history.has('task-2000')).toBe(true);
  });

  test('forgets a deleted id', () => {
    const history = new SubmissionHistory();
    for (const id of idsFrom(0, 3)) history.add(id);
    history.delete('task-1');
    expect(history.ids).toEqual(['task-0', 'task-2']);
  });
});

describe('the history of a view', () => {
  test('lists the newest 10,000 ids in order, however many were added', () => {
    const history = new ViewHistory();
    for (const id of idsFrom(0, 25_000)) history.add([new Task(id)]);
    expect(history.ids).toEqual(idsFrom(15_000, 25_000));
  });

  test('lists every task without a result as outstanding, and only those', async () => {
    const history = new ViewHistory();
    const ended = new Task('ended');
    ended.settle({ ok: true, value: 1 }, 'completed');
    const running = new Task('running');
    const others = idsFrom(0, 10_001).map((id) => new Task(id));
    history.add([ended, running, ...others]);
    expect(history.ids).not.toContain('running');
    expect(history.outstanding).toHaveLength(10_002);
    expect(history.outstanding).not.toContain('ended');
    running.settle({ ok: true, value: 2 }, 'completed');
    await running.done;
    expect(history.outstanding).toEqual(others.map(({ msgId }) => msgId));
  });
});
