import type { AsyncResult, Client, DbQuery, PurgeReport, QueryPlan, TaskSort } from '@ipyparallel-js/client';
import type { FullRecord } from '@ipyparallel-js/protocol';
import { describe, expectTypeOf, it } from 'vitest';

declare const rc: Client;

describe('a query object', () => {
  it('returns records with the requested keys, through every method', () => {
    const query = rc.dbQuery({}, { keys: ['submitted', 'pyin'], sort: { submitted: -1 }, skip: 1, limit: 2 });
    type Asked = { readonly msg_id: string; readonly submitted: Date | null; readonly pyin: string | null };
    expectTypeOf(query).toEqualTypeOf<DbQuery<Asked>>();
    expectTypeOf(query.first()).resolves.toEqualTypeOf<Asked | undefined>();
    expectTypeOf(query.stream()).toEqualTypeOf<AsyncGenerator<Asked, void, undefined>>();
    expectTypeOf(query.pages()).toEqualTypeOf<AsyncGenerator<Asked[], void, undefined>>();
    expectTypeOf(rc.dbQuery({}, { sort: { completed: 1 }, limit: 3 })).toEqualTypeOf<DbQuery<FullRecord>>();
    expectTypeOf(rc.dbQuery({}).first()).resolves.toEqualTypeOf<FullRecord | undefined>();
  });

  it('counts, explains, and selects tasks for other methods', () => {
    const query = rc.dbQuery({ queue: 'task' });
    expectTypeOf(query.count()).resolves.toEqualTypeOf<number>();
    expectTypeOf(query.explain()).resolves.toEqualTypeOf<QueryPlan>();
    expectTypeOf(query.results()).resolves.toEqualTypeOf<AsyncResult<unknown[]>>();
    expectTypeOf(query.resubmit({ restore: true })).resolves.toEqualTypeOf<AsyncResult<unknown[]>>();
    expectTypeOf(query.purge({ dryRun: true })).resolves.toEqualTypeOf<PurgeReport>();
    expectTypeOf(query.wait({ timeout: 1 })).resolves.toEqualTypeOf<boolean>();
    // @ts-expect-error no such option
    void query.purge({ dry: true });
  });
});

describe('a sort', () => {
  it('has only keys that have an order', () => {
    expectTypeOf<{ completed: -1; msg_id: 1 }>().toExtend<TaskSort>();
    expectTypeOf<[['header.date', 1], ['pyin', -1]]>().toExtend<TaskSort>();
    // @ts-expect-error no such key
    rc.dbQuery({}, { sort: { complete: 1 } });
    // @ts-expect-error a dict has no order
    rc.dbQuery({}, { sort: { header: 1 } });
    // @ts-expect-error buffers have no order
    rc.dbQuery({}, { sort: { buffers: 1 } });
    // @ts-expect-error 1 or -1
    rc.dbQuery({}, { sort: { completed: 2 } });
    // @ts-expect-error 1 or -1
    rc.dbQuery({}, { sort: [['completed', 'desc']] });
    // @ts-expect-error must be a number
    rc.dbQuery({}, { limit: '3' });
  });
});
