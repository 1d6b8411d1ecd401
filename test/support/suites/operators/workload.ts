// A workload for every kind of hub, with the same msg_ids and submission times (to the microsecond) on each of them.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Dict } from '@ipyparallel-js/protocol';
import { executeContent, type RawClient } from '../../fakes/raw-client.js';
import { waitFor } from '../../wait-for.js';
import { fetchRecords, type PlainRecord } from './plain-record.js';

/** The language of the engines. */
export type Language = 'python' | 'javascript';

export const ALICE = 'session-of-alice';
export const BOB = 'session-of-bob';

/** Time of the first submission. Others follow a microsecond or a millisecond later. */
export const FIRST_SUBMISSION = '2026-01-15T10:00:00.123456Z';

interface Programs {
  readonly answer: string;
  readonly print: (text: string) => string;
  readonly writeStderr: (text: string) => string;
  readonly fail: string;
  readonly waitFor: (path: string) => string;
}

const programs: { readonly [L in Language]: Programs } = {
  python: {
    answer: '6 * 7',
    print: (text) => `print(${JSON.stringify(text)})`,
    writeStderr: (text) => `import sys; print(${JSON.stringify(text)}, file=sys.stderr)`,
    fail: "raise ValueError('bad luck')",
    waitFor: (path) => `import os, time\nwhile not os.path.exists(${JSON.stringify(path)}): time.sleep(0.01)`,
  },
  javascript: {
    answer: '6 * 7',
    print: (text) => `console.log(${JSON.stringify(text)})`,
    writeStderr: (text) => `console.error(${JSON.stringify(text)})`,
    fail: "throw new TypeError('bad luck')",
    waitFor: (path) =>
      `while (!require('node:fs').existsSync(${JSON.stringify(path)})) await new Promise((go) => setTimeout(go, 10));`,
  },
};

/** A hub with the completed workload. Its pending tasks stay pending until it is disposed. */
export interface Workload extends AsyncDisposable {
  /** All records of the hub. */
  readonly records: readonly PlainRecord[];
  /** The uuids of the two engines, in the order of their ids. */
  readonly engines: readonly [string, string];
  /** Returns a name of a record that is equal on every hub: its msg_id; for a resubmission, whose id is random, the task's. */
  nameOf(msgId: string): string;
}

