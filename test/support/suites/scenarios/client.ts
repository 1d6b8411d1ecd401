// Scenarios of ipyparallel's test_client.py.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Client,
  py,
  RemoteError,
  TaskAbortedError,
  TaskNotFoundError,
  UsageError,
} from '@ipyparallel-js/client';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Gate } from '../../gate.js';
import { waitFor } from '../../wait-for.js';
import { abortBehind } from './abort-behind.js';
import type { ScenarioCluster } from './scenario-cluster.js';

const RESULT_TIMEOUT = { timeout: 60_000 };
const random = py<number>('random.random');
const sleep = py<null>('time.sleep');

/** Waits until the hub has recorded the end of tasks, by default of all tasks of a client. */
async function waitUntilIdle(rc: Client, tasks: readonly string[] = rc.history): Promise<void> {
  const mine = { client_uuid: rc.session.session };
  expect(await rc.wait(undefined, RESULT_TIMEOUT)).toBe(true);
  await waitFor(
    async () => {
      const ended = await rc.dbQuery({ ...mine, completed: { $ne: null } }, 'msg_id');
      const ids = new Set(ended.map((record) => record.msg_id));
      return tasks.every((id) => ids.has(id));
    },
    { timeout: 60_000, what: 'the hub to record every end' },
  );
}

