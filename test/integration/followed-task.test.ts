import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from '@ipyparallel-js/client';
import { type Dict, TaskLostError, TaskNotFoundError } from '@ipyparallel-js/protocol';
import { firstValueFrom, lastValueFrom } from 'rxjs';
import { expect, it, onTestFinished } from 'vitest';
import { TestController } from '../support/clusters/test-controller.js';
import { FakeHub } from '../support/fakes/fake-hub.js';
import { executeContent } from '../support/fakes/raw-client.js';
import { stopClock } from '../support/stopped-clock.js';
import { waitFor } from '../support/wait-for.js';

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

/** The state of a hub: whether its database has a record of the task, and its reply to `result_request`. */
type Said = 'record' | 'none' | 'pending' | 'completed' | 'unknown' | 'neither';

/** Follows a task on a stock hub that goes through these states in order and stays in the last one. */
async function follow(...script: readonly Said[]) {
  const left = [...script];
  const asked: Said[] = [];
  const next = (): Said => {
    const reply = (left.length > 1 ? left.shift() : left[0]) ?? 'none';
    asked.push(reply);
    return reply;
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
    .get({ timeout: 60_000 })
    .then(
      ({ stdout }) => stdout,
      (error: Error & { code?: string; reason?: string }) => error.reason ?? error.code,
    );
  return { result, asked };
}

it('a task that reaches the hub between two requests is still followed', async () => {
  expect((await follow('none', 'pending', 'none', 'pending', 'record')).result).toBe('printed');
});

it('a task that ends between two requests does not count as purged', async () => {
  expect((await follow('none', 'completed', 'record')).result).toBe('printed');
});

it('the client requests a task again if the hub does not have its record yet', async () => {
  // The client gives up after a second.
  stopClock();
  expect((await follow('none', 'unknown', 'none', 'unknown', 'record')).result).toBe('printed');
  expect((await follow('none', 'unknown', 'none', 'pending', 'record')).result).toBe('printed');
});

it('an ended task without a record counts as purged, and an unknown id as not found', async () => {
  expect((await follow('none', 'completed', 'none')).result).toBe('purged');
  expect((await follow('none', 'neither', 'none')).result).toBe('purged');
  const { result, asked } = await follow('none', 'unknown');
  expect(result).toBe('unknown');
  // The client does not decide after the first reply.
  expect(asked.length).toBeGreaterThan(2);
});

it('an unknown task has no status: followers get TaskNotFoundError, on a stock hub and on ours', async () => {
  const stock = await FakeHub.start({
    answer: ({ message }) =>
      message.msg_type === 'result_request'
        ? { status: 'error', ename: 'KeyError', evalue: `'No such message: ${ID}'`, traceback: [] }
        : undefined,
  });
  onTestFinished(() => stock.stop());
  const ours = await TestController.start();
  onTestFinished(() => ours.stop());
  for (const connectionFile of [stock.info, ours.controller.clientFile]) {
    const rc = await Client.connect({ connectionFile, pollInterval: 10 });
    onTestFinished(() => rc.close());
    const failures = await Promise.allSettled([
      lastValueFrom(rc.taskStatus$(ID)),
      lastValueFrom(rc.getResult(ID).status$),
      lastValueFrom(rc.getResult(ID).progress$),
      rc.getResult(ID).get({ timeout: 20_000 }),
    ]);
    for (const failure of failures) {
      expect(failure).toMatchObject({ status: 'rejected', reason: { reason: 'unknown', msgIds: [ID] } });
      expect(failure.status === 'rejected' && failure.reason).toBeInstanceOf(TaskNotFoundError);
    }
    // A live query has no row of the task either.
    const { sequence, ...snapshot } = await firstValueFrom(rc.dbQuery({ msg_id: ID }, 'msg_id').watch());
    expect(snapshot).toEqual({ type: 'snapshot', records: [], statuses: [], begun: [] });
    expect(sequence).toEqual(expect.any(String));
  }
});

it('a record that was culled while its task ran counts as purged when the task ends', async () => {
  expect((await follow('none', 'pending', 'none', 'pending', 'none', 'completed', 'none')).result).toBe(
    'purged',
  );
});

it('a task whose record stays open is lost if the present controller never had it', async () => {
  const open: Dict = { ...done, completed: null, result_content: null, result_header: null };
  let statusAsked = 0;
  const hub = await FakeHub.start({
    answer: ({ message }) => {
      if (message.msg_type === 'db_request')
        return { status: 'ok', records: [open], buffer_lens: [0], result_buffer_lens: [0] };
      if (message.msg_type !== 'result_request') return undefined;
      statusAsked++;
      return { status: 'error', ename: 'KeyError', evalue: `'No such message: ${ID}'`, traceback: [] };
    },
  });
  onTestFinished(() => hub.stop());
  const rc = await Client.connect({ connectionFile: hub.info, pollInterval: 50 });
  onTestFinished(() => rc.close());
  const ar = rc.getResult(ID);
  const failure = await ar.get({ timeout: 40_000 }).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(TaskLostError);
  expect(failure).toMatchObject({ code: 'TASK_LOST', msgIds: [ID] });
  expect(ar.statuses).toEqual(['lost']);
  // The client does not decide after the first reply, because a result may still arrive.
  expect(statusAsked).toBeGreaterThanOrEqual(2);
  expect(rc.stats.followed).toBe(0);
});

it('a task queued in an ended controller of ours is lost; a task queued in the present one is not', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'ippjs-lost-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const options = { db: { type: 'sqlite', location: directory } } as const;
  const submit = async (controller: TestController): Promise<string> => {
    const client = await controller.client();
    const metadata = { after: [], follow: [], timeout: 0, targets: [], retries: 0 };
    const { id } = client.submit('task', 'execute_request', executeContent('1'), undefined, { metadata });
    await waitFor(async () => await client.record(id).catch(() => undefined));
    return id;
  };
  const first = await TestController.start(options);
  const left = await submit(first).finally(() => first.stop());
  const second = await TestController.start(options);
  onTestFinished(() => second.stop());
  const waiting = await submit(second);
  const rc = await Client.connect({ connectionFile: second.controller.clientFile });
  onTestFinished(() => rc.close());
  const ar = rc.getResult([left, waiting]);
  await ar.wait({ returnWhen: 'firstException', timeout: 40_000 });
  expect(ar.statuses).toEqual(['lost', 'unassigned']);
  expect(ar.error[0]).toBeInstanceOf(TaskLostError);
});

