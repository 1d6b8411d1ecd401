// Proofs for the names of Python's views. Names of all views are proved once on each kind.
import { writeFileSync } from 'node:fs';
import type { DirectView, LoadBalancedView, View, ViewFlags } from '@ipyparallel-js/client';
import { expect } from 'vitest';
import type { Proof, ProofContext, Proofs } from './proof-context.js';

const add = (a: number, b: number): number => a + b;
const square = (n: number): number => n * n;
const squares = (part: number[]): number[] => part.map((n) => n * n);

/** A view of one engine. */
type Make = (g: ProofContext, engine: number, flags?: ViewFlags) => View<number, ViewFlags>;
/** A view of two engines, chosen by the caller. */
type MakeDirect = (g: ProofContext) => DirectView<readonly [0, 1]>;

function commonProofs(make: Make): Proofs {
  return {
    async abort(g) {
      await g.hold(0);
      const view = make(g, 0);
      const [one, two] = [view.apply(add, 1, 1), view.apply(add, 2, 2)];
      await view.abort(one, g.wait);
      await expect(one.get(g.wait)).rejects.toMatchObject({ code: 'TASK_ABORTED' });
      expect(two.ready).toBe(false);
      await view.abort(-1, g.wait);
      await expect(two.get(g.wait)).rejects.toMatchObject({ code: 'TASK_ABORTED' });
    },

    async apply(g) {
      const ar = make(g, 1).apply(add, 1, 2);
      expect(await ar.get(g.wait)).toBe(3);
      expect(ar.engineIds).toEqual([1]);
    },

    async apply_async(g) {
      expect(await make(g, 1).applyAsync(add, 1, 2).get(g.wait)).toBe(3);
    },

    async apply_sync(g) {
      expect(await make(g, 1).applySync(add, 1, 2)).toBe(3);
    },

    async client(g) {
      expect(make(g, 0).client).toBe(g.rc);
    },

    async get_result(g) {
      const view = make(g, 0);
      const [one, two] = [view.apply(add, 1, 1), view.apply(add, 2, 2)];
      expect(view.getResult().msgIds).toEqual(two.msgIds);
      expect(view.getResult(0).msgIds).toEqual(one.msgIds);
      expect(await view.getResult([...one.msgIds, -1]).get(g.wait)).toEqual([2, 4]);
    },

    async history(g) {
      const view = make(g, 0);
      expect(view.history).toEqual([]);
      const [one, two] = [view.apply(add, 1, 1), view.apply(add, 2, 2)];
      await two.get(g.wait);
      expect(view.history).toEqual([...one.msgIds, ...two.msgIds]);
    },

    async imap(g) {
      const all: number[] = [];
      for await (const n of make(g, 1).imap(square, [1, 2, 3], { maxOutstanding: 2 })) all.push(n);
      expect(all).toEqual([1, 4, 9]);
    },

    async label(g) {
      const view = make(g, 1, { label: 'mine' });
      expect(view.label).toBe('mine');
      expect(view.setFlags({ label: 'other' }).label).toBe('other');
    },

    async map(g) {
      const view = make(g, 1);
      const ar = view.map(add, [1, 2, 3], [10, 20, 30], { label: 'mapped' });
      expect(await ar.get(g.wait)).toEqual([11, 22, 33]);
      expect(new Set(ar.metadata.map(({ label }) => label))).toEqual(new Set(['mapped']));
    },

    async map_async(g) {
      expect(await make(g, 1).mapAsync(square, [1, 2, 3]).get(g.wait)).toEqual([1, 4, 9]);
    },

    async map_sync(g) {
      expect(await make(g, 1).mapSync(square, [1, 2, 3])).toEqual([1, 4, 9]);
    },

    async outstanding(g) {
      const view = make(g, 0);
      const heldTask = g.holdBy((path) => view.apply(g.untilThere, path));
      expect(view.outstanding).toEqual(heldTask.ar.msgIds);
      heldTask.release();
      await heldTask.ar.get(g.wait);
      expect(view.outstanding).toEqual([]);
    },

    async parallel(g) {
      const function_ = make(g, 1).parallel(squares);
      expect(await function_([1, 2, 3]).get(g.wait)).toEqual([1, 4, 9]);
      expect(
        await make(g, 1)
          .parallel(square as never)
          .map([1, 2, 3])
          .get(g.wait),
      ).toEqual([1, 4, 9]);
    },

    async purge_results(g) {
      const view = make(g, 0);
      const [submitted, other] = [view.apply(add, 1, 1), g.rc.directView(1).apply(add, 2, 2)];
      const [id = ''] = other.msgIds;
      await Promise.all([submitted.wait(g.wait), other.wait(g.wait), g.recorded(id)]);
      expect([view.results.size, g.rc.results.has(id)]).toEqual([1, true]);
      await view.purgeResults([0, id], g.wait);
      expect([view.results.size, g.rc.results.has(id)]).toEqual([0, false]);
      expect(await g.recordsOf({ msg_id: id })).toEqual([]);
    },

    async queue_status(g) {
      const { ar } = await g.hold(0);
      const view = make(g, 0);
      await g.until(async () => (await view.queueStatus(g.wait)).queue === 1);
      expect(await view.queueStatus({ ...g.wait, verbose: true })).toMatchObject({ queue: ar.msgIds });
    },

    async remote(g) {
      const there = make(g, 1).remote(add, { label: 'remote' });
      const ar = there(1, 2);
      expect(await ar.get(g.wait)).toBe(3);
      expect(ar.metadata[0]?.label).toBe('remote');
    },

    async results(g) {
      const view = make(g, 0);
      const ar = view.apply(add, 1, 1);
      const other = g.rc.directView(1).apply(add, 2, 2);
      await Promise.all([ar.wait(g.wait), other.wait(g.wait)]);
      expect([...view.results]).toEqual([[ar.msgIds[0], 2]]);
    },

    async set_flags(g) {
      const view = make(g, 0);
      expect(view.setFlags({ label: 'set' })).toBe(view);
      expect(view.flags.label).toBe('set');
      expect(() => view.setFlags({ lable: 'wrong' } as object)).toThrow('did you mean "label"');
    },

    async shutdown(g) {
      const id = g.spareEngine;
      await make(g, id).shutdown(g.wait);
      await g.until(() => !g.rc.engines.has(id));
    },

    async targets(g) {
      expect([make(g, 1).targets, make(g, 0).targets]).toEqual([1, 0]);
    },

    async temp_flags(g) {
      const view = make(g, 0, { label: 'before' });
      const ar = view.tempFlags({ label: 'meanwhile' }, (same) => same.apply(add, 1, 1));
      expect(ar.metadata[0]?.label).toBe('meanwhile');
      expect(view.flags.label).toBe('before');
    },

    async wait(g) {
      const view = make(g, 0);
      const heldTask = g.holdBy((path) => view.apply(g.untilThere, path));
      expect(await view.wait(0, { timeout: 20 })).toBe(false);
      heldTask.release();
      expect(await view.wait(undefined, g.wait)).toBe(true);
      expect(heldTask.ar.ready).toBe(true);
    },
  };
}

