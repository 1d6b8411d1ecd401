import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Engine } from '@ipyparallel-js/engine';
import type { AnyMessage, Dict } from '@ipyparallel-js/protocol';
import { decodeJsResult, encodeJsCall } from '@ipyparallel-js/protocol/internal';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FakeController } from '../support/fakes/fake-controller.js';
import { Gate } from '../support/gate.js';
import { waitFor } from '../support/wait-for.js';

let controller: FakeController;
let engine: Engine;
let cwd: string;

beforeAll(async () => {
  cwd = realpathSync(mkdtempSync(join(tmpdir(), 'ippjs-code-')));
  writeFileSync(join(cwd, 'module.mjs'), 'export const answer = 42;');
  writeFileSync(join(cwd, 'module.cjs'), 'module.exports = { answer: 43 };');
  controller = await FakeController.start();
  const { connectionInfo } = controller;
  engine = await Engine.start({ connectionInfo, cwd, timeout: 60_000, log: () => {} });
});

afterAll(async () => {
  await engine.stop();
  controller.stop();
  rmSync(cwd, { recursive: true, force: true });
});

interface Ran {
  readonly id: string;
  readonly reply: AnyMessage;
  readonly content: Dict;
  readonly types: readonly string[];
  readonly stdout: string;
  readonly stderr: string;
  /** The result as `text/plain`. */
  readonly result: string | undefined;
}

/** Returns the text that a task has written to one stream so far. */
function outputOf(id: string, name: 'stdout' | 'stderr'): string {
  return controller
    .published(id, 'stream')
    .filter(({ content }) => content.name === name)
    .map(({ content }) => content.text)
    .join('');
}

async function finished(id: string): Promise<Ran> {
  const { message: reply } = await controller.replyTo(id);
  await waitFor(() =>
    controller.published(id, 'status').some(({ content }) => content.execution_state === 'idle'),
  );
  const [result] = controller.published(id, 'execute_result');
  return {
    id,
    reply,
    content: reply.content,
    types: controller.published(id).map(({ msg_type: type }) => type),
    stdout: outputOf(id, 'stdout'),
    stderr: outputOf(id, 'stderr'),
    result: (result?.content.data as Record<string, string> | undefined)?.['text/plain'],
  };
}

function submit(code: string, options: Dict = {}): string {
  return controller.submit('mux', engine.uuid, 'execute_request', { code, silent: false, ...options });
}

async function run(code: string, options: Dict = {}): Promise<Ran> {
  return await finished(submit(code, options));
}

function submitCall(fn: (...args: never[]) => unknown, ...args: unknown[]): string {
  const { content, buffers } = encodeJsCall(fn, args);
  return submitApply(content, buffers);
}

function submitApply(content: Dict, buffers: readonly Uint8Array[]): string {
  const message = controller.session.rawMessage('apply_request', content, { buffers });
  controller.sendFrames('mux', engine.uuid, controller.frames(message));
  return message.msg_id;
}

async function apply(
  fn: (...args: never[]) => unknown,
  ...args: unknown[]
): Promise<Ran & { value: unknown }> {
  const ran = await finished(submitCall(fn, ...args));
  const value = ran.content.status === 'ok' ? decodeJsResult(ran.content, ran.reply.buffers) : undefined;
  return { ...ran, value };
}

/** Waits until a task runs, as far as the engine knows. */
async function begun(id: string): Promise<void> {
  await waitFor(() => controller.published(id, 'status').length > 0, { what: `task ${id} to begin` });
}

/** Code that announces itself even if the code after it never yields, when output of the console waits. */
const ANNOUNCE = 'require("fs").writeSync(1, "announced");';

/** Waits until a task has run {@link ANNOUNCE}. An earlier interrupt ends the job, but not its later callbacks. */
async function announced(id: string): Promise<void> {
  await waitFor(() => outputOf(id, 'stdout') === 'announced', { what: `task ${id} to announce its code` });
}

/** Waits until all tasks that were sent on a channel have arrived: the engine replies to this request at once. */
async function arrived(channel: string): Promise<void> {
  await controller.content(channel, engine.uuid, 'kernel_info_request', {});
}

