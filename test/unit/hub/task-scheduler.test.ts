import {
  Dependency,
  parseDependency,
  SCHEMES,
  type Scheme,
  systemClock,
  TaskScheduler,
  type TaskSchedulerOptions,
} from '@ipyparallel-js/hub/internal';
import { type AnyMessage, type Dict, Session } from '@ipyparallel-js/protocol';
import { createLogger, RefusalCounter } from '@ipyparallel-js/wire';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

const clock = systemClock();
const key = 'a key';
const newSession = () => new Session({ key, now: clock.now });

/** A scheduler whose ports are arrays. */
class Bench {
  readonly sent: { engine: string; message: AnyMessage }[] = [];
  readonly replies: AnyMessage[] = [];
  readonly copies: string[] = [];
  readonly assigned: string[] = [];
  readonly refusals = new RefusalCounter(createLogger('silent', () => {}));
  readonly scheduler: TaskScheduler;
  readonly #client = newSession();
  readonly #engine = newSession();

  constructor(options: Partial<TaskSchedulerOptions> = {}) {
    const reader = newSession();
    this.scheduler = new TaskScheduler({
      session: newSession(),
      scheme: 'leastload',
      hwm: 1,
      strandedDelay: 1000,
      toEngine: ([engine, ...frames]) => {
        this.sent.push({ engine: String(engine), message: reader.decode(frames as Buffer[]) });
      },
      toClient: (frames) => {
        this.replies.push(reader.decode(frames as Buffer[]));
      },
      monitor: {
        taskRequest: () => this.copies.push('request'),
        taskReply: () => this.copies.push('reply'),
        taskAssigned: (msgId, engine) => this.assigned.push(`${msgId} ${engine}`),
      },
      refusals: this.refusals,
      log: createLogger('silent', () => {}),
      clock,
      ...options,
    });
  }

  submit(metadata: Dict = {}, msgType = 'apply_request'): string {
    const message = this.#client.rawMessage(msgType, {}, { metadata });
    this.scheduler.submit(this.#client.encode(message, ['client']));
    return message.msg_id;
  }

  /** Replies for an engine to the last request with this id. */
  reply(msgId: string, status: 'ok' | 'error' | 'aborted' = 'ok', metadata: Dict = {}): void {
    const task = this.sent.findLast(({ message }) => message.msg_id === msgId);
    if (task === undefined) throw new Error(`${msgId} was not sent`);
    const content = status === 'error' ? { status, ename: 'ValueError', evalue: 'x' } : { status };
    const reply = this.#engine.rawMessage('apply_reply', content, {
      parent: task.message.header,
      metadata: { status, engine: task.engine, dependencies_met: true, ...metadata },
    });
    this.scheduler.reply(this.#engine.encode(reply, [task.engine, 'client']));
  }

  engineOf(msgId: string): string | undefined {
    return this.sent.findLast(({ message }) => message.msg_id === msgId)?.engine;
  }

  enginesOf(msgId: string): string[] {
    return this.sent.filter(({ message }) => message.msg_id === msgId).map(({ engine }) => engine);
  }

  replyTo(msgId: string): Dict | undefined {
    return this.replies.find(({ parent_header }) => parent_header.msg_id === msgId)?.content;
  }
}

