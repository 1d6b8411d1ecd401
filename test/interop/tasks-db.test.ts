// Python hubs and our store open the same tasks.db in turn.
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

// The hub's check compares declared types, which SQLite 3.37 and later return in capitals.
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

/** Prints the records of a query as JSON. */
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
deadline = time.monotonic() + 60
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

/** Converts a record of a Python hub or of our store to a common form. */
function normalize(record: Dict, keys: readonly TaskKey[]): Dict {
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
      // Python's SQLite hubs send these columns as stored text.
      if ((key === 'error' || key === 'execute_result') && typeof value === 'string')
        return [key, JSON.parse(value)];
      return [key, normalizeDates(value)];
    }),
  );
}

// Converts dates in dicts to one format.
function normalizeDates(value: unknown): unknown {
  if (typeof value === 'string')
    return /^20\d\d-/.test(value) ? (parseWireDate(value)?.exact ?? value) : value;
  if (Array.isArray(value)) return value.map(normalizeDates);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, normalizeDates(item)]));
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
    const queryRecords = async (cluster: StockCluster, query: Dict): Promise<Dict[]> =>
      await cluster.runPython<Dict[]>(dump, [JSON.stringify(query), JSON.stringify(keys)]);
    const waitUntilCommitted = async (ids: readonly string[]): Promise<void> => {
      const isCommitted = async (): Promise<boolean> => {
        const stored = new Set(await runPython<string[]>(version, COMMITTED, [file]));
        return ids.every((id) => stored.has(id));
      };
      await waitFor(isCommitted, { timeout: 120_000, interval: 200, what: 'the hub to write its records' });
    };
    const findAll = async (db: SqliteDatabase, query: Dict = {}): Promise<Dict[]> => {
      const found: Dict[] = [];
      for await (const tasks of db.find(parseQuery(query, { dates: 'text' }), { keys }))
        for (const task of tasks) found.push(normalize(task, keys));
      return found;
    };

    beforeAll(async () => {
      const first = await hub(2);
      try {
        await submitFromPython(first);
        const records = await queryRecords(first, { msg_id: { $ne: null } });
        python = byId(records.map((record) => normalize(record, keys)));
        // The hub commits every two seconds and in order, so wait until later tasks are committed.
        const later = await first.runPython<string[]>(SUBMIT_PENDING);
        await waitUntilCommitted(later);
      } finally {
        await first.stop();
      }
      // The hub's check fails at every start, so each of these two starts creates a table.
      for (let restart = 0; restart < 2; restart++) {
        const next = await hub(0);
        try {
          const ids = await next.runPython<string[]>(SUBMIT_PENDING);
          pending = [...pending, ...ids];
          const records = await queryRecords(next, { msg_id: { $in: ids } });
          for (const [id, record] of byId(records.map((found) => normalize(found, keys))))
            python.set(id, record);
          await waitUntilCommitted(ids);
        } finally {
          await next.stop();
        }
      }
    });
    afterAll(() => rmSync(location, { recursive: true, force: true }));

    it('our store reads the complete history of Python hubs', async () => {
      expect(python.size).toBeGreaterThan(15);
      expect(pending).toHaveLength(6);
      const db = await SqliteDatabase.open({ location }, log);
      try {
        const ours = byId(await findAll(db));
        for (const [id, record] of python) expect(ours.get(id)).toEqual(record);
        const history = await db.history();
        expect(new Set(history).size).toBe(history.length);
        expect(history).toEqual(expect.arrayContaining(pending));
        expect(history.slice(-6)).toEqual(pending);
        // Unfinished tasks of earlier controllers can be found, and purged by their ids.
        const unfinished = await findAll(db, { msg_id: { $in: pending }, completed: null });
        expect(unfinished.map((record) => record.msg_id)).toEqual(pending);
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

    it('a Python hub reads the records of our store', async () => {
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
      const ours = byId(await findAll(db));
      const queries: Dict[] = [
        { msg_id: { $ne: null } },
        { client_uuid: { $eq: 'client of ours' }, completed: { $ne: null } },
        { submitted: { $ne: null, $gte: date(4), $lt: date(9) } },
        { engine_uuid: { $in: ['engine 1'] }, queue: { $eq: 'task' } },
        { completed: { $eq: null } },
      ];
      const wanted: string[][] = [];
      for (const query of queries) {
        wanted.push((await findAll(db, query)).map((record) => String(record.msg_id)).sort());
      }
      await db.close();
      expect(ours.size).toBeGreaterThan(30);
      const cluster = await hub(0, REPAIRED);
      try {
        const theirs = byId(
          (await queryRecords(cluster, { msg_id: { $ne: null } })).map((record) => normalize(record, keys)),
        );
        expect([...theirs.keys()].sort()).toEqual([...ours.keys()].sort());
        for (const [id, record] of ours) expect(theirs.get(id)).toEqual(record);
        for (const [i, query] of queries.entries()) {
          const found = (await queryRecords(cluster, query)).map((record) => String(record.msg_id)).sort();
          expect(found, JSON.stringify(query)).toEqual(wanted[i]);
          expect(found.length).toBeGreaterThan(0);
        }
        // The hub also continues to write to the same table, which has our indexes.
        const ids = await cluster.runPython<string[]>(SUBMIT_PENDING);
        await waitUntilCommitted(ids);
        pending = ids;
      } finally {
        await cluster.stop();
      }
      const reopened = await SqliteDatabase.open({ location }, log);
      try {
        expect((await reopened.get(pending)).size).toBe(3);
        expect((await reopened.get(['ours_3'])).get('ours_3')).toMatchObject({
          label: 'label 3',
          display_data: { data: {} },
        });
      } finally {
        await reopened.close();
      }
      expect(problems).toEqual([]);
    });
  });
}
