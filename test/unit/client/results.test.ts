// Results of tasks that the test ends itself, in any order.

import { Writable } from 'node:stream';
import { AsyncMapResult, AsyncResult, type Reassembly, type Settled } from '@ipyparallel-js/client';
import { appendText, ProgressBar, parseHandle, ResultCache, Task } from '@ipyparallel-js/client/internal';
import { CompositeError, TimeoutError, UsageError } from '@ipyparallel-js/protocol';
import { lastValueFrom, toArray } from 'rxjs';
import { describe, expect, test } from 'vitest';

const task = (msgId: string): Task => new Task(msgId, { engineId: (uuid) => Number(uuid) });
const tasks = (count: number): Task[] => Array.from({ length: count }, (_, i) => task(`t${i}`));
const succeed = (one: Task, value: unknown): boolean => one.settle({ ok: true, value }, 'completed');
const fail = (one: Task, message: string): boolean =>
  one.settle({ ok: false, error: new Error(message) }, 'failed');
const list = <E>(all: readonly Task[]): AsyncResult<E[], E> => new AsyncResult(all, { single: false });
const at = (seconds: number): Date => new Date(Date.UTC(2026, 0, 1, 0, 0, seconds));

function endedMap<E>(chunks: readonly (readonly E[])[], reassembly: Reassembly): AsyncMapResult<E> {
  const all = tasks(chunks.length);
  for (const [i, one] of all.entries()) succeed(one, chunks[i]);
  return new AsyncMapResult<E>(all, reassembly);
}