function bench(engines: readonly string[], options: Partial<TaskSchedulerOptions> = {}): Bench {
  const made = new Bench(options);
  for (const engine of engines) made.scheduler.addEngine(engine);
  return made;
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test('a result of a task that the scheduler never had is forwarded to its client and to the hub once', () => {
  const b = bench(['a']);
  const engine = newSession();
  const sendReply = (msgId: string): void => {
    const reply = engine.rawMessage('apply_reply', { status: 'ok' }, { parent: { msg_id: msgId } });
    b.scheduler.reply(engine.encode(reply, ['a', 'client']));
  };
  sendReply('of-a-previous-run');
  expect(b.replyTo('of-a-previous-run')).toEqual({ status: 'ok' });
  expect(b.copies).toEqual(['reply']);
  // A task that has ended here, or that another engine has, has a result or will have one.
  const id = b.submit();
  b.reply(id);
  sendReply(id);
  const other = newSession();
  const forged = new Session({ key: 'another', now: clock.now });
  b.scheduler.reply(
    forged.encode(forged.rawMessage('apply_reply', { status: 'ok' }, { parent: { msg_id: 'x' } }), [
      'a',
      'client',
    ]),
  );
  b.scheduler.reply(other.encode(other.rawMessage('apply_reply', { status: 'ok' }), ['a', 'client']));
  expect(b.replies).toHaveLength(2);
});

describe('placement of tasks', () => {
  test('each engine receives one task at a time, the longest unused engine first; other tasks wait', () => {
    const b = bench(['a', 'b']);
    const ids = [b.submit(), b.submit(), b.submit()];
    // The newest engine counts as the longest unused.
    expect(b.sent.map(({ engine }) => engine)).toEqual(['b', 'a']);
    b.reply(ids[1] as string);
    expect(b.engineOf(ids[2] as string)).toBe('a');
    expect(b.replies).toHaveLength(1);
    expect(b.assigned).toHaveLength(3);
    expect(b.copies).toEqual(['request', 'request', 'request', 'reply']);
  });

  test('tasks wait for the first engine', () => {
    const b = bench([]);
    const id = b.submit();
    expect(b.sent).toEqual([]);
    b.scheduler.addEngine('late');
    expect(b.engineOf(id)).toBe('late');
  });

  test('a high-water mark of 2 sends two tasks to one engine, and 0 sends any number', () => {
    const two = bench(['a'], { hwm: 2 });
    for (let i = 0; i < 5; i++) two.submit();
    expect(two.sent).toHaveLength(2);
    const any = bench(['a'], { hwm: 0 });
    for (let i = 0; i < 5; i++) any.submit();
    expect(any.sent).toHaveLength(5);
  });

  test('targets restrict the engines; without any of them the task fails at once', () => {
    const b = bench(['a', 'b']);
    expect(b.engineOf(b.submit({ targets: ['a'] }))).toBe('a');
    const second = b.submit({ targets: ['a'] });
    expect(b.engineOf(second)).toBeUndefined();
    const lost = b.submit({ targets: ['nobody'] });
    expect(b.replyTo(lost)).toMatchObject({
      status: 'error',
      ename: 'ImpossibleDependency',
      engine_info: {},
    });
    b.scheduler.removeEngine('a');
    expect(b.replyTo(second)).toMatchObject({ ename: 'ImpossibleDependency' });
  });

  test.each(Object.keys(SCHEMES))('scheme %s picks one of the offered engines', (name) => {
    const scheme: Scheme = SCHEMES[name as keyof typeof SCHEMES];
    for (const random of [() => 0, () => 0.5, () => 0.999999, () => 1, Math.random]) {
      const index = scheme([3, 0, 2], random);
      expect([0, 1, 2]).toContain(index);
    }
    expect(scheme([7], () => 0.5)).toBe(0);
  });

  test('leastload picks the least loaded engine, and the longest unused of several', () => {
    expect(SCHEMES.leastload([2, 1, 1])).toBe(1);
  });
});

describe('dependencies', () => {
  test('after waits for success by default, and fails if a dependency fails', () => {
    const b = bench(['a', 'b']);
    const first = b.submit();
    const second = b.submit({ after: [first] });
    const third = b.submit({ after: { dependencies: [second], all: true, success: true, failure: false } });
    expect(b.sent).toHaveLength(1);
    b.reply(first);
    expect(b.engineOf(second)).toBeDefined();
    b.reply(second, 'error');
    expect(b.replyTo(third)).toMatchObject({ ename: 'ImpossibleDependency' });
  });

  test('after with failure: true waits only for the end', () => {
    const b = bench(['a', 'b']);
    const first = b.submit();
    const second = b.submit({ after: { dependencies: [first], all: true, success: true, failure: true } });
    b.reply(first, 'error');
    expect(b.engineOf(second)).toBeDefined();
  });

  test('with all: false one dependency is enough, and only the failure of all fails the task', () => {
    const b = bench(['a', 'b', 'c']);
    const x = b.submit();
    const y = b.submit();
    const any = b.submit({ after: { dependencies: [x, y], all: false, success: true, failure: false } });
    b.reply(x, 'error');
    expect(b.replyTo(any)).toBeUndefined();
    b.reply(y);
    expect(b.engineOf(any)).toBeDefined();
  });

  test('follow sends the task to the engine of the other task, and waits for that engine', () => {
    const b = bench(['a', 'b']);
    const first = b.submit();
    const at = b.engineOf(first);
    const busy = b.submit({ follow: [first] });
    expect(b.engineOf(busy)).toBeUndefined();
    b.reply(first);
    expect(b.engineOf(busy)).toBe(at);
  });

  test('a task cannot follow tasks of two engines or of a removed engine', () => {
    const b = bench(['a', 'b']);
    const x = b.submit();
    const y = b.submit();
    const removedEngine = b.engineOf(x) as string;
    b.reply(x);
    b.reply(y);
    expect(b.replyTo(b.submit({ follow: [x, y] }))).toMatchObject({ ename: 'ImpossibleDependency' });
    b.scheduler.removeEngine(removedEngine);
    expect(b.replyTo(b.submit({ follow: [x] }))).toMatchObject({ ename: 'ImpossibleDependency' });
  });

  test('a dependency on the task itself, on an unknown task or of a wrong type is invalid', () => {
    const b = bench(['a']);
    for (const after of [['nobody'], [1], { dependencies: 7 }, { success: false, failure: false }]) {
      expect(b.replyTo(b.submit({ after }))).toMatchObject({ ename: 'InvalidDependency' });
    }
    expect(b.sent).toEqual([]);
  });

  test('a chain of 20,000 dependencies fails without a deep stack', () => {
    const b = bench(['a']);
    const first = b.submit();
    let last = first;
    for (let i = 0; i < 20_000; i++) last = b.submit({ after: [last] });
    b.reply(first, 'error');
    expect(b.replyTo(last)).toMatchObject({ ename: 'ImpossibleDependency' });
  });

  test('are read from lists, objects and null', () => {
    expect(parseDependency(null)).toBe(Dependency.NONE);
    expect(parseDependency(['x'])?.ids).toEqual(new Set(['x']));
    expect(parseDependency({ dependencies: ['x'], all: false })?.all).toBe(false);
    expect(parseDependency({ dependencies: ['x'] })?.failure).toBe(false);
    expect(parseDependency(3)).toBeUndefined();
  });
});

describe('a failing task', () => {
  test('is retried on other engines while retries remain, and the client receives only the last result', () => {
    const b = bench(['a', 'b', 'c']);
    const id = b.submit({ retries: 1 });
    b.reply(id, 'error');
    expect(b.replies).toEqual([]);
    b.reply(id, 'error');
    expect(new Set(b.enginesOf(id)).size).toBe(2);
    expect(b.replyTo(id)).toMatchObject({ ename: 'ValueError' });
  });

  test('ends with its own error after it failed on every engine, even with retries left', () => {
    const b = bench(['a', 'b']);
    const id = b.submit({ retries: 10 });
    b.reply(id, 'error');
    b.reply(id, 'error');
    expect(b.replyTo(id)).toMatchObject({ ename: 'ValueError' });
    expect(b.sent).toHaveLength(2);
  });

  test('with a timeout waits for a new engine after it failed on every engine', () => {
    const b = bench(['a']);
    const id = b.submit({ retries: 10, timeout: 2 });
    b.reply(id, 'error');
    vi.advanceTimersByTime(1000);
    expect(b.replies).toEqual([]);
    b.scheduler.addEngine('b');
    expect(b.enginesOf(id)).toEqual(['a', 'b']);
    b.reply(id, 'error');
    vi.advanceTimersByTime(2001);
    expect(b.replyTo(id)).toMatchObject({ ename: 'TaskTimeout' });
  });

  test('is sent elsewhere if an engine refuses its conditions, and is impossible when all refuse', () => {
    const b = bench(['a', 'b']);
    const id = b.submit();
    b.reply(id, 'error', { dependencies_met: false });
    b.reply(id, 'error', { dependencies_met: false });
    expect(new Set(b.enginesOf(id))).toEqual(new Set(['a', 'b']));
    expect(b.replyTo(id)).toMatchObject({ ename: 'ImpossibleDependency' });
  });

  test('is not retried after an abort', () => {
    const b = bench(['a', 'b']);
    const id = b.submit({ retries: 3 });
    b.reply(id, 'aborted');
    expect(b.replyTo(id)).toMatchObject({ status: 'aborted' });
    expect(b.sent).toHaveLength(1);
  });

  test('exceeds its queue time only while it is queued', () => {
    const b = bench(['a']);
    const running = b.submit({ timeout: 1 });
    const queued = b.submit({ timeout: 1 });
    vi.advanceTimersByTime(1500);
    expect(b.replyTo(running)).toBeUndefined();
    expect(b.replyTo(queued)).toMatchObject({ ename: 'TaskTimeout' });
  });

  test('ends with EngineError after its engine died and the time for its result is over', () => {
    const b = bench(['a', 'b']);
    const x = b.submit({ targets: ['a'] });
    const y = b.submit({ targets: ['b'] });
    b.scheduler.removeEngine('a');
    b.scheduler.removeEngine('b');
    b.reply(y);
    expect(b.replyTo(y)).toMatchObject({ status: 'ok' });
    vi.advanceTimersByTime(1001);
    expect(b.replyTo(x)).toMatchObject({ status: 'error', ename: 'EngineError', engine_info: {} });
    expect(b.replies.find(({ parent_header }) => parent_header.msg_id === x)?.metadata).toMatchObject({
      status: 'error',
      engine: 'a',
    });
    expect(b.replies).toHaveLength(2);
  });

  test('is retried on another engine after its engine died, if it has retries', () => {
    const b = bench(['a', 'b']);
    const id = b.submit({ targets: ['a', 'b'], retries: 1 });
    const first = b.engineOf(id) as string;
    b.scheduler.removeEngine(first);
    vi.advanceTimersByTime(1001);
    expect(b.enginesOf(id)).toHaveLength(2);
    b.reply(id);
    expect(b.replyTo(id)).toMatchObject({ status: 'ok' });
  });

  test('a returning engine may still reply to its task', () => {
    const b = bench(['a']);
    const before = b.submit();
    b.scheduler.removeEngine('a');
    b.scheduler.addEngine('a');
    const after = b.submit();
    expect(b.engineOf(after)).toBe('a');
    b.reply(before);
    b.reply(after);
    expect([b.replyTo(before), b.replyTo(after)]).toMatchObject([{ status: 'ok' }, { status: 'ok' }]);
    vi.advanceTimersByTime(5000);
    expect(b.replies).toHaveLength(2);
  });

  test('an execute_request receives an execute_reply', () => {
    const b = bench(['a']);
    const id = b.submit({ targets: ['nobody'] }, 'execute_request');
    expect(b.replies.find(({ parent_header }) => parent_header.msg_id === id)?.msg_type).toBe(
      'execute_reply',
    );
  });
});

describe('hostile input', () => {
  test('forged, repeated and malformed messages are counted and change nothing', () => {
    const b = bench(['a']);
    const stranger = new Session({ key: 'another key', now: clock.now });
    b.scheduler.submit(stranger.encode(stranger.rawMessage('apply_request', {}), ['client']));
    const client = newSession();
    const frames = client.encode(client.rawMessage('apply_request', {}), ['client']);
    b.scheduler.submit(frames);
    b.scheduler.submit(frames);
    b.scheduler.submit([Buffer.from('x')]);
    b.scheduler.reply([Buffer.from('a')]);
    expect(b.sent).toHaveLength(1);
    expect(Object.values(b.refusals.counts).reduce((sum, n) => sum + n, 0)).toBe(4);
  });

  test('a second task with the msg_id of a running task is refused', () => {
    const b = bench(['a', 'b']);
    const client = newSession();
    const message = client.rawMessage('apply_request', {});
    b.scheduler.submit(client.encode(message, ['client']));
    b.scheduler.submit(client.encode({ ...message, metadata: { other: 1 } }, ['client']));
    expect(b.sent).toHaveLength(1);
  });

  test('an engine cannot reply for another engine', () => {
    const b = bench(['a', 'b']);
    const id = b.submit({ targets: ['a'] });
    const engine = newSession();
    const reply = engine.rawMessage(
      'apply_reply',
      { status: 'ok' },
      {
        parent: b.sent[0]?.message.header ?? {},
        metadata: { status: 'ok' },
      },
    );
    b.scheduler.reply(engine.encode(reply, ['b', 'client']));
    expect(b.replyTo(id)).toBeUndefined();
  });

  test.each([
    { retries: -1 },
    { retries: 'many' },
    { timeout: -3 },
    { timeout: 1e300 },
    { targets: 'x' },
    { targets: [] },
    { after: null, follow: null },
  ])('a task with invalid or empty metadata %j runs', (metadata) => {
    const b = bench(['a']);
    expect(b.engineOf(b.submit(metadata))).toBe('a');
  });
});
