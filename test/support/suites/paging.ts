// Queries of many records, with the same results on every hub, while further records arrive.
import type { Client } from '@ipyparallel-js/client';
import { emptyTask, type StoredTask } from '@ipyparallel-js/hub/internal';
import { exactTime, InvalidQueryError } from '@ipyparallel-js/protocol';
import { expect, it } from 'vitest';

export interface PagingSubject {
  readonly rc: Client;
  /** Replaces the records of the hub, effective with the next request. */
  load(tasks: readonly StoredTask[]): Promise<void>;
  /** Adds records. */
  add(tasks: readonly StoredTask[]): Promise<void>;
  readonly kind: 'ours' | 'stock';
}

const COUNT = 2_400;
const START = Date.UTC(2026, 0, 1);

const digits = (i: number): string => String(i).padStart(5, '0');

/** Three records per millisecond, a tenth failed, a tenth pending; ids are not in the order of submission. */
export function taskNo(i: number): StoredTask {
  const submitted = `${new Date(START + Math.floor(i / 3)).toISOString().slice(0, 23)}${String(900 - (i % 3) * 7)}Z`;
  const msgId = `${((i * 7919) % 100_003).toString(16).padStart(8, '0')}-0123456789abcdef_1_${digits(i)}`;
  const completed =
    i % 10 === 3 ? null : `${new Date(START + 90_000 - i * 5).toISOString().slice(0, 23)}000Z`;
  return {
    ...emptyTask(msgId),
    ...{ header: { msg_id: msgId, msg_type: 'apply_request' }, metadata: {}, content: { n: i } },
    ...{ submitted, client_uuid: `client-${i % 4}`, engine_uuid: 'engine', queue: 'task', completed },
    ...{ buffers: [], result_buffers: [], stdout: 'x'.repeat(i % 50) },
    ...(completed === null
      ? {}
      : {
          started: submitted,
          received: completed,
          result_content: { status: i % 10 === 7 ? 'error' : 'ok' },
        }),
  };
}

const range = (n: number, from = 0): StoredTask[] => Array.from({ length: n }, (_, i) => taskNo(from + i));

const ms = (task: StoredTask): number => Date.parse(`${String(task.submitted).slice(0, 23)}Z`);
const bySubmission = (a: StoredTask, b: StoredTask): number =>
  ms(a) - ms(b) || (a.msg_id < b.msg_id ? -1 : 1);
const idsOf = (tasks: readonly { readonly msg_id: string }[]): string[] => tasks.map(({ msg_id }) => msg_id);

