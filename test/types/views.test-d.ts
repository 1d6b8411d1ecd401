import type {
  BroadcastView,
  Client,
  DirectView,
  ExecuteReply,
  Gathered,
  LoadBalancedView,
  NdArray,
  QueueStatus,
} from '@ipyparallel-js/client';
import { capture, depend, kwargs, py, ref } from '@ipyparallel-js/client';
import { describe, expectTypeOf, it } from 'vitest';

declare const rc: Client;
declare const lv: LoadBalancedView;
declare const some: DirectView<readonly number[]>;

const add = (a: number, b: string) => a + b;

describe('apply', () => {
  it('returns one result for one engine, and a list for several', () => {
    expectTypeOf(lv.apply(add, 1, 'x').get()).resolves.toEqualTypeOf<string>();
    expectTypeOf(lv.applySync(add, 1, 'x')).resolves.toEqualTypeOf<string>();
    expectTypeOf(rc.directView(1).apply(add, 1, 'x').get()).resolves.toEqualTypeOf<string>();
    expectTypeOf(rc.directView(-1).applySync(add, 1, 'x')).resolves.toEqualTypeOf<string>();
    expectTypeOf(rc.directView([1]).apply(add, 1, 'x').get()).resolves.toEqualTypeOf<string[]>();
    expectTypeOf(rc.directView().apply(add, 1, 'x').get()).resolves.toEqualTypeOf<string[]>();
    expectTypeOf(rc.broadcastView('all', { coalescing: true }).applySync(add, 1, 'x')).resolves.toEqualTypeOf<
      string[]
    >();
    expectTypeOf(rc.directView(0).execute('1').get()).resolves.toEqualTypeOf<ExecuteReply>();
    expectTypeOf(rc.directView().run('x.py').get()).resolves.toEqualTypeOf<ExecuteReply[]>();
  });

  it('checks arguments, awaits promises and lists the values of generators', () => {
    // @ts-expect-error must be a number and a string
    lv.apply(add, 1, 2);
    // @ts-expect-error the second argument is missing
    lv.apply(add, 1);
    expectTypeOf(lv.apply(async (n: number) => [n], 1).get()).resolves.toEqualTypeOf<number[]>();
    function* count(to: number) {
      for (let i = 0; i < to; i++) yield i;
    }
    expectTypeOf(lv.apply(count, 3).get()).resolves.toEqualTypeOf<number[]>();
    expectTypeOf(lv.apply(capture(add, {}), 1, 'x').get()).resolves.toEqualTypeOf<string>();
    expectTypeOf(
      lv.apply(depend((n: number) => n > 1, 2)(add), 1, 'x').get(),
    ).resolves.toEqualTypeOf<string>();
  });

  it('accepts Python functions, with a result type from the caller', () => {
    expectTypeOf(lv.apply(py`lambda x: x`, 1).get()).resolves.toEqualTypeOf<unknown>();
    expectTypeOf(lv.apply(py<number>('math.factorial'), 5).get()).resolves.toEqualTypeOf<number>();
    expectTypeOf(some.apply(py<number>`lambda a, b=1: a`, 1, kwargs({ b: 2 })).get()).resolves.toEqualTypeOf<
      number[]
    >();
    expectTypeOf(lv.apply(ref('f'), 1).get()).resolves.toEqualTypeOf<unknown>();
  });
});

describe('map and imap', () => {
  it('return the elements of the results', () => {
    expectTypeOf(lv.map((n: number) => n * n, [1, 2]).get()).resolves.toEqualTypeOf<number[]>();
    expectTypeOf(lv.map((n) => String(n), new Set([1])).get()).resolves.toEqualTypeOf<string[]>();
    expectTypeOf(some.mapSync(add, [1], ['x'], { ordered: false })).resolves.toEqualTypeOf<string[]>();
    expectTypeOf(
      lv.map(async (n: number) => n, Uint8Array.of(1), { chunksize: 2 }).get(),
    ).resolves.toEqualTypeOf<number[]>();
    expectTypeOf(lv.map(py<string>`str`, [1, 2], { chunksize: 2 }).get()).resolves.toEqualTypeOf<string[]>();
    expectTypeOf(lv.imap((n: number) => n, [1]).next()).resolves.toEqualTypeOf<
      IteratorResult<number, undefined>
    >();
    // @ts-expect-error strings are not numbers
    lv.map((n: number) => n, ['x']);
    // @ts-expect-error the option is chunksize
    lv.map((n: number) => n, [1], { chunkSize: 2 });
  });

  it('accept async iterables only if lazy', () => {
    const source = (async function* () {
      yield 1;
    })();
    expectTypeOf(lv.imap((n: number) => String(n), source).next()).resolves.toEqualTypeOf<
      IteratorResult<string, undefined>
    >();
    // @ts-expect-error a map needs all its tasks at once
    lv.map((n: number) => n, source);
  });
});

describe('functions and flags', () => {
  it('keep their types', () => {
    expectTypeOf(lv.remote(add)(1, 'x').get()).resolves.toEqualTypeOf<string>();
    expectTypeOf(some.remote(add)(1, 'x').get()).resolves.toEqualTypeOf<string[]>();
    expectTypeOf(
      some
        .parallel((part: number[]) => part.map(String))([1, 2])
        .get(),
    ).resolves.toEqualTypeOf<string[]>();
    expectTypeOf(rc.executor().submit(add, 1, 'x').get()).resolves.toEqualTypeOf<string>();
    expectTypeOf(lv.with({ retries: 2, timeout: 500 })).toEqualTypeOf<LoadBalancedView>();
    expectTypeOf(some.with({ label: 'x' })).toEqualTypeOf<DirectView<readonly number[]>>();
    expectTypeOf(some.with({ targets: 1 }).applySync(add, 1, 'x')).resolves.toEqualTypeOf<string>();
    expectTypeOf(rc.broadcastView([0, 1]).with({ coalescing: true })).toExtend<BroadcastView>();
    expectTypeOf(
      lv.tempFlags({ label: 'x' }, (view) => view.apply(add, 1, 'x')).get(),
    ).resolves.toEqualTypeOf<string>();
    // @ts-expect-error only the task scheduler has retries
    some.with({ retries: 2 });
    // @ts-expect-error a direct view has no such flag
    rc.directView(0, { after: 'x' });
  });
});

describe('data and engines', () => {
  it('are grouped by engine', () => {
    expectTypeOf(some.pull<number>('x').get()).resolves.toEqualTypeOf<number[]>();
    expectTypeOf(rc.directView(0).get<[number, string]>(['x', 'y'])).resolves.toEqualTypeOf<
      [number, string]
    >();
    expectTypeOf(some.gather<number[]>('x').get()).resolves.toEqualTypeOf<number[]>();
    expectTypeOf(some.gather<NdArray>('x').get()).resolves.toEqualTypeOf<NdArray>();
    expectTypeOf(some.gather('x').get()).resolves.toEqualTypeOf<Gathered>();
    expectTypeOf(some.gather<number[]>('x').inOrder()).toExtend<AsyncIterable<number>>();
    expectTypeOf(some.queueStatus()).resolves.toEqualTypeOf<QueueStatus>();
    expectTypeOf(rc.sendSignal('SIGINT', { targets: [0] })).resolves.toEqualTypeOf<void>();
    // @ts-expect-error no such signal
    rc.sendSignal('SIGNAL');
  });
});
