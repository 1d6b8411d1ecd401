import {
  AsyncResult,
  type Client,
  type ConnectOptions,
  type EngineInfo,
  type EngineQueueStatus,
  type ExecuteReply,
  type QueueStatus,
  type ResultHandle,
  type ResultStatus,
  type Settled,
  type TaskMetadata,
} from '@ipyparallel-js/client';
import type { TaskStatus } from '@ipyparallel-js/protocol';
import type { Observable } from 'rxjs';
import { describe, expectTypeOf, it } from 'vitest';

declare const rc: Client;
declare const ids: readonly string[];

describe('results', () => {
  it('are one for one id, and a list for a list of ids', () => {
    expectTypeOf(rc.getResult('a')).toEqualTypeOf<AsyncResult<unknown>>();
    expectTypeOf(rc.getResult(ids)).toEqualTypeOf<AsyncResult<unknown[]>>();
    expectTypeOf(rc.getResult<number>('a').get()).resolves.toEqualTypeOf<number>();
    expectTypeOf(rc.getResult<number>(ids).get({ timeout: 5_000 })).resolves.toEqualTypeOf<number[]>();
    expectTypeOf(rc.resubmit('a')).resolves.toEqualTypeOf<AsyncResult<unknown>>();
    expectTypeOf(rc.resubmit(ids)).resolves.toEqualTypeOf<AsyncResult<unknown[]>>();
  });

  it('are not promises', () => {
    // @ts-expect-error there is no then
    rc.getResult('a').then;
    expectTypeOf(rc.getResult('a')).not.toExtend<PromiseLike<unknown>>();
  });

  it('report their progress', () => {
    const ar = rc.getResult(ids);
    expectTypeOf(ar.ready).toEqualTypeOf<boolean>();
    expectTypeOf(ar.wait({ timeout: 1 })).resolves.toEqualTypeOf<boolean>();
    expectTypeOf(ar.status$).toEqualTypeOf<Observable<readonly TaskStatus[]>>();
    expectTypeOf(ar.statuses).items.toEqualTypeOf<
      'unassigned' | 'assigned' | 'completed' | 'failed' | 'aborted' | 'purged' | 'lost'
    >();
  });
});

describe('views', () => {
  it('return one result for one engine, and a list for several', () => {
    expectTypeOf(rc.directView(3).execute('x')).toEqualTypeOf<AsyncResult<ExecuteReply>>();
    expectTypeOf(rc.directView([3]).execute('x')).toEqualTypeOf<AsyncResult<ExecuteReply[]>>();
    expectTypeOf(rc.directView([0, 1]).execute('x')).toEqualTypeOf<AsyncResult<ExecuteReply[]>>();
    expectTypeOf(rc.directView('all').execute('x')).toEqualTypeOf<AsyncResult<ExecuteReply[]>>();
    expectTypeOf(rc.directView(rc.ids).execute('x')).toEqualTypeOf<AsyncResult<ExecuteReply[]>>();
    expectTypeOf(rc.loadBalancedView().execute('x')).toEqualTypeOf<AsyncResult<ExecuteReply>>();
  });

  it('return the awaited result of the function', () => {
    const square = (n: number) => n * n;
    const later = async (text: string) => ({ text });
    const view = rc.loadBalancedView();
    expectTypeOf(view.apply(square, 12)).toEqualTypeOf<AsyncResult<number>>();
    expectTypeOf(view.apply(later, 'x')).toEqualTypeOf<AsyncResult<{ text: string }>>();
    expectTypeOf(rc.directView(3).apply(square, 12)).toEqualTypeOf<AsyncResult<number>>();
    expectTypeOf(rc.directView('all').apply(later, 'x')).toEqualTypeOf<AsyncResult<{ text: string }[]>>();
  });

  it('accept the arguments of the function', () => {
    const view = rc.loadBalancedView();
    // @ts-expect-error must be a number
    view.apply((n: number) => n * n, 'x');
    // @ts-expect-error an argument is missing
    view.apply((n: number, m: number) => n * m, 1);
    // @ts-expect-error one argument too many
    view.apply((n: number) => n, 1, 2);
    // @ts-expect-error not a function
    view.apply('n => n', 1);
    // @ts-expect-error code must be a string
    view.execute(() => 1);
    // @ts-expect-error engine ids are numbers
    rc.directView('0');
  });
});

