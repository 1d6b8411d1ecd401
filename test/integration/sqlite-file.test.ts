// Defective files of the SQLite store, at the start and in operation.
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  emptyTask,
  type FoundTask,
  openDatabase,
  SqliteDatabase,
  type StoredTask,
} from '@ipyparallel-js/hub/internal';
import { type Dict, formatWireDate } from '@ipyparallel-js/protocol';
import { DEFAULT_SORT, parseQuery } from '@ipyparallel-js/protocol/internal';
import { createLogger, type Logger } from '@ipyparallel-js/wire';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { cleanEnv } from '../support/environment.js';
import { waitFor } from '../support/wait-for.js';

interface Connection {
  exec(sql: string): void;
  prepare(sql: string): {
    run(...values: unknown[]): void;
    pluck(): { all(...values: unknown[]): unknown[] };
  };
  close(): void;
}

const require = createRequire(import.meta.url);
const main = require.resolve('@ipyparallel-js/hub/main');
const driver: string = 'libsql';
const { default: Driver } = (await import(require.resolve(driver, { paths: [main] }))) as {
  readonly default: new (path: string, options?: { timeout: number }) => Connection;
};

let location: string;
let file: string;
let lines: string[];
let log: Logger;
let children: ChildProcess[];

beforeEach(() => {
  location = mkdtempSync(join(tmpdir(), 'ippjs-file-'));
  file = join(location, 'tasks.db');
  lines = [];
  children = [];
  log = createLogger('info', (level, line) => lines.push(`${level} ${line}`));
});
afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(location, { recursive: true, force: true });
});

const open = (options = {}): Promise<SqliteDatabase> => SqliteDatabase.open({ location, ...options }, log);

/** Runs SQL on the file while no store has it open. */
function runSql(...statements: string[]): void {
  const connection = new Driver(file);
  for (const sql of statements) connection.exec(sql);
  connection.close();
}

const moment = (n: number): string => formatWireDate(new Date(Date.UTC(2026, 0, 1) + n * 1000));

function task(n: number, fields: Partial<StoredTask> = {}): StoredTask {
  return { ...emptyTask(`t${String(n).padStart(5, '0')}`), header: { n }, submitted: moment(n), ...fields };
}

const ended = (n: number): StoredTask => task(n, { completed: moment(n + 1) });

async function add(db: SqliteDatabase, ...tasks: StoredTask[]): Promise<void> {
  await db.write(tasks.map((added) => ({ op: 'add', task: added })));
}

async function found(db: SqliteDatabase, query: Dict = {}): Promise<FoundTask[]> {
  const all: FoundTask[] = [];
  for await (const tasks of db.find(parseQuery(query, { dates: 'text' }), { sort: DEFAULT_SORT }))
    all.push(...tasks);
  return all;
}

const ids = (tasks: readonly FoundTask[]): string[] => tasks.map(({ msg_id }) => msg_id);

describe('opening an unusable file fails with its name and the reason', () => {
  test.each<[string, () => void, RegExp]>([
    [
      'not a database',
      () => writeFileSync(file, 'x'.repeat(5000)),
      /tasks\.db: this is not an SQLite database/,
    ],
    ['a short text', () => writeFileSync(file, 'hello'), /tasks\.db: this is not an SQLite database/],
    [
      'only a header',
      () => writeFileSync(file, `SQLite format 3\0${'\xff'.repeat(500)}`, 'latin1'),
      /tasks\.db: (this is not an SQLite database|it is damaged)/,
    ],
    ['a directory', () => mkdirSync(file), /tasks\.db: it is not a regular file/],
    [
      'a missing directory',
      () => rmSync(location, { recursive: true }),
      /tasks\.db: the directory .* does not exist/,
    ],
    [
      'a read-only file',
      () => {
        runSql('CREATE TABLE t (a)');
        chmodSync(file, 0o444);
      },
      /tasks\.db: it is read-only/,
    ],
    [
      'a table with other columns',
      () => runSql('CREATE TABLE "ipython-tasks" (msg_id text, pyin text)'),
      /tasks\.db: .*"ipython-tasks" is not one of ipyparallel 7 to 9/,
    ],
  ])('%s', async (_name, damage, message) => {
    damage();
    await expect(open()).rejects.toThrow(message);
    await expect(open()).rejects.toMatchObject({ code: 'TASK_DATABASE', path: file });
  });

  test('a file that another process holds locked', async () => {
    runSql('CREATE TABLE t (a)');
    const other = new Driver(file);
    other.exec('BEGIN EXCLUSIVE');
    try {
      await expect(open()).rejects.toThrow(/tasks\.db: another process has locked it for 5 s/);
    } finally {
      other.close();
    }
  });

  test('a controller ends with this error', async () => {
    writeFileSync(file, 'not a database');
    const child = spawn(process.execPath, [main, '--profile-dir', location, '--sqlitedb'], {
      env: cleanEnv(),
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    children.push(child);
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors += text;
    });
    const code = await new Promise((resolve) => child.once('exit', resolve));
    expect(code).toBe(1);
    await waitFor(() => errors.includes(`${file}: this is not an SQLite database`), { what: () => errors });
    expect(existsSync(join(location, 'security', 'ipcontroller-client.json'))).toBe(false);
  });
});

