import { copyFile, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Client } from '@ipyparallel-js/client';
import { Cluster } from '@ipyparallel-js/cluster';
import { StockCluster } from '../../test/support/clusters/stock-cluster.js';
import { type PythonClient, startPythonClient } from './python-client.js';

/** Our controller on its own file, and our client in this process. */
export interface OurPair extends AsyncDisposable {
  readonly rc: Client;
  readonly connectionFile: string;
  readonly engineConnectionFile: string;
  readonly controllerPid: number;
  /** How long the controller took to start, including the first opening of the file, in ms. */
  readonly startMs: number;
}

/** `ipcontroller` 9 with --sqlitedb on its own file, and ipyparallel's client in a separate process. */
export interface PythonPair extends AsyncDisposable {
  readonly rc: PythonClient;
  readonly connectionFile: string;
  readonly engineConnectionFile: string;
  readonly controllerPid: number;
}

export interface PairOptions {
  /** The parent of the pair's directory. */
  readonly directory: string;
  /** The file to copy to tasks.db; tasks.db starts empty by default. */
  readonly tasks?: string;
  readonly engines?: number;
  /** Whether engines that send no heartbeats stay registered; false by default. */
  readonly keepSilentEngines?: boolean;
}

const TIMEOUT = 600_000;

export async function startOurPair(options: PairOptions): Promise<OurPair> {
  const profileDir = await createProfile(options);
  const start = performance.now();
  const cluster = await Cluster.start({
    ...{ n: options.engines ?? 0, profileDir, timeout: TIMEOUT },
    controllerArgs: ['--sqlitedb', ...(options.keepSilentEngines === true ? ['--max-misses=10000'] : [])],
  });
  const startMs = performance.now() - start;
  const rc = await cluster.connect({ requestTimeout: TIMEOUT });
  return {
    ...{ rc, startMs, controllerPid: cluster.controller.pid },
    ...{ connectionFile: cluster.connectionFile, engineConnectionFile: cluster.engineConnectionFile },
    async [Symbol.asyncDispose]() {
      await rc.close();
      await cluster.stop();
      await rm(profileDir, { recursive: true, force: true });
    },
  };
}

// SQLite 3.37 and newer report column types in capitals. The hub then treats the table as one of another release and
// ignores it. This patch removes that comparison only.
const TABLE_CHECK_PATCH = `
from ipyparallel.controller.sqlitedb import SQLiteDB

def check_table(self):
    columns = self._db.execute(f"PRAGMA table_info('{self.table}')").fetchall()
    return not columns or [column[1] for column in columns] == self._keys

SQLiteDB._check_table = check_table
`;

const KEEP_SILENT_ENGINES_PATCH = `
from ipyparallel.controller.hub import Hub

Hub.handle_stopped_heart = lambda self, heart: None
`;

export async function startPythonPair(options: PairOptions): Promise<PythonPair> {
  const location = await createProfile(options);
  const cluster = await StockCluster.start({
    ...{ version: '9', db: 'sqlitedb', engines: options.engines ?? 0, timeout: TIMEOUT },
    config:
      options.keepSilentEngines === true ? TABLE_CHECK_PATCH + KEEP_SILENT_ENGINES_PATCH : TABLE_CHECK_PATCH,
    controllerArgs: [`--SQLiteDB.location=${location}`],
  });
  const rc = await startPythonClient('9', cluster.connectionFile);
  return {
    ...{ rc, controllerPid: cluster.controllerPid },
    ...{ connectionFile: cluster.connectionFile, engineConnectionFile: cluster.engineConnectionFile },
    async [Symbol.asyncDispose]() {
      await rc[Symbol.asyncDispose]();
      await cluster.stop();
      await rm(location, { recursive: true, force: true });
    },
  };
}

async function createProfile({ directory, tasks }: PairOptions): Promise<string> {
  await mkdir(directory, { recursive: true });
  const profile = await mkdtemp(join(directory, 'profile-'));
  if (tasks !== undefined) await copyFile(tasks, join(profile, 'tasks.db'));
  return profile;
}

/** The peak memory of a process (`VmHWM`), in bytes; NaN where the system does not report it. */
export async function peakMemory(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? Number.NaN) * 1024;
}
