import { TaskQueue } from '@ipyparallel-js/engine/internal';
import { Session } from '@ipyparallel-js/protocol';
import { expect, test } from 'vitest';

const session = new Session({ key: '', now: () => new Date() });

function task(metadata = {}) {
  const frames = session.encode(session.rawMessage('execute_request', {}, { metadata }));
  return { request: session.decode(frames), reply: () => {} };
}

test('tasks leave in the order of their arrival', () => {
  const queue = new TaskQueue();
  const tasks = [task(), task(), task()];
  for (const each of tasks) expect(queue.push(each)).toBe('queued');
  expect([queue.shift(), queue.shift(), queue.shift(), queue.shift()]).toEqual([...tasks, undefined]);
});

test('an abort removes only the tasks with its ids', () => {
  const queue = new TaskQueue();
  const tasks = [task(), task(), task()];
  for (const each of tasks) queue.push(each);
  expect(queue.abort([tasks[1]?.request.msg_id ?? ''])).toEqual([tasks[1]]);
  expect(queue.drain()).toEqual([tasks[0], tasks[2]]);
  expect(queue.length).toBe(0);
});

test('a task that was aborted before its arrival is refused once', () => {
  const queue = new TaskQueue();
  const late = task();
  expect(queue.abort([late.request.msg_id])).toEqual([]);
  expect(queue.push(late)).toBe('aborted');
  expect(queue.push(late)).toBe('queued');
});

test('an abort of a task that has already run has no effect', () => {
  const queue = new TaskQueue();
  const done = task();
  queue.push(done);
  queue.shift();
  queue.abort([done.request.msg_id]);
  expect(queue.push(done)).toBe('queued');
});

test("the client's id aborts a part of a broadcast", () => {
  const queue = new TaskQueue();
  const part = task({ original_msg_id: 'orig' });
  queue.push(part);
  expect(queue.abort(['orig'])).toEqual([part]);
});

test('the number of stored ids is bounded', () => {
  const queue = new TaskQueue();
  const first = task();
  queue.abort([first.request.msg_id]);
  queue.abort(Array.from({ length: 10_000 }, (_, i) => `never-${i}`));
  expect(queue.push(first)).toBe('queued');
});

test('a task that was marked as lost does not run when it arrives', () => {
  const queue = new TaskQueue();
  const late = task();
  const { msg_id: id } = late.request;
  expect(queue.findUnreceived([id, 'another'])).toEqual([id, 'another']);
  queue.markLost(id);
  expect(queue.findUnreceived([id, 'another'])).toEqual(['another']);
  expect(queue.push(late)).toBe('lost');
  expect(queue.length).toBe(0);
});

test('queued tasks count as received in a queue of any length', () => {
  const queue = new TaskQueue();
  const tasks = Array.from({ length: 10_001 }, () => task());
  for (const each of tasks) queue.push(each);
  expect(queue.findUnreceived(tasks.map(({ request }) => request.msg_id))).toEqual([]);
});
