// Scenarios of ipyparallel's test_asyncresult.py.
import { Writable } from 'node:stream';
import {
  AsyncResult,
  py,
  RemoteError,
  ref,
  TaskAbortedError,
  TimeoutError,
  tuple,
} from '@ipyparallel-js/client';
import { CompositeError, UsageError } from '@ipyparallel-js/protocol';
import { lastValueFrom } from 'rxjs';
import { expect, test } from 'vitest';
import { Gate } from '../../gate.js';
import { waitFor } from '../../wait-for.js';
import { abortBehind } from './abort-behind.js';
import type { ScenarioCluster } from './scenario-cluster.js';

const answer = py<number>`lambda: 42`;
const echo = py`lambda x: x`;
const failing = py<number>`lambda: 1 / 0`;
const sleep = py<number>`lambda t: (__import__('time').sleep(t), t)[1]`;
const failAtTwo = py<number>`lambda x: 1 / (x - 2)`;
const LONG = { timeout: 60_000 };

/** The Python name of the error. */
async function enameOf(wait: PromiseLike<unknown>): Promise<string> {
  const error = await Promise.resolve(wait).then(
    () => undefined,
    (caught: unknown) => caught,
  );
  const cause = error instanceof CompositeError ? error.errors[0] : error;
  return cause instanceof RemoteError ? cause.ename : String(error);
}

async function collect<E>(items: AsyncIterable<E>): Promise<E[]> {
  const got: E[] = [];
  for await (const item of items) got.push(item);
  return got;
}

function capture() {
  let text = '';
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += String(chunk);
      done();
    },
  });
  return { stream, text: () => text };
}