function directProofs(make: MakeDirect): Proofs {
  const pushed = async (g: ProofContext, values: Readonly<Record<string, unknown>>): Promise<void> => {
    await g.rc.directView([0, 1]).with({}).push(values).get(g.wait);
  };
  const there = (g: ProofContext, name: string): Promise<unknown[]> =>
    g.rc
      .directView([0, 1])
      .apply((each: string) => (globalThis as unknown as Record<string, unknown>)[each], name)
      .get(g.wait);
  return {
    async clear(g) {
      await g.rc.loadBalancedView({ targets: 0 }).execute('globalThis.emptied = 1').get(g.wait);
      expect(await there(g, 'emptied')).toEqual([1, undefined]);
      await make(g).clear(g.wait);
      expect(await there(g, 'emptied')).toEqual([undefined, undefined]);
    },

    async execute(g) {
      const replies = await make(g).execute('console.log("said"); 6 * 7', { label: 'code' }).get(g.wait);
      expect(replies.map(({ text, stdout }) => [text, stdout])).toEqual(Array(2).fill(['42', 'said\n']));
      const silent = await make(g).execute('6 * 7', { silent: true }).get(g.wait);
      expect(silent.map(({ text }) => text)).not.toContain('42');
    },

    async gather(g) {
      await g.rc.directView(0).apply(setPart, [1, 2]).get(g.wait);
      await g.rc.directView(1).apply(setPart, [3]).get(g.wait);
      expect(await make(g).gather('part').get(g.wait)).toEqual([1, 2, 3]);
      expect(await make(g).gather('part', { dist: 'roundRobin' }).get(g.wait)).toEqual([1, 3, 2]);
    },

    async get(g) {
      await pushed(g, { got: [5] });
      expect(await make(g).get('got[0]')).toEqual([5, 5]);
    },

    async pull(g) {
      await pushed(g, { pulled: 5, other: 'x' });
      expect(await make(g).pull('pulled').get(g.wait)).toEqual([5, 5]);
      expect(await make(g).pull(['pulled', 'other']).get(g.wait)).toEqual(Array(2).fill([5, 'x']));
    },

    async push(g) {
      await make(g).push({ put: g.wait.timeout }).get(g.wait);
      expect(await there(g, 'put')).toEqual([g.wait.timeout, g.wait.timeout]);
    },

    async run(g) {
      const file = g.file('work.js');
      writeFileSync(file, 'console.log("from a file");\n6 * 7');
      const replies = await make(g).run(file).get(g.wait);
      expect(replies.map(({ text, stdout }) => [text, stdout])).toEqual(
        Array(2).fill(['42', 'from a file\n']),
      );
    },

    async scatter(g) {
      await make(g).scatter('spread', [1, 2, 3]).get(g.wait);
      expect(await there(g, 'spread')).toEqual([[1, 2], [3]]);
      await make(g).scatter('spread', [1, 2, 3], { dist: 'roundRobin', flatten: true }).get(g.wait);
      expect(await there(g, 'spread')).toEqual([[1, 3], 2]);
    },

    async update(g) {
      await make(g).update({ updated: g.wait.timeout }).get(g.wait);
      expect(await there(g, 'updated')).toEqual([g.wait.timeout, g.wait.timeout]);
    },
  };
}

