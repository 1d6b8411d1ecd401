// The kernel process: runs the user's code for an engine, which keeps the sockets. Forked by KernelProcess.
import { Worker } from 'node:worker_threads';
import { clearAsyncStack, isClearing, prepareAsyncStack } from './async-stack.js';
import { furnishContext, importFromHere } from './context.js';
import { Evaluator } from './evaluator.js';
import { describeFailure } from './failures.js';
import { JobRunner } from './jobs.js';
import {
  type GuardData,
  type GuardNotice,
  type KernelMessage,
  type KernelRequest,
  SEEN,
} from './messages.js';
import { ModuleLoader } from './modules.js';
import { OutputBatcher } from './output.js';

const channel = process.send?.bind(process);
if (channel === undefined) throw new Error('the kernel is started by an engine, not by hand');

const send = (message: KernelMessage): void => {
  // A failed send means that the engine is gone; the guard thread ends this process then.
  channel(message, undefined, undefined, () => {});
};

const clock = {
  now: () => performance.now(),
  later: (callback: () => void, ms: number) => {
    setTimeout(callback, ms).unref();
  },
};

const output = new OutputBatcher({ emit: (name, text) => send({ type: 'stream', name, text }), ...clock });

const importer = await importFromHere();
const aborts = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
const guard = new Worker(new URL('./guard-worker.js', import.meta.url), {
  workerData: { aborts } satisfies GuardData,
});
guard.unref();

const runner = new JobRunner({
  evaluator: new Evaluator(),
  modules: new ModuleLoader(importer),
  send,
  flush: () => output.flush(),
  abortAsked: (job) => Atomics.load(aborts, 0) === job,
  ...clock,
});

guard.on('message', (notice: GuardNotice) => {
  if (notice === 'abort') {
    runner.checkAbort();
    return;
  }
  guard.postMessage(SEEN);
  const abortSignal = runner.interrupt();
  output.flush();
  if (notice === 'terminated') clearAsyncStack();
  send({ type: 'interrupted' });
  abortSignal();
});

process.on('uncaughtException', (error: unknown, origin) => {
  if (isClearing(error)) return;
  const what = origin === 'unhandledRejection' ? 'Unhandled rejection' : 'Uncaught exception';
  output.write('stderr', `${what}: ${describeFailure(error).traceback.join('\n')}\n`);
});
process.on('SIGINT', () => runner.interrupt()());
process.on('exit', () => output.flush());
process.on('message', (request: KernelRequest) => {
  if (request.type === 'farewell') guard.postMessage(request.farewell);
  else runner.run(request);
});

await prepareAsyncStack();
furnishContext(output, importer, () => runner.task);
send({ type: 'ready' });