async function interrupt(id: string): Promise<Ran> {
  const reply = await controller.content('control', engine.uuid, 'signal_request', { sig: 'SIGINT' });
  expect(reply).toEqual({ status: 'ok' });
  return await finished(id);
}

describe('execute', () => {
  test('declarations persist and may be repeated', async () => {
    await run(
      'const one = 1; let two = 2; var three = 3; function four() { return one + three } class Five {}',
    );
    expect((await run('[one, two, three, four(), typeof Five]')).result).toBe("[ 1, 2, 3, 4, 'function' ]");
    expect(
      (await run('const one = 10; let two = 20; class Five { x = 5 }; four() + new Five().x')).result,
    ).toBe('18');
  });

  test('top-level await works', async () => {
    expect((await run('const late = await new Promise((r) => setTimeout(r, 5, "late")); late')).result).toBe(
      "'late'",
    );
    expect((await run('late.length')).result).toBe('4');
    expect((await run('for await (const x of [Promise.resolve(1)]) { x }')).content.status).toBe('ok');
  });

  test('the last expression is the result; undefined is none', async () => {
    expect((await run('1; 2; 3')).result).toBe('3');
    expect((await run('null')).result).toBe('null');
    expect((await run('Symbol("s")')).result).toBe('Symbol(s)');
    expect((await run('10n ** 20n')).result).toBe('100000000000000000000n');
    expect((await run('[-0, NaN]; NaN')).result).toBe('NaN');
    expect((await run('({ m: new Map([[1, { deep: [{}] }]]) })')).result).toBe(
      '{ m: Map(1) { 1 => { deep: [Array] } } }',
    );
    const none = await run('undefined');
    expect(none.types).toEqual(['status', 'execute_input', 'status']);
  });

  test('silent code publishes only output and does not increase the count', async () => {
    const before = (await run('0')).content.execution_count;
    const silent = await run('console.log("said"); 5', { silent: true });
    expect(silent.types).toEqual(['status', 'stream', 'status']);
    expect(silent.content).toEqual({
      status: 'ok',
      execution_count: before,
      user_expressions: {},
      payload: [],
    });
    expect((await run('0')).content.execution_count).toBe(Number(before) + 1);
  });

  test('require and import work relative to the working directory', async () => {
    expect((await run('(await import("./module.mjs")).answer')).result).toBe('42');
    expect((await run('require("./module.cjs").answer')).result).toBe('43');
    expect((await run('process.cwd()')).result).toBe(`'${cwd}'`);
    expect((await run('require("node:path").sep')).result).toBe("'/'");
    expect((await run('(await import("./missing.mjs"))')).content).toMatchObject({
      status: 'error',
      ename: 'Error',
    });
    await run('process.chdir("/")');
    expect((await run('require("./module.cjs").answer')).content.status).toBe('error');
    await run(`process.chdir(${JSON.stringify(cwd)})`);
  });

  test('errors have a name, a message and a stack without frames of the engine', async () => {
    const { content, types } = await run('function outer() { throw new RangeError("far") }\nouter()');
    const script = `execute-${content.execution_count}.js`;
    const traceback = ['RangeError: far', `    at outer (${script}:1:26)`, `    at ${script}:2:1`];
    expect(content).toEqual({
      status: 'error',
      ename: 'RangeError',
      evalue: 'far',
      traceback,
      engine_info: { engine_uuid: engine.uuid, engine_id: engine.id, method: 'execute' },
      execution_count: content.execution_count,
      user_expressions: {},
      payload: [],
    });
    expect(types).toEqual(['status', 'execute_input', 'error', 'status']);
  });

  test('rejections, syntax errors and thrown values that are not errors are reported', async () => {
    expect((await run('await Promise.reject(new TypeError("no"))')).content).toMatchObject({
      ename: 'TypeError',
      evalue: 'no',
    });
    const syntax = await run('let q = ;');
    expect(syntax.content).toMatchObject({ ename: 'SyntaxError', evalue: "Unexpected token ';'" });
    expect(syntax.content.traceback).toContainEqual(expect.stringMatching(/at execute-\d+\.js:1:9/));
    expect((await run('throw { why: 1 }')).content).toMatchObject({ ename: 'Thrown', evalue: '{ why: 1 }' });
    expect((await run('throw undefined')).content).toMatchObject({ ename: 'Thrown', evalue: 'undefined' });
    expect(
      (await run('({ [require("util").inspect.custom]() { throw new Error("shy") } })')).content,
    ).toMatchObject({
      status: 'error',
      evalue: 'shy',
    });
  });

  test('user_expressions are evaluated after the code, each with its own result or error', async () => {
    const { content } = await run('const base = 40', {
      user_expressions: { sum: 'base + 2', late: 'await base', bad: 'nowhere' },
    });
    expect(content.user_expressions).toMatchObject({
      sum: { status: 'ok', data: { 'text/plain': '42' }, metadata: {} },
      late: { status: 'ok', data: { 'text/plain': '40' } },
      bad: { status: 'error', ename: 'ReferenceError', evalue: 'nowhere is not defined' },
    });
  });

  test('tasks of all sockets run one at a time, in the order of their arrival', async () => {
    using gate = new Gate();
    const slow = submit(`globalThis.order = []; ${gate.javascript} order.push("slow")`);
    await begun(slow);
    const channels = ['task', 'leaf-0', 'mux'];
    const others = channels.map((channel) =>
      controller.submit(channel, engine.uuid, 'execute_request', {
        code: `order.push("${channel}")`,
        silent: false,
      }),
    );
    for (const channel of channels) await arrived(channel);
    gate.open();
    for (const id of [slow, ...others]) await finished(id);
    expect((await run('order.length')).result).toBe('4');
    expect((await run('order[0]')).result).toBe("'slow'");
  });
});

