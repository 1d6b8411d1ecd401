import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { cleanEnv } from '../../test/support/environment.js';
import { requirePythonEnv } from '../../test/support/python/python.js';

/** A file in the format of ipyparallel 9's SQLiteDB, and the parameters of queries on it. */
export interface TasksFile {
  readonly path: string;
  readonly records: number;
  /** One hour before the newest record. */
  readonly lastHour: Date;
  /** The client whose tasks are queried. */
  readonly client: string;
  /** The number of its tasks in the last hour, the same for every size of file. */
  readonly matches: number;
  /** The id of a record in the middle. */
  readonly oneId: string;
}

const NOW = new Date('2026-01-01T12:00:00Z');

/** Creates the file unless it exists. The same number of records always produces the same file. */
export async function createTasksFile(directory: string, records: number): Promise<TasksFile> {
  await mkdir(directory, { recursive: true });
  const path = join(directory, `tasks-${records}.db`);
  const script = fileURLToPath(new URL('tasks-file.py', import.meta.url));
  const { python } = requirePythonEnv('9');
  const partial = `${path}.part`;
  const args = existsSync(path)
    ? [path]
    : [partial, String(records), NOW.toISOString().replace('Z', '+00:00')];
  const { stdout } = await promisify(execFile)(python, [script, ...args], { env: cleanEnv() });
  if (!existsSync(path)) await rename(partial, path);
  return {
    path,
    records,
    lastHour: new Date(NOW.getTime() - 3_600_000),
    ...(JSON.parse(stdout) as Pick<TasksFile, 'client' | 'matches' | 'oneId'>),
  };
}
