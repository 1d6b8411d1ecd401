// Tasks on a JavaScript engine with captures, modules, published data, generators and aborts.
import { mkdirSync, mkdtempSync, realpathSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { capture, fromModule, task } from '@ipyparallel-js/client';
import { Engine } from '@ipyparallel-js/engine';
import type { AnyMessage, Dict } from '@ipyparallel-js/protocol';
import {
  decodeJsResult,
  decodeTaskData,
  encodeJsCall,
  partialResults,
} from '@ipyparallel-js/protocol/internal';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FakeController } from '../support/fakes/fake-controller.js';
import { Gate } from '../support/gate.js';
import { waitFor } from '../support/wait-for.js';

let controller: FakeController;
let engine: Engine;
let cwd: string;

beforeAll(async () => {
  cwd = realpathSync(mkdtempSync(join(tmpdir(), 'ippjs-tasks-')));
  controller = await FakeController.start();
  const { connectionInfo } = controller;
  engine = await Engine.start({ connectionInfo, cwd, timeout: 60_000, log: () => {} });
});

afterAll(async () => {
  await engine.stop();
  controller.stop();
  rmSync(cwd, { recursive: true, force: true });
});

type Fn = (...args: never[]) => unknown;

function submit(fn: Fn, args: readonly unknown[] = [], options: { each?: boolean } = {}): string {
  const { content, buffers } = encodeJsCall(fn, args, options);
  const message = controller.session.rawMessage('apply_request', content, { buffers });
  controller.sendFrames('mux', engine.uuid, controller.frames(message));
  return message.msg_id;
}

/** Creates a function from its text, because the test runner rewrites imports and does not know the globals of engines. */
function fromText(text: string): Fn {
  return new Function(`return ${text}`)() as Fn;
}

interface Ended {
  readonly id: string;
  readonly reply: AnyMessage;
  readonly content: Dict;
  readonly value: unknown;
  /** The published data, one entry per message. */
  readonly data: readonly Dict[];
}

function published(id: string): Dict[] {
  return controller
    .published(id, 'data_message')
    .map(({ content, buffers }) => decodeTaskData(content, buffers));
}

async function ended(id: string): Promise<Ended> {
  const { message: reply } = await controller.replyTo(id);
  await waitFor(() =>
    controller.published(id, 'status').some(({ content }) => content.execution_state === 'idle'),
  );
  const { content } = reply;
  const value = content.status === 'ok' ? decodeJsResult(content, reply.buffers) : undefined;
  return { id, reply, content, value, data: published(id) };
}

const apply = async (fn: Fn, ...args: unknown[]): Promise<Ended> => await ended(submit(fn, args));

/** Statements of a task that publish that it is prepared for an abort. */
const ready = 'ipyparallel.task.publish({ ready: true });';
/** Statements of a task that define `aborted`, which resolves at the abort: an earlier abort calls no listener. */
const prepare = `const aborted = new Promise((r) => { ipyparallel.task.signal.onabort = r }); ${ready}`;

/** Waits until a task has run {@link ready}. */
async function prepared(id: string): Promise<void> {
  await waitFor(() => published(id).some((data) => data['ready'] === true), {
    what: `task ${id} to be prepared`,
  });
}

const abort = async (ids: unknown): Promise<void> => {
  const content = await controller.content('control', engine.uuid, 'abort_request', { msg_ids: ids });
  expect(content).toEqual({ status: 'ok' });
};

describe('captures', () => {
  test('values and functions are bound around the function', async () => {
    const k = 10;
    const square = (x: number): number => x * x;
    const squareAndAdd = capture((x: number) => square(x) + k, { square, k });
    const fn = capture((x: number) => squareAndAdd(x) * k, { squareAndAdd, k: 2 });
    expect((await apply(fn, 3)).value).toBe(38);
    class Point {
      readonly x: number;
      constructor(x: number) {
        this.x = x;
      }
    }
    expect((await apply(capture(() => new Point(7).x, { Point }))).value).toBe(7);
  });

  test('each call receives its own copies and leaves nothing in the context', async () => {
    const list: number[] = [];
    const fn = capture(() => list.push(1), { list });
    expect((await apply(fn)).value).toBe(1);
    expect((await apply(fn)).value).toBe(1);
    expect((await apply(fromText('() => typeof list'))).value).toBe('undefined');
  });

  test('a captured function runs for each element of a map', async () => {
    const k = 3;
    const id = submit(
      capture((x: number) => x * k, { k }),
      [[1, 2, 3]],
      { each: true },
    );
    expect((await ended(id)).value).toEqual([3, 6, 9]);
  });

  test('a missing variable is a ReferenceError with a hint', async () => {
    const { content } = await apply(fromText('function f() { return missing + 1 }'));
    expect(content).toMatchObject({
      ename: 'ReferenceError',
      evalue: expect.stringMatching(/^missing is not defined; .*capture\(fn, \{ missing \}\)/),
    });
    // Errors in other scripts get no hint.
    expect((await apply(fromText('() => JSON.parse("[1")'))).content.evalue).not.toContain('capture');
  });
});

