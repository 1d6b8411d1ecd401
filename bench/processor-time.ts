import { readdir, readFile } from 'node:fs/promises';

/** What Linux counts processor time in: 100 ticks a second on every platform that Node runs on. */
const MS_PER_TICK = 10;

/** The processor time that some processes and their descendants have taken, in ms; NaN where the system does not tell. */
export async function processorTime(pids: readonly number[]): Promise<number> {
  const parents = new Map<number, number>();
  const taken = new Map<number, number>();
  for (const name of await readdir('/proc').catch(() => [])) {
    const stat = /^\d+$/.test(name) ? await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '') : '';
    // The name of a program, in parentheses, may hold anything.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    parents.set(Number(name), Number(fields[1]));
    taken.set(Number(name), (Number(fields[11]) + Number(fields[12])) * MS_PER_TICK);
  }
  const wanted = new Set(pids);
  const belongs = (pid: number | undefined): boolean =>
    pid !== undefined && pid > 1 && (wanted.has(pid) || belongs(parents.get(pid)));
  const times = [...taken].filter(([pid]) => belongs(pid));
  return times.length === 0 ? Number.NaN : times.reduce((sum, [, time]) => sum + time, 0);
}
