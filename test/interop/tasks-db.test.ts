// One tasks.db, used in turn by Python's hubs and by our store.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { emptyTask, SqliteDatabase, type StoredTask } from '@ipyparallel-js/hub/internal';
import { type Dict, parseWireDate, type TaskKey } from '@ipyparallel-js/protocol';
import { parseQuery } from '@ipyparallel-js/protocol/internal';
import { createLogger, type Logger } from '@ipyparallel-js/wire';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { StockCluster } from '../support/clusters/stock-cluster.js';
import { describeStock } from '../support/python/describe-stock.js';
import { runPython, type StockVersion } from '../support/python/python.js';
import { submitFromPython } from '../support/python/python-tasks.js';
import { waitFor } from '../support/wait-for.js';

// The check compares declared types, which SQLite from 3.37 on tells in capitals.
const REPAIRED = `
from ipyparallel.controller.sqlitedb import SQLiteDB

def check(self):
    lines = self._db.execute("PRAGMA table_info('%s')" % self.table).fetchall()
    if not lines:
        return True
    names = [line[1] for line in lines]
    return names == list(self._keys) and all(line[2].lower() == self._types[line[1]] for line in lines)

SQLiteDB._check_table = check
`;

/** All records of a hub, or those of a query, as plain JSON. */
const dump = `
import sys, json
from datetime import datetime, timezone
import ipyparallel
rc = ipyparallel.Client(sys.argv[1], timeout=60)
query = json.loads(sys.argv[2])
for condition in query.values():
    if isinstance(condition, dict):
        for name, value in condition.items():
            if isinstance(value, str) and value.startswith('20') and value.endswith('Z'):
                condition[name] = datetime.strptime(value, '%Y-%m-%dT%H:%M:%S.%fZ').replace(tzinfo=timezone.utc)
records = rc.db_query(query, keys=json.loads(sys.argv[3]))
def plain(value):
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).strftime('%Y-%m-%dT%H:%M:%S.%fZ')
    if isinstance(value, (bytes, memoryview)):
        return bytes(value).hex()
    raise TypeError(repr(value))
print(json.dumps(records, default=plain))
`;

const COMMITTED = `
import sys, json, sqlite3
db = sqlite3.connect('file:%s?mode=ro' % sys.argv[1], uri=True)
tables = [name for name, in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'") if name.startswith('ipython-tasks')]
print(json.dumps([id for table in tables for id, in db.execute('SELECT msg_id FROM "%s"' % table)]))
`;

const SUBMIT_PENDING = `
import sys, json, time
import ipyparallel
rc = ipyparallel.Client(sys.argv[1], timeout=60)
session = rc.session
ids = []
for n in range(3):
    message = session.send(rc._task_socket, 'apply_request', content={'n': n}, buffers=[b'', b'x' * 70000])
    ids.append(message['header']['msg_id'])
deadline = time.monotonic() + 20
while len(rc.db_query({'msg_id': {'$in': ids}}, keys=['msg_id'])) < len(ids):
    assert time.monotonic() < deadline, 'the hub lacks records'
    time.sleep(0.05)
print(json.dumps(ids))
`;

const BUFFERS: readonly TaskKey[] = ['buffers', 'result_buffers'];
const keysOf = (version: StockVersion): TaskKey[] => [
  ...(Object.keys(emptyTask('')) as TaskKey[]).filter(
    (key) => key !== 'display_data' && (key !== 'label' || version !== '7.1'),
  ),
];

/** A record from either side in one form. */
function plain(record: Dict, keys: readonly TaskKey[]): Dict {
  return Object.fromEntries(
    keys.map((key) => {
      const value = record[key];
      if (BUFFERS.includes(key)) {
        const list = (value as readonly (string | Uint8Array)[] | null) ?? [];
        return [
          key,
          list.map((item) => (typeof item === 'string' ? item : Buffer.from(item).toString('hex'))),
        ];
      }
      // Python's SQLite hubs give these as they are on disk.
      if ((key === 'error' || key === 'execute_result') && typeof value === 'string')
        return [key, JSON.parse(value)];
      return [key, sameDates(value)];
    }),
  );
}

