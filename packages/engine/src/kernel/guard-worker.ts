// A thread beside the user's code, which stays awake when that code never yields. It watches the pipe to the engine:
// a byte asks for an interrupt, its end means that the engine is gone, and then this process must not outlive it.
import { Session } from 'node:inspector';
import { Socket } from 'node:net';
import { parentPort } from 'node:worker_threads';
import { SET_ASIDE_EXPRESSION } from './async-stack.js';
import { LIFELINE_FD } from './messages.js';

/** How long the main thread may take to answer before its code is terminated, in ms. */
const PATIENCE = 50;
const REPEAT = 20;

const port = parentPort;
if (port === null) throw new Error('this file runs as a worker thread of the kernel');

let interrupting = false;
let patience: NodeJS.Timeout | undefined;
let repeating: NodeJS.Timeout | undefined;

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
  port?.postMessage('interrupt');
  patience = setTimeout(() => {
    const session = new Session();
    session.connectToMainThread();
    session.post('Runtime.evaluate', { expression: SET_ASIDE_EXPRESSION, silent: true });
    session.post('Runtime.terminateExecution', () => {
      session.disconnect();
      if (interrupting) repeating = setInterval(() => port?.postMessage('terminated'), REPEAT);
    });
  }, PATIENCE);
}

port.on('message', () => {
  interrupting = false;
  clearTimeout(patience);
  clearInterval(repeating);
});

const lifeline = new Socket({ fd: LIFELINE_FD, readable: true, writable: false });
lifeline.on('data', interrupt);
lifeline.on('error', dieWithEngine);
lifeline.on('close', dieWithEngine);
