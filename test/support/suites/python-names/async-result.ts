// Proofs for the names of Python's AsyncResult.
import { AsyncResult, TaskAbortedError } from '@ipyparallel-js/client';
import { expect } from 'vitest';
import { type ProofContext, type Proofs, Written } from './proof-context.js';

const double = (n: number): number => n * 2;
const fail = (): number => {
  throw new RangeError('on purpose');
};

function submitSeveral(g: ProofContext) {
  return g.rc.directView([0, 1]).apply(double, 21);
}

function printing(g: ProofContext) {
  return g.rc.directView([0, 1]).execute('console.log("said"); "value"');
}

export const asyncResultProofs: Proofs = {
  async abort(g) {
    await g.hold(0);
    const ar = g.rc.directView(0).apply(double, 1);
    await ar.abort(g.wait);
    expect(await ar.exception(g.wait)).toBeInstanceOf(TaskAbortedError);
  },

  async cancelled(g) {
    await g.hold(0);
    const ar = g.rc.directView(0).apply(double, 1);
    expect(ar.cancelled).toBe(false);
    await ar.abort(g.wait);
    await ar.wait(g.wait);
    expect(ar.cancelled).toBe(true);
  },

  async display_outputs(g) {
    const stdout = new Written();
    const ar = printing(g);
    await ar.displayOutputs({ ...g.wait, stdout, groupBy: 'engine' });
    expect(stdout.text.match(/said|value/g)).toEqual(['said', 'value', 'said', 'value']);
    const results = new Written();
    await ar.displayOutputs({ ...g.wait, stdout: results, resultOnly: true });
    expect(results.text.match(/said|value/g)).toEqual(['value', 'value']);
  },

  async done(g) {
    const heldTask = await g.hold(0);
    expect(heldTask.ar.done).toBe(false);
    heldTask.release();
    await heldTask.ar.wait(g.wait);
    expect(heldTask.ar.done).toBe(true);
  },

  async elapsed(g) {
    const heldTask = await g.hold(0);
    await g.until(() => heldTask.ar.elapsed > 20);
    heldTask.release();
    await heldTask.ar.wait(g.wait);
    expect(heldTask.ar.elapsed).toBe(heldTask.ar.wallTime);
  },

  async exception(g) {
    const ar = g.rc.directView(0).apply(fail);
    expect(await ar.exception(g.wait)).toMatchObject({ ename: 'RangeError', evalue: 'on purpose' });
    expect(await submitSeveral(g).exception(g.wait)).toBeNull();
  },

  async get(g) {
    expect(await submitSeveral(g).get(g.wait)).toEqual([42, 42]);
    const ar = g.rc.directView([0, 1]).apply(fail);
    await expect(ar.get(g.wait)).rejects.toMatchObject({ code: 'COMPOSITE' });
    await expect(ar.get({ ...g.wait, returnWhen: 'firstException' })).rejects.toThrow('on purpose');
    const heldTask = await g.hold(0);
    await expect(heldTask.ar.get({ timeout: 20 })).rejects.toMatchObject({ code: 'TIMEOUT' });
  },

  async get_dict(g) {
    const ar = submitSeveral(g);
    expect(await ar.getDict(g.wait)).toEqual(new Map([0, 1].map((id) => [id, 42])));
    expect(await ar.getDict({ ...g.wait, lists: true })).toEqual(new Map([0, 1].map((id) => [id, [42]])));
  },

  async join(g) {
    const joined = AsyncResult.join(
      g.rc.directView([0]).apply(double, 1),
      g.rc.directView([1]).apply(double, 2),
    );
    expect(await joined.get(g.wait)).toEqual([2, 4]);
  },

  async metadata(g) {
    const ar = submitSeveral(g);
    await ar.get(g.wait);
    expect(ar.metadata).toMatchObject([0, 1].map((engineId) => ({ engineId, status: 'ok' })));
  },

  async msg_ids(g) {
    const before = g.rc.history.length;
    const ar = submitSeveral(g);
    expect(ar.msgIds).toEqual(g.rc.history.slice(before));
    expect(ar.msgIds).toHaveLength(2);
  },

  async progress(g) {
    const heldTask = await g.hold(0);
    const other = g.rc.directView([1]).apply((text: string) => text, 'x');
    const joined = AsyncResult.join(AsyncResult.join(heldTask.ar), other);
    await other.wait(g.wait);
    expect(joined.progress).toMatchObject({ total: 2, done: 1, completed: 1, failed: 0 });
  },

  async r(g) {
    expect(await submitSeveral(g).r).toEqual([42, 42]);
  },

  async ready(g) {
    const heldTask = await g.hold(0);
    expect(heldTask.ar.ready).toBe(false);
    heldTask.release();
    await g.until(() => heldTask.ar.ready === true);
  },

  async result(g) {
    expect(await submitSeveral(g).result(g.wait)).toEqual([42, 42]);
  },

  async result_dict(g) {
    expect(await submitSeveral(g).resultDict).toEqual(new Map([0, 1].map((id) => [id, 42])));
  },

  async running(g) {
    const heldTask = await g.hold(0);
    expect(heldTask.ar.running).toBe(true);
    heldTask.release();
    await heldTask.ar.wait(g.wait);
    expect(heldTask.ar.running).toBe(false);
  },

  async sent(g) {
    const ar = submitSeveral(g);
    await ar.get(g.wait);
    expect(ar.sent).toBe(true);
  },

  async serial_time(g) {
    const ar = submitSeveral(g);
    expect(() => ar.serialTime).toThrow('have not ended yet');
    await ar.get(g.wait);
    const times = ar.metadata.map(({ started, completed }) => Number(completed) - Number(started));
    expect(ar.serialTime).toBe(times.reduce((a, b) => a + b));
  },

  async split(g) {
    const ar = submitSeveral(g);
    const parts = ar.split();
    expect(parts.map(({ msgIds }) => msgIds)).toEqual(ar.msgIds.map((id) => [id]));
    expect(await parts[0]?.get(g.wait)).toBe(42);
  },

  async stream_output(g) {
    const stdout = new Written();
    const live = printing(g).streamOutput({ stdout });
    await live.done;
    expect(stdout.text.match(/said|value/g)).toHaveLength(4);
  },

  async successful(g) {
    const ar = submitSeveral(g);
    expect(() => ar.successful).toThrow('have not ended yet');
    await ar.wait(g.wait);
    expect(ar.successful).toBe(true);
    const failing = g.rc.directView(0).apply(fail);
    await failing.wait(g.wait);
    expect(failing.successful).toBe(false);
  },

  async timedelta(g) {
    const ar = submitSeveral(g);
    await ar.get(g.wait);
    const [one, two] = ar.metadata.map(({ completed }) => Number(completed));
    const submitted = Math.min(...ar.metadata.map(({ submitted: at }) => Number(at)));
    expect(ar.timedelta('submitted', 'completed')).toBe(Math.max(one ?? 0, two ?? 0) - submitted);
    expect(ar.timedelta('submitted', 'completed', { endPick: 'first' })).toBe(
      Math.min(one ?? 0, two ?? 0) - submitted,
    );
  },

  async wait(g) {
    const heldTask = await g.hold(0);
    expect(await heldTask.ar.wait({ timeout: 20 })).toBe(false);
    heldTask.release();
    expect(await heldTask.ar.wait(g.wait)).toBe(true);
    const parts = await AsyncResult.join(AsyncResult.join(heldTask.ar)).wait({
      ...g.wait,
      returnWhen: 'firstCompleted',
    });
    expect([parts.done.length, parts.pending.length]).toEqual([1, 0]);
  },

  async wait_for_output(g) {
    const ar = printing(g);
    expect(await ar.waitForOutput(g.wait)).toBe(true);
    expect(ar.stdout).toEqual(['said\n', 'said\n']);
  },

  async wait_interactive(g) {
    const stream = new Written();
    const ar = submitSeveral(g);
    expect(await ar.waitInteractive({ ...g.wait, stream, interval: 10, label: 'two' })).toBe(true);
    expect(stream.text).toMatch(/^two: .*2\/2 tasks 100 %/m);
  },

  async wall_time(g) {
    const ar = submitSeveral(g);
    expect(() => ar.wallTime).toThrow('have not ended yet');
    await ar.get(g.wait);
    const from = Math.min(...ar.metadata.map(({ submitted }) => Number(submitted)));
    const to = Math.max(...ar.metadata.map(({ received }) => Number(received)));
    expect(ar.wallTime).toBe(to - from);
  },
};
