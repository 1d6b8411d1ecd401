// The kernel process: runs the user's code for an engine, which keeps the sockets. Forked by KernelProcess.
import { Worker } from 'node:worker_threads';
import { clearAsyncStack, isClearing, prepareAsyncStack } from './async-stack.js';
import { furnishContext } from './context.js';
import { Evaluator } from './evaluator.js';
import { describeFailure } from './failures.js';
import { JobRunner } from './jobs.js';
import { type KernelMessage, type KernelRequest, SEEN } from './messages.js';
import { OutputBatcher } from './output.js';

const channel = process.send?.bind(process);
if (channel === undefined) throw new Error('the kernel is started by an engine, not by hand');

const send = (message: KernelMessage): void => {
  // A failed send means that the engine is gone; the guard thread ends this process then.
  channel(message, undefined, undefined, () => {});
};

const output = new OutputBatcher({
  emit: (name, text) => send({ type: 'stream', name, text }),
  now: () => performance.now(),
  later: (callback, ms) => setTimeout(callback, ms).unref(),
});

const runner = new JobRunner({ evaluator: new Evaluator(), send, flush: () => output.flush() });

const guard = new Worker(new URL('./guard-worker.js', import.meta.url));
guard.unref();

guard.on('message', (notice: string) => {
  guard.postMessage(SEEN);
  runner.interrupt();
  output.flush();
  if (notice === 'terminated') clearAsyncStack();
  send({ type: 'interrupted' });
});

process.on('uncaughtException', (error: unknown, origin) => {
  if (isClearing(error)) return;
  const what = origin === 'unhandledRejection' ? 'Unhandled rejection' : 'Uncaught exception';
  output.write('stderr', `${what}: ${describeFailure(error).traceback.join('\n')}\n`);
});
process.on('SIGINT', () => runner.interrupt());
process.on('exit', () => output.flush());
process.on('message', (request: KernelRequest) => {
  if (request.type === 'farewell') guard.postMessage(request.farewell);
  else runner.run(request);
});

await prepareAsyncStack();
await furnishContext(output);
send({ type: 'ready' });
