import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  HeartMonitor,
  packBatch,
  parseCommandLine,
  RateLimit,
  resolveControllerOptions,
  systemClock,
  unpackBatch,
  usage,
  VERSION,
} from '@ipyparallel-js/hub/internal';
import { UsageError } from '@ipyparallel-js/protocol';
import { BoundedSet } from '@ipyparallel-js/protocol/internal';
import { createLogger, Fifo, RefusalCounter } from '@ipyparallel-js/wire';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

test('the version equals the version in package.json', () => {
  const file = new URL('../../../packages/hub/package.json', import.meta.url);
  expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ version: VERSION });
});

test('a batch returns every frame, empty frames included', () => {
  const items = [
    { kind: 1, frames: [Buffer.from('a'), Buffer.alloc(0), Buffer.from([0, 255])] },
    { kind: 9, frames: [] },
    { kind: 7, frames: [Buffer.alloc(70_000, 3)] },
  ];
  const unpacked = [...unpackBatch(packBatch(items))];
  expect(unpacked).toEqual(items);
  expect([...unpackBatch(packBatch([]))]).toEqual([]);
});

test('a bounded set removes its oldest entry', () => {
  const set = new BoundedSet(2);
  for (const member of ['a', 'b', 'a', 'c']) set.add(member);
  expect([...set]).toEqual(['a', 'c']);
});

test('a bounded set removes the oldest remaining entry after deletions and repeated additions', () => {
  const set = new BoundedSet(3);
  let expected: string[] = [];
  for (let i = 0; i < 2_000; i++) {
    const member = String((i * 7919) % 11);
    if (i % 5 === 4) {
      expect(set.delete(member)).toBe(expected.includes(member));
      expected = expected.filter((each) => each !== member);
    } else {
      set.add(member);
      expected = [...expected.filter((each) => each !== member), member].slice(-3);
    }
    expect([...set]).toEqual(expected);
  }
  for (const member of expected) set.delete(member);
  for (const member of ['a', 'b', 'c', 'd']) set.add(member);
  expect([...set]).toEqual(['b', 'c', 'd']);
});

test('a queue returns items in the order of arrival', () => {
  const queue = new Fifo<number>();
  queue.push(1);
  queue.push(2);
  expect(queue.shift()).toBe(1);
  queue.push(3);
  expect([queue.shift(), queue.shift(), queue.shift()]).toEqual([2, 3, undefined]);
});

test('a rate limit allows a burst, then one per interval', () => {
  let now = 0;
  const limit = new RateLimit(3, 100, () => now);
  const allowed = () => Array.from({ length: 5 }, () => limit.allow()).filter(Boolean).length;
  expect(allowed()).toBe(3);
  now = 250;
  expect(allowed()).toBe(2);
  now = 10_000;
  expect(allowed()).toBe(3);
});

test('refused messages are counted, and logged once', () => {
  const lines: string[] = [];
  const refusals = new RefusalCounter(createLogger('warn', (_level, line) => lines.push(line)));
  for (let i = 0; i < 100; i++) refusals.count('a reason', 'the\nfirst');
  expect(refusals.counts).toEqual({ 'a reason': 100 });
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(/^refused: a reason \(the first\); [^\n]*$/);
});

test('the clock has six digits and agrees with Date', () => {
  const text = systemClock().wireNow();
  expect(text).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  expect(Math.abs(Date.parse(text) - Date.now())).toBeLessThan(10_000);
});

describe('heartbeats', () => {
  let pings: string[];
  let events: string[];
  let monitor: HeartMonitor;

  beforeEach(() => {
    vi.useFakeTimers();
    pings = [];
    events = [];
    monitor = new HeartMonitor({
      period: 1000,
      maxMisses: 2,
      ping: (payload) => pings.push(payload),
      onNewHeart: (uuid) => events.push(`new ${uuid}`),
      onStoppedHeart: (uuid) => events.push(`stopped ${uuid}`),
    });
    monitor.start();
  });
  afterEach(() => {
    monitor.stop();
    vi.useRealTimers();
  });
  const sendPong = (uuid: string) => monitor.handlePong(uuid, pings.at(-1) ?? '');

  test('an awaited engine counts as new at its first reply, and receives pings more often until then', () => {
    monitor.awaitHeart('a');
    vi.advanceTimersByTime(350);
    expect(pings.length).toBeGreaterThanOrEqual(3);
    sendPong('a');
    expect(events).toEqual(['new a']);
    const before = pings.length;
    vi.advanceTimersByTime(500);
    expect(pings.length).toBe(before);
  });

  test('an engine that is not awaited never counts as new', () => {
    vi.advanceTimersByTime(1000);
    sendPong('stranger');
    vi.advanceTimersByTime(10_000);
    expect(events).toEqual([]);
  });

  test('an engine stops after more consecutive misses than allowed; a late reply counts', () => {
    monitor.awaitHeart('a');
    vi.advanceTimersByTime(100);
    sendPong('a');
    vi.advanceTimersByTime(3000);
    expect(events).toEqual(['new a']);
    monitor.handlePong('a', pings.at(-2) ?? '');
    monitor.handlePong('a', 'nonsense');
    vi.advanceTimersByTime(2000);
    expect(events).toEqual(['new a']);
    vi.advanceTimersByTime(2000);
    expect(events).toEqual(['new a', 'stopped a']);
    vi.advanceTimersByTime(10_000);
    expect(events).toHaveLength(2);
  });
});

