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
/** How many checks in a row must find the main thread busy before its code is terminated. */
const BUSY_CHECKS = 2;
/** A timer that is later than this shows that the whole process did not run, in ms. */
const MAX_LATENESS = 50;
/** How often in a row the guard waits again after a late timer. */
const MAX_LATE_TIMERS = 5;
/** How long a kernel may outlive its engine to unregister it, in ms. Loading the sockets takes a second on a busy machine. */
const UNREGISTRATION_TIMEOUT = 5000;

const port = parentPort;
if (port === null) throw new Error('this file must run as a worker thread of the kernel');

const { aborts, unregistration } = workerData as GuardData;
const notify = (notice: GuardNotice): void => port.postMessage(notice);

/** An interrupt from its line on the pipe until it can no longer terminate anything. */
interface Interrupt {
  readonly number: number;
  readonly job: number;
  acknowledged: boolean;
  /** Whether a termination is requested that has not hit any code yet. */
  terminating: boolean;
  terminated: boolean;
}

/** The jobs of interrupts that follow the current one. */
const waiting: number[] = [];
let current: Interrupt | undefined;
let interrupts = 0;

/** Takes at most {@link UNREGISTRATION_TIMEOUT}; returns at once when no hub listens. */
async function unregisterEngine(): Promise<void> {
  setTimeout(killProcess, UNREGISTRATION_TIMEOUT);
  const { address, frames, socket: options } = unregistration;
  // biome-ignore lint/style/noRestrictedImports: the kernel loads sockets only here, after its engine has ended
  const { Dealer } = await import('zeromq');
  const socket = new Dealer(options);
  const over = new Promise<void>((resolve) => {
    // A closed socket emits `end` when it has sent its queue.
    socket.events.on('end', () => resolve());
    socket.events.on('connect:retry', () => resolve());
    socket.events.on('disconnect', () => resolve());
  });
  socket.connect(address);
  await socket.send([...frames].map((frame) => Buffer.from(frame)));
  socket.close();
  await over;
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
 * Asks the main thread first: if it awaits something, it acknowledges at once. Otherwise it is busy, and V8 terminates
 * the running code. The interrupt is over when the main thread has acknowledged it and no termination is pending: a
 * termination that comes too late hits whatever code runs next, which must not be the next job.
 */
function interrupt(job: number): void {
  waiting.push(job);
  if (current === undefined) interruptNext();
}

function interruptNext(): void {
  const job = waiting.shift();
  if (job === undefined) return;
  current = { number: ++interrupts, job, acknowledged: false, terminating: false, terminated: false };
  void enforce(current);
}

async function enforce(interrupt: Interrupt): Promise<void> {
  const { number, job } = interrupt;
  const ask = (): void => notify({ type: 'interrupt', interrupt: number, job });
  ask();
  let session: Session | undefined;
  let busy = 0;
  let late = 0;
  let wait = ACKNOWLEDGE_TIMEOUT;
  for (;;) {
    const lateness = await pause(wait);
    if (current !== interrupt) break;
    wait = CHECK_PERIOD;
    // A pending termination hits the handler of this notice if nothing else runs.
    if (interrupt.terminating) ask();
    else if (lateness > MAX_LATENESS && ++late <= MAX_LATE_TIMERS) {
      // After a pause of the process, the main thread gets its full time.
      wait = ACKNOWLEDGE_TIMEOUT;
    } else {
      late = 0;
      session ??= connectToMainThread();
      busy = (await isBusy(session)) ? busy + 1 : 0;
      if (current !== interrupt) break;
      if (interrupt.acknowledged || busy < BUSY_CHECKS) continue;
      busy = 0;
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

/** Resolves when the main thread runs code or handles events, whether it ran code. */
function isBusy(session: Session): Promise<boolean> {
  return new Promise((resolve) => {
    session.post('Runtime.evaluate', { expression: BUSY_EXPRESSION, silent: true }, (_error, reply) =>
      resolve((reply as { result?: { value?: unknown } } | undefined)?.result?.value !== false),
    );
  });
}

function terminate(interrupt: Interrupt, session: Session): void {
  interrupt.terminating = true;
  interrupt.terminated = true;
  session.post('Runtime.evaluate', { expression: SUSPEND_HOOKS_EXPRESSION, silent: true });
  session.post('Runtime.terminateExecution', () => {
    interrupt.terminating = false;
    endIfOver(interrupt);
  });
}

function endIfOver(interrupt: Interrupt): void {
  if (current !== interrupt || !interrupt.acknowledged || interrupt.terminating) return;
  current = undefined;
  notify({ type: 'over', terminated: interrupt.terminated });
  interruptNext();
}

/** Resolves after `ms`, with the number of ms that it took longer. */
function pause(ms: number): Promise<number> {
  const start = performance.now();
  return new Promise((resolve) => setTimeout(() => resolve(performance.now() - start - ms), ms));
}

/** Code that never yields reads the job number from shared memory; code that awaits receives the notice. */
function abort(job: number): void {
  Atomics.store(aborts, 0, job);
  notify({ type: 'abort' });
}

port.on('message', ({ interrupt: number }: Acknowledgement) => {
  if (current?.number !== number) return;
  current.acknowledged = true;
  endIfOver(current);
});

const pipe = new Socket({ fd: GUARD_PIPE_FD, readable: true, writable: false });
createInterface({ input: pipe }).on('line', (line) => {
  const job = Number(line.slice(1));
  if (line.startsWith('i')) interrupt(job);
  else abort(job);
});
pipe.on('error', () => {});
pipe.on('close', () => void unregisterEngine().finally(killProcess));
