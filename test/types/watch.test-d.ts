import {
  type ChangeEvent,
  type Client,
  groupByStatus,
  type Progress,
  progress,
  records,
  type TaskStatus,
  untilDone,
  type Watch,
  type WatchEvent,
} from '@ipyparallel-js/client';
import type { FullRecord } from '@ipyparallel-js/protocol';
import type { Observable } from 'rxjs';
import { describe, expectTypeOf, it } from 'vitest';

declare const rc: Client;

type Asked = { readonly msg_id: string; readonly stdout: string | null };

describe('a live query', () => {
  it('emits records with the requested keys', () => {
    expectTypeOf(rc.dbQuery({}, 'stdout').watch()).toEqualTypeOf<Watch<Asked>>();
    expectTypeOf(rc.dbQuery({}).watch({ pace: 100 })).toEqualTypeOf<Watch<FullRecord>>();
    expectTypeOf<Watch<Asked>>().toExtend<Observable<WatchEvent<Asked>>>();
    expectTypeOf<Watch<Asked>>().toExtend<AsyncIterable<WatchEvent<Asked>>>();
    // @ts-expect-error no such option
    rc.dbQuery({}).watch({ poll: 100 });
    // @ts-expect-error a sequence is a string
    rc.dbQuery({}).watch({ after: 3 });
  });

  it('discriminates events by their type', () => {
    rc.dbQuery({}, 'stdout')
      .watch()
      .subscribe((event) => {
        expectTypeOf(event.sequence).toEqualTypeOf<string>();
        if (event.type === 'snapshot') {
          expectTypeOf(event.records).toEqualTypeOf<readonly Asked[]>();
          expectTypeOf(event.statuses).toEqualTypeOf<readonly TaskStatus[]>();
          // @ts-expect-error a snapshot has no single record
          void event.record;
          return;
        }
        expectTypeOf(event).toEqualTypeOf<ChangeEvent<Asked>>();
        expectTypeOf(event.record).toEqualTypeOf<Asked>();
        expectTypeOf(event.status).toEqualTypeOf<TaskStatus>();
        expectTypeOf(event.begun).toEqualTypeOf<Date | null>();
        if (event.type === 'entered') expectTypeOf(event.previous).toEqualTypeOf<undefined>();
        else expectTypeOf(event.previous).toEqualTypeOf<Asked>();
      });
  });

  it('keeps its type through operators', () => {
    const watch = rc.dbQuery({}, 'stdout').watch();
    expectTypeOf(watch.pipe(untilDone())).toEqualTypeOf<Observable<WatchEvent<Asked>>>();
    expectTypeOf(watch.pipe(untilDone({ atLeast: 2 }), records())).toEqualTypeOf<
      Observable<readonly Asked[]>
    >();
    expectTypeOf(watch.pipe(groupByStatus())).toEqualTypeOf<
      Observable<ReadonlyMap<TaskStatus, readonly Asked[]>>
    >();
    expectTypeOf(watch.pipe(progress())).toEqualTypeOf<Observable<Progress>>();
    // @ts-expect-error a number
    untilDone({ atLeast: '2' });
  });
});
