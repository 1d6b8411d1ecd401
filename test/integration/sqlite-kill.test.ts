// Kills the controller repeatedly at random moments under load, always with the same file. All data that a client has
// received must be stored afterwards. KILLS=200 is the full run.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Dict } from '@ipyparallel-js/protocol';
import { afterAll, expect, test } from 'vitest';
import { cleanEnv } from '../support/environment.js';
import { RawClient } from '../support/fakes/raw-client.js';
import { answerAll, RawEngine } from '../support/fakes/raw-engine.js';
import { waitFor } from '../support/wait-for.js';

const kills = Number(process.env.KILLS ?? 8);
const seed = Number(process.env.KILLS_SEED ?? Date.now() % 1_000_000);

const require = createRequire(import.meta.url);
const main = require.resolve('@ipyparallel-js/hub/main');

const directory = mkdtempSync(join(tmpdir(), 'ippjs-kill-'));
const file = join(directory, 'tasks.db');
let controller: ChildProcess | undefined;
afterAll(() => {
  controller?.kill('SIGKILL');
  rmSync(directory, { recursive: true, force: true });
});

/** Returns a generator of numbers from 0 to 1 that is reproducible from its seed. */
function randomNumbers(start: number): () => number {
  let state = start >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

interface RunningController {
  readonly process: ChildProcess;
  readonly client: RawClient;
  readonly engine: RawEngine;
}

async function startController(): Promise<RunningController> {
  const security = join(directory, 'security');
  rmSync(security, { recursive: true, force: true });
  let errors = '';
  const child = spawn(
    process.execPath,
    // The controller must not declare the engine dead, which runs in this busy process.
    [main, '--profile-dir', directory, '--sqlitedb', '--ping=200', '--max-misses=150', '--log-level=warn'],
    { env: cleanEnv(), stdio: ['ignore', 'ignore', 'pipe'] },
  );
  controller = child;
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const clientFile = join(security, 'ipcontroller-client.json');
  const engineFile = join(security, 'ipcontroller-engine.json');
  await waitFor(() => existsSync(clientFile) && existsSync(engineFile), {
    timeout: 60_000,
    what: () => `the controller to startController: ${errors}`,
  });
  const client = RawClient.fromFile(clientFile);
  const engine = await RawEngine.start(engineFile, { onTask: answerAll });
  await waitFor(async () => (await client.engines()).size === 1, { what: 'the engine to register' });
  return { process: child, client, engine };
}

async function records(client: RawClient, query: Dict): Promise<Map<string, Dict>> {
  const request = client.submit('registration', 'db_request', {
    query,
    keys: ['msg_id', 'completed', 'content'],
  });
  const reply = await request.reply(30_000);
  expect(reply.content.status).toBe('ok');
  return new Map((reply.content.records as Dict[]).map((record) => [String(record.msg_id), record]));
}

/** The ids of the records that clients have received, and whether each record was completed. */
const reported = new Map<string, boolean>();

/** Submits tasks and queries them until the controller is killed. `onCompleted` is called at each completed record. */
async function submitAndQuery(
  { client }: RunningController,
  isKilled: () => boolean,
  onCompleted: () => void,
): Promise<void> {
  const buffers = [Buffer.alloc(2_000, 1)];
  let n = 0;
  while (!isKilled()) {
    for (let i = 0; i < 10; i++) {
      client.submit('task', 'apply_request', { n: n++, text: 'x'.repeat(200) }, undefined, { buffers });
    }
    const request = client.submit('registration', 'db_request', {
      query: { client_uuid: client.session.session },
      keys: ['msg_id', 'completed'],
    });
    const reply = await waitFor(
      () => isKilled() || client.received.find(({ message }) => message.parent_header.msg_id === request.id),
      { timeout: 30_000, interval: 1, what: 'a reply under submitAndQuery' },
    );
    if (reply === true) return;
    for (const record of reply.message.content.records as Dict[]) {
      const id = String(record.msg_id);
      if (record.completed !== null) onCompleted();
      reported.set(id, reported.get(id) === true || record.completed !== null);
    }
  }
}

interface Database {
  prepare(sql: string): { pluck(): { all(): unknown[] } };
  close(): void;
}

async function readFile<T>(read: (column: (sql: string) => unknown[]) => T): Promise<T> {
  const driver: string = 'libsql';
  const { default: Driver } = (await import(require.resolve(driver, { paths: [main] }))) as {
    readonly default: new (path: string) => Database;
  };
  const database = new Driver(file);
  try {
    return read((sql) => database.prepare(sql).pluck().all());
  } finally {
    database.close();
  }
}

test(
  `kill -9 loses no data that a client has received (${kills} times, KILLS_SEED=${seed})`,
  async () => {
    const random = randomNumbers(seed);
    let completed = 0;
    for (let round = 0; round <= kills; round++) {
      const running = await startController();
      try {
        const stored = await records(running.client, {});
        const lost = [...reported].filter(
          ([id, ended]) => !stored.has(id) || (ended && stored.get(id)?.completed === null),
        );
        expect(lost, `after kill ${round}, seed ${seed}`).toEqual([]);
        if (round === kills) break;
        let isKilled = false;
        let isDue = false;
        const delay = 20 + random() * 400;
        const killLater = (): void => {
          if (isDue) return;
          isDue = true;
          setTimeout(() => {
            isKilled = true;
            running.process.kill('SIGKILL');
          }, delay);
        };
        // In every second round the time begins with the first completed record, so that the client receives some.
        if (round % 2 === 0) killLater();
        await submitAndQuery(running, () => isKilled, killLater);
      } finally {
        running.process.kill('SIGKILL');
        await waitFor(() => running.process.exitCode !== null || running.process.signalCode !== null);
        running.client.close();
        running.engine.close();
      }
      completed = [...reported.values()].filter(Boolean).length;
    }
    const [check, tables] = await readFile((column) => [
      column('PRAGMA integrity_check'),
      column("SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE '%tasks%'"),
    ]);
    expect(check).toEqual(['ok']);
    expect(tables).toEqual(['ipython-tasks', 'ippjs-ipython-tasks']);
    console.log(
      `${kills} kills: ${reported.size} records received, ${completed} of them completed; none lost`,
    );
    expect(completed).toBeGreaterThan(0);
  },
  60_000 + kills * 10_000,
);