async function all<E>(items: AsyncIterable<E>): Promise<E[]> {
  const collected: E[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}

describe('several failures', () => {
  test('become one CompositeError that names the task and the engine of each', async () => {
    const [good, bad, worse] = tasks(3) as [Task, Task, Task];
    bad.assign('7');
    succeed(good, 1);
    fail(bad, 'boom\nat line 3');
    fail(worse, 'bang');
    const error = await list([good, bad, worse])
      .get()
      .catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(CompositeError);
    const composite = error as CompositeError;
    expect(composite.failures.map(({ msgId, engineId }) => [msgId, engineId])).toEqual([
      ['t1', 7],
      ['t2', null],
    ]);
    expect(composite.errors.map(({ message }) => message)).toEqual(['boom\nat line 3', 'bang']);
    expect(composite.message).toBe('2 tasks failed:\n  t1 on engine 7: boom\n  t2: bang');
    expect(composite.code).toBe('COMPOSITE');
  });

  test('are returned next to the values by settled()', async () => {
    const [good, bad] = tasks(2) as [Task, Task];
    good.assign('3');
    succeed(good, 'yes');
    fail(bad, 'no');
    const settled: Settled<string>[] = await list<string>([good, bad]).settled();
    expect(settled).toEqual([
      { msgId: 't0', engineId: 3, status: 'fulfilled', value: 'yes' },
      { msgId: 't1', engineId: null, status: 'rejected', reason: new Error('no') },
    ]);
    expect(await list([good, bad]).exception()).toBeInstanceOf(CompositeError);
    expect(await list([good]).exception()).toBeNull();
  });

  test('end the wait at the first one with firstException', async () => {
    const [slow, bad] = tasks(2) as [Task, Task];
    const ar = list([slow, bad]);
    const failing = expect(ar.get({ returnWhen: 'firstException' })).rejects.toThrow('1 task failed');
    fail(bad, 'no');
    await failing;
    expect(ar.ready).toBe(false);
  });
});

describe('waiting', () => {
  test('returns the parts that have ended and those that have not', async () => {
    const [first, second, third] = tasks(3) as [Task, Task, Task];
    const ar = list([first, second, third]);
    const firstCompleted = ar.wait({ returnWhen: 'firstCompleted' });
    succeed(second, 2);
    const { done, pending } = await firstCompleted;
    expect(done.map(({ msgIds }) => msgIds)).toEqual([['t1']]);
    expect(pending.map(({ msgIds }) => msgIds)).toEqual([['t0'], ['t2']]);
    const failing = ar.wait({ returnWhen: 'firstException' });
    succeed(first, 1);
    fail(third, 'no');
    expect((await failing).pending).toEqual([]);
  });

  test('ends at its timeout with false, or with an error from get', async () => {
    const ar = list(tasks(2));
    expect(await ar.wait({ timeout: 5 })).toBe(false);
    expect(await ar.waitForOutput({ timeout: 5 })).toBe(false);
    await expect(ar.get({ timeout: 5 })).rejects.toThrow(TimeoutError);
    await expect(all(ar.inOrder({ timeout: 5 }))).rejects.toThrow('2 of 2 tasks have not ended');
    await expect(all(ar.asCompleted({ signal: AbortSignal.abort('enough') }))).rejects.toBe('enough');
  });

  test('continues in waitForOutput until the last output', async () => {
    const one = task('a');
    const ar = new AsyncResult<number>([one], { single: true });
    one.settle({ ok: true, value: 1 }, 'completed', { moreOutput: true });
    expect(await ar.get()).toBe(1);
    expect(await ar.waitForOutput({ timeout: 5 })).toBe(false);
    one.emit({ type: 'stdout', text: 'late' });
    one.endOutput();
    expect(await ar.waitForOutput()).toBe(true);
    expect(ar.stdout).toEqual(['late']);
  });
});

describe('iteration', () => {
  test('yields values in order, or as completed', async () => {
    const three = tasks(3) as [Task, Task, Task];
    const ar = list<string>(three);
    const ordered = all(ar);
    const asCompleted = all(ar.asCompleted());
    const settled = all(ar.asSettled());
    await Promise.resolve();
    for (const i of [2, 0, 1]) succeed(three[i] as Task, `v${i}`);
    expect(await ordered).toEqual(['v0', 'v1', 'v2']);
    expect(await asCompleted).toEqual(['v2', 'v0', 'v1']);
    expect((await settled).map(({ msgId }) => msgId)).toEqual(['t2', 't0', 't1']);
  });

  test('ends with the error of the first failed task', async () => {
    const two = tasks(2) as [Task, Task];
    succeed(two[0], 1);
    fail(two[1], 'no');
    const values: unknown[] = [];
    await expect(
      (async () => {
        for await (const value of list(two)) values.push(value);
      })(),
    ).rejects.toThrow('no');
    expect(values).toEqual([1]);
  });

  test('may be stopped before the end', async () => {
    const two = tasks(2) as [Task, Task];
    succeed(two[0], 1);
    for await (const value of list<number>(two).asCompleted()) {
      expect(value).toBe(1);
      break;
    }
  });

  test('refuses a single result', () => {
    const ar = new AsyncResult<number[]>([task('a')], { single: true });
    expect(() => ar[Symbol.asyncIterator]()).toThrow(UsageError);
  });
});

describe('a map', () => {
  const flatten: Reassembly = { kind: 'flatten', sizes: [2, 1] };

  test('returns one list of elements, and yields them one by one', async () => {
    const ar = endedMap([['a', 'b'], ['c']], flatten);
    expect(await ar.get()).toEqual(['a', 'b', 'c']);
    expect(await all(ar)).toEqual(['a', 'b', 'c']);
    expect(ar.length).toBe(3);
    expect(ar.progress).toMatchObject({ total: 3, done: 3, completed: 3 });
  });

  test('with round-robin distribution returns its elements in order', async () => {
    const chunks = [['a', 'd'], ['b', 'e'], ['c']];
    for (const sizes of [{}, { sizes: [2, 2, 1] }]) {
      const ar = endedMap(chunks, { kind: 'roundRobin', ...sizes });
      expect(await ar.get()).toEqual(['a', 'b', 'c', 'd', 'e']);
      expect(await all(ar)).toEqual(['a', 'b', 'c', 'd', 'e']);
    }
  });

  test('preserves elements that are lists, and joins typed arrays', async () => {
    expect(await endedMap([[[1], [2]], [[3]]], { kind: 'flatten' }).get()).toEqual([[1], [2], [3]]);
    const parts = [Float64Array.of(1, 2), Float64Array.of(3)];
    const ar = new AsyncResult<Float64Array, number>(
      parts.map((part, i) => {
        const one = task(`p${i}`);
        succeed(one, part);
        return one;
      }),
      { single: false, reassembly: { kind: 'flatten' } },
    );
    expect(await ar.get()).toEqual(Float64Array.of(1, 2, 3));
    expect(await endedMap<number>([], { kind: 'flatten' }).get()).toEqual([]);
  });

  test('counts the elements of failed chunks, or returns an error for each of them', async () => {
    const two = tasks(2) as [Task, Task];
    fail(two[0], 'no');
    succeed(two[1], ['c']);
    const ar = new AsyncMapResult<string>(two, flatten);
    expect(ar.progress).toMatchObject({ total: 3, done: 3, failed: 2 });
    expect((await ar.settled()).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled']);
    await expect(ar.get()).rejects.toThrow(CompositeError);
    const errors = new AsyncMapResult<unknown>(two, { ...flatten, returnErrors: true });
    expect(await errors.get()).toEqual([new Error('no'), new Error('no'), 'c']);
    expect(await all(errors)).toEqual([new Error('no'), new Error('no'), 'c']);
  });

  test('with ordered: false yields chunks as they end', async () => {
    const two = tasks(2) as [Task, Task];
    const ar = new AsyncMapResult<string>(two, { ...flatten, ordered: false });
    const values = all(ar);
    await Promise.resolve();
    succeed(two[1], ['c']);
    succeed(two[0], ['a', 'b']);
    expect(await values).toEqual(['c', 'a', 'b']);
    expect(await ar.get()).toEqual(['a', 'b', 'c']);
  });
});

describe('parts', () => {
  test('are split and joined again', async () => {
    const ar = list<number>(tasks(3));
    const parts = ar.split();
    expect(parts.map(({ msgIds }) => msgIds)).toEqual([['t0'], ['t1'], ['t2']]);
    expect(AsyncResult.join(...parts).msgIds).toEqual(ar.msgIds);
    const map = endedMap([[1, 2], [3]], { kind: 'flatten', sizes: [2, 1] });
    const chunks = map.split();
    expect(await Promise.all(chunks.map((chunk) => chunk.get()))).toEqual([[1, 2], [3]]);
    expect(chunks.map(({ length }) => length)).toEqual([2, 1]);
    const joined = AsyncResult.join(...chunks);
    expect(await joined.get()).toEqual([1, 2, 3]);
    expect(joined.length).toBe(3);
  });

  test('cannot be joined with parts of another kind', () => {
    const map = endedMap([[1]], { kind: 'flatten' });
    expect(() => AsyncResult.join()).toThrow('at least one');
    expect(() => AsyncResult.join(map, list<number>(tasks(1)))).toThrow('either maps only or no maps');
    const roundRobin = endedMap([[1]], { kind: 'roundRobin' });
    expect(() => AsyncResult.join(roundRobin, roundRobin)).toThrow('order');
    expect(AsyncResult.join(roundRobin).msgIds).toEqual(roundRobin.msgIds);
  });

  test('are grouped by engine', async () => {
    const three = tasks(3) as [Task, Task, Task];
    for (const [i, uuid] of ['5', '6', '5'].entries()) {
      three[i]?.assign(uuid);
      succeed(three[i] as Task, i);
    }
    expect(await list<number>(three.slice(0, 2)).getDict()).toEqual(
      new Map([
        [5, 0],
        [6, 1],
      ]),
    );
    await expect(list(three).getDict()).rejects.toThrow('2 tasks ran on engine 5');
    expect(await list<number>(three).getDict({ lists: true })).toEqual(
      new Map([
        [5, [0, 2]],
        [6, [1]],
      ]),
    );
    const unassigned = task('x');
    succeed(unassigned, 1);
    await expect(list([unassigned]).getDict()).rejects.toThrow('the engine of task');
  });
});

describe('times in ms', () => {
  const ran = (): Task[] => {
    const [one, two] = tasks(2) as [Task, Task];
    one.describe({ submitted: at(0), started: at(1), completed: at(3), received: at(4) });
    two.describe({ submitted: at(1), started: at(2), completed: at(7), received: at(9) });
    return [one, two];
  };

  test('cover all tasks of the result', () => {
    const both = ran();
    for (const one of both) succeed(one, 1);
    const ar = list(both);
    expect(ar.wallTime).toBe(9_000);
    expect(ar.serialTime).toBe(7_000);
    expect(ar.elapsed).toBe(9_000);
    expect(ar.timedelta('submitted', 'started')).toBe(2_000);
    expect(ar.timedelta('submitted', 'started', { startPick: 'last', endPick: 'first' })).toBe(0);
    expect(ar.timedelta(at(1), [at(2), null, at(5)])).toBe(4_000);
  });

  test('throw while they are unknown', () => {
    const ar = list(ran());
    expect(() => ar.wallTime).toThrow(UsageError);
    expect(() => ar.serialTime).toThrow(UsageError);
    expect(ar.elapsed).toBeGreaterThan(0);
    expect(() => list(tasks(1)).timedelta('submitted', 'received')).toThrow('"submitted"');
  });
});

describe('a handle', () => {
  test('survives JSON unchanged', () => {
    const ar = endedMap([['a'], ['b']], { kind: 'roundRobin', sizes: [1, 1], ordered: false });
    const handle = parseHandle(JSON.stringify(ar));
    expect(handle).toEqual(ar.toJSON());
    expect(handle).toMatchObject({ msgIds: ['t0', 't1'], single: false, cluster: null });
    const single = new AsyncResult<number>([task('a')], { single: true });
    expect(parseHandle(single.toJSON())).toMatchObject({ msgIds: ['a'], single: true });
  });

  const good = {
    type: 'ipyparallel-js/result',
    version: 1,
    cluster: 'a'.repeat(32),
    msgIds: ['x', 'y'],
    single: false,
  };

  test.each([
    ['text that is not JSON', 'not json'],
    ['JSON that is not an object', '[]'],
    ['another type', { ...good, type: 'x' }],
    ['another version', { ...good, version: 2 }],
    ['a cluster that is not a digest', { ...good, cluster: '../../key' }],
    ['ids that are not a list', { ...good, msgIds: 'x' }],
    ['an id that is not a string', { ...good, msgIds: ['x', 5] }],
    ['an empty id', { ...good, msgIds: [''] }],
    ['an id that is too long', { ...good, msgIds: ['x'.repeat(2_000)] }],
    ['a repeated id', { ...good, msgIds: ['x', 'x'] }],
    ['two ids for a single result', { ...good, single: true }],
    ['a field single that is not a boolean', { ...good, single: 'yes' }],
    ['a single map', { ...good, msgIds: ['x'], single: true, reassembly: { kind: 'flatten' } }],
    ['an unknown reassembly', { ...good, reassembly: { kind: 'shuffle' } }],
    ['a wrong number of sizes', { ...good, reassembly: { kind: 'flatten', sizes: [1] } }],
    ['a negative size', { ...good, reassembly: { kind: 'flatten', sizes: [1, -1] } }],
    ['a size that is too large', { ...good, reassembly: { kind: 'flatten', sizes: [1, 2 ** 50] } }],
    ['a field ordered that is not a boolean', { ...good, reassembly: { kind: 'flatten', ordered: 1 } }],
  ])('with %s is refused', (_, value) => {
    expect(() => parseHandle(value)).toThrow(UsageError);
  });

  test('drops unknown keys', () => {
    const hostile: unknown = JSON.parse(
      '{"type":"ipyparallel-js/result","version":1,"cluster":null,"msgIds":["x"],"single":true,"__proto__":{"evil":1},"more":2}',
    );
    const { evil, more } = parseHandle(hostile) as unknown as Record<string, unknown>;
    expect([evil, more]).toEqual([undefined, undefined]);
  });
});

describe('output', () => {
  test('is returned at once, and updated as it arrives', async () => {
    const one = task('a');
    one.emit({ type: 'stdout', text: 'early\n' });
    const pieces = new Promise((resolve) => one.output$.pipe(toArray()).subscribe(resolve));
    one.emit({ type: 'stderr', text: 'oops' });
    one.emit({ type: 'data', data: JSON.parse('{"progress":0.5,"__proto__":1}') });
    succeed(one, 1);
    expect(await pieces).toEqual([
      { type: 'stdout', text: 'early\n' },
      { type: 'stderr', text: 'oops' },
      { type: 'data', data: JSON.parse('{"progress":0.5,"__proto__":1}') },
    ]);
    expect(one.metadata.data['progress']).toBe(0.5);
    expect(Object.getPrototypeOf(one.metadata.data)).toBe(Object.prototype);
  });

  test('is stored up to a limit, and emitted completely', () => {
    const one = task('a');
    const piece = 'x'.repeat(2 ** 24);
    let emissions = 0;
    one.output$.subscribe(() => emissions++);
    for (let i = 0; i < 6; i++) one.emit({ type: 'stdout', text: piece });
    expect(emissions).toBe(6);
    expect(one.stdout.length).toBe(4 * 2 ** 24);
  });

  test.each([
    ['', '10%\r20%', '20%'],
    ['10%', '\r20%\r30%\n', '30%\n'],
    ['done\nab', '\rc', 'done\nc'],
    ['a', '\r', 'a\r'],
    ['a\r', 'b', 'b'],
    ['a\r', '\n', 'a\r\n'],
    ['', '\r', '\r'],
    ['a\n', 'b', 'a\nb'],
  ])('%j followed by %j becomes %j', (before, text, after) => {
    expect(appendText(before, text)).toBe(after);
  });
});

/** A stream that stores the written text. */
function sink(traits: { isTTY?: boolean; columns?: number } = {}) {
  let text = '';
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += String(chunk);
      done();
    },
  });
  return Object.assign(stream, traits, { text: () => text });
}

