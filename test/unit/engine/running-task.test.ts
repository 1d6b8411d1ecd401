import { RunningTask, runGenerator } from '@ipyparallel-js/engine/internal';
import { decodeTaskData, type JsPayload, partialResults } from '@ipyparallel-js/protocol/internal';
import { expect, test } from 'vitest';

/** A task with a simulated clock. */
function taskAt() {
  let time = 0;
  let abortRequested = false;
  const sent: JsPayload[] = [];
  const timers: { at: number; callback: () => void }[] = [];
  const task = new RunningTask({
    msgId: 'the-task',
    abortRequested: () => abortRequested,
    send: (payload) => sent.push(payload),
    now: () => time,
    schedule: (callback, ms) => timers.push({ at: time + ms, callback }),
  });
  return {
    task,
    data: () => sent.map(({ content, buffers }) => decodeTaskData(content, buffers)),
    requestAbort: () => {
      abortRequested = true;
    },
    /** Advances the clock without running timers. */
    block: (ms: number) => {
      time += ms;
    },
    advance: (ms: number) => {
      time += ms;
      const due = timers.filter(({ at }) => at <= time);
      for (const timer of due) timers.splice(timers.indexOf(timer), 1);
      for (const { callback } of due) callback();
    },
  };
}

test('sends the first data at once, the rest every 50 ms and the last with the end', () => {
  const { task, data, advance } = taskAt();
  task.progress(0.1);
  expect(data()).toEqual([{ progress: 0.1 }]);
  task.progress(0.2);
  task.publish({ a: 1, b: 1 });
  task.publish({ a: 2 });
  advance(49);
  expect(data()).toHaveLength(1);
  advance(1);
  expect(data()[1]).toEqual({ progress: 0.2, a: 2, b: 1 });
  task.progress(1);
  expect(task.end()).toBeUndefined();
  expect(data()[2]).toEqual({ progress: 1 });
  task.progress(2);
  advance(100);
  expect(data()).toHaveLength(3);
});

test('code that never yields sends buffered data with a later call', () => {
  const { task, data, block } = taskAt();
  for (let i = 0; i < 200; i++) {
    task.progress(i / 200);
    block(1);
  }
  expect(data()).toEqual([0, 50, 100, 150].map((i) => ({ progress: i / 200 })));
});

test('large data delays the next message', () => {
  const { task, data, advance } = taskAt();
  task.publish({ big: new Uint8Array(30_000_000) });
  task.publish({ small: 1 });
  expect(task.congestion).toBeGreaterThan(290);
  advance(299);
  expect(data()).toHaveLength(1);
  advance(2);
  expect(data()).toHaveLength(2);
  expect(task.congestion).toBeLessThan(1);
});

test('later changes do not affect published data', () => {
  const { task, data } = taskAt();
  task.publish({ first: 1 });
  const list = [1];
  task.publish({ list });
  list.push(2);
  task.end();
  expect(data()[1]).toEqual({ list: [1] });
});

test('an abort is detected on access of the signal and calls its listeners', () => {
  const { task, requestAbort } = taskAt();
  const { signal } = task;
  let aborts = 0;
  signal.addEventListener('abort', () => aborts++);
  expect(task.aborted).toBe(false);
  requestAbort();
  expect(signal.aborted).toBe(false);
  expect(task.signal.aborted).toBe(true);
  expect(aborts).toBe(1);
  expect(signal.reason).toMatchObject({ name: 'TaskAborted', code: 'TASK_ABORTED' });
  expect(task.wasAbortedBy(signal.reason)).toBe(true);
  expect(task.wasAbortedBy(new Error('x', { cause: signal.reason }))).toBe(true);
  expect(task.wasAbortedBy(new DOMException('x', 'AbortError'))).toBe(true);
  expect(task.wasAbortedBy(new Error('x'))).toBe(false);
  expect(task.wasAbortedBy('x')).toBe(false);
});

test('an interrupt aborts the signal but is not an abort of the task', () => {
  const { task } = taskAt();
  task.interrupt();
  expect(task.signal.reason).toMatchObject({ name: 'KeyboardInterrupt' });
  expect(task.aborted).toBe(false);
  expect(task.wasAbortedBy(task.signal.reason)).toBe(false);
});

test('a generator with large values waits for their transfer and yields each value once', async () => {
  const { task, data, advance } = taskAt();
  const chunk = new Uint8Array(1_000_000);
  let yielded = 0;
  function* chunks(): Generator<Uint8Array, string> {
    for (; yielded < 20; yielded++) yield chunk;
    return 'end';
  }
  const clock = setInterval(() => advance(10), 1);
  try {
    expect(await runGenerator(chunks(), task)).toBe('end');
  } finally {
    clearInterval(clock);
  }
  task.end();
  const parts = data().map((each) => partialResults(each));
  expect(parts.reduce((sum, part) => sum + (part?.values.length ?? 0), 0)).toBe(20);
  expect(parts.length).toBeGreaterThan(1);
});
