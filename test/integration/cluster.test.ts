import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Cluster, ClusterError } from '@ipyparallel-js/cluster';
import { belongingTo, listProcesses } from '@ipyparallel-js/cluster/internal';
import { EngineError, TimeoutError, UsageError } from '@ipyparallel-js/protocol';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { isAlive } from '../support/processes.js';
import { waitFor } from '../support/wait-for.js';

const directories: string[] = [];

function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'ipp-test-'));
  directories.push(directory);
  return directory;
}

afterEach(() => {
  vi.unstubAllEnvs();
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

async function processesOf({ controller, engines }: Cluster): Promise<number[]> {
  return belongingTo([controller.pid, ...engines.map(({ pid }) => pid)], await listProcesses());
}

describe('Cluster', () => {
  it('starts a controller and engines, serves clients, and leaves nothing behind', async () => {
    const cluster = await Cluster.start({ n: 2 });
    const { controller, engines, directory, profileDir, connectionFile } = cluster;
    const running = await processesOf(cluster);
    expect(controller).toMatchObject({ kind: 'embedded', exited: undefined });
    expect(engines.map(({ id, language, exited }) => ({ id, language, exited }))).toEqual([
      { id: 0, language: 'javascript', exited: undefined },
      { id: 1, language: 'javascript', exited: undefined },
    ]);
    expect(running).toEqual(expect.arrayContaining([controller.pid, ...engines.map(({ pid }) => pid)]));
    expect(dirname(profileDir)).toBe(directory);
    expect(existsSync(connectionFile)).toBe(true);
    if (process.platform !== 'win32') expect(statSync(directory).mode & 0o777).toBe(0o700);

    const one = await cluster.connect();
    const other = await cluster.connect();
    expect(one.ids).toEqual([0, 1]);
    const task = one.loadBalancedView().apply((n: number) => n * n, 12);
    expect(await task.get({ timeout: 30_000 })).toBe(144);
    expect(await other.getResult(task.msgIds).get({ timeout: 30_000 })).toEqual([144]);
    await Promise.all([one.close(), other.close()]);

    await Promise.all([cluster.stop(), cluster.stop()]);
    expect(running.filter(isAlive)).toEqual([]);
    expect(existsSync(directory)).toBe(false);
    await expect(cluster.connect()).rejects.toMatchObject({ code: 'CLUSTER_STOPPED' });
    await expect(cluster.startEngines(1)).rejects.toMatchObject({ code: 'CLUSTER_STOPPED' });
  });

  it('serves more clients of one process than ZeroMQ’s default number of sockets, each with a watch', async () => {
    await using cluster = await Cluster.start({ n: 1 });
    const clients = await Promise.all(Array.from({ length: 60 }, () => cluster.connect({ timeout: 60_000 })));
    try {
      const met = clients.map(() => new Set<string>());
      for (const [i, rc] of clients.entries()) {
        const mine = rc.dbQuery({ client_uuid: rc.session.session }, 'label').watch();
        const events = mine[Symbol.asyncIterator]();
        expect((await events.next()).value).toMatchObject({ type: 'snapshot', records: [] });
        await events.return?.();
        mine.subscribe({
          next: (event) => {
            if (event.type !== 'snapshot') met[i]?.add(event.record.msg_id);
          },
          // The watch fails when its client is closed.
          error: () => undefined,
        });
      }
      const results = clients.slice(0, 5).map((rc) => rc.loadBalancedView().apply(() => 1));
      for (const [i, { msgIds }] of results.entries())
        await waitFor(() => met[i]?.has(msgIds[0] ?? ''), {
          timeout: 60_000,
          what: `the change at client ${i}`,
        });
      expect(met.map(({ size }) => size)).toEqual([1, 1, 1, 1, 1, ...Array(55).fill(0)]);
    } finally {
      await Promise.all(clients.map((rc) => rc.close()));
    }
  });

  it('starts, stops and kills engines, and unregisters those that died', async () => {
    // The hub does not detect missed heartbeats here: an engine that ends must be unregistered.
    await using cluster = await Cluster.start({ n: 1, controllerArgs: ['--max-misses=10000'] });
    await using rc = await cluster.connect();
    expect((await cluster.startEngines(2)).sort()).toEqual([1, 2]);
    await rc.waitForEngines(3, { timeout: 60_000 });

    await cluster.stopEngine(1);
    await waitFor(() => rc.ids.length === 2, { what: 'the hub to remove engine 1' });
    expect(rc.ids).toEqual([0, 2]);

    const endless = rc.directView(2).execute('while (true) {}');
    await waitFor(async () => (await rc.queueStatus(2)).tasks + (await rc.queueStatus(2)).queue > 0, {
      what: 'the task to reach the engine',
    });
    const { pid } = cluster.engines[2] ?? expect.unreachable();
    const processes = belongingTo([pid], await listProcesses());
    expect(processes.length).toBeGreaterThanOrEqual(2);
    await cluster.killEngine(2);
    await expect(endless.get({ timeout: 60_000 })).rejects.toBeInstanceOf(EngineError);
    expect(rc.ids).toEqual([0]);
    expect(cluster.engines).toMatchObject([
      { id: 0, exited: undefined },
      { id: 1, exited: { signal: null } },
      { id: 2, exited: { signal: 'SIGKILL' } },
    ]);
    await waitFor(() => !processes.some(isAlive), { what: "the engine's child process to end" });
    await expect(cluster.killEngine(2)).rejects.toThrow(
      'this cluster has no running engine 2; running engines: 0',
    );
  });

  it('runs in a profile directory of the caller and removes only its own files', async () => {
    const profileDir = temporaryDirectory();
    const cluster = await Cluster.start({ n: 0, profileDir, clusterId: 'abc' });
    expect(cluster.connectionFile).toBe(join(profileDir, 'security', 'ipcontroller-abc-client.json'));
    const again = Cluster.start({ n: 0, profileDir, clusterId: 'abc' });
    await expect(again).rejects.toThrow('ipcontroller-abc-client.json exists');
    await cluster.stop();
    expect(readdirSync(join(profileDir, 'security'))).toEqual([]);

    writeFileSync(join(profileDir, 'security', 'ipcontroller-client.json'), '{}');
    await expect(Cluster.start({ n: 0, profileDir })).rejects.toBeInstanceOf(UsageError);
    expect(readdirSync(join(profileDir, 'security'))).toEqual(['ipcontroller-client.json']);
  });

  it('adds signal handlers once and removes all of them', async () => {
    const before = process.listenerCount('SIGINT');
    const clusters = await Promise.all([Cluster.start({ n: 0 }), Cluster.start({ n: 0 })]);
    const silent = await Cluster.start({ n: 0, handleSignals: false });
    expect(process.listenerCount('SIGINT')).toBe(before + 1);
    await clusters[0]?.stop();
    expect(process.listenerCount('SIGINT')).toBe(before + 1);
    await Promise.all([clusters[1]?.stop(), silent.stop()]);
    expect(process.listenerCount('SIGINT')).toBe(before);
  });
});

describe('Cluster.start failures', () => {
  it('refuses invalid options', async () => {
    const wrong = (options: object) => Cluster.start(options);
    await expect(wrong({ n: -1 })).rejects.toThrow('n must be an integer >= 0');
    await expect(wrong({ n: 1.5 })).rejects.toBeInstanceOf(UsageError);
    await expect(wrong({ n: 1, engines: { javascript: 1 } })).rejects.toThrow('not both');
    await expect(wrong({ engines: { ruby: 1 } })).rejects.toThrow('got ruby');
    await expect(wrong({ engines: 'ruby' })).rejects.toThrow('got "ruby"');
    await expect(wrong({ controller: 'other' })).rejects.toThrow("'embedded' or 'python'");
    await expect(wrong({ clusterId: '../x' })).rejects.toThrow('clusterId');
    await expect(wrong({ timeout: -1 })).rejects.toThrow('timeout');
  });

  it('names a missing Python interpreter', async () => {
    const python = join(temporaryDirectory(), 'python3');
    const start = Cluster.start({ n: 1, engines: 'python', python });
    await expect(start).rejects.toThrow(`the engine needs Python, and ${python} cannot be run (ENOENT)`);
    await expect(Cluster.start({ n: 1, controller: 'python', python })).rejects.toMatchObject({
      code: 'PYTHON_NOT_FOUND',
    });
  });

  it('shows the end of the log of a controller that dies', async () => {
    const start = Cluster.start({ n: 1, controllerArgs: ['--ping=never'] });
    await expect(start).rejects.toThrow(
      /the controller ended with exit code \d+ before it was ready; .*ping/s,
    );
    await expect(start).rejects.toMatchObject({ code: 'CONTROLLER_ENDED' });
  });

  it('shows the end of the log of an engine that dies', async () => {
    const start = Cluster.start({ n: 2, engineArgs: ['--nonsense'] });
    await expect(start).rejects.toThrow(
      /the engine ended with exit code 2 before it was ready; .*--nonsense/s,
    );
    await expect(start).rejects.toBeInstanceOf(ClusterError);
  });

  it('rejects after the timeout and names the process that was not ready', async () => {
    const profileDir = temporaryDirectory();
    mkdirSync(join(profileDir, 'security'), { recursive: true });
    // The controller writes its files to another directory than the cluster expects.
    const controllerArgs = [`--profile-dir=${temporaryDirectory()}`];
    const start = Cluster.start({ n: 1, profileDir, controllerArgs, timeout: 1 });
    await expect(start).rejects.toThrow(/the controller was not ready within/);
    await expect(start).rejects.toBeInstanceOf(TimeoutError);
    expect(readdirSync(join(profileDir, 'security'))).toEqual([]);
  });

  it('rejects on abort and stops all processes', async () => {
    // This test uses a separate directory, because other tests also start clusters.
    const temporary = temporaryDirectory();
    vi.stubEnv('TMPDIR', temporary);
    const reason = new Error('enough');
    const abort = new AbortController();
    const start = Cluster.start({ n: 2, signal: abort.signal });
    await waitFor(() => readdirSync(temporary).length > 0, { what: 'the start to begin' });
    abort.abort(reason);
    await expect(start).rejects.toBe(reason);
    expect(readdirSync(temporary)).toEqual([]);
    await expect(Cluster.start({ signal: abort.signal })).rejects.toBe(reason);
  });
});