describe('output', () => {
  test('console and streams are published before the reply', async () => {
    const { stdout, stderr } = await run(
      'console.log("a", { b: 1 }); console.error("c"); console.warn("d"); console.info("e"); process.stdout.write("f"); process.stderr.write(Buffer.from("é"))',
    );
    expect(stdout).toBe('a { b: 1 }\ne\nf');
    expect(stderr).toBe('c\nd\né');
  });

  test('is batched and sent while the code runs', async () => {
    const id = submit(
      'const since = Date.now(); for (let i = 0; i < 100; i++) console.log(i); console.log("took", Date.now() - since); await new Promise((r) => setTimeout(r, 1e6))',
    );
    const text = () => outputOf(id, 'stdout');
    await waitFor(() => text().includes('took'));
    const [, took] = /took (\d+)/.exec(text()) ?? [];
    expect(text().split('\n').slice(0, 100)).toEqual(Array.from({ length: 100 }, (_, i) => String(i)));
    // The engine sends at most one message every 50 ms, and one after the last line.
    const messages = controller.published(id, 'stream').length;
    expect(messages).toBeLessThanOrEqual(Math.min(50, 2 + Number(took) / 50));
    await interrupt(id);
    const busy = submit(
      'for (;;) { console.log("still"); const end = Date.now() + 10; while (Date.now() < end); }',
    );
    await waitFor(() => controller.published(busy, 'stream').length > 1);
    await interrupt(busy);
  });

  test('includes output of native code and child processes', async () => {
    const { stdout, stderr } = await run(
      'require("fs").writeSync(1, "raw\\n"); require("child_process").execSync("echo child; echo oops >&2", { stdio: "inherit" })',
    );
    expect(stdout).toBe('raw\nchild\n');
    expect(stderr).toBe('oops\n');
  });

  test('accepts callbacks and characters that are split across writes', async () => {
    const { stdout, result } = await run(
      'await new Promise((r) => process.stdout.write("x", "utf8", r)); const e = Buffer.from("€"); process.stdout.write(e.subarray(0, 1)); process.stdout.write(e.subarray(1)); process.stdout.write("3d", "hex")',
    );
    expect(stdout).toBe('x€=');
    expect(result).toBe('true');
  });

  test('text that UTF-8 cannot encode is made well-formed', async () => {
    expect((await run('console.log("\\ud800"); 1')).stdout).toBe('\ufffd\n');
  });

  test('later failures are printed on stderr and have no other effect', async () => {
    await run(
      'var first = 1; setTimeout(() => { throw new Error("later") }, 1); Promise.reject(new Error("unseen")); 0',
    );
    const { stderr } = await run('await new Promise((r) => setTimeout(r, 30)); first');
    const all = controller.received
      .filter(({ message }) => message.msg_type === 'stream')
      .map(({ message }) => message.content.text)
      .join('');
    expect(all).toContain('Uncaught exception: Error: later');
    expect(all).toContain('Unhandled rejection: Error: unseen');
    expect(stderr).not.toContain('node:');
  });
});

