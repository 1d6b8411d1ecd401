// Runs hold-cluster.ts as a child process and reports its cluster and its end.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { ClusterOptions } from '@ipyparallel-js/cluster';
import { isAlive } from '../processes.js';
import { waitFor } from '../wait-for.js';

export interface HeldCluster {
  readonly program: ChildProcess;
  /** All descendants of the program: controller, engines, their children, the guard. */
  readonly pids: readonly number[];
  /** The descendants outside the controller and the engines: the guard. */
  readonly others: readonly number[];
  readonly directory: string;
  readonly connectionFile: string;
  /** How the program ended. */
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

export async function holdCluster(
  options: ClusterOptions & { end?: 'exit' | 'throw' },
): Promise<HeldCluster> {
  const program = spawn(
    process.execPath,
    ['--import', 'tsx', join(import.meta.dirname, '../programs/hold-cluster.ts'), JSON.stringify(options)],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let errors = '';
  program.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    program.once('exit', (code, signal) => resolve({ code, signal }));
  });
  const line = await new Promise<string>((resolve, reject) => {
    createInterface({ input: program.stdout }).once('line', resolve);
    // The event is not 'exit', which may occur before all output has been read.
    program.once('close', () => reject(new Error(`the program ended without a cluster:\n${errors}`)));
  });
  const held = JSON.parse(line) as Pick<HeldCluster, 'pids' | 'others' | 'directory' | 'connectionFile'>;
  return { program, ended, ...held };
}

/** Waits until all processes of a cluster have ended and its directory is removed. */
export async function untilNothingIsLeft({
  pids,
  directory,
}: Pick<HeldCluster, 'pids' | 'directory'>): Promise<void> {
  await waitFor(() => !pids.some(isAlive) && !existsSync(directory), {
    timeout: 45_000,
    what: () =>
      `processes ${pids.filter(isAlive).join(', ') || '(none)'} to end and ${directory} to be removed`,
  });
}
