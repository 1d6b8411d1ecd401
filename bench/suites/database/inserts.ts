import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { openDatabase, type StoredTask, type TaskDatabase } from '@ipyparallel-js/hub/internal';
import { parseQuery, TASK_KEYS } from '@ipyparallel-js/protocol/internal';
import { createLogger, stderrSink } from '@ipyparallel-js/wire';
import { cleanEnv } from '../../../test/support/environment.js';
import { requirePythonEnv } from '../../../test/support/python/python.js';
import { type Aim, aim } from '../../lib/aims.js';
import { perSecond, printMarkdown, times } from '../../lib/report.js';
import { joinRounds, quantile, type Samples } from '../../lib/samples.js';
import type { TasksFile } from '../../lib/tasks-file.js';
import { startOurPair, startPythonPair } from '../../peers/controllers.js';
import { floodWithTasks } from '../../peers/task-flood.js';

export interface InsertsOptions {
  readonly directory: string;
  readonly rounds: number;
}

const RECORDS = 10_000;
/** How many changes are written at once: about as many as a hub under load batches. */
const BATCH_SIZE = 250;
const FLOOD_SIZE = 10_000;

/** Measures and prints how fast new tasks are recorded by the stores alone and by complete controllers. */
export async function measureInserts(file: TasksFile, { directory, rounds }: InsertsOptions): Promise<Aim[]> {
  const records = await readTasks(file, directory, Math.min(RECORDS, file.records));
  const runs = {
    ourStore: () => insertIntoOurStore(records, directory),
    pythonStore: () => insertIntoPythonStore(file, records.length, directory),
    ourHub: () => floodOurs(directory),
    pythonHub: () => floodPython(directory),
  };
  const measured: Record<keyof typeof runs, Samples[]> = {
    ...{ ourStore: [], pythonStore: [], ourHub: [], pythonHub: [] },
  };
  for (let round = 0; round < Math.min(rounds, 3); round++) {
    for (const name of Object.keys(runs) as (keyof typeof runs)[]) {
      measured[name].push({ name, ms: [await runs[name]()] });
    }
  }
  const median = (name: keyof typeof runs): number => quantile(joinRounds(measured[name]), 0.5);
  const row = (title: string, count: number, ours: number, python: number): string[] => [
    title,
    perSecond(count, ours),
    perSecond(count, python),
    times(python / ours),
  ];
  printMarkdown(
    'New tasks recorded, into an empty tasks.db',
    ['', 'ours', "Python's", 'ours ÷ Python'],
    [
      row(
        `stores alone: finished records, ours in groups of ${BATCH_SIZE}`,
        records.length,
        median('ourStore'),
        median('pythonStore'),
      ),
      row(
        'complete controllers: tasks sent until the hub has recorded each',
        FLOOD_SIZE,
        median('ourHub'),
        median('pythonHub'),
      ),
    ],
  );
  const target = { least: 10, unit: '×' };
  return [
    aim("new tasks per second, ours ÷ Python's hub", median('pythonHub') / median('ourHub'), target),
    aim('the same for the stores alone', median('pythonStore') / median('ourStore'), target),
  ];
}

async function readTasks(file: TasksFile, directory: string, count: number): Promise<StoredTask[]> {
  return await withStore(
    directory,
    async (store) => {
      const tasks: StoredTask[] = [];
      for await (const found of store.find(parseQuery({}), { keys: TASK_KEYS, limit: count })) {
        tasks.push(...(found as readonly StoredTask[]));
      }
      if (tasks.length !== count)
        throw new Error(`our store returned ${tasks.length} records instead of ${count}`);
      return tasks;
    },
    file.path,
  );
}

async function insertIntoOurStore(records: readonly StoredTask[], directory: string): Promise<number> {
  return await withStore(directory, async (store) => {
    const start = performance.now();
    for (let at = 0; at < records.length; at += BATCH_SIZE) {
      await store.write(records.slice(at, at + BATCH_SIZE).map((task) => ({ op: 'add', task })));
    }
    return performance.now() - start;
  });
}

async function withStore<T>(
  directory: string,
  body: (store: TaskDatabase) => Promise<T>,
  tasks?: string,
): Promise<T> {
  const location = await mkdtemp(join(directory, 'store-'));
  try {
    if (tasks !== undefined) await copyFile(tasks, join(location, 'tasks.db'));
    const log = createLogger('warn', stderrSink('store'));
    const store = await openDatabase({ type: 'sqlite', location }, { log, session: 'bench' });
    try {
      return await body(store);
    } finally {
      await store.close();
    }
  } finally {
    await rm(location, { recursive: true, force: true });
  }
}

async function insertIntoPythonStore(file: TasksFile, count: number, directory: string): Promise<number> {
  const location = await mkdtemp(join(directory, 'store-'));
  try {
    const script = fileURLToPath(new URL('../../peers/python-inserts.py', import.meta.url));
    const args = [script, file.path, join(location, 'tasks.db'), String(count)];
    const { stdout } = await promisify(execFile)(requirePythonEnv('9').python, args, { env: cleanEnv() });
    return Number(stdout);
  } finally {
    await rm(location, { recursive: true, force: true });
  }
}

async function floodOurs(directory: string): Promise<number> {
  await using ours = await startOurPair({ directory, keepSilentEngines: true });
  return await floodWithTasks(ours, FLOOD_SIZE);
}

async function floodPython(directory: string): Promise<number> {
  await using python = await startPythonPair({ directory, keepSilentEngines: true });
  return await floodWithTasks(python, FLOOD_SIZE);
}
