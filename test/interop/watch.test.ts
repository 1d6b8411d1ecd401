import { Client, NoDatabaseError, type TaskQuery, untilDone } from '@ipyparallel-js/client';
import { lastValueFrom } from 'rxjs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Closing } from '../support/closing.js';
import { StockCluster } from '../support/clusters/stock-cluster.js';
import { Gate } from '../support/gate.js';
import { describeStock } from '../support/python/describe-stock.js';
import { waitFor } from '../support/wait-for.js';
import { WatchReplay } from '../support/watch-replay.js';

const KEYS = [
  'engine_uuid',
  'completed',
  'result_content',
  'execute_result',
  'stdout',
  'resubmitted',
] as const;
const OPEN: TaskQuery = { completed: null };
const FAILED: TaskQuery = { 'result_content.status': 'error' };

for (const version of ['7.1', '9'] as const) {
  for (const db of ['dictdb', 'sqlitedb'] as const) {
    describeStock(version, `a live query on ipyparallel ${version} with ${db}`, () => {
      const closing = new Closing();
      let cluster: StockCluster;
      let rc: Client;
      let other: Client;
      beforeAll(async () => {
        cluster = closing.use(await StockCluster.start({ version, db, engines: 2 }));
        rc = closing.use(await Client.connect({ connectionFile: cluster.connectionFile }));
        other = closing.use(await Client.connect({ connectionFile: cluster.connectionFile }));
        const wait = { timeout: 60_000 };
        await Promise.all([rc.waitForEngines(2, wait), other.waitForEngines(2, wait)]);
      });
      afterAll(async () => {
        await closing.close();
      });

      it('agrees with the database on records that any client adds, changes and removes', async () => {
        const queries: readonly TaskQuery[] = [{}, OPEN, FAILED];
        // No periodic check runs in this test: the watch finds every change through notifications and output.
        const replays = queries.map(
          (query) => new WatchReplay(rc.dbQuery(query, KEYS).watch({ slowInterval: 3_600_000 })),
        );
        await Promise.all(replays.map((replay) => replay.begun()));
        const mine = rc.loadBalancedView();
        const theirs = other.loadBalancedView();
        const results = Array.from({ length: 60 }, (_, i) => {
          const code = i % 5 === 0 ? '1/0' : `print(${i}); ${i} * 2`;
          return (i % 2 === 0 ? mine : theirs).execute(code);
        });
        using gate = new Gate();
        const direct = other.directView('all').execute(`${gate.python}"slept"`);
        const [all, open, failed] = replays;
        const [slept = ''] = direct.msgIds;
        // Tasks that run for a while are reported as started.
        await all?.until(() => {
          const { status, begun = null } = all.known.get(slept) ?? {};
          return status === 'assigned' && begun !== null;
        }, 'the long one to begin');
        gate.open();
        await Promise.all([...results, direct].map((result) => result.wait()));
        // A reply may reach its client before the hub has recorded it.
        await all?.until(
          () => [...all.known.values()].filter(({ record }) => record.completed != null).length === 62,
          'every record to have ended',
        );
        for (const [i, replay] of replays.entries())
          await replay.agrees(() => rc.dbQuery(queries[i] ?? {}, KEYS));
        expect(all?.counts).toMatchObject({ entered: 62, left: 0 });
        expect(all?.known.size).toBe(62);
        expect(open?.known.size).toBe(0);
        expect(failed?.counts).toMatchObject({ entered: 12, left: 0 });
        for (const { record } of all?.known.values() ?? []) expect(record.completed).toBeInstanceOf(Date);
        const told = all?.events.filter(
          (event) => event.type !== 'snapshot' && event.record.msg_id === slept,
        );
        expect(
          told?.some((event) => 'status' in event && event.status === 'assigned' && event.begun !== null),
        ).toBe(true);
        for (const replay of replays) replay.stop();
      });

      it('emits output while a task runs', async () => {
        using gate = new Gate();
        const code = `import sys\nprint(0); sys.stdout.flush()\n${gate.python}print(1); print(2)`;
        const result = other.directView(0).execute(code);
        const [id = ''] = [result.msgIds].flat();
        const query = rc.dbQuery({ msg_id: id }, KEYS);
        const replay = new WatchReplay(query.watch({ slowInterval: 3_600_000 }));
        await replay.until(() => replay.known.get(id)?.record.stdout === '0\n', 'its first line');
        gate.open();
        // The hub receives the reply and the output on two sockets.
        await replay.until(() => {
          const { status, record } = replay.known.get(id) ?? {};
          return status === 'completed' && record?.stdout === '0\n1\n2\n';
        }, 'it to be completed with its output');
        await replay.agrees(() => rc.dbQuery({ msg_id: id }, KEYS));
        expect(replay.known.get(id)?.record.stdout).toBe('0\n1\n2\n');
        replay.stop();
      });

      it('finds purges and resubmissions, of which no message is sent', async () => {
        const results = Array.from({ length: 6 }, () => other.loadBalancedView().execute('1'));
        const ids = results.flatMap((result) => result.msgIds);
        const last = await lastValueFrom(
          rc
            .dbQuery({ msg_id: { $in: ids } }, KEYS)
            .watch()
            .pipe(untilDone({ atLeast: 6 })),
        );
        expect(last.sequence).toEqual(expect.any(String));
        // A Python hub stores output that arrives after a purge in a new record; the result is the last output of each task.
        const complete = rc.dbQuery({ msg_id: { $in: ids }, execute_result: { $ne: null } }, []);
        await waitFor(async () => (await complete.count()) === 6, { what: 'the hub to store every result' });
        const replay = new WatchReplay(rc.dbQuery({}, KEYS).watch({ slowInterval: 300 }));
        await replay.begun();
        await other.purgeHubResults(ids.slice(0, 3));
        await replay.until(() => ids.slice(0, 3).every((id) => !replay.known.has(id)), 'three to leave');
        expect(replay.events.flatMap((event) => (event.type === 'left' ? [event.status] : []))).toEqual(
          Array(3).fill('purged'),
        );
        await (await other.resubmit(ids.slice(3))).wait();
        await replay.until(
          () => ids.slice(3).every((id) => typeof replay.known.get(id)?.record.resubmitted === 'string'),
          'three to be known as resubmitted',
        );
        await replay.agrees(() => rc.dbQuery({}, KEYS));
        replay.stop();
      });

      it('finds the tasks of a dead engine', async () => {
        const victim = await cluster.startEngine();
        await rc.waitForEngines(3, { timeout: 60_000 });
        const query = rc.dbQuery({}, KEYS);
        const replay = new WatchReplay(query.watch({ slowInterval: 500 }));
        await replay.begun();
        const result = rc.directView(victim).execute('import time; time.sleep(60)');
        const [id = ''] = [result.msgIds].flat();
        await replay.until(() => replay.known.get(id)?.begun != null, 'it to begin');
        await cluster.killEngine(victim, { nanny: 'spare' });
        await expect(result.get()).rejects.toThrow();
        // A stock hub records the failure 30 s later, so the test does not wait for it.
        await replay.agrees(() => rc.dbQuery({}, KEYS));
        expect(replay.known.get(id)?.status).toBe('assigned');
        replay.stop();
      });
    });
  }
}

describeStock('9', 'a live query on a hub without a database', () => {
  it('fails at once', async () => {
    await using cluster = await StockCluster.start({ version: '9', db: 'nodb' });
    await using rc = await Client.connect({ connectionFile: cluster.connectionFile });
    await expect(lastValueFrom(rc.dbQuery({}).watch())).rejects.toBeInstanceOf(NoDatabaseError);
  });
});