it('a task that the hub has forgotten is lost', async () => {
  expect((await follow('none', 'pending', 'none', 'unknown')).result).toBe('TASK_LOST');
});

it.each(['seen', 'not seen'] as const)(
  'output that was %s and reaches the hub after the reply is waited for',
  async (seen) => {
    // The client waits for half a second, or for ten after it has seen output.
    stopClock();
    /** The number of requests that receive an incomplete record: two for its status and two for its result. */
    const incomplete = 4;
    let requests = 0;
    const hub = await FakeHub.start({
      answer: ({ message }) => {
        if (message.msg_type !== 'db_request') return undefined;
        const late =
          ++requests > incomplete
            ? { execute_result: { data: { 'text/plain': '42' } }, stdout: 'printed' }
            : { execute_result: null, stdout: '' };
        const records = [{ ...done, completed: new Date().toISOString().replace('Z', '000Z'), ...late }];
        if (seen === 'seen' && requests === 1) {
          const parent = { ...hub.session.rawMessage('execute_request', {}).header, msg_id: ID };
          const publish = (type: string, content: Dict): void =>
            hub.publish(
              'iopub',
              hub.session.encode(hub.session.rawMessage(type, content, { parent }), [type]),
            );
          publish('status', { execution_state: 'busy' });
          publish('stream', { name: 'stdout', text: 'printed' });
          publish('execute_result', { data: { 'text/plain': '42' }, metadata: {}, execution_count: 1 });
          publish('status', { execution_state: 'idle' });
        }
        return { status: 'ok', records, buffer_lens: [0], result_buffer_lens: [0] };
      },
    });
    onTestFinished(() => hub.stop());
    const rc = await Client.connect({ connectionFile: hub.info, pollInterval: 10 });
    onTestFinished(() => rc.close());
    const result = await rc.getResult<{ text: string; stdout: string }>(ID).get({ timeout: 60_000 });
    expect(result).toMatchObject({ text: '42', stdout: 'printed' });
    expect(requests).toBeGreaterThan(incomplete);
  },
);

