import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Client, type EngineInfo, type Progress } from '@ipyparallel-js/client';
import {
  exactTime,
  Fraction,
  InvalidQueryError,
  RemoteError,
  TaskNotFoundError,
  TaskPendingError,
  type TaskStatus,
  TimeoutError,
  UsageError,
} from '@ipyparallel-js/protocol';
import { firstValueFrom, from, lastValueFrom, take, toArray } from 'rxjs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Closing } from '../support/closing.js';
import { StockCluster, stockVersions } from '../support/clusters/stock-cluster.js';
import { describeStock } from '../support/python/describe-stock.js';
import { type PythonTasks, submitFromPython } from '../support/python/python-tasks.js';
import { waitFor } from '../support/wait-for.js';

const sleepUntil = (path: string): string =>
  `import os, time\nwhile not os.path.exists(${JSON.stringify(path)}): time.sleep(0.01)`;

for (const version of stockVersions) {
  for (const db of ['dictdb', 'sqlitedb'] as const) {
    describeStock(version, `a client of ipyparallel ${version} with ${db}`, () => {
      const closing = new Closing();
      let cluster: StockCluster;
      let rc: Client;
      let python: PythonTasks;
      const gates: string[] = [];
      /** Returns the path of a file that a task can wait for; the file is created at the end of the test at the latest. */
      const gate = (): string => {
        const path = join(cluster.directory, `gate-${gates.length}`);
        gates.push(path);
        return path;
      };
      const open = (path: string): void => writeFileSync(path, '');

      beforeAll(async () => {
        cluster = closing.use(await StockCluster.start({ version, db, engines: 2 }));
        python = await submitFromPython(cluster);
        rc = closing.use(await Client.connect({ connectionFile: cluster.connectionFile, timeout: 60_000 }));
        await rc.waitForEngines(2, { timeout: 60_000 });
      });
      afterAll(async () => {
        await closing.close();
      });
      afterEach(() => {
        gates.forEach(open);
        const { malformed, forged, replayed } = rc.stats;
        expect({ malformed, forged, replayed }).toEqual({ malformed: 0, forged: 0, replayed: 0 });
      });

      /**
       * Waits until the hub has stored all output so far. A Python hub stores output that arrives after a purge in a new
       * record. Each engine publishes in order, so the output of one more task per engine is the last.
       */
      const untilOutputIsStored = async (): Promise<void> => {
        const last = rc.directView('all').execute('print("last")');
        await last.get({ timeout: 60_000 });
        const stored = { msg_id: { $in: last.msgIds }, stdout: 'last\n', completed: { $ne: null } };
        await waitFor(async () => (await rc.dbQuery(stored, [])).length === last.msgIds.length, {
          what: 'the hub to store all output',
        });
      };

      const idOf = (name: string): string => {
        const task = python.tasks[name];
        if (task === undefined) throw new Error(`Python submitted no ${name}`);
        return task.id;
      };

      describe('connecting', () => {
        it('accepts a path, a URL, an object, a profile directory, a profile', async () => {
          const info = JSON.parse(readFileSync(cluster.connectionFile, 'utf8')) as { [key: string]: unknown };
          for (const options of [
            { connectionFile: cluster.connectionFile },
            { connectionFile: pathToFileURL(cluster.connectionFile) },
            { connectionFile: info },
            { profileDir: cluster.profileDir },
            { ipythonDir: cluster.ipythonDir, profile: 'default' },
            { ipythonDir: cluster.ipythonDir },
          ]) {
            await using other = await Client.connect(options);
            expect(other.ids).toEqual([0, 1]);
            expect(other.hub).toBeUndefined();
          }
        });

        it('uses the environment', async () => {
          for (const [name, value] of [
            ['IPYTHONDIR', cluster.ipythonDir],
            ['IPP_PROFILE_DIR', cluster.profileDir],
          ] as const) {
            const before = process.env[name];
            process.env[name] = value;
            try {
              await using other = await Client.connect();
              expect(other.ids).toEqual([0, 1]);
            } finally {
              if (before === undefined) delete process.env[name];
              else process.env[name] = before;
            }
          }
        });

        it('creates a session for each client, under both names', async () => {
          await using other = await Client.connect({ connectionFile: cluster.connectionFile });
          expect(other.session.id).toBe(other.session.session);
          expect(other.session.session).not.toBe(rc.session.session);
          const ar = other.directView(0).execute('1');
          await ar.get({ timeout: 60_000 });
          const mine = await waitFor(async () => {
            const rows = await other.dbQuery({ client_uuid: other.session.session }, 'client_uuid');
            return rows.length > 0 && rows;
          });
          expect(mine).toEqual([{ msg_id: ar.msgIds[0], client_uuid: other.session.session }]);
        });

        it('can be closed repeatedly, and rejects outstanding requests', async () => {
          const other = await Client.connect({ connectionFile: cluster.connectionFile });
          const path = gate();
          const ar = other.directView(0).execute(sleepUntil(path));
          const outstanding = ar.get();
          const expected = expect(outstanding).rejects.toMatchObject({ code: 'CONNECTION_CLOSED' });
          await Promise.all([other.close(), other.close()]);
          await other[Symbol.asyncDispose]();
          await expected;
          expect(() => other.dbQuery({})).toThrow(expect.objectContaining({ code: 'CONNECTION_CLOSED' }));
          await expect(other.hubHistory()).rejects.toMatchObject({ code: 'CONNECTION_CLOSED' });
          open(path);
          await rc.directView(0).execute('1').get({ timeout: 60_000 });
        });
      });

      describe('engines', () => {
        it('are added to and removed from ids, engines and engines$', async () => {
          const seen: (readonly EngineInfo[])[] = [];
          const watching = rc.engines$.subscribe((engines) => seen.push(engines));
          expect(rc.ids).toEqual([0, 1]);
          expect([...rc.engines.keys()]).toEqual([0, 1]);
          expect(new Set(rc.engines.values()).size).toBe(2);
          expect(seen).toEqual([[...rc.engines].map(([id, uuid]) => ({ id, uuid }))]);
          const waiting = rc.waitForEngines(3, { timeout: 120_000 });
          const id = await cluster.startEngine();
          expect(await waiting).toEqual([0, 1, id]);
          expect(await rc.engineLanguage(id)).toBe('python');
          await cluster.killEngine(id, { nanny: 'spare' });
          await waitFor(() => !rc.engines.has(id), { timeout: 60_000, what: 'the engine to go' });
          expect(rc.ids).toEqual([0, 1]);
          expect(seen.at(-1)?.map((engine) => engine.id)).toEqual([0, 1]);
          expect(seen.map((engines) => engines.length)).toEqual([2, 3, 2]);
          watching.unsubscribe();
          expect(() => rc.directView(id).execute('1')).toThrow(UsageError);
        });

        it('are waited for within the timeout', async () => {
          const started = performance.now();
          const failure = rc.waitForEngines(50, { timeout: 300 });
          await expect(failure).rejects.toThrow(TimeoutError);
          await expect(failure).rejects.toThrow(/2 of 50 engines registered at tcp:\/\/127\.0\.0\.1:\d+/);
          expect(performance.now() - started).toBeLessThan(20_000);
          const reason = new Error('enough');
          await expect(rc.waitForEngines(50, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
          const abort = new AbortController();
          const waiting = rc.waitForEngines(50, { signal: abort.signal, timeout: Number.POSITIVE_INFINITY });
          const expected = expect(waiting).rejects.toBe(reason);
          abort.abort(reason);
          await expected;
        });
      });

      describe('dbQuery', () => {
        it('throws usage errors synchronously, before anything is sent', () => {
          const { sent } = rc.stats;
          const wrong: [unknown, unknown?][] = [
            [{ complete: null }],
            [{ msg_id: { $foo: 1 } }],
            [{ started: 'yesterday' }],
            [{}, 'complete'],
            [{}, ['msg_id', 'complete']],
            [{}, 5],
            [{}, null],
            [{}, { keys: ['complete'] }],
            [{}, { timeout: -1 }],
            [{}, { timeout: 'soon' }],
            [undefined],
            [null],
          ];
          for (const [query, keys] of wrong) {
            expect(() => rc.dbQuery(query as never, keys as never), JSON.stringify([query, keys])).toThrow(
              UsageError,
            );
          }
          expect(() => rc.dbQuery({ complete: null } as never)).toThrow(
            new InvalidQueryError('unknown TaskRecord key "complete", did you mean "completed"?'),
          );
          expect(rc.stats.sent).toBe(sent);
        });

        it('sends nothing before the first await, and one request for all awaits', async () => {
          const { sent } = rc.stats;
          const query = rc.dbQuery({ queue: 'task' }, 'queue');
          query.stream();
          query.poll(10);
          await Promise.resolve();
          expect(rc.stats.sent).toBe(sent);
          const [first, second] = await Promise.all([query, query]);
          // The query sends a request for the count, if it was unknown, and one for the records.
          const asked = rc.stats.sent;
          expect(asked - sent).toBeLessThanOrEqual(2);
          expect(await query).toBe(first);
          expect(second).toBe(first);
          expect(rc.stats.sent).toBe(asked);
          expect(first.length).toBeGreaterThan(10);
        });

        it('resolves an empty $in, and a query that cannot match, without a request', async () => {
          const { sent } = rc.stats;
          expect(await rc.dbQuery({ msg_id: { $in: [] } })).toEqual([]);
          expect(await rc.dbQuery({ queue: 'task', completed: { $gt: null } })).toEqual([]);
          expect(rc.stats.sent).toBe(sent);
        });

        it('returns all keys except buffers by default, and the requested keys otherwise', async () => {
          const msg_id = idOf('int');
          const [full] = await rc.dbQuery({ msg_id });
          expect(full).toMatchObject({
            msg_id,
            queue: 'task',
            client_uuid: python.session,
            resubmitted: null,
            execute_input: null,
            execute_result: null,
            error: null,
            label: null,
            display_data: null,
            stdout: '',
            header: { msg_id, session: python.session },
            result_content: { status: 'ok' },
          });
          for (const key of ['submitted', 'started', 'completed', 'received'] as const)
            expect(full?.[key]).toBeInstanceOf(Date);
          expect(full).not.toHaveProperty('buffers');
          expect(full).not.toHaveProperty('result_buffers');
          expect(await rc.dbQuery({ msg_id }, 'queue')).toEqual([{ msg_id, queue: 'task' }]);
          expect(await rc.dbQuery({ msg_id }, ['label', 'display_data'])).toEqual([
            { msg_id, label: null, display_data: null },
          ]);
          expect(await rc.dbQuery({ msg_id }, [])).toEqual([{ msg_id }]);
          expect(await rc.dbQuery({ msg_id }, { keys: 'queue', timeout: 60_000 })).toEqual([
            { msg_id, queue: 'task' },
          ]);
        });

        it('returns older names of keys as requested', async () => {
          const msg_id = idOf('execute');
          const [row] = await rc.dbQuery({ msg_id }, ['pyin', 'pyout', 'pyerr', 'execute_input']);
          expect(row).toMatchObject({
            msg_id,
            pyin: 'print("from Python"); 6 * 7',
            execute_input: 'print("from Python"); 6 * 7',
            pyout: { data: { 'text/plain': '42' } },
            pyerr: null,
          });
          expect(Object.keys(row ?? {}).sort()).toEqual([
            'execute_input',
            'msg_id',
            'pyerr',
            'pyin',
            'pyout',
          ]);
        });

        it('returns the microseconds that the Python client reports', async () => {
          const rows = await rc.dbQuery({ client_uuid: python.session }, [
            'submitted',
            'started',
            'completed',
          ]);
          const byId = new Map(rows.map((row) => [row.msg_id, row]));
          expect(rows).toHaveLength(Object.keys(python.tasks).length);
          for (const task of Object.values(python.tasks)) {
            const row = byId.get(task.id);
            if (row === undefined) throw new Error(`no record of ${task.id}`);
            for (const key of ['submitted', 'started', 'completed'] as const) {
              expect(exactTime(row, key)).toBe(task[key]);
              expect(row[key]?.toISOString()).toBe(`${task[key]?.slice(0, 23)}Z`);
            }
          }
        });

        it('sorts by submitted', async () => {
          const rows = await rc.dbQuery({ client_uuid: python.session }, 'submitted');
          const times = rows.map((row) => row.submitted?.getTime() ?? 0);
          expect(times).toEqual([...times].sort((a, b) => a - b));
          // Ties within a millisecond are broken by msg_id.
          const order = rows.map((row, i) => `${times[i]} ${row.msg_id}`);
          expect(order).toEqual([...order].sort());
        });

        it('returns the buffers of each record', async () => {
          const ids = ['str', 'long', 'execute', 'bytes', 'mux'].map(idOf);
          const hex = (list: readonly Uint8Array[] | null): string[] | undefined =>
            list?.map((buffer) => Buffer.from(buffer).toString('hex'));
          const taskOf = (id: string) => Object.values(python.tasks).find((task) => task.id === id);
          for (const row of await rc.dbQuery({ msg_id: { $in: ids } }, 'buffers'))
            expect(hex(row.buffers)).toEqual(taskOf(row.msg_id)?.buffers);
          for (const row of await rc.dbQuery({ msg_id: { $in: ids } }, 'result_buffers'))
            expect(hex(row.result_buffers)).toEqual(taskOf(row.msg_id)?.result_buffers);
          const both = await rc.dbQuery({ msg_id: { $in: ids } }, ['result_buffers', 'queue', 'buffers']);
          expect(both).toHaveLength(5);
          for (const row of both) {
            const task = taskOf(row.msg_id);
            expect([hex(row.buffers), hex(row.result_buffers)]).toEqual([
              task?.buffers,
              task?.result_buffers,
            ]);
          }
        });

        it('finds the tasks of engines by the uuids of rc.engines', async () => {
          const uuids = [0, 1].map((id) => rc.engines.get(id));
          const rows = await rc.dbQuery(
            { engine_uuid: { $in: uuids }, client_uuid: python.session },
            'result_header',
          );
          expect(rows).toHaveLength(Object.keys(python.tasks).length);
          const nobody = { engine_uuid: { $in: [0, 99].map((id) => rc.engines.get(id)) } };
          expect(() => rc.dbQuery(nobody)).toThrow(/item 1 is undefined; is there no engine with that id/);
        });

        it('rejects on abort with the reason of the signal', async () => {
          const reason = { any: 'value' };
          const aborted = rc.dbQuery({}, { signal: AbortSignal.abort(reason) });
          await expect(Promise.resolve(aborted)).rejects.toBe(reason);
          const abort = new AbortController();
          const answer = Promise.resolve(
            rc.dbQuery({}, { signal: abort.signal, timeout: Number.POSITIVE_INFINITY }),
          );
          const expected = expect(answer).rejects.toBe(reason);
          abort.abort(reason);
          await expected;
          expect(await rc.dbQuery({}, { keys: 'msg_id', timeout: Number.POSITIVE_INFINITY })).not.toEqual([]);
        });

        it('streams the same records with a new request', async () => {
          const query = rc.dbQuery({ client_uuid: python.session }, ['queue', 'submitted']);
          const rows = await query;
          const streamed = [];
          for await (const row of query.stream()) streamed.push(row);
          expect(streamed).toEqual(rows);
          const { sent } = rc.stats;
          for await (const row of query.stream()) {
            expect(row).toEqual(rows[0]);
            break;
          }
          expect(rc.stats.sent).toBeGreaterThan(sent);
          const reason = new Error('enough');
          const aborted = rc.dbQuery({}, { signal: AbortSignal.abort(reason) }).stream();
          await expect(aborted.next()).rejects.toBe(reason);
        });

        it('is one value for RxJS', async () => {
          const rows = await lastValueFrom(
            from(rc.dbQuery({ msg_id: idOf('int') }, 'queue')).pipe(toArray()),
          );
          expect(rows).toEqual([[{ msg_id: idOf('int'), queue: 'task' }]]);
        });

        it('polls at once, then after each reply, until there is no subscriber', async () => {
          const { sent } = rc.stats;
          const poll = rc.dbQuery({ msg_id: idOf('int') }, 'queue').poll(40);
          await new Promise(setImmediate);
          expect(rc.stats.sent).toBe(sent);
          const started = performance.now();
          const answers = await firstValueFrom(poll.pipe(take(4), toArray()));
          expect(answers).toEqual(Array(4).fill([{ msg_id: idOf('int'), queue: 'task' }]));
          // Four replies have three pauses between them; timers may fire a millisecond early.
          expect(performance.now() - started).toBeGreaterThan(115);
          expect(rc.stats.sent).toBe(sent + 4);
          let count = 0;
          const watching = poll.subscribe(() => {
            if (++count === 2) watching.unsubscribe();
          });
          await waitFor(() => count === 2);
          const asked = rc.stats.sent;
          await rc.resultStatus(idOf('int'));
          // The delay is ten times the interval of the poll.
          await new Promise((resolve) => setTimeout(resolve, 400));
          expect(count).toBe(2);
          expect(rc.stats.sent).toBe(asked + 1);
        });

        it('reports the failure of a poll', async () => {
          const abort = new AbortController();
          const errors: unknown[] = [];
          let answers = 0;
          rc.dbQuery({}, { keys: 'msg_id', signal: abort.signal })
            .poll(5)
            .subscribe({ next: () => answers++, error: (error: unknown) => errors.push(error) });
          await waitFor(() => answers > 1);
          abort.abort('stop');
          await waitFor(() => errors.length > 0);
          expect(errors).toEqual(['stop']);
          expect(() => rc.dbQuery({}).poll(-1)).toThrow(UsageError);
          expect(() => rc.dbQuery({}).poll(Number.NaN)).toThrow(UsageError);
        });
      });

      describe('results of a Python client', () => {
        it('are JavaScript values', async () => {
          const expected: { [name: string]: unknown } = {
            none: null,
            true: true,
            int: 7,
            safe: Number.MAX_SAFE_INTEGER,
            big: -(2n ** 70n),
            float: 1.5,
            str: 'hé 😀',
            bytes: Uint8Array.of(0, 255),
            list: [1, [2, null]],
            tuple: [1, 'a'],
            dict: { a: { b: null }, c: [true] },
            intkeys: new Map([[1, 'x']]),
            datetime: new Date('2026-01-15T10:00:00.123Z'),
            set: new Set([1, 2]),
            long: 'x'.repeat(100_000),
          };
          for (const [name, value] of Object.entries(expected)) {
            expect(await rc.getResult(idOf(name)).get({ timeout: 60_000 }), name).toEqual(value);
          }
        });

        it('name a class that has no JavaScript counterpart', async () => {
          const value = await rc.getResult(idOf('fraction')).get({ timeout: 60_000 });
          expect(value).toStrictEqual(new Fraction(1, 3));
        });

        it('are one value for one id, and a list in the order of several ids', async () => {
          const ar = rc.getResult<number>([idOf('str'), idOf('int'), idOf('str')]);
          expect(await ar.get({ timeout: 60_000 })).toEqual(['hé 😀', 7, 'hé 😀']);
          expect(ar.msgIds).toEqual([idOf('str'), idOf('int'), idOf('str')]);
          expect(ar.ready).toBe(true);
          expect(ar.successful).toBe(true);
          expect(await rc.getResult([idOf('int')]).get({ timeout: 60_000 })).toEqual([7]);
          expect(await rc.getResult([]).get({ timeout: 60_000 })).toEqual([]);
        });

        it('include the value and the output of execute', async () => {
          const ar = rc.getResult(idOf('execute'));
          expect(await ar.get({ timeout: 60_000 })).toMatchObject({
            text: '42',
            data: { 'text/plain': '42' },
            stdout: 'from Python\n',
            stderr: '',
            engineId: 0,
            engineUuid: rc.engines.get(0),
          });
          expect(ar.stdout).toEqual(['from Python\n']);
        });

        it('are errors as raised on the engine', async () => {
          const ar = rc.getResult(idOf('boom'));
          const failure = await ar.get({ timeout: 60_000 }).then(
            () => undefined,
            (error: unknown) => error,
          );
          expect(failure).toBeInstanceOf(RemoteError);
          expect(failure).toMatchObject({
            code: 'REMOTE',
            ename: 'ValueError',
            evalue: 'no such luck',
            engineUuid: rc.engines.get(1),
            engineId: 1,
          });
          const { message, traceback } = failure as RemoteError;
          expect(message).toContain('ValueError: no such luck');
          expect(traceback.join('\n')).toContain('ValueError');
          expect(ar.ready).toBe(true);
          expect(ar.successful).toBe(false);
          expect(await ar.wait()).toBe(true);
          await waitFor(() => ar.stdout[0] === 'before the end\n');
          const both = rc.getResult([idOf('int'), idOf('boom')]);
          await expect(both.get({ timeout: 60_000 })).rejects.toMatchObject({
            code: 'COMPOSITE',
            errors: [expect.objectContaining({ ename: 'ValueError' })],
          });
        });

        it('of an unknown id are an error with the id', async () => {
          const ar = rc.getResult(['no-such-task', idOf('int')]);
          const failure = await ar.get({ timeout: 60_000 }).catch((error: unknown) => error);
          expect(failure).toMatchObject({
            code: 'COMPOSITE',
            errors: [{ code: 'TASK_NOT_FOUND', msgIds: ['no-such-task'] }],
          });
          await expect(rc.getResult('no-such-task').get({ timeout: 60_000 })).rejects.toThrow(
            /no such task: "no-such-task"/,
          );
        });

        it('of a running task are awaited', async () => {
          await using other = await Client.connect({ connectionFile: cluster.connectionFile });
          const path = gate();
          const submitted = other.directView(0).execute(`${sleepUntil(path)}\n'done'`);
          const known = { msg_id: submitted.msgIds[0] ?? '' };
          await waitFor(async () => (await rc.dbQuery(known, [])).length > 0);
          const ar = rc.getResult(known.msg_id);
          const states: TaskStatus[] = [];
          const progress: Progress[] = [];
          ar.status$.subscribe(([status]) => status !== undefined && states.push(status));
          ar.progress$.subscribe((now) => progress.push(now));
          expect(ar.ready).toBe(false);
          expect(() => ar.successful).toThrow(UsageError);
          expect(await ar.wait({ timeout: 50 })).toBe(false);
          const failure = ar.get({ timeout: 50 });
          await expect(failure).rejects.toThrow(TimeoutError);
          await expect(failure).rejects.toThrow(ar.msgIds[0]);
          const reason = new Error('enough');
          await expect(ar.get({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
          await waitFor(() => states.includes('assigned'));
          open(path);
          expect(await ar.get({ timeout: 60_000 })).toMatchObject({ text: "'done'" });
          expect(states).toEqual(['unassigned', 'assigned', 'completed']);
          expect(progress.at(0)).toEqual({
            total: 1,
            done: 0,
            completed: 0,
            failed: 0,
            aborted: 0,
            purged: 0,
            lost: 0,
          });
          expect(progress.at(-1)).toEqual({
            total: 1,
            done: 1,
            completed: 1,
            failed: 0,
            aborted: 0,
            purged: 0,
            lost: 0,
          });
          expect(await submitted.get({ timeout: 60_000 })).toMatchObject({ text: "'done'" });
        });
      });

      describe('operations', () => {
        it('report the status of tasks', async () => {
          const path = gate();
          const runs = rc.directView(0).execute(sleepUntil(path));
          const waits = rc.directView(0).execute('1');
          const [running = '', waiting = ''] = [...runs.msgIds, ...waits.msgIds];
          const ids = [running, waiting, idOf('int'), idOf('boom')];
          // The hub may create a record from the output of a running task before it has processed the request.
          const submitted = { msg_id: { $in: ids }, engine_uuid: { $ne: null } };
          await waitFor(async () => (await rc.dbQuery(submitted, [])).length === 4);
          expect(await rc.resultStatus(ids)).toEqual({
            pending: [running, waiting],
            completed: [idOf('int'), idOf('boom')],
            statuses: {
              [running]: 'assigned',
              [waiting]: 'assigned',
              [idOf('int')]: 'completed',
              [idOf('boom')]: 'failed',
            },
          });
          const status = await rc.queueStatus('all', { verbose: true });
          expect(status.engines[0]?.queue).toEqual([running, waiting]);
          expect(status.engines[1]?.queue).toEqual([]);
          expect(status.unassigned).toEqual([]);
          const counts = await rc.queueStatus();
          expect(counts.engines[0]).toMatchObject({ queue: 2, tasks: 0 });
          expect(counts.engines[0]?.completed).toBeGreaterThan(0);
          expect(await rc.queueStatus(1)).toMatchObject({ queue: 0, tasks: 0 });
          expect(Object.keys((await rc.queueStatus([1])).engines)).toEqual(['1']);
          await expect(rc.queueStatus(99)).rejects.toThrow(/no engine 99; registered: 0, 1/);
          await expect(rc.resultStatus([...ids, 'nope'])).rejects.toThrow(TaskNotFoundError);
          // A purge that names an unfinished task purges nothing.
          for (const purge of [
            () => rc.purgeResults([idOf('int'), running]),
            () => rc.purgeHubResults([waiting]),
          ]) {
            const failure = await purge().catch((error: unknown) => error);
            expect(failure).toBeInstanceOf(TaskPendingError);
            expect((failure as TaskPendingError).message).toMatch(/nothing was purged/);
          }
          expect((await rc.dbQuery({ msg_id: { $in: ids } }, [])).length).toBe(4);
          open(path);
          await rc.getResult([running, waiting]).get({ timeout: 60_000 });
        });

        it('return the history in order of submission', async () => {
          const history = await rc.hubHistory();
          const records = await rc.dbQuery({ submitted: { $ne: null } }, 'msg_id');
          expect([...history].sort()).toEqual(records.map((row) => row.msg_id).sort());
          const places = Object.values(python.tasks).map(({ id }) => history.indexOf(id));
          expect(places).toEqual([...places].sort((a, b) => a - b));
        });

        it('resubmit tasks under new ids', async () => {
          const again = await rc.resubmit([idOf('int'), idOf('str')]);
          expect(again.msgIds).toHaveLength(2);
          expect(again.msgIds).not.toContain(idOf('int'));
          expect(await again.get({ timeout: 60_000 })).toEqual([7, 'hé 😀']);
          const [row] = await rc.dbQuery({ msg_id: idOf('int') }, 'resubmitted');
          expect(row?.resubmitted).toBe(again.msgIds[0]);
          const [copy] = await rc.dbQuery({ msg_id: again.msgIds[1] ?? '' }, ['client_uuid', 'queue']);
          expect(copy).toMatchObject({ client_uuid: python.session, queue: 'task' });
          const boom = await rc.resubmit(idOf('boom'));
          await expect(boom.get({ timeout: 60_000 })).rejects.toMatchObject({ ename: 'ValueError' });
          const before = (await rc.hubHistory()).length;
          const unknown = rc.resubmit([idOf('int'), 'nope']);
          await expect(unknown).rejects.toThrow(TaskNotFoundError);
          await expect(unknown).rejects.toThrow(/"nope"/);
          expect(await rc.hubHistory()).toHaveLength(before);
        });

        it('resubmit the tasks that a query selects', async () => {
          const failed = await rc.dbQuery({ 'result_content.status': 'error', resubmitted: null }, 'msg_id');
          expect(failed.length).toBeGreaterThan(0);
          const again = await rc.resubmit(failed.map((row) => row.msg_id));
          await expect(again.get({ timeout: 60_000 })).rejects.toMatchObject({ code: 'COMPOSITE' });
          expect(again.statuses).toEqual(failed.map(() => 'failed'));
        });

        it('purge by id, by result, by engine, and everything', async () => {
          const has = async (ids: readonly string[]): Promise<number> =>
            (await rc.dbQuery({ msg_id: { $in: ids } }, [])).length;
          await untilOutputIsStored();
          await rc.purgeHubResults(idOf('none'));
          expect(await has([idOf('none')])).toBe(0);
          const gone = await rc
            .getResult(idOf('none'))
            .get({ timeout: 60_000 })
            .catch((error: unknown) => error);
          expect(gone).toBeInstanceOf(TaskNotFoundError);
          expect(gone).toMatchObject({ msgIds: [idOf('none')] });
          await expect(rc.purgeHubResults(['none-such'])).resolves.toBeUndefined();

          // These tasks have no output.
          const own = rc.directView([0, 1]).execute('1', { silent: true });
          await own.get({ timeout: 60_000 });
          await waitFor(async () => (await rc.resultStatus(own)).completed.length === 2);
          expect(rc.history).toEqual(expect.arrayContaining([...own.msgIds]));
          await rc.purgeResults(own);
          expect(await has(own.msgIds)).toBe(0);
          expect(rc.history).not.toEqual(expect.arrayContaining([...own.msgIds]));

          const onOne = { engine_uuid: rc.engines.get(1) ?? '', completed: { $ne: null } };
          expect(await rc.dbQuery(onOne, [])).not.toEqual([]);
          const elsewhere = (await rc.dbQuery({ engine_uuid: rc.engines.get(0) ?? '' }, [])).length;
          await rc.purgeHubResults([], { targets: 1 });
          expect(await rc.dbQuery(onOne, [])).toEqual([]);
          expect((await rc.dbQuery({ engine_uuid: rc.engines.get(0) ?? '' }, [])).length).toBe(elsewhere);
          await expect(rc.purgeHubResults([], { targets: 99 })).rejects.toThrow(UsageError);

          const last = rc.directView(0).execute('1', { silent: true });
          await last.get({ timeout: 60_000 });
          rc.purgeLocalResults('all');
          expect(rc.history).toEqual([]);
          await waitFor(async () => (await rc.resultStatus(last)).completed.length === 1);
          await rc.purgeEverything();
          expect(await rc.hubHistory()).toEqual([]);
          expect(await rc.dbQuery({})).toEqual([]);
        });
      });
    });
  }
}
