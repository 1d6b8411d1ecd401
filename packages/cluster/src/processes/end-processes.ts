import { setTimeout as sleep } from 'node:timers/promises';
import { belongingTo, listProcesses } from './process-table.js';

const POLL_MS = 20;
/** How long a process may take to end after SIGTERM, in ms. Python's launchers wait about as long. */
export const EXIT_TIMEOUT_MS = 3_000;
/** How long the children of an ended process (a nanny, a scheduler) may take to end by themselves, in ms. */
const CHILDREN_EXIT_TIMEOUT_MS = 2_000;

/**
 * Ends process group leaders and all processes that they started: sends SIGTERM, waits `timeout` ms, then sends SIGKILL.
 * Resolves when all have ended.
 */
export async function endProcesses(leaders: readonly number[], timeout: number): Promise<void> {
  if (leaders.length === 0) return;
  const members = new Set(belongingTo(leaders, await listProcesses()));
  for (const pid of leaders) sendSignal(pid, 'SIGTERM');
  await waitForExit(leaders, timeout);
  for (const pid of belongingTo(leaders, await listProcesses())) members.add(pid);
  // A controller ends its schedulers itself, unless it was killed.
  for (const pid of leaders) sendSignal(-pid, 'SIGKILL');
  const running = await waitForExit([...members], CHILDREN_EXIT_TIMEOUT_MS);
  for (const pid of running) sendSignal(pid, 'SIGKILL');
  await waitForExit(running, CHILDREN_EXIT_TIMEOUT_MS);
}

/** Sends a signal to a process, or to the process group of a negative id. Ignores processes that have ended. */
export function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ESRCH' && code !== 'EPERM') throw error;
  }
}

/** Waits until all processes have ended, at most `timeout` ms. @returns The processes that still run. */
async function waitForExit(pids: readonly number[], timeout: number): Promise<number[]> {
  const deadline = performance.now() + timeout;
  for (;;) {
    const running = new Set((await listProcesses()).map(({ pid }) => pid));
    const remaining = pids.filter((pid) => running.has(pid));
    if (remaining.length === 0 || performance.now() > deadline) return remaining;
    await sleep(POLL_MS);
  }
}