test.each([
  ['a name that is code', { captures: { 'x = process.exit(1)': 'value' }, captured_values: true }],
  ['a helper that is no function', { functions: [{ source: '5', name: '' }], captures: { f: 0 } }],
  ['a helper that does not compile', { functions: [{ source: '(', name: '' }], captures: { f: 0 } }],
  ['a helper that throws', { functions: [{ source: 'null.x', name: '' }], captures: { f: 0 } }],
  ['an inherited name that has no value', { captures: { constructor: 'value' }, captured_values: true }],
  ['a module that is none', { module: 'http://example.org/x.js', source: undefined }],
  ['a file URL that is none', { module: 'file:///%00', source: undefined }],
])('a malformed call fails with an error: %s', async (what, change) => {
  const { content, buffers } = encodeJsCall(
    capture((x: number) => x, { k: 1 }),
    [1],
  );
  const message = controller.session.rawMessage('apply_request', { ...content, ...change }, { buffers });
  controller.sendFrames('mux', engine.uuid, controller.frames(message));
  const { content: answer } = await ended(message.msg_id);
  expect(answer.status).toBe(what.startsWith('an inherited') ? 'ok' : 'error');
  expect((await apply(() => 'on')).value).toBe('on');
});

describe('modules', () => {
  const file = (name: string, text: string): string => {
    const path = join(cwd, name);
    writeFileSync(path, text);
    return path;
  };

  test('an export runs by its name, sync or async, also as a capture', async () => {
    const work = file('work.mjs', 'export const double = (x) => 2 * x; export default async (x) => x + 1;');
    expect((await apply(fromModule(work, 'double'), 4)).value).toBe(8);
    expect((await apply(fromModule(pathToFileURL(work), 'default'), 4)).value).toBe(5);
    const twice = fromModule<(x: number) => number>(work, 'double');
    expect(
      (
        await apply(
          capture(async (x: number) => twice(await twice(x)), { twice }),
          1,
        )
      ).value,
    ).toBe(4);
    expect((await apply(fromModule('node:path', 'basename'), '/a/b')).value).toBe('b');
  });

  test('packages are resolved from the engine’s directory', async () => {
    mkdirSync(join(cwd, 'node_modules', 'near'), { recursive: true });
    file('node_modules/near/package.json', '{"name":"near","exports":"./main.mjs","version":"1.0.0"}');
    file('node_modules/near/main.mjs', 'export const here = () => "near";');
    expect((await apply(fromModule('near', 'here'))).value).toBe('near');
  });

  test.each([
    ['reloaded.mjs', (n: number) => `let calls = 0; export const count = () => [${n}, ++calls];`],
    ['reloaded.cjs', (n: number) => `let calls = 0; exports.count = () => [${n}, ++calls];`],
  ])('%s is imported once, and again after a change', async (name, text) => {
    const path = file(name, text(1));
    const count = fromModule(path, 'count');
    expect((await apply(count)).value).toEqual([1, 1]);
    expect((await apply(count)).value).toEqual([1, 2]);
    const { atimeMs, mtimeMs } = statSync(path);
    file(name, text(2));
    utimesSync(path, atimeMs / 1000, mtimeMs / 1000 + 5);
    expect((await apply(count)).value).toEqual([2, 1]);
    expect((await apply(count)).value).toEqual([2, 2]);
  });

  test('missing modules and exports are named', async () => {
    const content = async (fn: Fn) => (await apply(fn)).content;
    expect(await content(fromModule(join(cwd, 'absent.mjs'), 'x'))).toMatchObject({
      ename: 'ModuleNotFoundError',
      evalue: expect.stringMatching(
        /machine \(.+\) cannot read .*absent\.mjs.*same path on the engine's machine/,
      ),
    });
    expect(await content(fromModule('no-such-package', 'x'))).toMatchObject({
      ename: 'ModuleNotFoundError',
      evalue: expect.stringContaining(
        `cannot resolve package "no-such-package" from the engine's working directory`,
      ),
    });
    const exports = file('exports.mjs', 'export const a = 1, b = () => 2;');
    expect(await content(fromModule(exports, 'c'))).toMatchObject({
      ename: 'TypeError',
      evalue: expect.stringMatching(/exports no function "c"; exported functions: b/),
    });
    expect((await content(fromModule(exports, 'a'))).evalue).toMatch(/"a" is 1; exported functions: b$/);
    const broken = file('broken.mjs', 'export const a = () => {');
    expect(await content(fromModule(broken, 'a'))).toMatchObject({ ename: 'SyntaxError' });
    file('broken.mjs', 'export const a = () => "mended"; // longer');
    expect((await apply(fromModule(broken, 'a'))).value).toBe('mended');
  });
});