describe('the command line', () => {
  test('accepts both forms of arguments, an empty cluster id, and the long names of ipcontroller', () => {
    const { options, ignoredArguments } = parseCommandLine([
      ...['--profile-dir', '/p', '--cluster-id', '', '--log-level=10', '--ping=250', '--dictdb', '--ip=*'],
      ...['--TaskScheduler.hwm=0', '--ports=10101-10103,9000', '--scheme', 'lru', '--location=here'],
    ]);
    expect(options).toEqual({
      ...{ profileDir: '/p', clusterId: '', logLevel: 'debug', hbPeriod: 250, db: 'memory', ip: '*', hwm: 0 },
      ...{ ports: [10101, 10102, 10103, 9000], taskScheme: 'lru', location: 'here' },
    });
    expect(ignoredArguments).toEqual([]);
  });

  test('ignores unknown arguments and reports them', () => {
    const { options, ignoredArguments } = parseCommandLine([
      ...['--usethreads', '--Hub.something=3', '--log-url', 'tcp://x:1', '--nodb', '--record-limit=5'],
    ]);
    expect(ignoredArguments).toEqual(['--usethreads', '--Hub.something=3', '--log-url tcp://x:1']);
    expect(options.db).toBe('none');
  });

  test.each([
    [['--ping=often'], '--ping must be a number, got "often"'],
    [['--scheme=best'], '--scheme must be one of leastload'],
    [['--sqlite-synchronous=off'], 'must be normal or full'],
    [['--hwm'], '--hwm requires a value'],
    [['--sqlitdb'], 'unknown argument --sqlitdb, did you mean "sqlitedb"?'],
    [['profile=default'], 'unexpected argument "profile=default"'],
    [['--packer=pickle'], '--packer must be json or msgpack'],
  ])('refuses %j', (argv, message) => {
    expect(() => parseCommandLine(argv)).toThrow(message);
  });

  test('the help text lists every argument', () => {
    expect(parseCommandLine(['--help-all']).print).toBe('help');
    expect(parseCommandLine(['--version']).print).toBe('version');
    expect(usage()).toContain('--cluster-id=ID');
  });
});

describe('options', () => {
  test('have defaults, and read the environment variables of ipyparallel', () => {
    const directory = '/profiles/one';
    const resolved = resolveControllerOptions(
      {},
      { IPP_PROFILE_DIR: directory, IPP_CLUSTER_ID: 'c', IPP_SESSION_KEY: 'k' },
    );
    expect(resolved).toMatchObject({
      ...{ securityDir: join(directory, 'security'), clusterId: 'c', key: 'k', ip: '127.0.0.1', hwm: 1 },
      ...{
        hbPeriod: 3000,
        maxHeartbeatMisses: 10,
        db: { type: 'memory' },
        taskScheme: 'leastload',
        pack: 'json',
      },
    });
    const named = resolveControllerOptions(
      { profile: 'x', clusterId: '' },
      { IPYTHONDIR: '/ipy', IPP_CLUSTER_ID: 'c' },
    );
    expect(named).toMatchObject({ securityDir: '/ipy/profile_x/security', clusterId: '' });
  });

  test('include CURVE keys and no signing key under CURVE', () => {
    const resolved = resolveControllerOptions({}, { IPP_ENABLE_CURVE: '1', IPP_SESSION_KEY: 'k' });
    expect(resolved.key).toBe('');
    expect(resolved.curve?.publicKey).toHaveLength(40);
  });

  test.each([
    [{ clusterId: '../x' }, 'clusterId'],
    [{ hbPeriod: 0 }, 'hbPeriod'],
    [{ ports: [70_000] }, 'ports'],
    [{ hwm: -1 }, 'hwm'],
  ])('refuses %j', (options, message) => {
    expect(() => resolveControllerOptions(options, {})).toThrow(UsageError);
    expect(() => resolveControllerOptions(options, {})).toThrow(message);
  });
});