/** Runs the workload on a hub with two idle engines. `raw` must not have been connected to another hub. */
export async function runWorkload(raw: RawClient, language: Language): Promise<Workload> {
  const program = programs[language];
  const directory = mkdtempSync(join(tmpdir(), 'ipp-workload-'));
  const gate = (name: string): string => join(directory, name);
  const open = (name: string): void => {
    if (existsSync(directory)) writeFileSync(gate(name), '');
  };
  try {
    const [first, second] = [...(await raw.engines()).values()];
    if (first === undefined || second === undefined) throw new Error('the workload needs two engines');
    const submit = (task: Submission): string => send(raw, task);

    // The submission times differ by a microsecond or a millisecond; some have no fraction.
    submit({ id: 'done-0', date: FIRST_SUBMISSION, code: program.answer, session: ALICE, engine: first });
    submit({
      ...{ id: 'print-1', date: '2026-01-15T10:00:00.123457Z', session: BOB, engine: second },
      code: program.print('hello [1] 😀'),
    });
    submit({
      ...{ id: 'complain-1', date: '2026-01-15T10:00:00.123999Z', session: ALICE, engine: second },
      code: program.writeStderr('Oops: no*luck?'),
      label: 'nightly',
    });
    submit({
      ...{ id: 'fail-0', date: '2026-01-15T10:00:00.124000Z', session: BOB, engine: first },
      code: program.fail,
      label: 'nightly [1]',
    });
    submit({
      ...{ id: 'task-done', date: '2026-01-15T10:00:00.125000Z', session: ALICE },
      ...{ code: program.answer, targets: [first], label: '2026-01-15T10:00:00.000000Z' },
    });
    submit({
      ...{ id: 'task-print', date: '2026-01-15T10:00:01Z', session: BOB, targets: [second] },
      code: program.print('hello'),
      label: '',
    });
    submit({
      ...{ id: 'task-fail', date: '2026-01-15T11:00:00.000001Z', session: ALICE, targets: [second] },
      code: program.fail,
      label: 'nightly',
    });
    const ended = ['done-0', 'print-1', 'complain-1', 'fail-0', 'task-done', 'task-print', 'task-fail'];
    await untilEnded(raw, ended);

    const resubmission = await raw
      .submit('registration', 'resubmit_request', { msg_ids: ['fail-0', 'task-done'] })
      .reply();
    const renamed = Object.entries(resubmission.content.resubmitted as { [old: string]: string });
    const names = new Map(renamed.map(([old, resubmitted]) => [resubmitted, `${old} again`]));
    await untilEnded(raw, [...names.keys()]);

    // Aborted before it is submitted, because an engine of 7.1 receives no message while it computes.
    await raw.submit('control', 'abort_request', { msg_ids: ['aborted-0'] }, first).reply();
    submit({
      ...{ id: 'aborted-0', date: '2026-01-15T12:00:00.500001Z', session: BOB, engine: first },
      code: program.answer,
      label: 'unwanted',
    });
    await untilEnded(raw, ['aborted-0']);

    // These tasks keep both engines busy, so later tasks wait.
    for (const [i, engine] of [first, second].entries()) {
      submit({
        ...{ id: `task-runs-${i}`, date: `2026-01-15T12:30:00.00${i}Z`, session: [ALICE, BOB][i] ?? ALICE },
        ...{ code: program.waitFor(gate('end')), targets: [engine] },
        ...(i === 0 ? { label: 'slow' } : {}),
      });
    }
    await waitFor(() => [0, 1].every((i) => raw.published(`task-runs-${i}`, 'execute_input').length > 0), {
      what: 'both engines to be busy',
    });
    submit({
      ...{ id: 'waits-0', date: '2026-01-15T12:45:00.999999Z', session: BOB, engine: first },
      code: program.answer,
    });
    submit({
      ...{ id: 'task-waits', date: '2026-01-15T13:00:00Z', session: ALICE, label: 'nightly' },
      code: program.answer,
    });
    const waiting = new Set(['aborted-0', 'waits-0', 'task-waits']);
    const all = [...ended, ...names.keys(), ...waiting, 'task-runs-0', 'task-runs-1'];
    const records = await settledRecords(raw, all, (record) => {
      if (record.submitted === null) return false;
      const name = names.get(record.msg_id) ?? record.msg_id;
      // The record of a started task has its input.
      if (!waiting.has(name) && record.execute_input === null) return false;
      if (name !== 'task-waits' && record.engine_uuid === null) return false;
      if (name.includes('done')) return record.execute_result !== null;
      if (name.includes('print')) return record.stdout !== '';
      if (name.includes('complain')) return record.stderr !== '';
      if (name.includes('fail')) return record.error !== null;
      return true;
    });
    const statuses = records.map((record) => record.result_content?.status ?? 'none').sort();
    const expected = ['aborted', ...Array(3).fill('error'), ...Array(4).fill('none'), ...Array(6).fill('ok')];
    if (statuses.join() !== expected.join())
      throw new Error(`the tasks ended with statuses ${statuses}, expected ${expected}`);
    return {
      records,
      engines: [first, second],
      nameOf: (msgId) => names.get(msgId) ?? msgId,
      [Symbol.asyncDispose]: async () => {
        open('end');
        await untilEnded(raw, ['task-runs-0', 'task-runs-1', 'waits-0', 'task-waits']);
        rmSync(directory, { recursive: true, force: true });
      },
    };
  } catch (error) {
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
}

interface Submission {
  readonly id: string;
  readonly date: string;
  readonly code: string;
  readonly session: string;
  /** The engine of a direct task; a load-balanced task has none. */
  readonly engine?: string;
  readonly targets?: readonly string[];
  readonly label?: string;
}

function send(raw: RawClient, task: Submission): string {
  const label = task.label === undefined ? {} : { label: task.label };
  const scheduling: Dict = { after: [], follow: [], timeout: 0, targets: task.targets ?? [], retries: 0 };
  // With true, a stock engine aborts its waiting tasks when a task fails.
  const content = executeContent(task.code, { stop_on_error: false });
  const message = raw.session.rawMessage('execute_request', content, {
    metadata: task.engine === undefined ? { ...scheduling, ...label } : label,
  });
  const header = { ...message.header, msg_id: task.id, date: task.date, session: task.session };
  raw.send(task.engine === undefined ? 'task' : 'mux', { ...message, header, msg_id: task.id }, task.engine);
  return task.id;
}

async function untilEnded(raw: RawClient, msgIds: readonly string[]): Promise<void> {
  await waitFor(
    async () => {
      const ended = new Set(
        (await fetchRecords(raw)).filter((record) => record.completed !== null).map(({ msg_id }) => msg_id),
      );
      return msgIds.every((id) => ended.has(id));
    },
    { timeout: 60_000, what: `the hub to record the ends of ${msgIds.join(', ')}` },
  );
}

/**
 * Waits until there are records of exactly these ids, they meet the condition and no longer change. Requests, output and
 * replies reach a hub separately.
 */
async function settledRecords(
  raw: RawClient,
  ids: readonly string[],
  isSettled: (record: PlainRecord) => boolean,
): Promise<readonly PlainRecord[]> {
  let before = '';
  const expected = [...ids].sort().join();
  return await waitFor(
    async () => {
      const records = await fetchRecords(raw);
      const now = JSON.stringify(records);
      const isComplete =
        records
          .map(({ msg_id }) => msg_id)
          .sort()
          .join() === expected;
      const settled = isComplete && now === before && records.every(isSettled);
      before = now;
      return settled && records;
    },
    { timeout: 60_000, interval: 150, what: 'the records to settle' },
  );
}