describe('display of output', () => {
  const two = (): [Task, Task] => {
    const [one, other] = tasks(2) as [Task, Task];
    one.assign('3');
    other.assign('4');
    return [one, other];
  };
  const displayContent = (text: string): { readonly data: { readonly 'text/plain': string } } => ({
    data: { 'text/plain': text },
  });

  test('live output is printed under the name of each engine, on two streams', async () => {
    const [one, other] = two();
    const [stdout, stderr] = [sink(), sink()];
    const live = list([one, other]).streamOutput({ stdout, stderr });
    one.emit({ type: 'stdout', text: 'a\n' });
    one.emit({ type: 'stdout', text: 'b' });
    other.emit({ type: 'stdout', text: 'c\n' });
    other.emit({ type: 'stderr', text: 'd\n' });
    other.emit({ type: 'displayData', content: displayContent('<e>') });
    succeed(one, 1);
    succeed(other, 2);
    await live.done;
    expect(stdout.text()).toBe('[stdout:3]\na\nb\n[stdout:4]\nc\n[output:4]\n<e>\n');
    expect(stderr.text()).toBe('[stderr:4]\nd\n');
  });

  test('live output is printed until it is stopped', async () => {
    const one = task('a');
    const stdout = sink();
    const ar = new AsyncResult<number>([one], { single: true });
    const live = ar.streamOutput({ stdout });
    one.emit({ type: 'stdout', text: 'printed ' });
    live.stop();
    one.emit({ type: 'stdout', text: 'not printed' });
    await live.done;
    expect(stdout.text()).toBe('printed ');
  });

  test.each([
    ['type', '[stdout:3]\na\n[stdout:4]\nb\n[output:3]\np1\np2\n[output:4]\nq1\nq2\n[output:3]\nr\n'],
    ['engine', '[stdout:3]\na\n[output:3]\np1\np2\nr\n[stdout:4]\nb\n[output:4]\nq1\nq2\n'],
    [
      'order',
      '[stdout:3]\na\n[stdout:4]\nb\n[output:3]\np1\n[output:4]\nq1\n[output:3]\np2\n[output:4]\nq2\n[output:3]\nr\n',
    ],
  ] as const)('displayOutputs groups stored output by %s', async (groupBy, expected) => {
    const [one, other] = two();
    one.emit({ type: 'stdout', text: 'a\n' });
    other.emit({ type: 'stdout', text: 'b\n' });
    for (const n of [1, 2]) {
      one.emit({ type: 'displayData', content: displayContent(`p${n}`) });
      other.emit({ type: 'displayData', content: displayContent(`q${n}`) });
    }
    one.emit({ type: 'executeResult', content: displayContent('r') });
    succeed(one, 1);
    succeed(other, 2);
    const stdout = sink();
    await list([one, other]).displayOutputs({ groupBy, stdout });
    expect(stdout.text()).toBe(expected);
    const results = sink();
    await list([one, other]).displayOutputs({ groupBy, resultOnly: true, stdout: results });
    expect(results.text()).toBe('[output:3]\nr\n');
  });

  test('progress redraws one line on a terminal, and prints a line for each change elsewhere', async () => {
    const none = { completed: 0, failed: 0, aborted: 0, purged: 0, lost: 0 };
    const terminal = sink({ isTTY: true, columns: 50 });
    const bar = new ProgressBar({ stream: terminal, label: 'map' });
    bar.show({ ...none, total: 4, done: 2 });
    bar.close({ ...none, total: 4, done: 4, failed: 1 });
    const drawn = terminal.text().split('\r');
    expect(drawn[1]).toMatch(/^map: █{15}░{15} 2\/4 task/);
    expect(drawn.at(-1)).toMatch(/^map: █{30} 4\/4.*\n$/s);
    for (const line of drawn) expect(line.replace('\u001b[K', '').trimEnd().length).toBeLessThan(50);
    const file = sink();
    const two = tasks(2) as [Task, Task];
    const finished = list(two).waitInteractive({ stream: file, interval: 1 });
    fail(two[0], 'no');
    succeed(two[1], 1);
    expect(await finished).toBe(true);
    const lines = file.text().trimEnd().split('\n');
    expect(lines.at(-1)).toMatch(/^2\/2 tasks 100 % \d+\.\d s, 1 failed$/);
    expect(new Set(lines.map((line) => line.split(' ')[0])).size).toBe(lines.length);
    expect(await list(tasks(1)).waitInteractive({ stream: file, interval: 1, timeout: 5 })).toBe(false);
    await expect(list(tasks(1)).waitInteractive({ interval: 0 })).rejects.toThrow(UsageError);
  });
});

