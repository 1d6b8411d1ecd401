import { readdir, readFile } from 'node:fs/promises';

/** Linux counts processor time in ticks: 100 per second on every platform of Node. */
const MS_PER_TICK = 10;

/** Returns the processor time of processes and their descendants, in ms; NaN where the system does not report it. */
export async function processorTime(pids: readonly number[]): Promise<number> {
  const parents = new Map<number, number>();
  const consumed = new Map<number, number>();
  for (const name of await readdir('/proc').catch(() => [])) {
    const stat = /^\d+$/.test(name) ? await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '') : '';
    // The program's name in parentheses may contain any character.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    parents.set(Number(name), Number(fields[1]));
    consumed.set(Number(name), (Number(fields[11]) + Number(fields[12])) * MS_PER_TICK);
  }
  const roots = new Set(pids);
  const belongs = (pid: number | undefined): boolean =>
    pid !== undefined && pid > 1 && (roots.has(pid) || belongs(parents.get(pid)));
  const times = [...consumed].filter(([pid]) => belongs(pid));
  return times.length === 0 ? Number.NaN : times.reduce((sum, [, time]) => sum + time, 0);
}