export function clientScenarios(cluster: () => ScenarioCluster): void {
  test('test_ids, test_ids_list: added engines appear, and the list is a copy', async () => {
    const { rc, startEngine } = cluster();
    const before = [...rc.ids];
    const id = await startEngine();
    expect(rc.ids).toEqual([...before, id]);
    const list = rc.ids as number[];
    list.pop();
    expect(rc.ids).toEqual([...before, id]);
    await rc.shutdown({ targets: [id], ...RESULT_TIMEOUT });
    await waitFor(() => !rc.ids.includes(id), { timeout: 60_000, what: 'the engine to be unregistered' });
  });

  test('test_iter, test_view_indexing, test_targets, test_dview_targets, test_lbview_targets', () => {
    const { rc } = cluster();
    const { ids } = rc;
    expect(ids.map((id) => rc.directView(id).targets)).toEqual(ids);
    const last = ids.at(-1) ?? Number.NaN;
    expect(rc.directView().targets).toBe('all');
    expect(rc.directView('all').targets).toBe('all');
    expect(rc.directView(-1).targets).toBe(last);
    expect(rc.directView(ids).targets).toEqual(ids);
    expect(rc.directView([0, -1]).targets).toEqual([0, last]);
    const every = (step: number) => ids.filter((_, i) => i % step === 0);
    for (const some of [ids.slice(2, 4), every(2), every(3), ids.slice(0, -3)])
      expect(rc.directView(some).targets).toEqual(some);
    expect(() => rc.directView(null as never)).toThrow(UsageError);
    expect(() => rc.directView(1.5)).toThrow(UsageError);
    expect(rc.loadBalancedView().targets).toBe('all');
    expect(rc.loadBalancedView({ targets: 'all' }).targets).toBe('all');
    expect(rc.loadBalancedView({ targets: -1 }).targets).toBe(last);
    expect(rc.loadBalancedView({ targets: [-1] }).targets).toEqual([last]);
  });

  test('test_outstanding: a task is outstanding until it has ended', async () => {
    const { rc } = cluster();
    const ar = rc.directView(-1).apply(sleep, 0.3);
    const [msgId = ''] = ar.msgIds;
    expect(rc.outstanding).toContain(msgId);
    await ar.get(RESULT_TIMEOUT);
    expect(rc.outstanding).not.toContain(msgId);
  });

  test("test_lazy_all_targets: 'all' means the engines at the time of the call", async () => {
    const { rc, startEngine } = cluster();
    const view = rc.directView();
    const before = rc.ids.length;
    const one = py<number>`lambda: 1`;
    expect(await view.apply(one).get(RESULT_TIMEOUT)).toEqual(Array(before).fill(1));
    const id = await startEngine();
    expect(await view.apply(one).get(RESULT_TIMEOUT)).toEqual(Array(before + 1).fill(1));
    const numbers = Array.from({ length: 100 }, (_, i) => i);
    expect(await view.map(py<number>`lambda x: x * 2`, numbers).get(RESULT_TIMEOUT)).toEqual(
      numbers.map((n) => n * 2),
    );
    await rc.shutdown({ targets: [id], ...RESULT_TIMEOUT });
    await waitFor(() => rc.ids.length === before, { timeout: 60_000, what: 'the engine to be unregistered' });
  });

  test('test_clear: a cleared engine loses the name, the others keep it', async () => {
    const { rc } = cluster();
    const [first = -1, last = -1] = [rc.ids[0], rc.ids.at(-1)];
    await rc.directView('all').push({ a: 5 }).get(RESULT_TIMEOUT);
    expect(await rc.directView('all').get('a')).toEqual(rc.ids.map(() => 5));
    await rc.clear({ targets: [last], ...RESULT_TIMEOUT });
    expect(await rc.directView(first).get('a')).toBe(5);
    await expect(rc.directView(last).get('a')).rejects.toMatchObject({ ename: 'NameError' });
    await rc.clear(RESULT_TIMEOUT);
    for (const id of rc.ids)
      await expect(rc.directView(id).get('a')).rejects.toMatchObject({ ename: 'NameError' });
  });

  test('test_get_result: results of other clients come from the hub, by id and by result', async () => {
    const { rc, connect } = cluster();
    await using other = await connect();
    const ar = other.directView(-1).apply(py<number>`lambda: 6 * 7`);
    const [msgId = ''] = ar.msgIds;
    expect(await ar.get(RESULT_TIMEOUT)).toBe(42);
    const fromHub = rc.getResult(msgId);
    expect(await fromHub.get(RESULT_TIMEOUT)).toBe(42);
    expect(rc.getResult(fromHub).msgIds).toEqual([msgId]);
    expect(rc.getResult([fromHub]).msgIds).toEqual([msgId]);
    // Also while the task runs.
    const slow = other.directView(-1).apply(py<number>`lambda: __import__('time').sleep(0.5) or 7`);
    const [slowId = ''] = slow.msgIds;
    await waitFor(async () => (await rc.dbQuery({ msg_id: slowId }, 'msg_id').first()) !== undefined);
    expect(await rc.getResult(slowId).get(RESULT_TIMEOUT)).toBe(await slow.get(RESULT_TIMEOUT));
    expect(await rc.getResult([msgId]).get(RESULT_TIMEOUT)).toEqual([42]);
  });

  test('test_get_execute_result: the output of execute comes from the hub as well', async () => {
    const { rc, connect } = cluster();
    await using other = await connect();
    const ar = other.directView(-1).execute('import time; time.sleep(0.25)\nprint("out")\n5');
    const result = await ar.get(RESULT_TIMEOUT);
    // The hub receives output on a separate socket.
    const complete = { msg_id: ar.msgIds[0] ?? '', stdout: 'out\n', execute_result: { $ne: null } };
    await waitFor(async () => (await rc.dbQuery(complete, [])).length === 1, {
      what: 'the hub to store the output',
    });
    const fromHub = await rc.getResult<typeof result>(ar.msgIds[0] ?? '').get(RESULT_TIMEOUT);
    expect(fromHub).toMatchObject({ text: '5', stdout: 'out\n', executionCount: result.executionCount });
  });

  test('test_queue_status: the row of one engine, or all rows and the unassigned tasks', async () => {
    const { rc } = cluster();
    await waitUntilIdle(rc);
    const one = await rc.queueStatus(rc.ids[0] ?? -1);
    expect(Object.keys(one).sort()).toEqual(['completed', 'queue', 'tasks']);
    const all = await rc.queueStatus();
    expect(all.unassigned).toBe(0);
    expect(Object.keys(all.engines).map(Number)).toEqual([...rc.ids]);
    for (const line of Object.values(all.engines))
      expect(Object.keys(line).sort()).toEqual(['completed', 'queue', 'tasks']);
    const verbose = await rc.queueStatus(rc.ids[0] ?? -1, { verbose: true });
    expect(verbose.queue).toEqual([]);
  });

  test('test_shutdown: an engine that is shut down unregisters and is no longer a target', async () => {
    const { rc, startEngine } = cluster();
    const id = await startEngine();
    expect(await rc.directView(id).apply(py<number>('os.getpid')).get(RESULT_TIMEOUT)).toBeGreaterThan(1);
    await rc.shutdown({ targets: [id], ...RESULT_TIMEOUT });
    await waitFor(() => !rc.ids.includes(id), { timeout: 60_000, what: 'the engine to be unregistered' });
    expect(() => rc.directView(id).execute('1')).toThrow(UsageError);
  });

  test('test_result_status: the hub reports which tasks have ended', async () => {
    const { rc } = cluster();
    const done = rc.directView(-1).execute('1');
    await done.get(RESULT_TIMEOUT);
    await waitUntilIdle(rc);
    const status = await rc.resultStatus(done);
    expect(status.completed).toEqual(done.msgIds);
    await expect(rc.resultStatus(['nobody'])).rejects.toBeInstanceOf(TaskNotFoundError);
  });

  describe('the Task Database', () => {
    test('test_db_query_dt: before and after a date are all records', async () => {
      const { rc, connect } = cluster();
      await using fresh = await connect();
      for (let i = 0; i < 4; i++) await fresh.directView('all').execute(String(i)).get(RESULT_TIMEOUT);
      await waitUntilIdle(fresh);
      const mine = { client_uuid: fresh.session.session };
      const all = await rc.dbQuery(mine, ['submitted']);
      expect(all).toHaveLength(fresh.history.length);
      const moment = all[Math.floor(all.length / 2)]?.submitted;
      if (moment === undefined || moment === null) throw new Error('a record without its submission');
      const before = await rc.dbQuery({ ...mine, submitted: { $lt: moment } }, ['submitted']);
      const after = await rc.dbQuery({ ...mine, submitted: { $gte: moment } }, ['submitted']);
      expect(before.length + after.length).toBe(all.length);
      for (const { submitted } of before) expect(submitted?.getTime()).toBeLessThan(moment.getTime());
      for (const { submitted } of after)
        expect(submitted?.getTime()).toBeGreaterThanOrEqual(moment.getTime());
      const same = await rc.dbQuery({ ...mine, submitted: moment }, ['submitted']);
      expect(same.length).toBeGreaterThan(0);
      for (const { submitted } of same) expect(submitted?.getTime()).toBe(moment.getTime());
    });

    test('test_db_query_keys, test_db_query_msg_id, test_db_query_default_keys', async () => {
      const { rc } = cluster();
      await waitUntilIdle(rc);
      const some = await rc.dbQuery({ client_uuid: rc.session.session }, ['submitted', 'completed']);
      expect(some.length).toBeGreaterThan(0);
      for (const record of some)
        expect(Object.keys(record).sort()).toEqual(['completed', 'msg_id', 'submitted']);
      for (const key of ['submitted', 'msg_id'] as const) {
        for (const record of await rc.dbQuery({ client_uuid: rc.session.session }, [key]))
          expect(record.msg_id).toBeTypeOf('string');
      }
      const [whole] = await rc.dbQuery({ client_uuid: rc.session.session }, { limit: 1 } as const);
      expect(Object.keys(whole ?? {})).not.toEqual(expect.arrayContaining(['buffers']));
      expect(Object.keys(whole ?? {})).not.toEqual(expect.arrayContaining(['result_buffers']));
    });

    test('test_db_query_get_result: a query leaves the result in the database', async () => {
      const { connect } = cluster();
      await using one = await connect();
      const ar = one.directView(-1).apply(py<number>`lambda: 1`);
      await ar.get(RESULT_TIMEOUT);
      await waitUntilIdle(one);
      await one.dbQuery({ client_uuid: one.session.session });
      await using two = await connect();
      expect(await two.getResult(ar.msgIds[0] ?? '').get(RESULT_TIMEOUT)).toBe(1);
    });

    test('test_db_query_in: $in and $nin split the history', async () => {
      const { rc } = cluster();
      await waitUntilIdle(rc);
      const history = await rc.hubHistory();
      const even = history.filter((_, i) => i % 2 === 0);
      const odd = history.filter((_, i) => i % 2 === 1);
      const inside = await rc.dbQuery({ msg_id: { $in: even } }, 'msg_id');
      expect(inside.map((record) => record.msg_id).sort()).toEqual([...even].sort());
      const outside = await rc.dbQuery({ msg_id: { $nin: even }, submitted: { $ne: null } }, 'msg_id');
      expect(outside.map((record) => record.msg_id).sort()).toEqual([...odd].sort());
    });

    test('test_hub_history: in the order of submission, the newest last', async () => {
      const { rc } = cluster();
      const ar = rc.directView(-1).execute('1');
      await ar.get(RESULT_TIMEOUT);
      await waitUntilIdle(rc);
      const history = await rc.hubHistory();
      expect(history.at(-1)).toBe(ar.msgIds[0]);
      const records = new Map(
        (await rc.dbQuery({ msg_id: { $in: history } }, ['submitted'])).map((record) => [
          record.msg_id,
          record.submitted?.getTime() ?? 0,
        ]),
      );
      const times = history.map((id) => records.get(id) ?? Number.NaN);
      expect(times).toEqual([...times].sort((a, b) => a - b));
    });
  });

  describe('resubmission', () => {
    test('test_resubmit: a task runs again', async () => {
      const { rc } = cluster();
      const ar = rc.loadBalancedView().apply(random);
      const first = await ar.get(RESULT_TIMEOUT);
      await waitUntilIdle(rc);
      const resubmitted = await rc.resubmit<number>(ar.msgIds[0] ?? '');
      const second = await resubmitted.get(RESULT_TIMEOUT);
      expect(second).toBeTypeOf('number');
      expect(second).not.toBe(first);
    });

    test('test_resubmit_chain: a resubmitted task can be resubmitted', async () => {
      const { rc } = cluster();
      const text = 'x'.repeat(1024);
      let ids: readonly string[] = rc.loadBalancedView().apply(py<string>`lambda x: x`, text).msgIds;
      await rc.getResult(ids).get(RESULT_TIMEOUT);
      await waitUntilIdle(rc);
      for (let i = 0; i < 5; i++) {
        const resubmitted = await rc.resubmit<string>(ids);
        expect(await resubmitted.get(RESULT_TIMEOUT)).toEqual([text]);
        expect(resubmitted.msgIds).not.toEqual(ids);
        ids = resubmitted.msgIds;
      }
    });

    test('test_resubmit_header: only the id and the date of the header change', async () => {
      const { rc } = cluster();
      const ar = rc.loadBalancedView({ retries: 1 }).apply(random);
      await ar.get(RESULT_TIMEOUT);
      await waitUntilIdle(rc);
      const resubmitted = await rc.resubmit(ar.msgIds);
      await resubmitted.get(RESULT_TIMEOUT);
      const ids = [...ar.msgIds, ...resubmitted.msgIds];
      const headers = (await rc.dbQuery({ msg_id: { $in: ids } }, ['header'])).map(({ header }) => header);
      expect(headers).toHaveLength(2);
      const [first, second] = headers.map((header) => {
        const { msg_id: _id, date: _date, ...rest } = header ?? {};
        return rest;
      });
      expect(second).toEqual(first);
      for (const name of ['msg_id', 'date'] as const)
        expect(headers[0]?.[name]).not.toEqual(headers[1]?.[name]);
    });

    test('test_resubmit_aborted: an aborted task can be resubmitted', async () => {
      const { rc } = cluster();
      const view = rc.loadBalancedView({ targets: [-1] });
      using gate = new Gate();
      const first = view.apply(py(gate.pythonFunction));
      await waitFor(() => first.metadata[0]?.begun !== null, { what: 'the task at the gate to begin' });
      const ar = view.apply(random);
      await abortBehind(cluster(), gate, ar.abort(RESULT_TIMEOUT));
      await expect(ar.get(RESULT_TIMEOUT)).rejects.toBeInstanceOf(TaskAbortedError);
      await first.get(RESULT_TIMEOUT);
      await waitUntilIdle(rc);
      const resubmitted = await rc.resubmit<number>(ar.msgIds[0] ?? '');
      expect(await resubmitted.get(RESULT_TIMEOUT)).toBeTypeOf('number');
    });

    test('test_resubmit_inflight: a running task can be resubmitted', async () => {
      const { rc } = cluster();
      const ar = rc.loadBalancedView().apply(sleep, 0.5);
      const [msgId = ''] = ar.msgIds;
      await waitFor(async () => (await rc.dbQuery({ msg_id: msgId }, 'msg_id').first()) !== undefined, {
        timeout: 30_000,
        what: 'the hub to record the task',
      });
      const resubmitted = await rc.resubmit(msgId);
      expect(await ar.get(RESULT_TIMEOUT)).toBeNull();
      expect(await resubmitted.get(RESULT_TIMEOUT)).toBeNull();
    });

    test('test_resubmit_badkey: an unknown task cannot be resubmitted', async () => {
      await expect(cluster().rc.resubmit(['invalid'])).rejects.toBeInstanceOf(TaskNotFoundError);
    });
  });

  describe('purging', () => {
    const work = async (rc: Client): Promise<void> => {
      const tasks = Array.from({ length: 3 }, (_, i) => rc.directView('all').execute(String(i)));
      for (const ar of tasks) await ar.get(RESULT_TIMEOUT);
      const ids = tasks.flatMap(({ msgIds }) => msgIds);
      await waitUntilIdle(rc, ids);
      // A Python hub stores output that arrives after a purge in a new record; the result is the last output of each task.
      const complete = { msg_id: { $in: ids }, execute_result: { $ne: null } };
      await waitFor(async () => (await rc.dbQuery(complete, [])).length === ids.length, {
        timeout: 60_000,
        what: 'the hub to store every result',
      });
    };

    test('test_purge_hub_results: one record is removed, the others stay', async () => {
      const { connect } = cluster();
      await using rc = await connect();
      await work(rc);
      const history = await rc.hubHistory();
      const last = history.at(-1) ?? '';
      await rc.purgeHubResults(last);
      expect(await rc.hubHistory()).toEqual(history.slice(0, -1));
    });

    test('test_purge_local_results, test_purge_all_local_results: unread results are dropped in the client', async () => {
      const { connect } = cluster();
      await using rc = await connect();
      const ar = rc.directView(-1).execute('1');
      expect(await rc.wait(undefined, RESULT_TIMEOUT)).toBe(true);
      expect([...rc.results.keys()]).toEqual(ar.msgIds);
      expect([...rc.metadata.keys()]).toEqual(ar.msgIds);
      rc.purgeLocalResults(ar);
      expect(rc.results.size).toBe(0);
      expect(rc.metadata.size).toBe(0);
      rc.directView(-1).execute('2');
      expect(await rc.wait(undefined, RESULT_TIMEOUT)).toBe(true);
      expect(rc.results.size).toBe(1);
      rc.purgeLocalResults('all');
      expect(rc.results.size).toBe(0);
    });

    // Python refuses this. Here, tasks that have not ended stay, and lose nothing.
    test('test_purge_local_results_outstanding, test_purge_all_local_results_outstanding: running tasks stay', async () => {
      const { rc } = cluster();
      const ar = rc.directView(-1).apply(sleep, 0.3);
      rc.purgeLocalResults(ar);
      rc.purgeLocalResults('all');
      expect(rc.outstanding).toEqual(ar.msgIds);
      expect(await ar.get(RESULT_TIMEOUT)).toBeNull();
      rc.purgeLocalResults(ar);
      expect(rc.results.size).toBe(0);
    });

    test('test_purge_all_hub_results, test_purge_all_results, test_purge_everything: no record remains', async () => {
      const { connect } = cluster();
      await using rc = await connect();
      await work(rc);
      await rc.purgeHubResults('all');
      expect(await rc.hubHistory()).toEqual([]);
      await work(rc);
      await rc.purgeResults('all');
      expect(rc.results.size).toBe(0);
      expect(rc.metadata.size).toBe(0);
      expect(await rc.hubHistory()).toEqual([]);
      await work(rc);
      await rc.purgeEverything();
      expect(rc.results.size).toBe(0);
      expect(rc.history).toEqual([]);
      expect(await rc.hubHistory()).toEqual([]);
    });
  });

  test('test_wait_interactive: no task is outstanding afterwards', async () => {
    const { connect } = cluster();
    await using rc = await connect();
    rc.directView(-1).apply(py<number>`lambda: 1`);
    expect(await rc.waitInteractive(undefined, RESULT_TIMEOUT)).toBe(true);
    expect(rc.outstanding).toEqual([]);
  });

  test('test_wait_for_engines: resolves at once for registered engines, and waits for more', async () => {
    const { rc, startEngine } = cluster();
    const n = rc.ids.length;
    expect(await rc.waitForEngines(n)).toHaveLength(n);
    await expect(rc.waitForEngines(n + 1, { timeout: 100 })).rejects.toMatchObject({ code: 'TIMEOUT' });
    const waiting = rc.waitForEngines(n + 1, { timeout: 120_000 });
    const id = await startEngine();
    expect(await waiting).toContain(id);
    await rc.shutdown({ targets: [id], ...RESULT_TIMEOUT });
    await waitFor(() => rc.ids.length === n, { timeout: 60_000, what: 'the engine to be unregistered' });
  });

  test('test_signal_engines: an interrupt, by name or number, ends running tasks', async () => {
    const { rc } = cluster();
    for (const signal of ['SIGINT', 2] as const) {
      // An engine ignores a signal that arrives after it has reported that it is busy, and before it runs the code.
      const begun = mkdtempSync(join(tmpdir(), 'ippjs-begun-'));
      onTestFinished(() => rmSync(begun, { recursive: true, force: true }));
      const ar = rc.directView('all').apply(
        py(`
def sleep():
    import os, time
    open(os.path.join(${JSON.stringify(begun)}, str(os.getpid())), 'w').close()
    time.sleep(600)
`),
      );
      await waitFor(() => readdirSync(begun).length === rc.ids.length, { what: 'the tasks to run' });
      await rc.sendSignal(signal, RESULT_TIMEOUT);
      const ends = await ar.settled(RESULT_TIMEOUT);
      expect(ends).toHaveLength(rc.ids.length);
      for (const end of ends) {
        expect(end.status).toBe('rejected');
        const reason = end.status === 'rejected' ? end.reason : undefined;
        expect(reason).toBeInstanceOf(RemoteError);
        expect(reason).toMatchObject({ ename: 'KeyboardInterrupt' });
      }
    }
  });
}