describe('apply', () => {
  test('arguments and results keep their types', async () => {
    expect((await apply((n: number) => n * n, 12)).value).toBe(144);
    const map = new Map<string, unknown>([['k', new Set([1n, new Date(0)])]]);
    expect((await apply((m: unknown) => m, map)).value).toEqual(map);
    expect((await apply((b: Uint8Array) => b.length, new Uint8Array(100_000))).value).toBe(100_000);
    expect((await apply(() => undefined)).value).toBe(undefined);
    expect((await apply(async (s: string) => s.toUpperCase(), 'later')).value).toBe('LATER');
  });

  test('runs in the same context as execute', async () => {
    await run('const shared = 7; let counter = 0');
    const { content, buffers } = encodeJsCall(() => 0, []);
    const source = '() => { counter += shared; return counter; }';
    const ran = await finished(submitApply({ ...content, source }, buffers));
    expect(decodeJsResult(ran.content, ran.reply.buffers)).toBe(7);
    expect((await run('counter')).result).toBe('7');
  });

  test('functions that a build tool has wrapped, and methods, run', async () => {
    const content = {
      language: 'javascript',
      source: '() => { const f = __name(() => 5, "five"); return f.name + f() }',
      name: '',
    };
    const { content: encoded, buffers } = encodeJsCall(() => 0, []);
    const ran = await finished(submitApply({ ...encoded, ...content }, buffers));
    expect(decodeJsResult(ran.content, ran.reply.buffers)).toBe('five5');
    const object = {
      double(n: number) {
        return n * 2;
      },
    };
    expect((await apply(object.double, 4)).value).toBe(8);
  });

  test('output goes to the streams, and imports work', async () => {
    // The function is sent as text, because the test runner rewrites imports.
    const source = `async () => { console.log('from apply'); return (await import('./module.mjs')).answer }`;
    const { content, buffers } = encodeJsCall(() => 0, []);
    const ran = await finished(submitApply({ ...content, source }, buffers));
    expect(decodeJsResult(ran.content, ran.reply.buffers)).toBe(42);
    expect(ran.stdout).toBe('from apply\n');
    expect(ran.types).toEqual(['status', 'stream', 'status']);
  });

  test('failures name the function', async () => {
    const { content, reply, types } = await apply(function broken() {
      throw new TypeError('bad');
    });
    expect(content).toEqual({
      status: 'error',
      ename: 'TypeError',
      evalue: 'bad',
      traceback: ['TypeError: bad', expect.stringMatching(/^ {4}at broken \(apply-\d+-broken\.js:/)],
      engine_info: { engine_uuid: engine.uuid, engine_id: engine.id, method: 'apply' },
    });
    expect(reply.metadata.engine_info).toEqual({ engine_uuid: engine.uuid, engine_id: engine.id });
    expect(types).toEqual(['status', 'error', 'status']);
    expect((await apply(async () => Promise.reject(new RangeError('far')))).content).toMatchObject({
      ename: 'RangeError',
    });
  });

  test('a result that cannot be encoded is an error that shows it', async () => {
    expect((await apply(() => () => 1)).content).toMatchObject({
      status: 'error',
      ename: 'UsageError',
      evalue: expect.stringMatching(/the result cannot be sent.*\(\) ?=> ?1/),
    });
  });

  test('an unmet dependency is reported to the scheduler', async () => {
    const { reply } = await apply(() => {
      throw Object.assign(new Error('not here'), { name: 'UnmetDependency' });
    });
    expect(reply.metadata).toMatchObject({ dependencies_met: false, status: 'error' });
  });

  test('a Python call is refused without unpickling', async () => {
    const pickle = Buffer.from("cos\nsystem\n(S'touch /tmp/pwned'\ntR.");
    expect((await finished(submitApply({}, [pickle, pickle]))).content).toMatchObject({
      status: 'error',
      ename: 'LanguageMismatchError',
      evalue: expect.stringContaining('send it to a Python engine'),
    });
  });

  test.each([
    ['no function', { source: '5' }],
    ['a syntax error', { source: '() => {' }],
    ['no digests', { buffer_digests: [] }],
    ['a digest of other content', { buffer_digests: ['0'.repeat(64)] }],
    ['no source', { source: 7 }],
  ])('%s is an error', async (_what, change) => {
    const { content, buffers } = encodeJsCall(() => 0, []);
    const ran = await finished(submitApply({ ...content, ...change }, buffers));
    expect(ran.content.status).toBe('error');
  });
});

describe('control', () => {
  test.each([
    ['a loop', `${ANNOUNCE} for (;;);`],
    ['a loop after an await', `await null; ${ANNOUNCE} for (;;);`],
    ['a loop of awaits', `${ANNOUNCE} for (;;) await null`],
    [
      'a loop in a callback',
      `setTimeout(() => { ${ANNOUNCE} for (;;); }, 1); await new Promise((r) => setTimeout(r, 1e6))`,
    ],
    ['a loop that catches everything', `${ANNOUNCE} for (;;) { try { for (;;); } catch {} finally { 1; } }`],
    ['a wait', `${ANNOUNCE} await new Promise((r) => setTimeout(r, 1e6))`],
    ['a regular expression', `${ANNOUNCE} /(a+)+b/.test("a".repeat(40))`],
    ['a blocking wait', `${ANNOUNCE} Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)`],
  ])('SIGINT interrupts %s and keeps the context', async (_what, code) => {
    await run('const kept = "kept"');
    const id = submit(code);
    await announced(id);
    const { kernelPid } = engine;
    const { content } = await interrupt(id);
    expect(content).toMatchObject({ status: 'error', ename: 'KeyboardInterrupt' });
    expect((await run('kept')).result).toBe("'kept'");
    expect((await run('await new Promise((r) => setTimeout(r, 5, "timers run"))')).result).toBe(
      "'timers run'",
    );
    expect(engine.kernelPid).toBe(kernelPid);
  });

  test.each(['await new Promise((r) => setTimeout(r, 1e6))', 'for (;;);', 'for (;;) await null'])(
    'SIGINT reaches a kernel that does not run at that moment: %s',
    async (code) => {
      for (let i = 0; i < 3; i++) {
        process.kill(engine.kernelPid, 'SIGSTOP');
        const id = submit(code);
        await begun(id);
        // The kernel receives the task and the interrupt together, in either order.
        const reply = await controller.content('control', engine.uuid, 'signal_request', { sig: 'SIGINT' });
        expect(reply).toEqual({ status: 'ok' });
        process.kill(engine.kernelPid, 'SIGCONT');
        expect((await finished(id)).content).toMatchObject({ ename: 'KeyboardInterrupt' });
        expect((await run('"next"')).result).toBe("'next'");
      }
    },
  );

  test('an interrupted apply fails, and the next task runs', async () => {
    const id = submitCall(() => {
      for (;;);
    });
    const next = submit('"next"');
    await begun(id);
    expect((await interrupt(id)).content).toMatchObject({
      ename: 'KeyboardInterrupt',
      engine_info: { method: 'apply' },
    });
    expect((await finished(next)).result).toBe("'next'");
  });

  test('many interrupts without a running task do not affect the next task', async () => {
    const signals = Array.from({ length: 5 }, () =>
      controller.content('control', engine.uuid, 'signal_request', { sig: 2 }),
    );
    // The engine has then sent the interrupts to the kernel, which may not have handled them yet.
    for (const signal of signals) expect(await signal).toEqual({ status: 'ok' });
    const results = await Promise.all(Array.from({ length: 5 }, () => run('await 1')));
    expect(results.map(({ content }) => content.status)).toEqual(['ok', 'ok', 'ok', 'ok', 'ok']);
  });

  test.each([
    ['a timer', 'als.run("leak", () => setTimeout(loop, 1)); await new Promise((r) => setTimeout(r, 1e6))'],
    ['an async function', 'await als.run("leak", async () => { await null; loop(); })'],
    ['an await', 'await null; loop();'],
    ['a tick', 'als.run("leak", () => process.nextTick(loop)); await new Promise((r) => setTimeout(r, 1e6))'],
    [
      'a callback of the file system',
      'als.run("leak", () => require("fs").stat("/", loop)); await new Promise((r) => setTimeout(r, 1e6))',
    ],
  ])('AsyncLocalStorage works after an interrupt of a loop in %s', async (_what, code) => {
    await run(`var loop = () => { ${ANNOUNCE} for (;;); }`);
    await run('var als = new (require("node:async_hooks").AsyncLocalStorage)(); als.run(1, () => {})');
    const id = submit(code);
    await announced(id);
    await interrupt(id);
    expect(
      (await run('await new Promise((r) => setTimeout(() => r(als.getStore()), 5))')).types,
    ).not.toContain('execute_result');
    expect((await run('als.run("inner", () => als.getStore())')).result).toBe("'inner'");
  });

  test('abort replies to queued tasks at once, by id or all of them', async () => {
    const running = submit('await new Promise((r) => setTimeout(r, 1e6))');
    const [first, second, third] = [submit('1'), submit('2'), submit('3')] as const;
    await begun(running);
    await arrived('mux');
    const abort = (msgIds: unknown) =>
      controller.content('control', engine.uuid, 'abort_request', { msg_ids: msgIds });
    expect(await abort([second])).toEqual({ status: 'ok' });
    const { message } = await controller.replyTo(second);
    expect(message.content).toEqual({ status: 'aborted' });
    expect(message.msg_type).toBe('execute_reply');
    expect(message.metadata).toMatchObject({
      status: 'aborted',
      engine: engine.uuid,
      dependencies_met: true,
    });
    await abort(null);
    for (const id of [first, third]) {
      expect((await controller.replyTo(id)).message.content).toEqual({ status: 'aborted' });
    }
    // An abort of all tasks includes the running task, which ignores its signal.
    expect((await interrupt(running)).content).toMatchObject({ status: 'aborted', ename: 'TaskAborted' });
    expect((await run('4')).result).toBe('4');
  });

  test('clear creates a new context and keeps the count', async () => {
    const before = Number((await run('const gone = 1; globalThis.also = 2; 0')).content.execution_count);
    const { kernelPid } = engine;
    expect(await controller.content('control', engine.uuid, 'clear_request', {})).toEqual({ status: 'ok' });
    expect(engine.kernelPid).not.toBe(kernelPid);
    const { result, content } = await run('[typeof gone, typeof also]');
    expect(result).toBe("[ 'undefined', 'undefined' ]");
    expect(content.execution_count).toBe(before + 1);
  });

  test('clear waits for the running task and precedes queued tasks', async () => {
    await run('var mark = 1');
    using gate = new Gate();
    const running = submit(`${gate.javascript} mark`);
    const waiting = submit('typeof mark');
    await begun(running);
    const clear = controller.submit('control', engine.uuid, 'clear_request', {});
    await begun(clear);
    gate.open();
    expect((await finished(running)).result).toBe('1');
    expect((await finished(waiting)).result).toBe("'undefined'");
    expect((await controller.replyTo(clear)).message.content).toEqual({ status: 'ok' });
  });

  test('kernel_info_request returns the language and the version', async () => {
    const content = await controller.content('control', engine.uuid, 'kernel_info_request', {});
    expect(content).toMatchObject({
      status: 'ok',
      implementation: 'ipyparallel-js',
      language_info: { name: 'javascript', version: process.version.slice(1), file_extension: '.js' },
    });
  });
});