it('a result that the client received counts even if the hub has not recorded it', async () => {
  // Without the result, the client would wait for three seconds.
  stopClock();
  const lacking: Dict = { ...done, execute_result: null, completed: new Date().toISOString() };
  let ended = false;
  const hub = await FakeHub.start({
    answer: ({ message }) => {
      if (message.msg_type !== 'db_request') return undefined;
      const records = [ended ? lacking : { ...lacking, completed: null, result_content: null }];
      return { status: 'ok', records, buffer_lens: [0], result_buffer_lens: [0] };
    },
  });
  onTestFinished(() => hub.stop());
  const rc = await Client.connect({ connectionFile: hub.info, pollInterval: 10 });
  onTestFinished(() => rc.close());
  const followed = rc.getResult<{ text: string | null; stdout: string }>(ID);
  await waitFor(() => hub.requests.some(({ message }) => message.msg_type === 'db_request'));
  const parent = { msg_id: ID, msg_type: 'execute_request' };
  const publish = (type: string, content: Dict): void =>
    hub.publish('iopub', ['topic', ...hub.session.encode(hub.session.rawMessage(type, content, { parent }))]);
  publish('status', { execution_state: 'busy' });
  publish('execute_result', { data: { 'text/plain': '42' }, metadata: {}, execution_count: 3 });
  publish('status', { execution_state: 'idle' });
  await waitFor(() => followed.metadata[0]?.begun !== null, { what: 'the signs to come' });
  ended = true;
  expect(await followed.get({ timeout: 60_000 })).toMatchObject({ text: '42', stdout: 'printed' });
});

it('a task that a busy hub does not know yet is waited for', async () => {
  let behind = true;
  let asked = 0;
  const hub = await FakeHub.start({
    answer: ({ message }) => {
      if (message.msg_type === 'db_request') {
        const after = JSON.stringify(message.content.query).includes('after it');
        if (after) asked++;
        const records = behind ? [] : [after ? { ...done, msg_id: 'after it' } : done];
        const lens = records.map(() => 0);
        return { status: 'ok', records, buffer_lens: lens, result_buffer_lens: lens };
      }
      if (message.msg_type !== 'result_request') return undefined;
      return { status: 'error', ename: 'KeyError', evalue: `'No such message: ${ID}'`, traceback: [] };
    },
  });
  onTestFinished(() => hub.stop());
  const rc = await Client.connect({ connectionFile: hub.info, pollInterval: 10 });
  onTestFinished(() => rc.close());
  const parent = { msg_id: 'after it', msg_type: 'execute_request' };
  const busy = hub.session.rawMessage('status', { execution_state: 'busy' }, { parent });
  const { received } = rc.stats;
  hub.publish('iopub', ['topic', ...hub.session.encode(busy)]);
  await waitFor(() => rc.stats.received > received, { what: 'the client to see the later task begin' });
  const followed = rc.getResult<{ stdout: string }>(ID);
  await waitFor(() => asked > 3, { what: 'the client to check whether the hub is busy' });
  expect(followed.ready).toBe(false);
  behind = false;
  expect(await followed.get({ timeout: 60_000 })).toMatchObject({ stdout: 'printed' });
});

it('a task that the hub records between the query for it and the query for a later task is not missing', async () => {
  let behind = true;
  let probed = false;
  const hub = await FakeHub.start({
    answer: ({ message }) => {
      if (message.msg_type === 'db_request') {
        const after = JSON.stringify(message.content.query).includes('after it');
        if (after) probed = true;
        const records = behind ? [] : [after ? { ...done, msg_id: 'after it' } : done];
        const lens = records.map(() => 0);
        return { status: 'ok', records, buffer_lens: lens, result_buffer_lens: lens };
      }
      if (message.msg_type !== 'result_request') return undefined;
      // The query for the task has ended, and the query for the later task follows.
      if (probed) behind = false;
      return { status: 'error', ename: 'KeyError', evalue: `'No such message: ${ID}'`, traceback: [] };
    },
  });
  onTestFinished(() => hub.stop());
  const rc = await Client.connect({ connectionFile: hub.info, pollInterval: 10 });
  onTestFinished(() => rc.close());
  const parent = { msg_id: 'after it', msg_type: 'execute_request' };
  const busy = hub.session.rawMessage('status', { execution_state: 'busy' }, { parent });
  const { received } = rc.stats;
  hub.publish('iopub', ['topic', ...hub.session.encode(busy)]);
  await waitFor(() => rc.stats.received > received, { what: 'the client to see the later task begin' });
  const result = await rc.getResult<{ stdout: string }>(ID).get({ timeout: 60_000 });
  expect(result).toMatchObject({ stdout: 'printed' });
});
