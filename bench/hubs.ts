import { copyFile, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Client } from '@ipyparallel-js/client';
import { Cluster } from '@ipyparallel-js/cluster';
import { StockCluster } from '../test/support/clusters/stock-cluster.js';
import { type PythonClient, startPythonClient } from './python-client.js';

/** Our controller on a file of its own, and our client in this process. */
export interface OurPair extends AsyncDisposable {
  readonly rc: Client;
  readonly connectionFile: string;
  readonly engineConnectionFile: string;
  readonly controllerPid: number;
  /** How long the controller took until it served, the first opening of the file included, in ms. */
  readonly startMs: number;
}

/** ipcontroller 9 with --sqlitedb on a file of its own, and ipyparallel's client in a process of its own. */
export interface PythonPair extends AsyncDisposable {
  readonly rc: PythonClient;
  readonly connectionFile: string;
  readonly engineConnectionFile: string;
  readonly controllerPid: number;
}

export interface PairOptions {
  /** Where the pair may have a directory. */
  readonly directory: string;
  /** What its tasks.db is a copy of; a new one without it. */
  readonly tasks?: string;
  readonly engines?: number;
  /** Let engines live whose hearts do not beat. */
  readonly patient?: boolean;
}

const PATIENCE = 600_000;

export async function startOurPair(options: PairOptions): Promise<OurPair> {
  const profileDir = await profileWith(options);
  const start = performance.now();
  const cluster = await Cluster.start({
    ...{ n: options.engines ?? 0, profileDir, timeout: PATIENCE },
    controllerArgs: ['--sqlitedb', ...(options.patient === true ? ['--max-misses=10000'] : [])],
  });
  const startMs = performance.now() - start;
  const rc = await cluster.connect({ requestTimeout: PATIENCE });
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

// SQLite 3.37 and newer name a column's standard type in capitals, which the hub takes for a table of another release
// and leaves alone. Only that comparison is left out.
const REPAIRED = `
from ipyparallel.controller.sqlitedb import SQLiteDB

def check_table(self):
    columns = self._db.execute(f"PRAGMA table_info('{self.table}')").fetchall()
    return not columns or [column[1] for column in columns] == self._keys

SQLiteDB._check_table = check_table
`;

const PATIENT = `
from ipyparallel.controller.hub import Hub

Hub.handle_stopped_heart = lambda self, heart: None
`;

export async function startPythonPair(options: PairOptions): Promise<PythonPair> {
  const location = await profileWith(options);
  const cluster = await StockCluster.start({
    ...{ version: '9', db: 'sqlitedb', engines: options.engines ?? 0, timeout: PATIENCE },
    config: options.patient === true ? REPAIRED + PATIENT : REPAIRED,
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

async function profileWith({ directory, tasks }: PairOptions): Promise<string> {
  await mkdir(directory, { recursive: true });
  const profile = await mkdtemp(join(directory, 'profile-'));
  if (tasks !== undefined) await copyFile(tasks, join(profile, 'tasks.db'));
  return profile;
}

/** The most memory that a process ever had, in bytes; NaN where the system does not tell. */
export async function peakMemory(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? Number.NaN) * 1024;
}
