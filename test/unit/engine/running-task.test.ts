import { RunningTask, runGenerator } from '@ipyparallel-js/engine/internal';
import { decodeTaskData, type JsPayload, partialResults } from '@ipyparallel-js/protocol/internal';
import { expect, test } from 'vitest';

/** A task on a clock that stands still unless told. */
function taskAt() {
  let time = 0;
  let asked = false;
  const sent: JsPayload[] = [];
  const timers: { at: number; act: () => void }[] = [];
  const task = new RunningTask({
    msgId: 'the-task',
    abortRequested: () => asked,
    send: (payload) => sent.push(payload),
    now: () => time,
    schedule: (act, ms) => timers.push({ at: time + ms, act }),
  });
  return {
    task,
    data: () => sent.map(({ content, buffers }) => decodeTaskData(content, buffers)),
    ask: () => {
      asked = true;
    },
    /** Time goes on and no timer runs. */
    freeze: (ms: number) => {
      time += ms;
    },
    pass: (ms: number) => {
      time += ms;
      const due = timers.filter(({ at }) => at <= time);
      for (const timer of due) timers.splice(timers.indexOf(timer), 1);
      for (const { act } of due) act();
    },
  };
}

test('the first leaves at once, the rest together after 50 ms, the last with the end', () => {
  const { task, data, pass } = taskAt();
  task.progress(0.1);
  expect(data()).toEqual([{ progress: 0.1 }]);
  task.progress(0.2);
  task.publish({ a: 1, b: 1 });
  task.publish({ a: 2 });
  pass(49);
  expect(data()).toHaveLength(1);
  pass(1);
  expect(data()[1]).toEqual({ progress: 0.2, a: 2, b: 1 });
  task.progress(1);
  expect(task.end()).toBeUndefined();
  expect(data()[2]).toEqual({ progress: 1 });
  task.progress(2);
  pass(100);
  expect(data()).toHaveLength(3);
});

test('out of code that never yields, when no timer runs, it leaves with a later call', () => {
  const { task, data, freeze } = taskAt();
  for (let i = 0; i < 200; i++) {
    task.progress(i / 200);
    freeze(1);
  }
  expect(data()).toEqual([0, 50, 100, 150].map((i) => ({ progress: i / 200 })));
});

test('what is large waits longer', () => {
  const { task, data, pass } = taskAt();
  task.publish({ big: new Uint8Array(30_000_000) });
  task.publish({ small: 1 });
  expect(task.congestion).toBeGreaterThan(290);
  pass(299);
  expect(data()).toHaveLength(1);
  pass(2);
  expect(data()).toHaveLength(2);
  expect(task.congestion).toBeLessThan(1);
});

test('published data is as it was when it was published', () => {
  const { task, data } = taskAt();
  task.publish({ first: 1 });
  const list = [1];
  task.publish({ list });
  list.push(2);
  task.end();
  expect(data()[1]).toEqual({ list: [1] });
});

test('an abort is seen when it is looked for, and told to who listens', () => {
  const { task, ask } = taskAt();
  const { signal } = task;
  let told = 0;
  signal.addEventListener('abort', () => told++);
  expect(task.aborted).toBe(false);
  ask();
  expect(signal.aborted).toBe(false);
  expect(task.signal.aborted).toBe(true);
  expect(told).toBe(1);
  expect(signal.reason).toMatchObject({ name: 'TaskAborted', code: 'TASK_ABORTED' });
  expect(task.wasAbortedBy(signal.reason)).toBe(true);
  expect(task.wasAbortedBy(new Error('x', { cause: signal.reason }))).toBe(true);
  expect(task.wasAbortedBy(new DOMException('x', 'AbortError'))).toBe(true);
  expect(task.wasAbortedBy(new Error('x'))).toBe(false);
  expect(task.wasAbortedBy('x')).toBe(false);
});

test('an interrupt aborts the signal, and is no abort of the task', () => {
  const { task } = taskAt();
  task.interrupt();
  expect(task.signal.reason).toMatchObject({ name: 'KeyboardInterrupt' });
  expect(task.aborted).toBe(false);
  expect(task.wasAbortedBy(task.signal.reason)).toBe(false);
});

test('a generator that yields much waits until it has left, and yields each value once', async () => {
  const { task, data, pass } = taskAt();
  const chunk = new Uint8Array(1_000_000);
  let made = 0;
  function* chunks(): Generator<Uint8Array, string> {
    for (; made < 20; made++) yield chunk;
    return 'end';
  }
  const clock = setInterval(() => pass(10), 1);
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
