import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Client } from '@ipyparallel-js/client';
import {
  AuthenticationError,
  EngineError,
  NoDatabaseError,
  newId,
  TimeoutError,
} from '@ipyparallel-js/protocol';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { curveKeyPair } from 'zeromq';
import { Closing } from '../support/closing.js';
import { StockCluster, type StockClusterOptions } from '../support/clusters/stock-cluster.js';
import { describeStock } from '../support/python/describe-stock.js';
import { waitFor } from '../support/wait-for.js';

type Info = { readonly [key: string]: unknown };

const infoOf = (cluster: StockCluster): Info =>
  JSON.parse(readFileSync(cluster.connectionFile, 'utf8')) as Info;

const failureOf = (wait: PromiseLike<unknown>): Promise<unknown> =>
  Promise.resolve(wait).then(
    (value) => expect.unreachable(`no failure: ${String(value)}`),
    (error: unknown) => error,
  );

async function elapsed<T>(wait: Promise<T>): Promise<[T, number]> {
  const started = performance.now();
  return [await wait, performance.now() - started];
}

for (const version of ['7.1', '9'] as const) {
  describeStock(version, `failures on ipyparallel ${version}`, () => {
    const closing = new Closing();
    let cluster: StockCluster;
    let rc: Client;

    beforeAll(async () => {
      cluster = closing.use(await StockCluster.start({ version, engines: 3 }));
      rc = closing.use(
        await Client.connect({ connectionFile: cluster.connectionFile, reconnectTimeout: 4_000 }),
      );
      await rc.waitForEngines(3, { timeout: 60_000 });
    });
    afterAll(async () => {
      await closing.close();
    });

    it('a key of another controller causes an AuthenticationError', async () => {
      const connectionFile = { ...infoOf(cluster), key: newId() };
      const [failure, waited] = await elapsed(failureOf(Client.connect({ connectionFile })));
      expect(failure).toBeInstanceOf(AuthenticationError);
      expect(String(failure)).toContain(`:${infoOf(cluster).registration}`);
      expect(waited).toBeLessThan(25_000);
    });

    it('a stopped hub causes a TimeoutError, and a continued hub replies again', async () => {
      process.kill(cluster.controllerPid, 'SIGSTOP');
      try {
        const [failure, waited] = await elapsed(failureOf(rc.dbQuery({}, { keys: 'queue', timeout: 700 })));
        expect(failure).toBeInstanceOf(TimeoutError);
        expect(String(failure)).toMatch(/does not reply; the hub may be stopped or busy/);
        expect(String(failure)).toContain(`:${infoOf(cluster).registration}`);
        expect((failure as TimeoutError).waitedMs).toBeGreaterThanOrEqual(690);
        expect(waited).toBeLessThan(25_000);
        const [unconnected, tried] = await elapsed(
          failureOf(Client.connect({ connectionFile: cluster.connectionFile, timeout: 1_500 })),
        );
        expect(unconnected).toBeInstanceOf(TimeoutError);
        expect(tried).toBeLessThan(25_000);
        const abort = new AbortController();
        const reason = new Error('enough');
        const aborted = failureOf(rc.hubHistory({ signal: abort.signal }));
        abort.abort(reason);
        expect(await aborted).toBe(reason);
      } finally {
        process.kill(cluster.controllerPid, 'SIGCONT');
      }
      expect(await rc.hubHistory({ timeout: 60_000 })).toEqual([]);
    });

    it('an engine that dies in a direct task causes an EngineError quickly', async () => {
      const [id = 0] = rc.ids;
      const uuid = rc.engines.get(id);
      const view = rc.directView(id);
      const runs = view.execute('import time; time.sleep(600)');
      const waits = view.execute('1');
      // A Python engine reports that it is busy when the task starts.
      await waitFor(async () => (await rc.dbQuery({ execute_input: { $glob: '*600*' } }, [])).length > 0);
      const started = performance.now();
      await cluster.killEngine(id, { nanny: 'spare' });
      for (const ar of [runs, waits]) {
        const failure = await failureOf(ar.get({ timeout: 60_000 }));
        expect(failure).toBeInstanceOf(EngineError);
        expect(failure).toMatchObject({ code: 'ENGINE_DIED', engineId: id, engineUuid: uuid });
        expect(String(failure)).toContain(ar.msgIds[0]);
        expect(ar.statuses).toEqual(['failed']);
      }
      // A stock hub notices the end of an engine only after 30 s.
      expect(performance.now() - started).toBeLessThan(25_000);
      expect(rc.outstanding).toEqual([]);
      expect(() => view.execute('1')).toThrow(`no engine ${id}`);
    });

    it('an engine that dies in a load-balanced task causes an EngineError', async () => {
      const ar = rc.loadBalancedView().execute('import time; time.sleep(601)');
      const uuid = await waitFor(async () => {
        const [row] = await rc.dbQuery({ execute_input: { $glob: '*601*' } }, 'engine_uuid');
        return row?.engine_uuid ?? undefined;
      });
      const id = [...rc.engines].find(([, known]) => known === uuid)?.[0] ?? -1;
      await cluster.killEngine(id, { nanny: 'spare' });
      const [failure, waited] = await elapsed(failureOf(ar.get({ timeout: 60_000 })));
      expect(failure).toBeInstanceOf(EngineError);
      expect(failure).toMatchObject({ code: 'ENGINE_DIED', engineId: id });
      expect(waited).toBeLessThan(25_000);
      // The last engine keeps working.
      expect(await rc.loadBalancedView().execute('6 * 7').get({ timeout: 60_000 })).toMatchObject({
        text: '42',
      });
    });

    it('a controller that dies ends all waits for it, and a program ends by itself', async () => {
      const program = spawn(
        process.execPath,
        [
          '--import',
          'tsx',
          join(import.meta.dirname, '../support/programs/outlive-controller.ts'),
          cluster.connectionFile,
        ],
        { stdio: ['ignore', 'pipe', 'inherit'] },
      );
      onTestFinished(() => {
        program.kill('SIGKILL');
      });
      const exit = new Promise<number | null>((resolve) => program.once('close', resolve));
      const lines: string[] = [];
      createInterface({ input: program.stdout }).on('line', (line) => lines.push(line));
      await waitFor(() => lines.includes('ready'), { timeout: 45_000, what: 'the program to be ready' });
      await cluster.killController('SIGKILL');
      const late = new Promise<string>((resolve) => {
        setTimeout(() => resolve(`still running; it printed: ${lines.join('; ')}`), 90_000).unref();
      });
      expect(await Promise.race([exit, late])).toBe(0);
      const printed = JSON.parse(lines.at(-1) ?? '') as { [wait: string]: { code: string; after: number } };
      for (const [wait, { after }] of Object.entries(printed)) expect(after, wait).toBeLessThan(30_000);
      const codes = Object.fromEntries(Object.entries(printed).map(([wait, { code }]) => [wait, code]));
      expect(codes).toEqual({
        direct: 'CONNECTION_CLOSED',
        queued: 'CONNECTION_CLOSED',
        request: 'CONNECTION_CLOSED',
        // On a slow machine, reconnectTimeout may end before the timeout of one second.
        hasty: expect.stringMatching(/^(TIMEOUT|CONNECTION_CLOSED)$/),
        polled: 'CONNECTION_CLOSED',
        after: 'CONNECTION_CLOSED',
        later: expect.stringMatching(/^(TIMEOUT|CONNECTION_CLOSED)$/),
      });
      expect(printed.hasty?.after).toBeLessThan(25_000);
    });

    it('a client works with a restarted controller', async () => {
      expect(await failureOf(rc.loadBalancedView().execute('1').get({ timeout: 60_000 }))).toMatchObject({
        code: expect.stringMatching(/^(USAGE|CONNECTION_CLOSED)$/),
      });
      await cluster.restartController();
      expect(await rc.hubHistory({ timeout: 60_000 })).toEqual([]);
      const id = await cluster.startEngine();
      await rc.waitForEngines(1, { timeout: 60_000 });
      await waitFor(() => rc.ids.join() === String(id), {
        timeout: 60_000,
        what: () => `only engine ${id}; registered are ${rc.ids.join()}`,
      });
      const ar = rc.directView(id).execute('6 * 7');
      expect(await ar.get({ timeout: 60_000 })).toMatchObject({ text: '42' });
      await waitFor(async () => (await rc.hubHistory()).includes(ar.msgIds[0] ?? ''));
    });
  });
}

