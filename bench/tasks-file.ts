import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { cleanEnv } from '../test/support/environment.js';
import { requirePythonEnv } from '../test/support/python/python.js';

/** A file that ipyparallel 9's SQLiteDB could have written, and what is asked of it. */
export interface TasksFile {
  readonly path: string;
  readonly records: number;
  /** One hour before the newest record. */
  readonly lastHour: Date;
  /** Whose tasks are asked for. */
  readonly client: string;
  /** How many it has in the last hour, whatever the size of the file. */
  readonly matches: number;
  /** A record in the middle. */
  readonly oneId: string;
}

const NOW = new Date('2026-01-01T12:00:00Z');

/** Makes the file in a directory, once: the same number of records always gives the same file. */
export async function tasksFile(directory: string, records: number): Promise<TasksFile> {
  await mkdir(directory, { recursive: true });
  const path = join(directory, `tasks-${records}.db`);
  const script = fileURLToPath(new URL('tasks-file.py', import.meta.url));
  const { python } = requirePythonEnv('9');
  const half = `${path}.part`;
  const args = existsSync(path) ? [path] : [half, String(records), NOW.toISOString().replace('Z', '+00:00')];
  const { stdout } = await promisify(execFile)(python, [script, ...args], { env: cleanEnv() });
  if (!existsSync(path)) await rename(half, path);
  return {
    path,
    records,
    lastHour: new Date(NOW.getTime() - 3_600_000),
    ...(JSON.parse(stdout) as Pick<TasksFile, 'client' | 'matches' | 'oneId'>),
  };
}
