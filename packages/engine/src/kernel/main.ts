// The kernel process: runs the user's code for an engine, which owns the sockets. KernelProcess forks it.
import { Worker } from 'node:worker_threads';
import type { KernelMessage, KernelRequest, Unregistration } from '../kernel-channel/messages.js';
import { clearAsyncStack, isStackClearing, prepareAsyncStack } from './async-stack.js';
import { installBusyCheck } from './busy-check.js';
import { createImporter, installGlobals } from './context.js';
import { Evaluator } from './evaluator.js';
import { describeFailure } from './failures.js';
import type { Acknowledgement, GuardData, GuardNotice } from './guard-messages.js';
import { JobRunner } from './job-runner.js';
import { ModuleLoader } from './module-loader.js';
import { OutputBatcher } from './output-batcher.js';

const channel = process.send?.bind(process);
if (channel === undefined) throw new Error('an engine must start the kernel; start ippjs-engine instead');

const send = (message: KernelMessage): void => {
  // A failed send means that the engine has ended; the guard thread then ends this process.
  channel(message, undefined, undefined, () => {});
};

const clock = {
  now: () => performance.now(),
  schedule: (callback: () => void, ms: number) => {
    setTimeout(callback, ms).unref();
  },
};

const output = new OutputBatcher({ emit: (name, text) => send({ type: 'stream', name, text }), ...clock });

let handleRequest: (request: KernelRequest) => void = () => {};
process.on('message', (request: KernelRequest) => handleRequest(request));
// The guard must be able to unregister the engine before the engine is registered.
const unregistration = new Promise<Unregistration>((resolve) => {
  handleRequest = (request) => {
    if (request.type === 'unregistration') resolve(request.unregistration);
  };
});

const importer = await createImporter();
const aborts = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
const guard = new Worker(new URL('./guard-worker.js', import.meta.url), {
  workerData: { aborts, unregistration: await unregistration } satisfies GuardData,
});
guard.unref();

const runner = new JobRunner({
  evaluator: new Evaluator(),
  modules: new ModuleLoader(importer),
  send,
  flush: () => output.flush(),
  abortRequested: (job) => Atomics.load(aborts, 0) === job,
  ...clock,
});

guard.on('message', (notice: GuardNotice) => {
  switch (notice.type) {
    case 'abort':
      runner.checkAbort();
      break;
    case 'interrupt':
      runner.interrupt(notice.job);
      guard.postMessage({ interrupt: notice.interrupt } satisfies Acknowledgement);
      output.flush();
      break;
    case 'interruptEnded':
      if (notice.hasTerminated) clearAsyncStack();
      send({ type: 'interrupted' });
      runner.abortInterrupted();
  }
});

process.on('uncaughtException', (error: unknown, origin) => {
  if (isStackClearing(error)) return;
  const what = origin === 'unhandledRejection' ? 'Unhandled rejection' : 'Uncaught exception';
  output.write('stderr', `${what}: ${describeFailure(error).traceback.join('\n')}\n`);
});
process.on('SIGINT', () => {
  runner.interrupt();
  runner.abortInterrupted();
});
process.on('exit', () => output.flush());

await prepareAsyncStack();
installBusyCheck();
installGlobals(output, importer, () => runner.task);
handleRequest = (request) => {
  if (request.type !== 'unregistration') runner.run(request);
};
send({ type: 'ready' });