// Dates inside of dicts: one text for a moment, whatever its writer left out.
function sameDates(value: unknown): unknown {
  if (typeof value === 'string')
    return /^20\d\d-/.test(value) ? (parseWireDate(value)?.exact ?? value) : value;
  if (Array.isArray(value)) return value.map(sameDates);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, sameDates(item)]));
}

const byId = (records: readonly Dict[]): Map<string, Dict> =>
  new Map(records.map((record) => [String(record.msg_id), record]));

for (const version of ['7.1', '9'] as const) {
  describeStock(version, `a tasks.db of ipyparallel ${version} and ours`, () => {
    const location = mkdtempSync(join(tmpdir(), 'ippjs-tasks-db-'));
    const file = join(location, 'tasks.db');
    const keys = keysOf(version);
    const problems: string[] = [];
    const log: Logger = createLogger('warn', (_level, line) => problems.push(line));
    let pending: string[] = [];
    let python = new Map<string, Dict>();

    const hub = (engines: number, config?: string): Promise<StockCluster> =>
      StockCluster.start({
        ...{ version, db: 'sqlitedb', engines, controllerArgs: [`--SQLiteDB.location=${location}`] },
        ...(config === undefined ? {} : { config }),
      });
    const ask = async (cluster: StockCluster, query: Dict): Promise<Dict[]> =>
      await cluster.runPython<Dict[]>(dump, [JSON.stringify(query), JSON.stringify(keys)]);
    const committed = async (ids: readonly string[]): Promise<void> => {
      const isIn = async (): Promise<boolean> => {
        const there = new Set(await runPython<string[]>(version, COMMITTED, [file]));
        return ids.every((id) => there.has(id));
      };
      await waitFor(isIn, { timeout: 60_000, interval: 200, what: 'the hub to write its records' });
    };
    const everything = async (db: SqliteDatabase, query: Dict = {}): Promise<Dict[]> => {
      const found: Dict[] = [];
      for await (const tasks of db.find(parseQuery(query, { dates: 'text' }), { keys }))
        for (const task of tasks) found.push(plain(task, keys));
      return found;
    };

    beforeAll(async () => {
      const first = await hub(2);
      try {
        await submitFromPython(first);
        const records = await ask(first, { msg_id: { $ne: null } });
        python = byId(records.map((record) => plain(record, keys)));
        // The hub writes every two seconds, results after their requests: one more task behind them all.
        const behind = await first.runPython<string[]>(SUBMIT_PENDING);
        await committed(behind);
      } finally {
        await first.stop();
      }
      // The check fails at every start: these two begin tables of their own.
      for (let restart = 0; restart < 2; restart++) {
        const next = await hub(0);
        try {
          const ids = await next.runPython<string[]>(SUBMIT_PENDING);
          pending = [...pending, ...ids];
          const records = await ask(next, { msg_id: { $in: ids } });
          for (const [id, record] of byId(records.map((found) => plain(found, keys)))) python.set(id, record);
          await committed(ids);
        } finally {
          await next.stop();
        }
      }
    });
    afterAll(() => rmSync(location, { recursive: true, force: true }));

    it('gives us the whole history that Python’s hubs have written', async () => {
      expect(python.size).toBeGreaterThan(15);
      expect(pending).toHaveLength(6);
      const db = await SqliteDatabase.open({ location }, log);
      try {
        const ours = byId(await everything(db));
        for (const [id, record] of python) expect(ours.get(id)).toEqual(record);
        const history = await db.history();
        expect(new Set(history).size).toBe(history.length);
        expect(history).toEqual(expect.arrayContaining(pending));
        expect(history.slice(-6)).toEqual(pending);
        // Tasks that no controller waits for any more: to be seen, and to be purged by their ids.
        const open = await everything(db, { msg_id: { $in: pending }, completed: null });
        expect(open.map((record) => record.msg_id)).toEqual(pending);
        expect((await db.remove({ msgIds: pending.slice(0, 1) })).count).toBe(1);
      } finally {
        await db.close();
      }
      expect(problems).toEqual([]);
      const tables = await runPython<string[]>(
        version,
        COMMITTED.replace(/print.*/, 'print(json.dumps(tables))'),
        [file],
      );
      expect(tables).toEqual(['ipython-tasks']);
    });

    it('gives Python’s hub what we have written', async () => {
      const db = await SqliteDatabase.open({ location }, log);
      const date = (n: number): string =>
        `2026-03-01T00:00:${String(n).padStart(2, '0')}.${n % 2 ? '000000' : '000123'}Z`;
      const written = Array.from(
        { length: 12 },
        (_, n): StoredTask => ({
          ...emptyTask(`ours_${n}`),
          header: { msg_id: `ours_${n}`, date: date(n), session: 'é😀', msg_type: 'apply_request' },
          metadata: { label: `label ${n}` },
          content: { code: "print('\u0000 ünï')", n: n / 4, 'a.b': null },
          buffers: n % 3 === 0 ? [] : [Buffer.from([0, 255, n]), Buffer.alloc(70_000, n), Buffer.alloc(0)],
          submitted: date(n),
          client_uuid: 'client of ours',
          engine_uuid: `engine ${n % 2}`,
          started: n < 6 ? date(n + 10) : null,
          completed: n < 6 ? date(n + 20) : null,
          received: n < 6 ? date(n + 21) : null,
          result_header: n < 6 ? { date: date(n + 20) } : null,
          result_metadata: n < 6 ? { started: date(n + 10) } : null,
          result_content: n < 6 ? { status: 'ok' } : null,
          result_buffers: n < 6 ? [Buffer.from(`result ${n}`)] : null,
          queue: 'task',
          execute_result: n === 1 ? { data: { 'text/plain': '1' } } : null,
          error: n === 2 ? { ename: 'ValueError', evalue: "it's", traceback: [] } : null,
          stdout: `out ${n} é\n`,
          label: `label ${n}`,
          display_data: n === 3 ? { data: {} } : null,
        }),
      );
      await db.write(written.map((task) => ({ op: 'add', task })));
      const ours = byId(await everything(db));
      const queries: Dict[] = [
        { msg_id: { $ne: null } },
        { client_uuid: { $eq: 'client of ours' }, completed: { $ne: null } },
        { submitted: { $ne: null, $gte: date(4), $lt: date(9) } },
        { engine_uuid: { $in: ['engine 1'] }, queue: { $eq: 'task' } },
        { completed: { $eq: null } },
      ];
      const wanted: string[][] = [];
      for (const query of queries) {
        wanted.push((await everything(db, query)).map((record) => String(record.msg_id)).sort());
      }
      await db.close();
      expect(ours.size).toBeGreaterThan(30);
      const cluster = await hub(0, REPAIRED);
      try {
        const theirs = byId(
          (await ask(cluster, { msg_id: { $ne: null } })).map((record) => plain(record, keys)),
        );
        expect([...theirs.keys()].sort()).toEqual([...ours.keys()].sort());
        for (const [id, record] of ours) expect(theirs.get(id)).toEqual(record);
        for (const [i, query] of queries.entries()) {
          const found = (await ask(cluster, query)).map((record) => String(record.msg_id)).sort();
          expect(found, JSON.stringify(query)).toEqual(wanted[i]);
          expect(found.length).toBeGreaterThan(0);
        }
        // And it goes on in the same table, indexes of ours beside it.
        const ids = await cluster.runPython<string[]>(SUBMIT_PENDING);
        await committed(ids);
        pending = ids;
      } finally {
        await cluster.stop();
      }
      const again = await SqliteDatabase.open({ location }, log);
      try {
        expect((await again.get(pending)).size).toBe(3);
        expect((await again.get(['ours_3'])).get('ours_3')).toMatchObject({
          label: 'label 3',
          display_data: { data: {} },
        });
      } finally {
        await again.close();
      }
      expect(problems).toEqual([]);
    });
  });
}
