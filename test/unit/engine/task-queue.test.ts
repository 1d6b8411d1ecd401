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

test('aborted ones leave the line, the others stay', () => {
  const queue = new TaskQueue();
  const tasks = [task(), task(), task()];
  for (const each of tasks) queue.push(each);
  expect(queue.abort([tasks[1]?.request.msg_id ?? ''])).toEqual([tasks[1]]);
  expect(queue.drain()).toEqual([tasks[0], tasks[2]]);
  expect(queue.length).toBe(0);
});

test('a task aborted before it came is refused once', () => {
  const queue = new TaskQueue();
  const late = task();
  expect(queue.abort([late.request.msg_id])).toEqual([]);
  expect(queue.push(late)).toBe('aborted');
  expect(queue.push(late)).toBe('queued');
});

test('an abort of a task that has already run leaves nothing behind', () => {
  const queue = new TaskQueue();
  const done = task();
  queue.push(done);
  queue.shift();
  queue.abort([done.request.msg_id]);
  expect(queue.push(done)).toBe('queued');
});

test("a broadcast's part is aborted by the client's id", () => {
  const queue = new TaskQueue();
  const part = task({ original_msg_id: 'orig' });
  queue.push(part);
  expect(queue.abort(['orig'])).toEqual([part]);
});

test('ids of tasks that never come do not pile up', () => {
  const queue = new TaskQueue();
  const first = task();
  queue.abort([first.request.msg_id]);
  queue.abort(Array.from({ length: 10_000 }, (_, i) => `never-${i}`));
  expect(queue.push(first)).toBe('queued');
});

test('a task that was given up as lost does not run when it comes after all', () => {
  const queue = new TaskQueue();
  const late = task();
  const { msg_id: id } = late.request;
  expect(queue.notReceived([id, 'another'])).toEqual([id, 'another']);
  queue.markLost(id);
  expect(queue.notReceived([id, 'another'])).toEqual(['another']);
  expect(queue.push(late)).toBe('lost');
  expect(queue.length).toBe(0);
});

test('what waits is not missing, however many wait', () => {
  const queue = new TaskQueue();
  const tasks = Array.from({ length: 10_001 }, () => task());
  for (const each of tasks) queue.push(each);
  expect(queue.notReceived(tasks.map(({ request }) => request.msg_id))).toEqual([]);
});
