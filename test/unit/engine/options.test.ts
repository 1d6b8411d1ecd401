import { homedir, hostname } from 'node:os';
import { resolve } from 'node:path';
import { parseEngineArguments, resolveEngineOptions } from '@ipyparallel-js/engine/internal';
import { UsageError } from '@ipyparallel-js/protocol';
import { parseLogLevel, reachableInterface, startDeadline, thisMachine } from '@ipyparallel-js/wire';
import { describe, expect, test } from 'vitest';

describe('the source of the connection information', () => {
  const source = (options: Parameters<typeof resolveEngineOptions>[0], env: NodeJS.ProcessEnv = {}) =>
    resolveEngineOptions(options, env).source;

  test.each([
    [{}, {}, `${homedir()}/.ipython/profile_default/security/ipcontroller-engine.json`],
    [{ profile: 'p' }, { IPYTHONDIR: '/i' }, '/i/profile_p/security/ipcontroller-engine.json'],
    [{ ipythonDir: '/j' }, { IPYTHONDIR: '/i' }, '/j/profile_default/security/ipcontroller-engine.json'],
    [{}, { IPP_PROFILE_DIR: '/d', IPP_CLUSTER_ID: 'c' }, '/d/security/ipcontroller-c-engine.json'],
    [
      { clusterId: '' },
      { IPP_PROFILE_DIR: '/d', IPP_CLUSTER_ID: 'c' },
      '/d/security/ipcontroller-engine.json',
    ],
    [{ profileDir: '/e' }, { IPP_PROFILE_DIR: '/d' }, '/e/security/ipcontroller-engine.json'],
    [
      { profile: 'p', ipythonDir: '/i' },
      { IPP_PROFILE_DIR: '/d' },
      '/i/profile_p/security/ipcontroller-engine.json',
    ],
    [{ connectionFile: 'f.json' }, { IPP_CONNECTION_INFO: '{}' }, resolve('f.json')],
  ])('%j with %j is %s', (options, env, path) => {
    expect(source(options, env)).toMatchObject({ kind: 'file', place: { path } });
  });

  test('$IPP_CONNECTION_INFO contains the information', () => {
    expect(source({}, { IPP_CONNECTION_INFO: '{"a":1}', IPP_PROFILE_DIR: '/d' })).toMatchObject({
      kind: 'text',
      text: '{"a":1}',
    });
  });
});

test.each([
  { id: -1 },
  { id: 1.5 },
  { timeout: 0 },
  { timeout: Number.NaN },
  { maxHeartbeatMisses: -1 },
  { parentPid: 0 },
])('invalid options throw UsageError: %j', (options) => {
  expect(() => resolveEngineOptions(options, {})).toThrow(UsageError);
});

test('parses both spellings of options', () => {
  expect(
    parseEngineArguments([
      '--file=/f',
      '--id',
      '3',
      '--timeout',
      '2.5',
      '--cluster-id=',
      '--log-level=10',
      '--parent-pid=7',
    ]),
  ).toEqual({
    kind: 'run',
    options: { connectionFile: '/f', id: 3, timeout: 2500, clusterId: '', logLevel: 'debug', parentPid: 7 },
  });
  expect(parseEngineArguments(['--help'])).toEqual({ kind: 'help' });
  expect(parseEngineArguments(['--version'])).toEqual({ kind: 'version' });
});

test.each([['--nonsense'], ['--id=x'], ['--log-level=loud'], ['positional']])('refuses %s', (...argv) => {
  expect(() => parseEngineArguments(argv)).toThrow(UsageError);
});

test.each([
  ['10', 'debug'],
  ['30', 'warn'],
  ['WARNING', 'warn'],
  ['CRITICAL', 'error'],
  ['info', 'info'],
  ['constructor', undefined],
])('log level %s is %s', (text, level) => {
  expect(parseLogLevel(text)).toBe(level);
});

test.each([
  ['tcp://*', '', 'tcp://127.0.0.1'],
  ['tcp://0.0.0.0', hostname(), 'tcp://127.0.0.1'],
  ['tcp://*', '203.0.113.9', 'tcp://203.0.113.9'],
  ['tcp://10.0.0.1', 'elsewhere', 'tcp://10.0.0.1'],
  ['ipc:///tmp/x', '', 'ipc:///tmp/x'],
])('the reachable interface of %s at %j is %s', async (url, location, expected) => {
  const info = { interface: url, location };
  expect(await reachableInterface(info, 'a file', thisMachine, startDeadline({}, 5_000))).toBe(expected);
});