describe('operations', () => {
  it('return types that depend on their arguments', () => {
    expectTypeOf(rc.queueStatus()).resolves.toEqualTypeOf<QueueStatus>();
    expectTypeOf(rc.queueStatus('all', { verbose: true })).resolves.toEqualTypeOf<QueueStatus<string[]>>();
    expectTypeOf(rc.queueStatus([0])).resolves.toEqualTypeOf<QueueStatus>();
    expectTypeOf(rc.queueStatus(0)).resolves.toEqualTypeOf<EngineQueueStatus>();
    expectTypeOf(rc.queueStatus(0, { verbose: true })).resolves.toEqualTypeOf<EngineQueueStatus<string[]>>();
    expectTypeOf(rc.hubHistory()).resolves.toEqualTypeOf<string[]>();
    expectTypeOf(rc.resultStatus(ids)).resolves.toEqualTypeOf<ResultStatus>();
  });

  it('accept ids, results, or "all"', () => {
    rc.purgeResults(rc.getResult(ids));
    rc.purgeHubResults('all');
    rc.purgeHubResults([], { targets: [0, 1] });
    rc.purgeLocalResults(ids);
    rc.resultStatus('a');
    rc.wait([rc.getResult('a'), 'b', -1]);
    rc.resubmit([5]);
    // @ts-expect-error a task must be a msg_id, an index into the history, or a result
    rc.resubmit([{}]);
    // @ts-expect-error a msg_id is a string, an index into the history a number
    rc.getResult({});
  });
});

describe('a client', () => {
  it('has read-only live properties', () => {
    expectTypeOf(rc.ids).toEqualTypeOf<readonly number[]>();
    expectTypeOf(rc.engines).toEqualTypeOf<ReadonlyMap<number, string>>();
    expectTypeOf(rc.engines$).toEqualTypeOf<Observable<readonly EngineInfo[]>>();
    expectTypeOf(rc.session.session).toEqualTypeOf<string>();
    expectTypeOf(rc.session.id).toEqualTypeOf<string>();
    // @ts-expect-error the client updates it from the hub's notifications
    rc.ids.push(5);
    // @ts-expect-error the client updates it from the hub's notifications
    rc.engines.set(5, 'x');
  });

  it('is created by connect only, and can be disposed', () => {
    expectTypeOf<Client>().toExtend<AsyncDisposable>();
    // @ts-expect-error its constructor is private
    expectTypeOf<typeof Client>().toExtend<new (...args: never[]) => unknown>();
    const options: ConnectOptions = { profile: 'x', clusterId: 'y', timeout: Number.POSITIVE_INFINITY };
    expectTypeOf(options.timeout).toEqualTypeOf<number | undefined>();
    // @ts-expect-error no such option
    const wrong: ConnectOptions = { connectionfile: 'x' };
    expectTypeOf(wrong).toExtend<ConnectOptions>();
  });
});

describe('the element types of results', () => {
  const list = rc.getResult<number>(ids);
  const single = rc.getResult<number[]>('a');
  const map = rc.loadBalancedView().map((n: number) => `${n}`, [1, 2]);

  it('iterate over elements', () => {
    expectTypeOf(list[Symbol.asyncIterator]()).toEqualTypeOf<AsyncGenerator<number, void, undefined>>();
    expectTypeOf(map.asCompleted()).toEqualTypeOf<AsyncGenerator<string, void, undefined>>();
    expectTypeOf(map.get()).resolves.toEqualTypeOf<string[]>();
  });

  it('settle by element, and a single result as one value', () => {
    expectTypeOf(list.settled()).resolves.toEqualTypeOf<Settled<number>[]>();
    expectTypeOf(single.settled()).resolves.toEqualTypeOf<Settled<number[]>[]>();
  });

  it('are divided by task and by engine', () => {
    expectTypeOf(list.split()).items.toEqualTypeOf<AsyncResult<number, number>>();
    expectTypeOf(map.split()[0]?.get()).toEqualTypeOf<Promise<string[]> | undefined>();
    expectTypeOf(single.getDict()).resolves.toEqualTypeOf<Map<number, number[]>>();
    expectTypeOf(map.getDict({ lists: true })).resolves.toEqualTypeOf<Map<number, string[][]>>();
    expectTypeOf(AsyncResult.join(list, list).get()).resolves.toEqualTypeOf<number[]>();
  });

  it('wait for all tasks, or for some', () => {
    expectTypeOf(list.wait()).resolves.toEqualTypeOf<boolean>();
    expectTypeOf(
      list.wait({ returnWhen: 'firstCompleted' }).then(({ done }) => done[0]?.get()),
    ).resolves.toEqualTypeOf<number | undefined>();
  });

  it('pass through handles', () => {
    expectTypeOf(list.toJSON()).toEqualTypeOf<ResultHandle>();
    expectTypeOf(rc.attach<string[]>('{}').get()).resolves.toEqualTypeOf<string[]>();
    expectTypeOf(rc.taskStatus$('a')).toEqualTypeOf<Observable<TaskStatus>>();
    expectTypeOf(list.metadata).items.toEqualTypeOf<TaskMetadata>();
    // @ts-expect-error read-only
    list.metadata[0].stdout = '';
  });
});
