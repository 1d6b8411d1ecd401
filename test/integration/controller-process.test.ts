import { type ChildProcess, execFile, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { cleanEnv } from '../support/environment.js';
import { RawClient } from '../support/fakes/raw-client.js';
import { isAlive } from '../support/processes.js';
import { waitFor } from '../support/wait-for.js';

const main = createRequire(import.meta.url).resolve('@ipyparallel-js/hub/main');
const run = promisify(execFile);

let directory: string;
let children: ChildProcess[];
let errors: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ippjs-process-'));
  children = [];
  errors = '';
});
afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(directory, { recursive: true, force: true });
});

function start(argv: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
  const child = spawn(process.execPath, [main, ...argv], {
    env: cleanEnv(env),
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  children.push(child);
  return child;
}

async function files(security: string, base = 'ipcontroller'): Promise<string> {
  const [client, engine] = [join(security, `${base}-client.json`), join(security, `${base}-engine.json`)];
  await waitFor(() => existsSync(client) && existsSync(engine), {
    timeout: 60_000,
    what: () => `connection files; ${errors}`,
  });
  return client;
}

/** Returns the exit code of a process after all its standard error has been read. */
async function ended(child: ChildProcess): Promise<number | null> {
  const { stderr } = child;
  // The event is not 'close', which a disconnected process never emits.
  await Promise.all([
    child.exitCode !== null || child.signalCode !== null || once(child, 'exit'),
    stderr === null || stderr.closed || once(stderr, 'close'),
  ]);
  return child.exitCode;
}

describe('a controller process', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)(
    'ends on %s by itself, soon, and takes its files along',
    async (signal) => {
      const profile = join(directory, 'new', 'profile_x');
      const child = start([
        '--profile-dir',
        profile,
        '--cluster-id',
        '',
        '--log-level=10',
        '--ping=250',
        '--usethreads',
      ]);
      const file = await files(join(profile, 'security'));
      expect(statSync(join(profile, 'security')).mode & 0o777).toBe(0o700);
      await using client = RawClient.fromFile(file);
      expect(await client.engines()).toEqual(new Map());
      const asked = performance.now();
      child.kill(signal);
      expect(await ended(child)).toBe(0);
      expect(performance.now() - asked).toBeLessThan(30_000);
      expect(readdirSync(join(profile, 'security'))).toEqual([]);
      expect(errors).toContain('ignored the argument --usethreads, which has no effect');
    },
  );

  test('reads profile, cluster id and key from the environment as ipcontroller does', async () => {
    start(['--ping=250'], {
      IPP_PROFILE_DIR: join(directory, 'p'),
      IPP_CLUSTER_ID: 'c',
      IPP_SESSION_KEY: 'the-key',
    });
    const file = await files(join(directory, 'p', 'security'), 'ipcontroller-c');
    await using client = RawClient.fromFile(file);
    expect(client.info.key).toBe('the-key');
    expect(await client.engines()).toEqual(new Map());
    start(['--profile=named'], { IPYTHONDIR: join(directory, 'ipython') });
    await files(join(directory, 'ipython', 'profile_named', 'security'));
  });

  test('under IPP_ENABLE_CURVE writes the key of its server and no signing key', async () => {
    start([], { IPP_PROFILE_DIR: directory, IPP_ENABLE_CURVE: '1' });
    const client = RawClient.fromFile(await files(join(directory, 'security')));
    client.close();
    expect(client.info).toMatchObject({ key: '', curve_serverkey: expect.stringMatching(/^.{40}$/) });
  });

  test('ends when the process given by --parent-pid has ended', async () => {
    const parent = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
    children.push(parent);
    const child = start(['--profile-dir', directory, '--parent-pid', String(parent.pid)]);
    const file = await files(join(directory, 'security'));
    parent.kill('SIGKILL');
    expect(await ended(child)).toBe(0);
    expect(existsSync(file)).toBe(false);
  });

  test('when forked, notifies its parent that it is ready, and exits when the parent has exited', async () => {
    const child = fork(main, ['--profile-dir', directory], { env: cleanEnv(), execArgv: [], silent: true });
    children.push(child);
    const message = await new Promise((resolve) => child.once('message', resolve));
    const security = join(directory, 'security');
    expect(message).toEqual({
      type: 'ready',
      clientFile: join(security, 'ipcontroller-client.json'),
      engineFile: join(security, 'ipcontroller-engine.json'),
    });
    expect(existsSync(join(security, 'ipcontroller-client.json'))).toBe(true);
    child.disconnect();
    expect(await ended(child)).toBe(0);
    expect(isAlive(child.pid ?? 0)).toBe(false);
    expect(readdirSync(security)).toEqual([]);
  });

  test('ends when a client asks', async () => {
    const child = start(['--profile-dir', directory]);
    await using client = RawClient.fromFile(await files(join(directory, 'security')));
    const reply = await client.submit('registration', 'shutdown_request', {}).reply();
    expect(reply.content).toEqual({ status: 'ok' });
    expect(await ended(child)).toBe(0);
  });

  test('prints version and help', async () => {
    expect((await run(process.execPath, [main, '--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect((await run(process.execPath, [main, '--help-all'])).stdout).toContain('--profile-dir=DIR');
  });

  test.each([
    [['--ping=often'], 2, 'must be a number'],
    [['--sqlitedb', '--SQLiteDB.location=/no/such/place'], 1, '/no/such/place/tasks.db'],
    [['--ip=203.0.113.7'], 1, 'cannot bind registration to tcp://203.0.113.7'],
    [['--work-dir=/no/such/place'], 1, 'ENOENT'],
  ])('with %j ends at once and prints the reason', async (argv, code, why) => {
    const child = start(['--profile-dir', directory, ...argv]);
    expect(await ended(child)).toBe(code);
    expect(errors).toContain(why);
    expect(existsSync(join(directory, 'security', 'ipcontroller-client.json'))).toBe(false);
  });
});