test('without the driver the error of the controller states what to install', async () => {
  const hooks =
    'export async function resolve(name, context, next) { if (name === "libsql") throw new Error("not there"); return next(name, context); }';
  const register = `import { register } from 'node:module'; register(${JSON.stringify(`data:text/javascript,${encodeURIComponent(hooks)}`)});`;
  const child = spawn(
    process.execPath,
    [
      ...['--import', `data:text/javascript,${encodeURIComponent(register)}`],
      ...[main, '--profile-dir', location, '--sqlitedb'],
    ],
    { env: cleanEnv(), stdio: ['ignore', 'ignore', 'pipe'] },
  );
  children.push(child);
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(1);
  await waitFor(() => errors.includes('npm install libsql'), { what: () => errors });
  expect(existsSync(file)).toBe(false);
});

describe('the content of the file', () => {
  test('a row that cannot be read is reported once and omitted', async () => {
    const db = await open();
    await add(db, ...Array.from({ length: 8 }, (_, n) => ended(n)));
    await db.close();
    runSql(
      `UPDATE "ipython-tasks" SET header = '{"broken": ' WHERE msg_id = 't00001'`,
      `UPDATE "ipython-tasks" SET stdout = CAST(X'61ff62' AS TEXT) WHERE msg_id = 't00002'`,
      `UPDATE "ipython-tasks" SET buffers = X'80046370726f67' WHERE msg_id = 't00003'`,
      `UPDATE "ipython-tasks" SET completed = 'yesterday' WHERE msg_id = 't00004'`,
      `UPDATE "ipython-tasks" SET content = '[1]' WHERE msg_id = 't00005'`,
      `INSERT INTO "ipython-tasks" (msg_id) VALUES (NULL)`,
    );
    const reopened = await open();
    expect(ids(await found(reopened))).toEqual(['t00000', 't00003', 't00006', 't00007']);
    expect(ids(await found(reopened, { 'header.n': { $gte: 0 } }))).toEqual([
      't00000',
      't00003',
      't00006',
      't00007',
    ]);
    expect(await reopened.get(['t00001'])).toEqual(new Map());
    expect([...(await reopened.get(['t00003', 't00006'], ['buffers'])).keys()]).toEqual(['t00006']);
    for (const id of ['t00001', 't00002', 't00003', 't00004', 't00005']) {
      expect(
        lines.filter((line) => line.startsWith('error') && line.includes(id)),
        id,
      ).toHaveLength(1);
    }
    // Such a row can be removed.
    expect((await reopened.remove({ msgIds: ['t00001'] })).count).toBe(1);
    await reopened.close();
  });

  test('NaN and infinities, which Python writes, are null; dates of other time zones are converted to UTC', async () => {
    const db = await open();
    await add(db, ended(0), ended(1), ended(2));
    await db.close();
    runSql(
      `UPDATE "ipython-tasks" SET content = '{"a": NaN, "b": [-Infinity, "NaN"], "c": "\\"NaN"}' WHERE msg_id = 't00000'`,
      `UPDATE "ipython-tasks" SET submitted = '2026-01-01T09:00:01.500000+09:00' WHERE msg_id = 't00001'`,
    );
    const reopened = await open();
    const tasks = await found(reopened);
    expect(tasks[0]?.content).toEqual({ a: null, b: [null, 'NaN'], c: '"NaN' });
    expect(tasks[1]?.submitted).toBe('2026-01-01T00:00:01.500000Z');
    const range = { submitted: { $gt: '2026-01-01T00:00:01.000Z', $lt: '2026-01-01T00:00:02.000Z' } };
    expect(ids(await found(reopened, range))).toEqual(['t00001']);
    await reopened.close();
  });

  test('tables of restarts are merged; values of the first record are kept', async () => {
    const db = await open();
    await add(db, ended(0), task(1));
    await db.close();
    runSql(
      'CREATE TABLE "ipython-tasks_1" AS SELECT * FROM "ipython-tasks"',
      `UPDATE "ipython-tasks_1" SET msg_id = 'from_1' WHERE msg_id = 't00000'`,
      `UPDATE "ipython-tasks_1" SET stdout = 'late', submitted = NULL WHERE msg_id = 't00001'`,
      `CREATE TABLE "ipython-tasks_10" AS SELECT * FROM "ipython-tasks" LIMIT 1`,
      `UPDATE "ipython-tasks_10" SET msg_id = 'from_10'`,
      `CREATE TABLE "ipython-tasks_2" AS SELECT * FROM "ipython-tasks" LIMIT 1`,
      `UPDATE "ipython-tasks_2" SET msg_id = 'from_2'`,
      'CREATE TABLE "ipython-tasks_x" (a)',
      'CREATE TABLE "ipython-tasks_3" (a)',
    );
    const reopened = await open();
    const arrived: string[] = [];
    for await (const tasks of reopened.find(parseQuery({}))) arrived.push(...ids(tasks));
    expect(arrived).toEqual(['t00000', 't00001', 'from_1', 'from_2', 'from_10']);
    expect((await reopened.get(['t00001'])).get('t00001')).toMatchObject({
      stdout: 'late',
      submitted: moment(1),
    });
    await reopened.close();
    const connection = new Driver(file);
    const tables = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").pluck().all();
    connection.close();
    expect(tables).toEqual(expect.arrayContaining(['ipython-tasks_x', 'ipython-tasks_3']));
    expect(tables).toHaveLength(4);
  });

  test('indexes with an outdated definition are replaced; indexes of other programs stay', async () => {
    const db = await open();
    await add(db, ended(0));
    await db.close();
    const indexes = (): unknown[] => {
      const connection = new Driver(file);
      const all = connection
        .prepare("SELECT sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY name")
        .pluck()
        .all();
      connection.close();
      return all;
    };
    const current = indexes();
    runSql(
      'DROP INDEX "ipython-tasks:engine"',
      'CREATE INDEX "ipython-tasks:engine" ON "ipython-tasks" (engine_uuid, submitted, msg_id)',
      'CREATE INDEX "ipython-tasks:earlier" ON "ipython-tasks" (stdout)',
      'CREATE INDEX "a: theirs" ON "ipython-tasks" (queue)',
    );
    const reopened = await open();
    expect(ids(await found(reopened))).toEqual(['t00000']);
    await reopened.close();
    expect(indexes()).toEqual(['CREATE INDEX "a: theirs" ON "ipython-tasks" (queue)', ...current]);
  });

  test('the table may have another name, with quotes in it', async () => {
    const table = `my "tasks'; --`;
    const db = await open({ table, filename: 'other.db' });
    await add(db, ended(0));
    expect(ids(await found(db))).toEqual(['t00000']);
    await db.close();
    expect(existsSync(join(location, 'other.db'))).toBe(true);
    expect(existsSync(file)).toBe(false);
  });
});

