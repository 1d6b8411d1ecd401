import { Client } from '@ipyparallel-js/client';
import type { Dict } from '@ipyparallel-js/protocol';
import { expect, it, onTestFinished } from 'vitest';
import { FakeHub } from '../support/fake-hub.js';

const ID = 'b0b0_1';

/** A record of a finished `execute` that had no result. */
const done: Dict = {
  msg_id: ID,
  header: { msg_type: 'execute_request' },
  engine_uuid: 'e',
  completed: '2026-01-01T00:00:00.000000Z',
  result_header: { msg_type: 'execute_reply' },
  result_content: { status: 'ok', execution_count: 3 },
  stdout: 'printed',
  stderr: '',
  execute_result: { data: {} },
};

/** What a hub says of the task: whether its database has a record, and what it answers to `result_request`. */
type Said = 'record' | 'none' | 'pending' | 'completed' | 'unknown' | 'neither';

/** Follows a task on a stock hub that says these things of it one after the other, the last one again and again. */
async function follow(...script: readonly Said[]) {
  const left = [...script];
  const asked: Said[] = [];
  const next = (): Said => {
    const said = (left.length > 1 ? left.shift() : left[0]) ?? 'none';
    asked.push(said);
    return said;
  };
  const hub = await FakeHub.start({
    answer: ({ message }) => {
      if (message.msg_type === 'db_request') {
        const records = next() === 'record' ? [done] : [];
        const lens = records.map(() => 0);
        return { status: 'ok', records, buffer_lens: lens, result_buffer_lens: lens };
      }
      if (message.msg_type !== 'result_request') return undefined;
      const said = next();
      if (said === 'unknown')
        return {
          status: 'error',
          ename: 'KeyError',
          evalue: `'No such message: ${ID}'`,
          traceback: [],
        };
      const is = (state: Said): string[] => (said === state ? [ID] : []);
      return { status: 'ok', pending: is('pending'), completed: is('completed') };
    },
  });
  onTestFinished(() => hub.stop());
  const rc = await Client.connect({ connectionFile: hub.info, pollInterval: 10 });
  onTestFinished(() => rc.close());
  const result = await rc
    .getResult<{ stdout: string }>(ID)
    .get({ timeout: 20_000 })
    .then(
      ({ stdout }) => stdout,
      (error: Error & { reason?: string }) => error.reason,
    );
  return { result, asked };
}

it('a task that reaches the hub between two questions is followed on', async () => {
  expect((await follow('none', 'pending', 'none', 'pending', 'record')).result).toBe('printed');
});

it('a task that ends between two questions is no purged one', async () => {
  expect((await follow('none', 'completed', 'record')).result).toBe('printed');
});

it('a task that the hub does not know yet is asked for again', async () => {
  expect((await follow('none', 'unknown', 'none', 'unknown', 'record')).result).toBe('printed');
  expect((await follow('none', 'unknown', 'none', 'pending', 'record')).result).toBe('printed');
});

it('a task that has ended without a record is purged, one that nobody knows unknown', async () => {
  expect((await follow('none', 'completed', 'none')).result).toBe('purged');
  expect((await follow('none', 'neither', 'none')).result).toBe('purged');
  const { result, asked } = await follow('none', 'unknown');
  expect(result).toBe('unknown');
  // Not at the first word.
  expect(asked.length).toBeGreaterThan(2);
});

it('a record that was culled while its task ran is gone when the task ends', async () => {
  expect((await follow('none', 'pending', 'none', 'pending', 'none', 'completed', 'none')).result).toBe(
    'purged',
  );
});