export function asyncResultScenarios(cluster: () => ScenarioCluster): void {
  test('test_single_result_view, test_get_after_done, test_get_before_done', async () => {
    const { rc } = cluster();
    expect(await rc.directView(-1).apply(answer).get(LONG)).toBe(42);
    expect(await rc.directView([-1]).apply(answer).get(LONG)).toEqual([42]);
    const done = rc.directView(-1).apply(answer);
    expect(await done.wait(LONG)).toBe(true);
    expect(done.ready).toBe(true);
    expect([await done.get(), await done.get()]).toEqual([42, 42]);
    using gate = new Gate();
    const slow = rc.directView(-1).apply(py<null>(gate.pythonFunction));
    await expect(slow.get({ timeout: 0 })).rejects.toThrow(TimeoutError);
    expect(await slow.wait({ timeout: 0 })).toBe(false);
    expect(slow.ready).toBe(false);
    gate.open();
    expect(await slow.get(LONG)).toBeNull();
  });

  test('test_get_after_error, test_return_exceptions_postmortem', async () => {
    const { rc } = cluster();
    const single = rc.directView(-1).apply(failing);
    await single.wait(LONG);
    expect(await enameOf(single.get())).toBe('ZeroDivisionError');
    expect(await enameOf(single.get())).toBe('ZeroDivisionError');
    expect(await enameOf(single.getDict())).toBe('ZeroDivisionError');
    const view = rc.directView('all');
    await view.scatter('rank', [...rc.ids.keys()], { flatten: true }).get(LONG);
    const all = view.apply(py<number>`lambda rank: 1 / rank`, ref('rank'));
    expect(await enameOf(all.get(LONG))).toBe('ZeroDivisionError');
    const settled = await all.settled(LONG);
    expect(settled.map((end) => (end.status === 'fulfilled' ? end.value : null))).toEqual(
      rc.ids.map((_, rank) => (rank === 0 ? null : 1 / rank)),
    );
    expect(settled[0]).toMatchObject({ reason: expect.any(RemoteError) });
    expect(settled.map(({ engineId, status }) => [engineId, status])).toEqual(
      rc.ids.map((id, rank) => [id, rank === 0 ? 'rejected' : 'fulfilled']),
    );
  });

  test('test_get_dict, test_get_dict_single, test_get_dict_bad', async () => {
    const { rc } = cluster();
    const all = rc.directView('all').apply(py<number>`lambda: 5`);
    expect(await all.get(LONG)).toEqual(rc.ids.map(() => 5));
    expect(await all.getDict(LONG)).toEqual(new Map(rc.ids.map((id) => [id, 5])));
    const pair = await rc.directView(-1).apply(echo, tuple('abc', 'def')).getDict(LONG);
    expect(pair).toEqual(new Map([[rc.ids.at(-1), ['abc', 'def']]]));
    for (const value of [[0, 1, 2], 5, 'string', null]) {
      const ar = rc.directView(-1).apply(echo, value);
      expect(await ar.get(LONG)).toEqual(value);
      expect(await ar.getDict()).toEqual(new Map([[rc.ids.at(-1), value]]));
    }
    const map = rc.loadBalancedView().map(
      echo,
      Array.from({ length: rc.ids.length * 2 + 1 }, (_, i) => i),
      {
        chunksize: 1,
      },
    );
    await expect(map.getDict(LONG)).rejects.toThrow(UsageError);
    const lists = await map.getDict({ lists: true });
    expect([...lists.values()].flat(2).length).toBe(rc.ids.length * 2 + 1);
  });

  test('test_iter_amr, test_iter_multi_result_ar, test_iter_error', async () => {
    const { rc } = cluster();
    const map = rc.loadBalancedView().map(sleep, [0.05, 0.01, 0.05]);
    expect(await collect(map)).toEqual([0.05, 0.01, 0.05]);
    expect(await collect(rc.directView('all').apply(sleep, 0.05))).toEqual(rc.ids.map(() => 0.05));
    const bad = rc.directView('all').map(failAtTwo, [0, 1, 2, 3, 4]);
    expect(await enameOf(collect(bad))).toBe('ZeroDivisionError');
    expect(await enameOf(bad.get(LONG))).toBe('ZeroDivisionError');
    expect(await enameOf(collect(bad))).toBe('ZeroDivisionError');
  });

  test('test_getattr, test_getitem, test_single_result: the metadata', async () => {
    const { rc } = cluster();
    const ar = rc.directView('all').apply(sleep, 0.2);
    expect(ar.metadata.map(({ completed }) => completed)).toEqual(rc.ids.map(() => null));
    await ar.get(LONG);
    expect(ar.engineIds).toEqual([...rc.ids]);
    for (const { submitted, started, completed, received } of ar.metadata) {
      for (const date of [submitted, started, completed, received]) expect(date).toBeInstanceOf(Date);
    }
    await waitFor(() => ar.metadata.every(({ begun }) => begun !== null));
    const single = rc.directView(-1).apply(sleep, 0.2);
    expect(single.metadata[0]?.completed).toBeNull();
    expect(await single.get(LONG)).toBe(0.2);
    expect(single.metadata[0]?.completed).toBeInstanceOf(Date);
  });

  test('test_abort', async () => {
    const { rc } = cluster();
    using gate = new Gate();
    const busy = rc.directView(-1).execute(gate.python);
    await waitFor(() => busy.metadata[0]?.begun !== null, { what: 'the task at the gate to begin' });
    const waiting = rc.directView(-1).apply(py<number>`lambda: 2`);
    await abortBehind(cluster(), gate, waiting.abort(LONG));
    await expect(waiting.get(LONG)).rejects.toThrow(TaskAbortedError);
    expect([waiting.cancelled, waiting.statuses]).toEqual([true, ['aborted']]);
    await busy.get(LONG);
  });

  test('test_len, test_progress', async () => {
    const { rc } = cluster();
    const ten = Array.from({ length: 10 }, (_, i) => i);
    const map = rc.loadBalancedView().map(echo, ten);
    expect([map.length, map.progress.total]).toEqual([10, 10]);
    expect(rc.loadBalancedView().apply(echo, ten).length).toBe(1);
    expect(rc.directView('all').apply(echo, ten).length).toBe(rc.ids.length);
    const slow = rc.directView('all').map(sleep, new Array<number>(2 * rc.ids.length).fill(0.1));
    expect(slow.progress).toMatchObject({ total: 2 * rc.ids.length, done: 0 });
    expect(await slow.waitInteractive({ stream: capture().stream, ...LONG })).toBe(true);
    expect(slow.progress.done).toBe(slow.length);
    await map.wait(LONG);
  });

  test('test_wall_time_single, test_wall_time_multi, test_serial_time_single, test_serial_time_multi, test_elapsed_single, test_elapsed_multi, test_hubresult_timestamps', async () => {
    const { rc, connect } = cluster();
    const ar = rc.directView('all').apply(sleep, 0.25);
    expect(() => ar.wallTime).toThrow(UsageError);
    expect(() => ar.serialTime).toThrow(UsageError);
    await waitFor(() => ar.elapsed > 0);
    await ar.get(LONG);
    expect(ar.wallTime).toBeGreaterThanOrEqual(240);
    expect(ar.serialTime).toBeGreaterThanOrEqual(240 * rc.ids.length);
    expect(ar.elapsed).toBe(ar.wallTime);
    const single = rc.loadBalancedView().apply(sleep, 0.25);
    expect(() => single.wallTime).toThrow(UsageError);
    expect(() => single.serialTime).toThrow(UsageError);
    await single.get(LONG);
    expect(single.wallTime).toBeGreaterThanOrEqual(240);
    expect(single.serialTime).toBeGreaterThanOrEqual(240);
    expect(single.elapsed).toBe(single.wallTime);
    await using other = await connect();
    const theirs = other.getResult(ar.msgIds);
    await theirs.get(LONG);
    expect(theirs.elapsed).toBeGreaterThan(0);
    expect(theirs.serialTime).toBe(ar.serialTime);
    expect(Math.abs(theirs.wallTime - ar.wallTime)).toBeLessThan(10_000);
    expect(theirs.engineIds).toEqual(ar.engineIds);
    // The record equals the replies.
    const records = await rc.dbQuery({ msg_id: { $in: [...ar.msgIds] } }, [
      'submitted',
      'started',
      'completed',
    ]);
    for (const record of records) {
      const metadata = ar.metadata.find(({ msgId }) => msgId === record.msg_id);
      expect(metadata).toMatchObject({ started: record.started, completed: record.completed });
      expect(metadata?.submitted).toEqual(record.submitted);
    }
  });

  test('test_display_empty_streams_single, test_display_empty_streams_type, test_display_empty_streams_engine, test_display_output_error', async () => {
    const { rc } = cluster();
    for (const targets of [-1, 'all'] as const) {
      const ar = rc.directView(targets).execute('print(5555)');
      await ar.get(LONG);
      for (const groupBy of ['type', 'engine', 'order'] as const) {
        const [stdout, stderr] = [capture(), capture()];
        await ar.displayOutputs({ groupBy, stdout: stdout.stream, stderr: stderr.stream });
        expect(stdout.text()).toBe(
          targets === -1 ? '5555\n' : rc.ids.map((id) => `[stdout:${id}]\n5555\n`).join(''),
        );
        expect(stderr.text()).toBe('');
      }
      const quiet = rc.directView(targets).execute('a = 5');
      for (const groupBy of ['type', 'engine', 'order'] as const) {
        const [nothing, noErrors] = [capture(), capture()];
        await quiet.displayOutputs({ groupBy, stdout: nothing.stream, stderr: noErrors.stream });
        expect([nothing.text(), noErrors.text()]).toEqual(['', '']);
      }
    }
    const bad = rc.directView(-1).execute('print(5555)\n1/0');
    await bad.exception(LONG);
    await bad.waitForOutput(LONG);
    const stdout = capture();
    await bad.displayOutputs({ stdout: stdout.stream });
    expect(stdout.text()).toBe('5555\n');
    expect(bad.metadata[0]?.error?.ename).toBe('ZeroDivisionError');
  });

  test('display data, stderr and results are available and streamed', async () => {
    const { rc } = cluster();
    const ar = rc
      .directView(-1)
      .execute(
        'import sys; from IPython.display import display\nprint("to err", file=sys.stderr)\ndisplay({"a": 1})\ndisplay("second")\n6 * 7',
      );
    const [stdout, stderr] = [capture(), capture()];
    using live = ar.streamOutput({ stdout: stdout.stream, stderr: stderr.stream });
    expect((await ar.get(LONG)).text).toBe('42');
    await ar.waitForOutput(LONG);
    await live.done;
    expect(ar.outputs[0]?.map(({ data }) => data)).toMatchObject([
      { 'text/plain': "{'a': 1}" },
      { 'text/plain': "'second'" },
    ]);
    expect(ar.stderr).toEqual(['to err\n']);
    expect(stdout.text()).toBe("{'a': 1}\n'second'\n42\n");
    expect(stderr.text()).toBe('to err\n');
  });

  test('test_await_data: published data arrives while the task runs', async () => {
    const { rc } = cluster();
    const code = [
      'import time',
      'from ipyparallel.datapub import publish_data',
      'for i in range(5):',
      '    publish_data(dict(i=i, text="x"))',
      '    time.sleep(0.1)',
    ].join('\n');
    const ar = rc.directView(-1).execute(code);
    const found = new Set<unknown>();
    ar.output$.subscribe(({ output }) => {
      if (output.type === 'data') found.add(output.data['i']);
    });
    await ar.get(LONG);
    await ar.waitForOutput(LONG);
    expect([...found]).toEqual([0, 1, 2, 3, 4]);
    expect(ar.data).toEqual([{ i: 4, text: 'x' }]);
  });

  test('test_owner_pop: results are released after they are read', async () => {
    const { connect } = cluster();
    await using rc = await connect();
    await rc.waitForEngines(1, LONG);
    const ar = rc.directView(-1).apply(answer);
    const [id = ''] = ar.msgIds;
    expect(rc.metadata.has(id)).toBe(true);
    await ar.get(LONG);
    await ar.waitForOutput(LONG);
    await waitFor(() => !rc.results.has(id) && !rc.metadata.has(id));
    expect(await ar.get()).toBe(42);
  });

  test('test_return_exceptions', async () => {
    const { rc } = cluster();
    const map = rc.loadBalancedView().map(failAtTwo, [1, 2, 3], { chunksize: 1, returnExceptions: true });
    const [first, second, third] = (await map.get(LONG)) as unknown[];
    expect([first, third]).toEqual([-1, 1]);
    expect(second).toBeInstanceOf(RemoteError);
    expect(await collect(map)).toEqual([first, second, third]);
  });

  test('test_split, test_split_map_result', async () => {
    const { rc } = cluster();
    const parent = rc.directView('all').apply(py<number>('os.getpid'));
    const children = parent.split();
    expect(children.map(({ msgIds }) => msgIds.length)).toEqual(rc.ids.map(() => 1));
    expect(children[0]?.split().map(({ msgIds }) => msgIds)).toEqual([children[0]?.msgIds]);
    const pids = await parent.get(LONG);
    expect(await Promise.all(children.map((child) => child.get()))).toEqual(pids);
    expect(await AsyncResult.join(...children).get()).toEqual(pids);
    const map = rc.loadBalancedView().map(echo, [0, 1, 2, 3, 4], { chunksize: 1 });
    const parts = map.split();
    await map.get(LONG);
    expect(parts.map(({ done }) => done)).toEqual([true, true, true, true, true]);
    expect(await Promise.all(parts.map((part) => part.get()))).toEqual([[0], [1], [2], [3], [4]]);
  });

  test('test_wait_first_exception, test_map_wait_first_exception, test_wait_interactive_first_exception', async () => {
    const { rc } = cluster();
    const view = rc.directView('all');
    await view
      .scatter(
        'rank',
        rc.ids.map((_, i) => i),
        { flatten: true },
      )
      .get(LONG);
    using gate = new Gate();
    const failFirst = py<number>(`
def fail_first(i):
    import os, time
    if i == 0: return 1 / i
    while os.path.exists(${JSON.stringify(gate.path)}): time.sleep(0.01)
    return i
`);
    const everywhere = view.apply(failFirst, ref('rank'));
    const { done, pending } = await everywhere.wait({ returnWhen: 'firstException', ...LONG });
    expect(done.map(({ msgIds }) => msgIds)).toEqual([everywhere.msgIds.slice(0, 1)]);
    expect(pending).toHaveLength(rc.ids.length - 1);
    const map = view.map(
      failFirst,
      rc.ids.map((_, i) => i),
    );
    expect(
      await map.waitInteractive({ returnWhen: 'firstException', stream: capture().stream, ...LONG }),
    ).toBe(true);
    expect(await enameOf(map.get({ returnWhen: 'firstException' }))).toBe('ZeroDivisionError');
    const first = await map.wait({ returnWhen: 'firstException', ...LONG });
    expect(first.done.map(({ msgIds }) => msgIds)).toEqual([map.msgIds.slice(0, 1)]);
    expect(first.pending).toHaveLength(map.msgIds.length - 1);
    gate.open();
    expect(await everywhere.wait(LONG)).toBe(true);
    await map.wait(LONG);
    for (const ar of [everywhere, map]) {
      const end = await ar.wait({ returnWhen: 'firstException' });
      expect([end.done.length, end.pending.length]).toEqual([ar.msgIds.length, 0]);
    }
    const fine = view.apply(sleep, 0.2);
    expect(
      await fine.waitInteractive({ returnWhen: 'firstException', stream: capture().stream, ...LONG }),
    ).toBe(true);
    expect(fine.done).toBe(true);
  });

  test('test_error_engine_info_apply, test_error_engine_info_execute', async () => {
    const { rc } = cluster();
    const view = rc.directView('all');
    for (const [method, ar] of [
      ['apply', view.apply(failing)],
      ['execute', view.execute('1 / 0')],
    ] as const) {
      const error = await ar.exception(LONG);
      expect(error).toBeInstanceOf(CompositeError);
      const failures = error instanceof CompositeError ? error.failures : [];
      expect(failures.map(({ engineId, msgId }) => [engineId, msgId])).toEqual(
        rc.ids.map((id, i) => [id, ar.msgIds[i]]),
      );
      for (const [i, failure] of failures.entries()) {
        expect(failure.error).toMatchObject({
          ename: 'ZeroDivisionError',
          engineId: rc.ids[i],
          engineUuid: rc.engines.get(rc.ids[i] ?? -1),
          method,
        });
      }
    }
  });

  test('the status is the same for its client, for another client and in its row', async () => {
    const { rc, connect } = cluster();
    await using other = await connect();
    using gate = new Gate();
    const ran = rc.directView('all').execute(gate.python);
    const haveBegun = (): boolean => ran.metadata.every(({ begun }) => begun !== null);
    await waitFor(haveBegun, { what: 'the tasks at the gate to begin' });
    const bad = rc.directView(-1).execute('1 / 0');
    const aborted = rc.directView(-1).apply(answer);
    await abortBehind(cluster(), gate, aborted.abort(LONG));
    const ids = [ran.msgIds[0] ?? '', bad.msgIds[0] ?? '', aborted.msgIds[0] ?? ''];
    const expected = ['completed', 'failed', 'aborted'];
    for (const client of [rc, other]) {
      const words = await Promise.all(ids.map((id) => lastValueFrom(client.taskStatus$(id))));
      expect(words).toEqual(expected);
    }
    const { statuses } = await other.resultStatus(ids, LONG);
    expect(ids.map((id) => statuses[id])).toEqual(expected);
    expect(haveBegun()).toBe(true);
    expect(aborted.metadata[0]?.begun).toBeNull();
    await rc.purgeHubResults(ids, LONG);
    expect(await lastValueFrom(other.taskStatus$(ids[0] ?? ''))).toBe('purged');
  });

  test('a handle gives another client the results of Python engines', async () => {
    const { rc, connect } = cluster();
    const map = rc.loadBalancedView().map(echo, ['a', 'b', 'c', 'd', 'e'], { chunksize: 2 });
    const handle = JSON.stringify(map);
    await using other = await connect();
    // A client soon stops following a task that the hub does not know.
    const submitted = { msg_id: { $in: [...map.msgIds] } };
    await waitFor(async () => (await other.dbQuery(submitted, [])).length === map.msgIds.length, {
      what: 'the hub to record the tasks',
    });
    const attached = other.attach<string[]>(handle);
    expect(await attached.get(LONG)).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(attached.length).toBe(5);
    await map.get(LONG);
  });
}
