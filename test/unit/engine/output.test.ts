import { OutputBatcher } from '@ipyparallel-js/engine/internal';
import { expect, test } from 'vitest';

function batcher(options: { limit?: number } = {}) {
  const emitted: string[] = [];
  const timers: { callback: () => void; at: number }[] = [];
  const clock = { now: 0 };
  const output = new OutputBatcher({
    emit: (name, text) => emitted.push(`${name}:${text}`),
    now: () => clock.now,
    schedule: (callback, ms) => timers.push({ callback, at: clock.now + ms }),
    ...options,
  });
  return { output, emitted, timers, clock };
}

test('writes within 50 ms are sent as one message', () => {
  const { output, emitted, timers } = batcher();
  output.write('stdout', 'a');
  output.write('stdout', 'b\n');
  expect(emitted).toEqual([]);
  expect(timers.map(({ at }) => at)).toEqual([50]);
  timers[0]?.callback();
  expect(emitted).toEqual(['stdout:ab\n']);
});

test('preserves the order across both streams', () => {
  const { output, emitted } = batcher();
  output.write('stdout', '1');
  output.write('stderr', '2');
  output.write('stdout', '3');
  output.flush();
  expect(emitted).toEqual(['stdout:1', 'stderr:2', 'stdout:3']);
  output.flush();
  expect(emitted).toHaveLength(3);
});

test('code that never yields sends output older than 50 ms with its next write', () => {
  const { output, emitted, clock } = batcher();
  output.write('stdout', 'a');
  clock.now = 49;
  output.write('stdout', 'b');
  expect(emitted).toEqual([]);
  clock.now = 50;
  output.write('stdout', 'c');
  expect(emitted).toEqual(['stdout:abc']);
});

test('output beyond the limit is sent at once', () => {
  const { output, emitted } = batcher({ limit: 10 });
  output.write('stdout', '0123456789');
  expect(emitted).toEqual(['stdout:0123456789']);
});

test('a timer whose callback was terminated is set again after the next flush', () => {
  const { output, emitted, timers } = batcher();
  output.write('stdout', 'a');
  output.flush();
  output.write('stdout', 'b');
  expect(timers).toHaveLength(2);
  timers[1]?.callback();
  expect(emitted).toEqual(['stdout:a', 'stdout:b']);
});
