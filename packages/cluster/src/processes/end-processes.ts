import { setTimeout as sleep } from 'node:timers/promises';
import { belongingTo, listProcesses } from './process-table.js';

const POLL_MS = 20;
/** How long what a process leaves behind (a nanny, a scheduler) may take to end by itself, in ms. */
const AFTERWARDS_MS = 2_000;

/**
 * Ends processes that lead groups of their own, and everything that they started: asks with SIGTERM, waits `grace` ms,
 * then kills. Resolves when all of it is gone.
 */
export async function endProcesses(leaders: readonly number[], grace: number): Promise<void> {
  if (leaders.length === 0) return;
  const members = new Set(belongingTo(leaders, await listProcesses()));
  for (const pid of leaders) sendSignal(pid, 'SIGTERM');
  await untilGone(leaders, grace);
  for (const pid of belongingTo(leaders, await listProcesses())) members.add(pid);
  // A controller takes its schedulers with it, unless it had to be killed.
  for (const pid of leaders) sendSignal(-pid, 'SIGKILL');
  const left = await untilGone([...members], AFTERWARDS_MS);
  for (const pid of left) sendSignal(pid, 'SIGKILL');
  await untilGone(left, AFTERWARDS_MS);
}

/** Sends a signal to a process, or, to a negative id, to its group. Nothing happens when it is gone. */
export function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ESRCH' && code !== 'EPERM') throw error;
  }
}

/** Those that still run after `timeout` ms; resolves early when none does. */
async function untilGone(pids: readonly number[], timeout: number): Promise<number[]> {
  const deadline = performance.now() + timeout;
  for (;;) {
    const running = new Set((await listProcesses()).map(({ pid }) => pid));
    const left = pids.filter((pid) => running.has(pid));
    if (left.length === 0 || performance.now() > deadline) return left;
    await sleep(POLL_MS);
  }
}
