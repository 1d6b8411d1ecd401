// The guard thread runs next to the user's code and stays responsive when that code never yields. It reads the guard
// pipe, on which the engine sends interrupts and aborts. When the pipe closes, the engine has ended: the guard sends the
// hub the engine's unregistration, which is faster than missed heartbeats, and kills this process.
import { Session } from 'node:inspector';
import { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { parentPort, workerData } from 'node:worker_threads';
import { GUARD_PIPE_FD, INTERRUPT_LINE, type Unregistration } from '../kernel-channel/messages.js';
import { SUSPEND_HOOKS_EXPRESSION } from './async-stack.js';
import {
  type GuardData,
  type GuardNotice,
  type GuardRequest,
  INTERRUPT_ACKNOWLEDGED,
} from './guard-messages.js';

/** How long the main thread may take to acknowledge an interrupt before its code is terminated, in ms. */
const ACKNOWLEDGE_TIMEOUT = 50;
const REPEAT_INTERVAL = 20;
/** How long a kernel may outlive its engine to unregister it, in ms. */
const UNREGISTRATION_TIMEOUT = 1000;

const port = parentPort;
if (port === null) throw new Error('this file must run as a worker thread of the kernel');

const { aborts } = workerData as GuardData;
const notify = (notice: GuardNotice): void => port.postMessage(notice);

let unregistration: Unregistration | undefined;
let isInterrupting = false;
let acknowledgeTimer: NodeJS.Timeout | undefined;
let repeatTimer: NodeJS.Timeout | undefined;

/** Takes at most {@link UNREGISTRATION_TIMEOUT}; returns at once when no hub listens. */
async function unregisterEngine(): Promise<void> {
  setTimeout(killProcess, UNREGISTRATION_TIMEOUT);
  if (unregistration === undefined) return;
  const { address, frames, socket: options } = unregistration;
  // biome-ignore lint/style/noRestrictedImports: the kernel loads sockets only here, after its engine has ended
  const { Dealer } = await import('zeromq');
  const socket = new Dealer(options);
  const sent = new Promise<void>((resolve) => {
    // A closed socket emits `end` when it has sent its queue.
    socket.events.on('end', () => resolve());
    socket.events.on('connect:retry', () => resolve());
    socket.events.on('disconnect', () => resolve());
  });
  socket.connect(address);
  await socket.send([...frames].map((frame) => Buffer.from(frame)));
  socket.close();
  await sent;
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
 * Notifies the main thread first: a thread that awaits something acknowledges at once. Otherwise it is busy, and V8
 * terminates the running code. A late termination hits the next callback instead, so the guard repeats the notice.
 */
function interrupt(): void {
  if (isInterrupting) return;
  isInterrupting = true;
  notify('interrupt');
  acknowledgeTimer = setTimeout(() => {
    const session = new Session();
    session.connectToMainThread();
    session.post('Runtime.evaluate', { expression: SUSPEND_HOOKS_EXPRESSION, silent: true });
    session.post('Runtime.terminateExecution', () => {
      session.disconnect();
      if (isInterrupting) repeatTimer = setInterval(() => notify('terminated'), REPEAT_INTERVAL);
    });
  }, ACKNOWLEDGE_TIMEOUT);
}

/** Code that never yields reads the job number from shared memory; code that awaits receives the notice. */
function abort(job: number): void {
  Atomics.store(aborts, 0, job);
  notify('abort');
}

port.on('message', (message: GuardRequest) => {
  if (message !== INTERRUPT_ACKNOWLEDGED) {
    unregistration = message;
    return;
  }
  isInterrupting = false;
  clearTimeout(acknowledgeTimer);
  clearInterval(repeatTimer);
});

const pipe = new Socket({ fd: GUARD_PIPE_FD, readable: true, writable: false });
createInterface({ input: pipe }).on('line', (line) => {
  if (line === INTERRUPT_LINE) interrupt();
  else abort(Number(line.slice(1)));
});
pipe.on('error', () => {});
pipe.on('close', () => void unregisterEngine().finally(killProcess));