describe('the cache of results', () => {
  const ended = (msgId: string, bytes = 0): Task => {
    const one = task(msgId);
    one.setResultBytes(bytes);
    succeed(one, msgId);
    return one;
  };

  test('holds unread results within its limits, and removes the oldest first', () => {
    const cache = new ResultCache({ count: 2 });
    const held = ['a', 'b', 'c'].map((msgId) => ended(msgId));
    for (const one of held) cache.add(one);
    expect([...cache.unread()].map(({ msgId }) => msgId)).toEqual(['b', 'c']);
    expect([cache.count, cache.evicted]).toEqual([2, 1]);
    // Another holder keeps it alive, so the cache finds it.
    expect(cache.get('a')).toBe(held[0]);
    cache.delete('a');
    expect(cache.get('a')).toBeUndefined();
  });

  test('counts bytes', () => {
    const cache = new ResultCache({ bytes: 10_000 });
    for (const msgId of ['a', 'b', 'c']) cache.add(ended(msgId, 4_000));
    expect([cache.count, cache.evicted]).toEqual([1, 2]);
    expect(cache.bytes).toBeLessThan(10_000);
  });

  test('releases results that were read, before or after they arrived', () => {
    const cache = new ResultCache();
    const [one, two] = [ended('a'), ended('b')];
    cache.markRead(one);
    cache.add(one);
    cache.add(two);
    cache.markRead(two);
    expect([cache.count, cache.bytes, cache.evicted]).toEqual([0, 0, 0]);
    expect(cache.get('a')).toBe(one);
  });
});