/** Runs a short main job: a task, a query, a result by id. */
async function mainJob(options: StockClusterOptions): Promise<void> {
  await using cluster = await StockCluster.start({ engines: 1, ...options });
  await using rc = await Client.connect({ connectionFile: cluster.connectionFile });
  await rc.waitForEngines(1);
  const ar = rc.loadBalancedView().execute('print("é😀"); 6 * 7');
  expect(await ar.get({ timeout: 60_000 })).toMatchObject({ text: '42' });
  const hourAgo = new Date(Date.now() - 3_600_000);
  const rows = await waitFor(async () => {
    const mine = { started: { $gte: hourAgo }, client_uuid: rc.session.session, stdout: 'é😀\n' };
    const found = await rc.dbQuery(mine, ['queue', 'started', 'result_content', 'pyout']);
    return found.length > 0 && found[0]?.pyout !== null && found;
  });
  expect(rows).toMatchObject([
    { msg_id: ar.msgIds[0], queue: 'task', result_content: { status: 'ok' }, started: expect.any(Date) },
  ]);
  await using other = await Client.connect({ connectionFile: cluster.connectionFile });
  expect(await other.getResult(ar.msgIds[0] ?? '').get({ timeout: 60_000 })).toMatchObject({ text: '42' });
  const numbers = { 'result_content.execution_count': { $gte: 1, $lt: 2 ** 40 } };
  expect(await other.dbQuery(numbers, [])).toHaveLength(1);
  for (const client of [rc, other]) {
    expect(client.stats).toMatchObject({ malformed: 0, forged: 0, replayed: 0 });
  }
}