const setPart = (part: number[]): void => {
  (globalThis as unknown as Record<string, unknown>)['part'] = part;
};

const direct: Make = (g, engine, flags) => g.observe(g.rc.directView(engine, flags));
const broadcast: Make = (g, engine, flags) => g.observe(g.rc.broadcastView(engine, flags));
const balanced: Make = (g, engine, flags = {}) =>
  g.observe(g.rc.loadBalancedView({ ...flags, targets: engine })) as unknown as View<number, ViewFlags>;

/** The value of a flag in a load-balanced view. */
function holds(name: 'after' | 'follow'): Proof {
  return async (g) => {
    const first = g.rc.loadBalancedView().apply(add, 1, 1);
    const view = g.rc.loadBalancedView({ [name]: first });
    expect(view[name]).toBe(first);
    const then = view.apply(() => 'then');
    expect(await then.get(g.wait)).toBe('then');
    expect(then.metadata[0]?.[name]).toEqual(first.msgIds);
  };
}

export const directViewProofs: Proofs = {
  ...commonProofs(direct),
  ...directProofs((g) => g.observe(g.rc.directView([0, 1]))),
};

export const broadcastViewProofs: Proofs = {
  ...commonProofs(broadcast),
  ...directProofs((g) => g.observe(g.rc.broadcastView([0, 1]))),

  async is_coalescing(g) {
    const view = g.rc.broadcastView([0, 1], { coalescing: true });
    expect([view.isCoalescing, g.rc.broadcastView().isCoalescing]).toEqual([true, false]);
    expect(await view.apply(add, 1, 2).get(g.wait)).toEqual([3, 3]);
  },
};

export const loadBalancedViewProofs: Proofs = {
  ...commonProofs(balanced),
  after: holds('after'),
  follow: holds('follow'),

  async retries(g) {
    const view = g.rc.loadBalancedView({ retries: 2 });
    expect([view.retries, g.rc.loadBalancedView().retries]).toEqual([2, 0]);
  },

  async timeout(g) {
    const view: LoadBalancedView = g.rc.loadBalancedView({ timeout: 100 });
    expect([view.timeout, g.rc.loadBalancedView().timeout]).toEqual([100, 0]);
  },
};