describe('published data', () => {
  test('progress and data arrive while the task runs, and the last of each before its end', async () => {
    // The test runner renames imports, so the function uses a local variable.
    const mine = task;
    const fn = capture(
      async () => {
        // An abort right after the publication must find the listener.
        const aborted = new Promise((resolve) => mine.signal.addEventListener('abort', resolve));
        mine.progress(0.1);
        mine.publish({ phase: 'warm', id: mine.msgId });
        await aborted;
        mine.publish({ phase: 'done' });
        mine.progress({ done: 3, total: 3 });
        return 'end';
      },
      { mine },
    );
    const id = submit(fn);
    await waitFor(() => published(id).some(({ phase }) => phase === 'warm'));
    expect(Object.assign({}, ...published(id))).toEqual({ progress: 0.1, phase: 'warm', id });
    await abort([id]);
    const { value, data } = await ended(id);
    expect(value).toBe('end');
    expect(Object.assign({}, ...data)).toEqual({ progress: { done: 3, total: 3 }, phase: 'done', id });
    expect(controller.published(id, 'data_message')[0]?.metadata).toEqual({ engine: engine.uuid });
    // The reply arrives on another socket; the task's `idle` is the last iopub message.
    const types = controller.published(id).map(({ msg_type: type }) => type);
    expect(types.at(-1)).toBe('status');
    expect(types.at(-2)).toBe('data_message');
  });

  test('a loop that never yields sends few messages while it runs', async () => {
    const fn = fromText(`() => {
      const since = performance.now();
      let calls = 0;
      while (calls < 10_000 || !ipyparallel.task.signal.aborted) ipyparallel.task.progress({ done: ++calls });
      return { calls, took: performance.now() - since };
    }`);
    const id = submit(fn);
    // The loop runs until the abort.
    await waitFor(() => published(id).length >= 2);
    await abort([id]);
    const { value, data } = await ended(id);
    const { calls, took } = value as { calls: number; took: number };
    // The first at once, one every 50 ms, and the last.
    expect(data.length).toBeLessThanOrEqual(2 + took / 50);
    expect(data.at(-1)).toEqual({ progress: { done: calls } });
  });

  test('works in execute; does nothing after the task has ended', async () => {
    const code =
      'const mine = ipyparallel.task; mine.publish({ a: 1 }); setTimeout(() => mine.publish({ late: 1 }), 30); mine.msgId';
    const id = controller.submit('mux', engine.uuid, 'execute_request', { code, silent: false });
    await controller.replyTo(id);
    const after = submit(
      fromText(
        'async () => { await new Promise((r) => setTimeout(r, 100)); return mine === ipyparallel.task }',
      ),
    );
    const { value, data } = await ended(after);
    expect(value).toBe(false);
    expect(data).toEqual([]);
    expect(published(id)).toEqual([{ a: 1 }]);
  });

  test('publish throws for data that cannot be sent', async () => {
    const evalue = async (fn: Fn) => (await apply(fn)).content.evalue;
    expect(await evalue(fromText('() => ipyparallel.task.publish({ f: () => 1 })'))).toMatch(
      /could not be cloned/,
    );
    expect(await evalue(fromText('() => ipyparallel.task.progress("half")'))).toMatch(
      /number between 0 and 1/,
    );
    expect(await evalue(fromText('() => ipyparallel.task.publish(5)'))).toMatch(/object of data/);
  });
});