export function pagingTests(subject: () => PagingSubject): void {
  it('returns every record once, complete, in order and in pages', async () => {
    const { rc, load } = subject();
    const tasks = range(COUNT);
    await load(tasks);
    const expected = idsOf([...tasks].sort(bySubmission));
    const pages: number[] = [];
    const seen: string[] = [];
    for await (const page of rc.dbQuery({}).pages()) {
      pages.push(page.length);
      seen.push(...idsOf(page));
      for (const record of page) {
        expect(Object.keys(record)).toHaveLength(22);
        expect(exactTime(record, 'submitted')).toMatch(/\.\d{6}Z$/);
      }
    }
    expect(seen).toEqual(expected);
    expect(pages.length).toBeGreaterThan(1);
    expect(idsOf(await rc.dbQuery({}, 'queue'))).toEqual(expected);
    const streamed: string[] = [];
    for await (const { msg_id } of rc.dbQuery({}, { keys: 'queue', sort: { submitted: -1 } }).stream())
      streamed.push(msg_id);
    const descending = [...tasks].sort((a, b) => ms(b) - ms(a) || (a.msg_id < b.msg_id ? -1 : 1));
    expect(streamed).toEqual(idsOf(descending));
  });

  it('supports sort, skip, limit, count and first', async () => {
    const { rc, load } = subject();
    const tasks = range(COUNT);
    await load(tasks);
    const sorted = [...tasks].sort(bySubmission);
    const failed = tasks.filter((task) => task.result_content?.status === 'error');
    const query = { 'result_content.status': 'error' } as const;
    expect(await rc.dbQuery({}).count()).toBe(COUNT);
    expect(await rc.dbQuery(query).count()).toBe(failed.length);
    expect(await rc.dbQuery(query, { keys: [], skip: 5, limit: 7 }).count()).toBe(7);
    expect(await rc.dbQuery(query, { keys: [], skip: failed.length - 2 }).count()).toBe(2);
    expect(await rc.dbQuery(query, { keys: [], skip: COUNT }).count()).toBe(0);
    expect(idsOf(await rc.dbQuery({}, { keys: [], skip: 100, limit: 700 }))).toEqual(
      idsOf(sorted.slice(100, 800)),
    );
    expect(await rc.dbQuery({}, 'content').first()).toEqual({
      msg_id: sorted[0]?.msg_id,
      content: sorted[0]?.content,
    });
    expect(await rc.dbQuery({ queue: 'nowhere' }).first()).toBeUndefined();
    const byEnd = tasks
      .filter((task) => task.client_uuid === 'client-1')
      .sort((a, b) => {
        if (a.completed === null || b.completed === null) {
          if (a.completed === b.completed) return a.msg_id < b.msg_id ? -1 : 1;
          return a.completed === null ? 1 : -1;
        }
        return a.completed < b.completed ? 1 : -1;
      });
    const latest = rc.dbQuery({ client_uuid: 'client-1' }, { keys: 'completed', sort: { completed: -1 } });
    expect(idsOf(await latest)).toEqual(idsOf(byEnd));
    expect((await latest.first())?.msg_id).toBe(byEnd[0]?.msg_id);
    const deep = rc.dbQuery({}, { keys: [], sort: [['content.n', -1]], skip: 3, limit: 4 });
    expect(idsOf(await deep)).toEqual(idsOf([4, 5, 6, 7].map((n) => taskNo(COUNT - n))));
    const named = tasks.filter((_, i) => i % 2 === 0);
    expect(idsOf(await rc.dbQuery({ msg_id: { $in: idsOf(named) } }, 'label'))).toEqual(
      idsOf([...named].sort(bySubmission)),
    );
  });

  it('neither misses nor repeats a record that exists throughout, while others arrive', async () => {
    const { rc, kind, load, add } = subject();
    // Every second record exists from the beginning; the others arrive before and after the reading position.
    // Our hub limits its pages in bytes.
    const text = 'z'.repeat(kind === 'ours' ? 5_000 : 0);
    const tasks = range(COUNT).map((task) => ({ ...task, execute_input: text }));
    const [first, later] = [0, 1].map((odd) => tasks.filter((_, i) => i % 2 === odd));
    if (first === undefined || later === undefined) throw new Error('no tasks');
    await load(first);
    const seen: string[] = [];
    let at = 0;
    for await (const page of rc.dbQuery({}).pages()) {
      seen.push(...idsOf(page));
      await add(later.slice(at, at + 300));
      at += 300;
    }
    expect(new Set(seen).size).toBe(seen.length);
    const known = new Set(seen);
    expect(first.filter(({ msg_id }) => !known.has(msg_id))).toEqual([]);
    expect(at).toBeGreaterThan(300);
    expect(await rc.dbQuery({}).count()).toBe(first.length + Math.min(at, later.length));
  });

  it('sends no further request when the caller leaves early', async () => {
    const { rc, load } = subject();
    await load(range(COUNT));
    for await (const record of rc.dbQuery({}).stream()) {
      expect(record.queue).toBe('task');
      break;
    }
    const { sent } = rc.stats;
    await rc.hubHistory();
    expect(rc.stats.sent).toBe(sent + 1);
  });

  it('purges what its dry run reported, and leaves pending tasks', async () => {
    const { rc, load } = subject();
    const tasks = range(COUNT);
    await load(tasks);
    const mine = tasks.filter((task) => task.client_uuid === 'client-1');
    const pending = mine.filter((task) => task.completed === null);
    const query = { client_uuid: 'client-1' } as const;
    const dryRunReport = await rc.dbQuery(query).purge({ dryRun: true });
    expect(dryRunReport).toMatchObject({
      count: mine.length - pending.length,
      pending: pending.length,
      dryRun: true,
    });
    expect(dryRunReport.bytes).toBeGreaterThan(dryRunReport.count * 100);
    expect(await rc.dbQuery({}).count()).toBe(COUNT);
    const some = await rc.dbQuery(query, { keys: [], limit: 10 }).purge({ dryRun: true });
    expect(some.count + some.pending).toBe(10);
    const done = await rc.dbQuery(query).purge();
    expect({ ...done, msgIds: [...(done.msgIds ?? [])].sort() }).toEqual({
      ...dryRunReport,
      msgIds: [...(dryRunReport.msgIds ?? [])].sort(),
      dryRun: false,
    });
    expect(done.msgIds).toHaveLength(done.count);
    expect(idsOf(await rc.dbQuery(query, 'queue'))).toEqual(idsOf(pending.sort(bySubmission)));
    expect(await rc.dbQuery({}).count()).toBe(COUNT - done.count);
    expect(await rc.dbQuery(query).purge()).toMatchObject({ count: 0, bytes: 0, pending: pending.length });
  });

  it('explains the requests and the work of the client, without requesting records', async () => {
    const { rc, kind, load } = subject();
    await load(range(COUNT));
    await rc.dbQuery({}).count();
    const plan = await rc
      .dbQuery({ client_uuid: 'client-1', 'content.n': { $gt: 5 } }, { keys: 'label', limit: 3 })
      .explain();
    expect(plan.hub).toBe(kind);
    expect(plan.requests).toHaveLength(1);
    expect(JSON.stringify(plan.requests[0]?.query)).toContain('client-1');
    if (kind === 'ours') {
      expect(plan).toMatchObject({ residual: [], here: [], passes: 1 });
      expect(plan.requests[0]).toMatchObject({
        limit: 3,
        sort: [
          ['submitted', 1],
          ['msg_id', 1],
        ],
      });
    } else {
      expect(plan.residual).toEqual([
        { condition: 'content.n $gt', why: expect.stringContaining('inside dicts') },
      ]);
      expect(plan).toMatchObject({ here: ['sort', 'limit'], ids: COUNT });
      expect(plan.passes).toBeGreaterThan(1);
    }
    expect(String(plan)).toContain('client-1');
    expect((await rc.dbQuery({ msg_id: { $in: [] } }).explain()).requests).toEqual([]);
  });

  it('refuses an invalid range at the call', () => {
    const { rc } = subject();
    const query = (options: object) => () => rc.dbQuery({}, options);
    for (const options of [
      { limit: 0 },
      { limit: 1.5 },
      { limit: '3' },
      { skip: -1 },
      { skip: Number.NaN },
      { sort: 'submitted' },
      { sort: { sumbitted: 1 } },
      { sort: { submitted: 2 } },
      { sort: { content: 1 } },
      {
        sort: [
          ['submitted', 1],
          ['submitted', -1],
        ],
      },
    ])
      expect(query(options), JSON.stringify(options)).toThrow(InvalidQueryError);
    expect(query({ sort: { sumbitted: 1 } })).toThrow(/did you mean "submitted"/);
  });
}
