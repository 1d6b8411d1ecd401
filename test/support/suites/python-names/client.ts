// Proofs for the names of Python's Client.
import { expect } from 'vitest';
import { type ProofContext, type Proofs, Written } from './proof-context.js';

const double = (n: number): number => n * 2;
const aborted = { code: 'TASK_ABORTED' };

/** A task that has ended and whose end is recorded. */
async function endedTask(g: ProofContext) {
  const ar = g.rc.directView(0).apply(double, 21);
  const [id = ''] = ar.msgIds;
  await ar.wait(g.wait);
  await g.recorded(id);
  return { ar, id };
}

export const clientProofs: Proofs = {
  async abort(g) {
    await g.hold(0);
    const [one, two] = [g.rc.directView(0).apply(double, 1), g.rc.directView(0).apply(double, 2)];
    await g.rc.abort(one, { ...g.wait, targets: 0 });
    await expect(one.get(g.wait)).rejects.toMatchObject(aborted);
    expect(two.ready).toBe(false);
    await g.rc.abort(undefined, g.wait);
    await expect(two.get(g.wait)).rejects.toMatchObject(aborted);
  },

  async broadcast_view(g) {
    const view = g.rc.broadcastView([1, 0], { coalescing: true, label: 'broadcast' });
    expect([view.targets, view.isCoalescing, view.label]).toEqual([[1, 0], true, 'broadcast']);
    expect(await view.apply(double, 4).get(g.wait)).toEqual([8, 8]);
  },

  async clear(g) {
    await g.rc.directView([0, 1]).push({ cleared: 1 }).get(g.wait);
    await g.rc.clear({ ...g.wait, targets: 0 });
    await expect(g.rc.directView(0).get('cleared')).rejects.toThrow(/cleared is not defined/);
    expect(await g.rc.directView(1).get('cleared')).toBe(1);
  },

  async close(g) {
    const other = await g.connect();
    await other.close();
    await expect(other.directView(0).execute('1').get(g.wait)).rejects.toMatchObject({
      code: 'CONNECTION_CLOSED',
    });
  },

  async db_query(g) {
    const { id } = await endedTask(g);
    const records = await g.rc.dbQuery({ msg_id: id }, ['msg_id', 'completed', 'label']);
    expect(records).toEqual([{ msg_id: id, completed: expect.any(Date), label: null }]);
  },

  async direct_view(g) {
    const view = g.rc.directView([1, 0], { label: 'direct' });
    expect([view.targets, view.label]).toEqual([[1, 0], 'direct']);
    expect(await view.apply(double, 4).get(g.wait)).toEqual([8, 8]);
    expect(await g.rc.directView(-1).apply(double, 4).get(g.wait)).toBe(8);
  },

  async executor(g) {
    const executor = g.rc.executor(1);
    expect(executor.view.targets).toBe(1);
    expect(await executor.submit(double, 4).get(g.wait)).toBe(8);
  },

  async get_result(g) {
    const { id } = await endedTask(g);
    const other = await g.connect();
    expect(await other.getResult(id).get(g.wait)).toBe(42);
    expect(await other.getResult([id]).get(g.wait)).toEqual([42]);
    expect(g.rc.getResult(-1).msgIds).toEqual([id]);
  },

  async history(g) {
    const all = [...g.rc.history];
    const ar = g.rc.directView([0, 1]).apply(double, 1);
    expect(g.rc.history).toEqual([...all, ...ar.msgIds]);
    await ar.get(g.wait);
    expect(g.rc.history.at(-1)).toBe(ar.msgIds[1]);
  },

  async hub_history(g) {
    const [first, second] = [await endedTask(g), await endedTask(g)];
    const history = await g.rc.hubHistory(g.wait);
    expect(history.slice(-2)).toEqual([first.id, second.id]);
  },

  async ids(g) {
    expect(g.rc.ids).toEqual([0, 1, g.spareEngine]);
  },

  async load_balanced_view(g) {
    const pids = g.rc.directView(1).apply(() => process.pid);
    const view = g.rc.loadBalancedView({ targets: 1, retries: 2, label: 'balanced' });
    expect(view.flags).toEqual({ targets: 1, retries: 2, label: 'balanced' });
    expect(await view.apply(() => process.pid).get(g.wait)).toBe(await pids.get(g.wait));
  },

  async metadata(g) {
    const ar = g.rc.directView(1, { label: 'known' }).apply(double, 1);
    const [id = ''] = ar.msgIds;
    expect(g.rc.metadata.get(id)).toMatchObject({ msgId: id, label: 'known', submitted: expect.any(Date) });
    await ar.wait(g.wait);
    expect(g.rc.metadata.get(id)).toMatchObject({ engineId: 1, completed: expect.any(Date), status: 'ok' });
    await ar.get(g.wait);
    await g.until(() => g.rc.metadata.has(id) === false);
  },

  async outstanding(g) {
    const held = await g.hold(0);
    const waiting = g.rc.directView(0).apply(double, 1);
    expect(g.rc.outstanding).toEqual([...held.ar.msgIds, ...waiting.msgIds]);
    held.release();
    await waiting.get(g.wait);
    expect(g.rc.outstanding).toEqual([]);
  },

  async purge_everything(g) {
    const { id } = await endedTask(g);
    expect([g.rc.results.has(id), g.rc.history.includes(id)]).toEqual([true, true]);
    await g.rc.purgeEverything(g.wait);
    expect([g.rc.results.size, g.rc.history, await g.recordsOf({})]).toEqual([0, [], []]);
  },

  async purge_hub_results(g) {
    const [first, second] = [await endedTask(g), await endedTask(g)];
    await g.rc.purgeHubResults(first.id, g.wait);
    expect(await g.recordsOf({ msg_id: { $in: [first.id, second.id] } })).toEqual([second.id]);
    expect(await first.ar.get(g.wait)).toBe(42);
    await g.rc.purgeHubResults([], { ...g.wait, targets: 0 });
    expect(await g.recordsOf({ msg_id: second.id })).toEqual([]);
  },

  async purge_local_results(g) {
    const [first, second] = [await endedTask(g), await endedTask(g)];
    g.rc.purgeLocalResults(first.ar);
    expect([g.rc.results.has(first.id), g.rc.results.has(second.id)]).toEqual([false, true]);
    expect(await g.recordsOf({ msg_id: first.id })).toEqual([first.id]);
    const third = g.rc.directView(1).apply(double, 1);
    await third.wait(g.wait);
    g.rc.purgeLocalResults([], { targets: 0 });
    expect([g.rc.results.has(second.id), g.rc.results.has(third.msgIds[0] ?? '')]).toEqual([false, true]);
    g.rc.purgeLocalResults('all');
    expect(g.rc.results.size).toBe(0);
  },

  async purge_results(g) {
    const { ar, id } = await endedTask(g);
    await g.rc.purgeResults(ar, g.wait);
    expect([g.rc.results.has(id), await g.recordsOf({ msg_id: id })]).toEqual([false, []]);
  },

  async queue_status(g) {
    const held = await g.hold(0);
    const [id = ''] = held.ar.msgIds;
    await g.until(async () => (await g.rc.queueStatus(0, g.wait)).queue === 1);
    const status = await g.rc.queueStatus([0, 1], { ...g.wait, verbose: true });
    expect(status).toMatchObject({
      engines: { 0: { queue: [id] }, 1: { queue: [], tasks: [] } },
      unassigned: [],
    });
  },

  async resubmit(g) {
    const { id } = await endedTask(g);
    const again = await g.rc.resubmit(id, g.wait);
    expect(again.msgIds).toEqual([expect.not.stringMatching(id)]);
    expect(await again.get(g.wait)).toBe(42);
    const last = g.rc.directView(0).apply(double, 4);
    await last.wait(g.wait);
    await g.recorded(last.msgIds[0]);
    expect(await (await g.rc.resubmit(undefined, g.wait)).get(g.wait)).toBe(8);
    expect(await (await g.rc.resubmit([-1, last], g.wait)).get(g.wait)).toEqual([8, 8]);
  },

  async result_status(g) {
    const { id } = await endedTask(g);
    const { ar } = await g.hold(0);
    const [running = ''] = ar.msgIds;
    await g.until(async () => (await g.recordsOf({ msg_id: running })).length === 1);
    expect(await g.rc.resultStatus([id, running], g.wait)).toEqual({
      pending: [running],
      completed: [id],
      statuses: { [id]: 'completed', [running]: 'assigned' },
    });
  },

  async results(g) {
    const { ar, id } = await endedTask(g);
    expect(g.rc.results.get(id)).toBe(42);
    await ar.get(g.wait);
    // The client may hold the result until its output has arrived.
    await g.until(() => g.rc.results.has(id) === false);
  },

  async send_signal(g) {
    const { ar } = await g.hold(0);
    await g.rc.sendSignal('SIGINT', { ...g.wait, targets: 0 });
    await expect(ar.get(g.wait)).rejects.toMatchObject({ ename: 'KeyboardInterrupt' });
  },

  async shutdown(g) {
    const id = g.spareEngine;
    await g.rc.shutdown({ ...g.wait, targets: id });
    await g.until(() => !g.rc.engines.has(id));
  },

  async wait(g) {
    const held = await g.hold(0);
    expect(await g.rc.wait(held.ar, { timeout: 20 })).toBe(false);
    held.release();
    expect(await g.rc.wait(undefined, g.wait)).toBe(true);
    expect(held.ar.ready).toBe(true);
    expect(await g.rc.wait([held.ar, -1, ...held.ar.msgIds], g.wait)).toBe(true);
    await expect(g.rc.wait(1_000_000)).rejects.toThrow('no task at position 1000000 of the history');
  },

  async wait_for_engines(g) {
    expect(await g.rc.waitForEngines(2, g.wait)).toEqual(g.rc.ids);
    await expect(g.rc.waitForEngines(99, { timeout: 20 })).rejects.toThrow(/\d of 99 engines registered/);
    const stream = new Written();
    await g.rc.waitForEngines(2, { ...g.wait, interactive: true, stream });
    expect(stream.text).toContain('2/2 engines 100 %');
  },

  async wait_interactive(g) {
    const stream = new Written();
    const ar = g.rc.directView([0, 1]).apply(double, 1);
    expect(await g.rc.waitInteractive(ar, { ...g.wait, stream, interval: 10 })).toBe(true);
    expect(ar.ready).toBe(true);
    expect(stream.text).toContain('2/2 tasks 100 %');
  },
};