describe('generators', () => {
  test.each([
    ['sync', 'function* (n) { for (let i = 0; i < n; i++) yield i * i }'],
    ['async', 'async function* (n) { for (let i = 0; i < n; i++) yield i * i }'],
    ['of promises', 'function* (n) { for (let i = 0; i < n; i++) yield Promise.resolve(i * i) }'],
    ['returned', '(n) => (function* () { for (let i = 0; i < n; i++) yield i * i })()'],
  ])(
    '%s: each value is published once and in order; the result is the list of values',
    async (_what, text) => {
      const { value, data } = await apply(fromText(text), 2500);
      const squares = Array.from({ length: 2500 }, (_, i) => i * i);
      expect(value).toEqual(squares);
      const parts = data.map((each) => partialResults(each));
      expect(parts.flatMap((part) => part?.values ?? [])).toEqual(squares);
      let from = 0;
      for (const part of parts) {
        expect(part?.from).toBe(from);
        from += part?.values.length ?? 0;
      }
    },
  );

  test('the return value is the result; later changes do not affect yielded values', async () => {
    const fn = fromText(
      'async function* () { const s = { n: 0 }; for (; s.n < 3; s.n++) yield s; return "sum" }',
    );
    const { value, data } = await apply(fn);
    expect(value).toBe('sum');
    expect(data.flatMap((each) => partialResults(each)?.values ?? [])).toEqual([
      { n: 0 },
      { n: 1 },
      { n: 2 },
    ]);
  });

  test('a value arrives while the generator runs; an error ends it', async () => {
    const fn = fromText(
      `async function* () { yield 1; ${prepare} await aborted; throw new RangeError("later") }`,
    );
    const id = submit(fn);
    await prepared(id);
    expect(published(id).flatMap((each) => partialResults(each)?.values ?? [])).toEqual([1]);
    await abort([id]);
    expect((await ended(id)).content).toMatchObject({ status: 'error', ename: 'RangeError' });
  });

  test('in a map, the result of each call is its list', async () => {
    const id = submit(fromText('function* (n) { for (let i = 0; i < n; i++) yield i }'), [[1, 3]], {
      each: true,
    });
    expect((await ended(id)).value).toEqual([[0], [0, 1, 2]]);
  });

  test('a value that cannot be sent fails the task and runs its finally block', async () => {
    const fn = fromText('function* () { try { yield () => 1 } finally { console.log("finally") } }');
    const { content, id } = await apply(fn);
    expect(content).toMatchObject({ status: 'error', ename: 'DataCloneError' });
    expect(controller.published(id, 'stream').map((each) => each.content.text)).toEqual(['finally\n']);
  });
});

