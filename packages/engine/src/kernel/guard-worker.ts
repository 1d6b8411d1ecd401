// The guard thread runs next to the user's code and stays responsive when that code never yields. It reads the guard
// pipe, on which the engine sends interrupts and aborts. When the pipe closes, the engine has ended: the guard sends the
// hub the engine's unregistration, which is faster than missed heartbeats, and kills this process.
import { Session } from 'node:inspector';
import { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { parentPort, workerData } from 'node:worker_threads';
import { GUARD_PIPE_FD } from '../kernel-channel/messages.js';
import { SUSPEND_HOOKS_EXPRESSION } from './async-stack.js';
import { BUSY_EXPRESSION } from './busy-check.js';
import type { Acknowledgement, GuardData, GuardNotice } from './guard-messages.js';

/** How long the main thread may take to acknowledge an interrupt before the guard checks whether it is busy, in ms. */
const ACKNOWLEDGE_TIMEOUT = 50;
/** The time between two checks, in ms. */
const CHECK_PERIOD = 20;
/** The number of checks in a row that must find the main thread busy before its code is terminated. */
const MIN_BUSY_CHECKS = 2;
/** The maximum lateness of a timer in ms; a later timer shows that the whole process paused. */
const MAX_LATENESS = 50;
/** The maximum number of late timers in a row after which the guard waits again. */
const MAX_LATE_TIMERS = 5;
/**
 * How long a kernel may outlive its engine to unregister it, in ms. Loading the sockets takes a second on a busy
 * machine.
 */
const UNREGISTRATION_TIMEOUT = 5000;

const port = parentPort;
if (port === null) throw new Error('this file must run as a worker thread of the kernel');

const { aborts, unregistration } = workerData as GuardData;
const notify = (notice: GuardNotice): void => port.postMessage(notice);

/** An interrupt that was read from the pipe and may still terminate code. */
interface Interrupt {
  readonly number: number;
  readonly job: number;
  isAcknowledged: boolean;
  /** Whether a termination is requested that has not terminated any code yet. */
  isTerminating: boolean;
  hasTerminated: boolean;
}

/** The job numbers of the interrupts that follow the current one. */
const pendingJobs: number[] = [];
let currentInterrupt: Interrupt | undefined;
let interruptCount = 0;

/**
 * Sends the engine's unregistration to the hub, within {@link UNREGISTRATION_TIMEOUT}; returns at once when no hub
 * listens.
 */
async function unregisterEngine(): Promise<void> {
  setTimeout(killProcess, UNREGISTRATION_TIMEOUT);
  const { address, frames, socket: options } = unregistration;
  // biome-ignore lint/style/noRestrictedImports: the kernel loads sockets only here, after its engine has ended
  const { Dealer } = await import('zeromq');
  const socket = new Dealer(options);
  const sentPromise = new Promise<void>((resolve) => {
    // A closed socket emits `end` when it has sent its queue.
    socket.events.on('end', () => resolve());
    socket.events.on('connect:retry', () => resolve());
    socket.events.on('disconnect', () => resolve());
  });
  socket.connect(address);
  await socket.send([...frames].map((frame) => Buffer.from(frame)));
  socket.close();
  await sentPromise;
}

function killProcess(): void {
  for (const target of [-process.pid, process.pid]) {
    try {
      process.kill(target, 'SIGKILL');
    } catch {
      // This process does not lead a process group (Windows has none): the second target is this process alone.
    }
  }
}

/**
 * Notifies the main thread, which acknowledges the interrupt at once if it awaits something. If it is busy instead, V8
 * terminates the running code. The interrupt ends when the main thread has acknowledged it and no termination is pending,
 * because a late termination ends the code that runs next, which must not be the next job.
 */
function interrupt(job: number): void {
  pendingJobs.push(job);
  if (currentInterrupt === undefined) interruptNext();
}

function interruptNext(): void {
  const job = pendingJobs.shift();
  if (job === undefined) return;
  currentInterrupt = {
    number: ++interruptCount,
    job,
    isAcknowledged: false,
    isTerminating: false,
    hasTerminated: false,
  };
  void enforceInterrupt(currentInterrupt);
}

async function enforceInterrupt(interrupt: Interrupt): Promise<void> {
  const { number, job } = interrupt;
  const sendNotice = (): void => notify({ type: 'interrupt', interrupt: number, job });
  sendNotice();
  let session: Session | undefined;
  let busyCount = 0;
  let lateCount = 0;
  let waitTime = ACKNOWLEDGE_TIMEOUT;
  for (;;) {
    const lateness = await measureDelay(waitTime);
    if (currentInterrupt !== interrupt) break;
    waitTime = CHECK_PERIOD;
    // A pending termination ends the handler of this notice if no other code runs.
    if (interrupt.isTerminating) sendNotice();
    else if (lateness > MAX_LATENESS && ++lateCount <= MAX_LATE_TIMERS) {
      // The main thread gets its full time again after a pause of the process.
      waitTime = ACKNOWLEDGE_TIMEOUT;
    } else {
      lateCount = 0;
      session ??= connectToMainThread();
      busyCount = (await isBusy(session)) ? busyCount + 1 : 0;
      if (currentInterrupt !== interrupt) break;
      if (interrupt.isAcknowledged || busyCount < MIN_BUSY_CHECKS) continue;
      busyCount = 0;
      terminate(interrupt, session);
    }
  }
  session?.disconnect();
}

function connectToMainThread(): Session {
  const session = new Session();
  session.connectToMainThread();
  return session;
}

/** Resolves when the main thread runs code or handles events, to whether it runs code. */
function isBusy(session: Session): Promise<boolean> {
  return new Promise((resolve) => {
    session.post('Runtime.evaluate', { expression: BUSY_EXPRESSION, silent: true }, (_error, reply) =>
      resolve((reply as { result?: { value?: unknown } } | undefined)?.result?.value !== false),
    );
  });
}

function terminate(interrupt: Interrupt, session: Session): void {
  interrupt.isTerminating = true;
  interrupt.hasTerminated = true;
  session.post('Runtime.evaluate', { expression: SUSPEND_HOOKS_EXPRESSION, silent: true });
  session.post('Runtime.terminateExecution', () => {
    interrupt.isTerminating = false;
    endIfFinished(interrupt);
  });
}

function endIfFinished(interrupt: Interrupt): void {
  if (currentInterrupt !== interrupt || !interrupt.isAcknowledged || interrupt.isTerminating) return;
  currentInterrupt = undefined;
  notify({ type: 'interruptEnded', hasTerminated: interrupt.hasTerminated });
  interruptNext();
}

/** Waits `ms` milliseconds. @returns how much longer than `ms` the wait was, in ms */
function measureDelay(ms: number): Promise<number> {
  const start = performance.now();
  return new Promise((resolve) => setTimeout(() => resolve(performance.now() - start - ms), ms));
}

/** Code that never yields reads the job number from shared memory; code that awaits receives the notice. */
function abort(job: number): void {
  Atomics.store(aborts, 0, job);
  notify({ type: 'abort' });
}

port.on('message', ({ interrupt: number }: Acknowledgement) => {
  if (currentInterrupt?.number !== number) return;
  currentInterrupt.isAcknowledged = true;
  endIfFinished(currentInterrupt);
});

const pipe = new Socket({ fd: GUARD_PIPE_FD, readable: true, writable: false });
createInterface({ input: pipe }).on('line', (line) => {
  const job = Number(line.slice(1));
  if (line.startsWith('i')) interrupt(job);
  else abort(job);
});
pipe.on('error', () => {});
pipe.on('close', () => void unregisterEngine().finally(killProcess));