describe('packers', () => {
  describeStock('7.1', 'of ipyparallel 7.1', () => {
    it.each(['json', 'msgpack.packb'])('%s', async (pack) => {
      await mainJob({ version: '7.1', pack });
    });
  });
  describeStock('9', 'of ipyparallel 9', () => {
    it.each(['json', 'orjson', 'msgpack', 'msgpack.packb'])('%s', async (pack) => {
      await mainJob({ version: '9', pack, db: 'sqlitedb' });
    });
  });
});

describeStock('9', 'a controller of ipyparallel 9 that listens on all addresses', () => {
  it('is reachable at an address of this machine', async () => {
    await using cluster = await StockCluster.start({ version: '9', engines: 1, controllerArgs: ['--ip=*'] });
    expect(infoOf(cluster).interface).toMatch(/\*|0\.0\.0\.0/);
    await using rc = await Client.connect({ connectionFile: cluster.connectionFile });
    await rc.waitForEngines(1);
    expect(await rc.directView(0).execute('6 * 7').get({ timeout: 60_000 })).toMatchObject({ text: '42' });
    expect(Object.keys(networkInterfaces()).length).toBeGreaterThan(0);
  });
});

for (const version of ['7.1', '9'] as const) {
  describeStock(version, `a controller of ipyparallel ${version} without a database`, () => {
    it('runs tasks and rejects every query with a message', async () => {
      await using cluster = await StockCluster.start({ version, db: 'nodb', engines: 1 });
      await using rc = await Client.connect({ connectionFile: cluster.connectionFile });
      await rc.waitForEngines(1);
      const ar = rc.directView(0).execute('6 * 7');
      expect(await ar.get({ timeout: 60_000 })).toMatchObject({ text: '42' });
      const [id = ''] = ar.msgIds;
      await using other = await Client.connect({ connectionFile: cluster.connectionFile });
      for (const ask of [
        () => rc.dbQuery({}),
        () => rc.dbQuery({ msg_id: id }, 'label'),
        () => rc.dbQuery({ completed: null }, 'queue').stream().next(),
        () => rc.hubHistory(),
        () => rc.resubmit(id),
        () => rc.resultStatus(id),
        () => other.getResult(id).get({ timeout: 60_000 }),
      ]) {
        const failure = await failureOf(ask());
        expect(failure, ask.toString()).toBeInstanceOf(NoDatabaseError);
        expect(String(failure)).toMatch(/--nodb/);
      }
      expect((await rc.queueStatus()).unassigned).toBe(0);
    });
  });

  describeStock(version, `a controller of ipyparallel ${version} with CURVE`, () => {
    it('accepts only clients with its key', async () => {
      await using cluster = await StockCluster.start({
        version,
        engines: 1,
        env: { IPP_ENABLE_CURVE: '1' },
      });
      const info = infoOf(cluster);
      expect(info.curve_serverkey).toMatch(/^.{40}$/);
      await using rc = await Client.connect({ connectionFile: cluster.connectionFile });
      await rc.waitForEngines(1);
      const ar = rc.directView(0).execute('6 * 7');
      expect(await ar.get({ timeout: 60_000 })).toMatchObject({ text: '42' });
      await waitFor(async () => (await rc.resultStatus(ar.msgIds)).completed.length === 1);
      expect(rc.stats).toMatchObject({ malformed: 0, forged: 0, replayed: 0 });

      const wrong = { ...info, curve_serverkey: curveKeyPair().publicKey };
      const [failure, waited] = await elapsed(
        failureOf(Client.connect({ connectionFile: wrong, timeout: 5_000 })),
      );
      expect(failure).toBeInstanceOf(AuthenticationError);
      expect(String(failure)).toContain('CURVE');
      expect(waited).toBeLessThan(20_000);

      const plain = await failureOf(
        Client.connect({ connectionFile: { ...info, curve_serverkey: null }, timeout: 5_000 }),
      );
      expect(String(plain)).toMatch(/CURVE/);

      const before = process.env.IPP_CURVE_SERVERKEY;
      process.env.IPP_CURVE_SERVERKEY = String(info.curve_serverkey);
      try {
        await using byEnvironment = await Client.connect({
          connectionFile: { ...info, curve_serverkey: null },
        });
        expect(byEnvironment.ids).toEqual([0]);
      } finally {
        if (before === undefined) delete process.env.IPP_CURVE_SERVERKEY;
        else process.env.IPP_CURVE_SERVERKEY = before;
      }
    });
  });
}