describe('progress of tasks', () => {
  test('is emitted at each change of a few tasks, and completes with the last', () => {
    const [one, two] = tasks(2) as [Task, Task];
    const emitted: unknown[] = [];
    let completed = false;
    list([one, two]).status$.subscribe({
      next: (statuses) => emitted.push(statuses),
      complete: () => (completed = true),
    });
    one.assign('0');
    succeed(one, 1);
    expect(completed).toBe(false);
    fail(two, 'no');
    expect(emitted).toEqual([
      ['unassigned', 'unassigned'],
      ['assigned', 'unassigned'],
      ['completed', 'unassigned'],
      ['completed', 'failed'],
    ]);
    expect(completed).toBe(true);
  });

  test('is emitted less often than once per task for many tasks, and always at the end', () => {
    const many = tasks(20_000);
    let emissions = 0;
    let last: unknown;
    let completed = false;
    list(many).progress$.subscribe({
      next: (progress) => {
        emissions++;
        last = progress;
      },
      complete: () => {
        completed = true;
      },
    });
    for (const one of many) succeed(one, 1);
    expect(completed).toBe(true);
    expect(last).toMatchObject({ total: 20_000, done: 20_000, completed: 20_000 });
    expect(emissions).toBeLessThan(10_000);
  });

  test('is emitted once for no tasks, and never after unsubscription', async () => {
    expect(await lastValueFrom(list([]).status$)).toEqual([]);
    const many = tasks(200);
    let emissions = 0;
    list(many)
      .status$.subscribe(() => emissions++)
      .unsubscribe();
    for (const one of many) succeed(one, 1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(emissions).toBe(1);
  });
});