describe('abort', () => {
  /** Waits until a task has begun; its code may not run yet. */
  const started = async (id: string): Promise<void> => {
    await waitFor(() => controller.published(id, 'status').length > 0);
  };

  test.each([
    [
      'throws its reason',
      `async () => { ${prepare} await aborted; ipyparallel.task.signal.throwIfAborted() }`,
    ],
    [
      'waits with it',
      'async () => { await require("node:timers/promises").setTimeout(1e6, null, { signal: ipyparallel.task.signal }) }',
    ],
    [
      'wraps its reason',
      `async () => { ${prepare} await aborted; throw new Error("gave up", { cause: ipyparallel.task.signal.reason }) }`,
    ],
    ['never yields and checks its signal', '() => { for (;;) ipyparallel.task.signal.throwIfAborted() }'],
    ['is a generator', 'function* () { for (;;) yield 1 }'],
  ])('a task that %s is aborted', async (_what, text) => {
    const id = submit(fromText(text));
    await (text.includes(prepare) ? prepared(id) : started(id));
    await abort([id]);
    const { content, reply } = await ended(id);
    expect(content).toMatchObject({ status: 'aborted', ename: 'TaskAborted' });
    expect(reply.metadata).toMatchObject({ status: 'aborted', engine: engine.uuid, dependencies_met: true });
    expect(controller.published(id, 'error')).toEqual([]);
    expect((await apply(() => 'next')).value).toBe('next');
  });

  test('a map ends between two calls', async () => {
    const items = Array.from({ length: 1000 }, (_, i) => i);
    const id = submit(fromText('() => new Promise((r) => setTimeout(r, 20))'), [items], { each: true });
    await started(id);
    await abort([id]);
    expect((await ended(id)).content.status).toBe('aborted');
  });

  test('an aborted task that returns has its result; one that throws another error has that error', async () => {
    const well = submit(fromText(`async () => { ${prepare} await aborted; return 'what there was' }`));
    await prepared(well);
    await abort([well]);
    expect((await ended(well)).value).toBe('what there was');
    const other = submit(fromText(`async () => { ${prepare} await aborted; throw new RangeError('other') }`));
    await prepared(other);
    await abort([other]);
    expect((await ended(other)).content).toMatchObject({ status: 'error', ename: 'RangeError' });
  });

  test('a task that ignores its signal runs until it is interrupted, and is then aborted', async () => {
    const id = submit(fromText('() => { for (;;); }'));
    await started(id);
    await abort([id]);
    const waiting = submit(() => 'after');
    expect(await controller.content('control', engine.uuid, 'interrupt_request', {})).toEqual({
      status: 'ok',
    });
    expect((await ended(id)).content).toMatchObject({ status: 'aborted' });
    expect((await ended(waiting)).value).toBe('after');
  });

  test('an abort of another task does not affect the running one; an old abort does not affect the next', async () => {
    using gate = new Gate();
    const id = submit(fromText(`async () => { ${gate.javascript} return ipyparallel.task.signal.aborted }`));
    await started(id);
    await abort(['somebody-else']);
    gate.open();
    expect((await ended(id)).value).toBe(false);
    await abort([id]);
    expect((await apply(fromText('() => ipyparallel.task.signal.aborted'))).value).toBe(false);
  });

  test('an interrupt ends a signal listener that never returns', async () => {
    const listens = (then: string): string =>
      `async () => { ipyparallel.task.signal.onabort = () => { ${then} }; ${ready} await new Promise((r) => setTimeout(r, 1e6)) }`;
    const id = submit(fromText(listens('for (;;);')));
    await prepared(id);
    await controller.content('control', engine.uuid, 'signal_request', { sig: 'SIGINT' });
    expect((await ended(id)).content).toMatchObject({ ename: 'KeyboardInterrupt' });
    const next = submit(() => 'next');
    await controller.content('control', engine.uuid, 'signal_request', { sig: 'SIGINT' });
    const { content, value } = await ended(next);
    // The interrupt ends the listener or the next task.
    expect(value ?? content.ename).toMatch(/next|KeyboardInterrupt/);
    expect((await apply(() => 'on')).value).toBe('on');
  });

  test('an interrupt aborts the signal, so that awaited work can end', async () => {
    const id = submit(
      fromText(
        `async () => { ipyparallel.task.signal.onabort = () => { globalThis.cleaned = ipyparallel.task.msgId === '' }; ${ready} await new Promise((r) => setTimeout(r, 1e6)) }`,
      ),
    );
    await prepared(id);
    await controller.content('control', engine.uuid, 'signal_request', { sig: 'SIGINT' });
    expect((await ended(id)).content).toMatchObject({ status: 'error', ename: 'KeyboardInterrupt' });
    expect((await apply(fromText('() => cleaned'))).value).toBe(true);
  });
});

test('errors include their fields, causes and nested errors', async () => {
  const fn = fromText(`() => {
    const missing = Object.assign(new Error('no file'), { code: 'ENOENT', path: '/x' });
    throw new AggregateError([missing, new TypeError('two'), 'text'], 'all failed', { cause: new RangeError('why') });
  }`);
  const { traceback, ...rest } = (await apply(fn)).content;
  expect(rest).toMatchObject({ ename: 'AggregateError', evalue: 'all failed' });
  const lines = (traceback as string[]).filter((line) => !/^\s+at /.test(line));
  expect(lines).toEqual([
    'AggregateError: all failed',
    'Error 1 of 3: Error: no file',
    "    with { code: 'ENOENT', path: '/x' }",
    'Error 2 of 3: TypeError: two',
    "Error 3 of 3: 'text'",
    'Caused by: RangeError: why',
  ]);
});
