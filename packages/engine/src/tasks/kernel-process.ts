import { type ChildProcess, fork } from 'node:child_process';
import type { Writable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { fileURLToPath } from 'node:url';
import { type Dict, EngineError } from '@ipyparallel-js/protocol';
import { startDeadline, timeoutError, withinDeadline } from '@ipyparallel-js/wire';
import {
  abortLine,
  interruptLine,
  type JobOutcome,
  type KernelJob,
  type KernelMessage,
  type KernelRequest,
  type Unregistration,
} from '../kernel-channel/messages.js';

export interface KernelEvents {
  readonly onStream: (name: 'stdout' | 'stderr', text: string) => void;
  readonly onResult: (job: number, text: string) => void;
  readonly onData: (job: number, content: Dict, buffers: readonly Uint8Array[]) => void;
  readonly onDone: (job: number, outcome: JobOutcome) => void;
  /** The process has ended unexpectedly; `how` completes "its kernel process …". */
  readonly onDeath: (how: string) => void;
}

export interface KernelOptions {
  /** Working directory of the code. */
  readonly cwd: string;
  /** Arguments for `node` itself. */
  readonly nodeArgs: readonly string[];
  /** The kernel sends this to the hub if this process is killed. */
  readonly unregistration: Unregistration;
  /** How long the process may take to be ready, in ms. */
  readonly timeout: number;
  readonly events: KernelEvents;
}

const ENTRY = fileURLToPath(new URL('../kernel/main.js', import.meta.url));

// An interrupt inside a callback leaves Node's async stack inconsistent, and Node would abort the process.
const REQUIRED_ARGS = ['--no-force-async-hooks-checks'];

/** How many characters of native stderr are stored to explain a death. V8's report of a full heap is a few kilobytes. */
const STDERR_TAIL = 16_384;

/** How long to wait for the remaining messages of a process that has ended, in ms. */
const DRAIN_WAIT = 500;

/** The child process that runs the user's code. kernel/guard-worker.ts ends it when this process ends. */
export class KernelProcess {
  readonly #child: ChildProcess;
  readonly #events: KernelEvents;
  readonly #exited: Promise<void>;
  #readyCallbacks: { readonly resolve: () => void; readonly reject: (error: Error) => void } | undefined;
  /** The number of interrupts that have not ended. */
  #interruptCount = 0;
  /** The number of the last job. */
  #lastJobNumber = 0;
  /** The job to send when all interrupts have ended. */
  #heldJob: KernelJob | undefined;
  #stderrTail = '';
  #hasEnded = false;
  #isExpectedToEnd = false;

  private constructor(options: KernelOptions) {
    this.#events = options.events;
    this.#child = fork(ENTRY, [], {
      cwd: options.cwd,
      execArgv: [...options.nodeArgs, ...REQUIRED_ARGS],
      serialization: 'advanced',
      stdio: ['ignore', 'pipe', 'pipe', 'ipc', 'pipe'],
      // A separate process group: the engine handles Ctrl-C, and a kill of the group reaches the code's child processes.
      detached: process.platform !== 'win32',
    });
    this.#exited = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => {
        resolve();
        // The channel may still hold messages; it disconnects after the last one.
        this.#runAfterLastMessage(() => {
          const how = signal === null ? `exited with code ${code}` : `was killed by ${signal}`;
          this.#end(describeOutOfMemory(this.#stderrTail) ?? how);
        });
      });
      this.#child.once('error', (error) => {
        resolve();
        this.#end(`could not be started: ${error.message}`);
      });
    });
    this.#child.on('message', (message) => this.#receive(message as KernelMessage));
    this.#child.once('disconnect', () => this.#signalGroup('SIGKILL'));
    // Native code and child processes write to these pipes directly.
    for (const name of ['stdout', 'stderr'] as const) {
      const decoder = new StringDecoder('utf8');
      this.#child[name]?.on('data', (bytes: Buffer) => {
        const text = decoder.write(bytes);
        if (name === 'stderr') this.#stderrTail = `${this.#stderrTail}${text}`.slice(-STDERR_TAIL);
        if (text !== '') this.#events.onStream(name, text);
      });
    }
    this.#guardPipe?.on('error', () => {});
  }

  /**
   * Forks a kernel and waits until it accepts jobs.
   * @throws {EngineError} when it dies before that.
   * @throws {TimeoutError} when it is not ready in time.
   */
  static async start(options: KernelOptions): Promise<KernelProcess> {
    const kernel = new KernelProcess(options);
    kernel.#send({ type: 'unregistration', unregistration: options.unregistration });
    const ready = new Promise<void>((resolve, reject) => {
      kernel.#readyCallbacks = { resolve, reject };
    });
    try {
      await withinDeadline(startDeadline({}, options.timeout), ready, (waited) =>
        timeoutError(`the engine's kernel process ${kernel.pid} was not ready`, waited),
      );
    } catch (error) {
      await kernel.dispose();
      throw error;
    }
    return kernel;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Runs one job; the previous job must be done. */
  run(job: KernelJob): void {
    this.#lastJobNumber = job.job;
    // An interrupt that has not ended could terminate this job instead of the previous one.
    if (this.#interruptCount > 0) this.#heldJob = job;
    else this.#send(job);
  }

  /** Interrupts the last job, unless it has ended. */
  interrupt(): void {
    if (this.#hasEnded) return;
    this.#interruptCount++;
    this.#guardPipe?.write(`${interruptLine(this.#lastJobNumber)}\n`);
  }

  /** Aborts the signal of a job that runs or has been sent. */
  abort(job: number): void {
    if (!this.#hasEnded) this.#guardPipe?.write(`${abortLine(job)}\n`);
  }

  /** Sends a signal to the kernel process itself. */
  kill(signal: NodeJS.Signals | number): void {
    this.#child.kill(signal);
  }

  /** Kills the process and its children and waits for its end; idempotent. */
  async dispose(): Promise<void> {
    this.#isExpectedToEnd = true;
    this.#readyCallbacks = undefined;
    this.#signalGroup('SIGKILL');
    await this.#exited;
  }

  get #guardPipe(): Writable | undefined {
    const pipe = this.#child.stdio[4];
    return pipe !== null && pipe !== undefined && 'write' in pipe ? pipe : undefined;
  }

  #send(request: KernelRequest): void {
    // The exit event reports a kernel that has ended.
    if (this.#child.connected) this.#child.send(request, () => {});
  }

  #signalGroup(signal: NodeJS.Signals): void {
    if (this.#hasEnded || this.#child.pid === undefined) return;
    try {
      process.kill(process.platform === 'win32' ? this.#child.pid : -this.#child.pid, signal);
    } catch {
      this.#child.kill(signal);
    }
  }

  #receive(message: KernelMessage): void {
    if (this.#hasEnded || this.#isExpectedToEnd) return;
    switch (message.type) {
      case 'ready':
        this.#readyCallbacks?.resolve();
        this.#readyCallbacks = undefined;
        break;
      case 'stream':
        this.#events.onStream(message.name, message.text);
        break;
      case 'execute_result':
        this.#events.onResult(message.job, message.text);
        break;
      case 'data':
        this.#events.onData(message.job, message.content, message.buffers);
        break;
      case 'done':
        // The pipe with native output is read in this same turn of the event loop, before the immediate.
        setImmediate(() => this.#events.onDone(message.job, message.outcome));
        break;
      case 'interrupted': {
        if (--this.#interruptCount > 0) break;
        const job = this.#heldJob;
        this.#heldJob = undefined;
        if (job !== undefined) this.#send(job);
        break;
      }
    }
  }

  #runAfterLastMessage(action: () => void): void {
    if (!this.#child.connected) {
      setImmediate(action);
      return;
    }
    const timer = setTimeout(action, DRAIN_WAIT);
    this.#child.once('disconnect', () => {
      clearTimeout(timer);
      setImmediate(action);
    });
  }

  #end(how: string): void {
    if (this.#hasEnded) return;
    // Processes that the code started are in the same process group.
    this.#signalGroup('SIGKILL');
    this.#hasEnded = true;
    this.#readyCallbacks?.reject(
      new EngineError({
        ename: 'EngineError',
        evalue: `the engine's kernel process ${how} before it was ready`,
        traceback: [],
      }),
    );
    if (!this.#isExpectedToEnd) this.#events.onDeath(how);
  }
}

/** Describes a death by a full heap, if stderr reports one. */
function describeOutOfMemory(stderr: string): string | undefined {
  const [, report] = /^FATAL ERROR: (.*out of memory.*)$/im.exec(stderr) ?? [];
  return report === undefined
    ? undefined
    : `ran out of memory: ${report.trim()}; raise the limit with --max-old-space-size=MB in nodeArgs or $NODE_OPTIONS`;
}
