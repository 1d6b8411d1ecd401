// A thread beside the user's code, which stays awake when that code never yields. It watches the pipe to the engine,
// on which lines ask for an interrupt or for the abort of a job. Its end means that the engine is gone: the hub is told, in its stead and at once rather
// than by missed heartbeats, and this process ends.
import { Session } from 'node:inspector';
import { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { parentPort, workerData } from 'node:worker_threads';
import { SET_ASIDE_EXPRESSION } from './async-stack.js';
import {
  type Farewell,
  type GuardData,
  type GuardNotice,
  INTERRUPT_LINE,
  LIFELINE_FD,
  SEEN,
} from './messages.js';

/** How long the main thread may take to answer before its code is terminated, in ms. */
const PATIENCE = 50;
const REPEAT = 20;
/** How long a kernel may live on to tell the hub that its engine is gone, in ms. */
const FAREWELL_TIME = 1000;

const port = parentPort;
if (port === null) throw new Error('this file runs as a worker thread of the kernel');

const { aborts } = workerData as GuardData;
const notify = (notice: GuardNotice): void => port.postMessage(notice);

let farewell: Farewell | undefined;
let interrupting = false;
let patience: NodeJS.Timeout | undefined;
let repeating: NodeJS.Timeout | undefined;

/** Takes {@link FAREWELL_TIME} at most, and no time when nobody listens any more. */
async function sayFarewell(): Promise<void> {
  setTimeout(dieWithEngine, FAREWELL_TIME);
  if (farewell === undefined) return;
  const { address, frames, socket: options } = farewell;
  const { Dealer } = await import('zeromq');
  const socket = new Dealer(options);
  const over = new Promise<void>((resolve) => {
    // A closed socket ends when it has sent what it was given.
    socket.events.on('end', () => resolve());
    socket.events.on('connect:retry', () => resolve());
    socket.events.on('disconnect', () => resolve());
  });
  socket.connect(address);
  await socket.send([...frames].map((frame) => Buffer.from(frame)));
  socket.close();
  await over;
}

function dieWithEngine(): void {
  for (const target of [-process.pid, process.pid]) {
    try {
      process.kill(target, 'SIGKILL');
    } catch {
      // Not the leader of a process group (Windows has none): the second target is this process alone.
    }
  }
}

/**
 * First asks politely: a main thread that awaits something answers at once. One that does not is busy, and V8
 * terminates what it runs. A termination that comes too late hits the next callback instead, hence the repeated notice.
 */
function interrupt(): void {
  if (interrupting) return;
  interrupting = true;
  notify('interrupt');
  patience = setTimeout(() => {
    const session = new Session();
    session.connectToMainThread();
    session.post('Runtime.evaluate', { expression: SET_ASIDE_EXPRESSION, silent: true });
    session.post('Runtime.terminateExecution', () => {
      session.disconnect();
      if (interrupting) repeating = setInterval(() => notify('terminated'), REPEAT);
    });
  }, PATIENCE);
}

/** Code that never yields sees the number; code that awaits is told. */
function abort(job: number): void {
  Atomics.store(aborts, 0, job);
  notify('abort');
}

port.on('message', (message: typeof SEEN | Farewell) => {
  if (message !== SEEN) {
    farewell = message;
    return;
  }
  interrupting = false;
  clearTimeout(patience);
  clearInterval(repeating);
});

const lifeline = new Socket({ fd: LIFELINE_FD, readable: true, writable: false });
createInterface({ input: lifeline }).on('line', (line) => {
  if (line === INTERRUPT_LINE) interrupt();
  else abort(Number(line.slice(1)));
});
lifeline.on('error', () => {});
lifeline.on('close', () => void sayFarewell().finally(dieWithEngine));
