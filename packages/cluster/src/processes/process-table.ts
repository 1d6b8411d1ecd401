import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

/** A running process. */
export interface ProcessEntry {
  readonly pid: number;
  readonly parent: number;
  readonly group: number;
}

/** Lists all running processes, without zombies. */
export async function listProcesses(): Promise<ProcessEntry[]> {
  if (process.platform === 'linux') return await readProc();
  const { stdout } = await promisify(execFile)('ps', ['-A', '-o', 'pid=,ppid=,pgid=,stat=']);
  return stdout.split('\n').flatMap((line) => {
    const [pid, parent, group, state = 'Z'] = line.trim().split(/\s+/);
    return state.startsWith('Z') ? [] : [{ pid: Number(pid), parent: Number(parent), group: Number(group) }];
  });
}

/** Returns the processes `roots`, the members of their groups, and all their descendants. */
export function belongingTo(roots: readonly number[], table: readonly ProcessEntry[]): number[] {
  const found = new Set<number>();
  const add = (pid: number): void => {
    if (found.has(pid)) return;
    found.add(pid);
    for (const child of table) if (child.parent === pid) add(child.pid);
  };
  for (const { pid, group } of table) if (roots.includes(pid) || roots.includes(group)) add(pid);
  return [...found];
}

async function readProc(): Promise<ProcessEntry[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const entries = await Promise.all(pids.map(readStat));
  return entries.filter((entry) => entry !== undefined);
}

async function readStat(pid: string): Promise<ProcessEntry | undefined> {
  // A process may end while this reads the table.
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  if (stat === undefined) return undefined;
  // The command in parentheses may contain spaces and parentheses.
  const [state, parent, group] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return state === 'Z' ? undefined : { pid: Number(pid), parent: Number(parent), group: Number(group) };
}