describe('retention', () => {
  test('removes tasks by count, the oldest first, but no task that may still end', async () => {
    const db = await open({ recordLimit: 20 });
    await add(db, task(0, { submitted: formatWireDate(new Date(Date.now() + 60_000)) }));
    await add(db, ...Array.from({ length: 50 }, (_, n) => ended(n + 1)));
    const culled: string[] = [];
    await waitFor(
      async () => {
        culled.push(...(await db.write([])).culled);
        return culled.length >= 33;
      },
      { timeout: 60_000, what: 'the oldest tasks to be removed' },
    );
    expect(culled).toEqual(Array.from({ length: 33 }, (_, n) => ended(n + 1).msg_id));
    expect(await db.count(parseQuery({}))).toBe(18);
    expect(await db.count(parseQuery({ msg_id: 't00000' }))).toBe(1);
    await db.close();
  });

  test('removes tasks by age and by bytes, and releases their space', async () => {
    const db = await open();
    const big = 'x'.repeat(20_000);
    await add(db, ...Array.from({ length: 400 }, (_, n) => ({ ...ended(n), stdout: big })));
    await add(db, ended(401), task(402, { submitted: formatWireDate(new Date()) }));
    await db.close();
    const before = statSync(file).size;
    expect(before).toBeGreaterThan(8_000_000);
    const bySize = await open({ sizeLimit: 4_000_000 });
    const removed = () => lines.filter((line) => line.includes('tasks, because a limit was exceeded')).length;
    await waitFor(() => removed() === 1, { timeout: 60_000 });
    expect(await bySize.count(parseQuery({}))).toBeLessThan(200);
    await bySize.close();
    expect(statSync(file).size).toBeLessThan(before / 1.5);
    const byAge = await open({ maxAge: 3_600_000 });
    await waitFor(() => removed() === 2, { timeout: 60_000 });
    expect(ids(await found(byAge))).toEqual(['t00402']);
    await byAge.close();
    expect(statSync(file).size).toBeLessThan(2_000_000);
  });
});

describe('in operation', () => {
  test('a lock of another process delays changes but not tasks; reads wait or fail with the reason', async () => {
    const db = await open();
    await add(db, ended(0));
    const other = new Driver(file);
    other.exec('BEGIN IMMEDIATE');
    const startedAt = performance.now();
    await add(db, ended(1));
    // The hub continues after the write timeout, and reads fail with the reason.
    expect(performance.now() - startedAt).toBeLessThan(20_000);
    await add(db, ended(2));
    await expect(db.count(parseQuery({}))).rejects.toThrow(
      /tasks\.db: writes have failed for .* 2 changes are held/,
    );
    await expect(db.get(['t00000'])).rejects.toMatchObject({ code: 'TASK_DATABASE' });
    expect(lines.filter((line) => line.startsWith('error'))).toHaveLength(1);
    other.exec('COMMIT');
    other.close();
    await waitFor(async () => (await db.count(parseQuery({}))) === 3, { timeout: 60_000 });
    expect(lines.at(-1)).toContain('can be written again');
    await db.close();
  });

  test('openDatabase opens the store that its options select', async () => {
    const db = await openDatabase({ type: 'sqlite', location }, { log, session: 's' });
    expect(db.kind).toBe('sqlite');
    await db.close();
  });
});
