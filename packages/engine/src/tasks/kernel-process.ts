import { type ChildProcess, fork } from 'node:child_process';
import type { Writable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { fileURLToPath } from 'node:url';
import { type Dict, EngineError } from '@ipyparallel-js/protocol';
import { startDeadline, timeoutError, withinDeadline } from '@ipyparallel-js/wire';
import {
  abortLine,
  type Farewell,
  INTERRUPT_LINE,
  type JobOutcome,
  type KernelJob,
  type KernelMessage,
  type KernelRequest,
} from '../kernel/messages.js';

/** What a kernel process tells its engine. */
export interface KernelEvents {
  readonly onStream: (name: 'stdout' | 'stderr', text: string) => void;
  readonly onResult: (job: number, text: string) => void;
  readonly onData: (job: number, content: Dict, buffers: readonly Uint8Array[]) => void;
  readonly onDone: (job: number, outcome: JobOutcome) => void;
  /** The process has ended without having been asked to; `how` says so in words. */
  readonly onDeath: (how: string) => void;
}

/** How to start a kernel process. */
export interface KernelOptions {
  /** Working directory of the code. */
  readonly cwd: string;
  /** Arguments for `node` itself. */
  readonly nodeArgs: readonly string[];
  /** What it says for us if this process is killed. */
  readonly farewell: Farewell;
  /** How long it may take to be ready, in ms. */
  readonly timeout: number;
  readonly events: KernelEvents;
}

const ENTRY = fileURLToPath(new URL('../kernel/main.js', import.meta.url));

// Interrupting code inside a callback leaves Node's async stack short, which it would take for corruption and abort.
const REQUIRED_ARGS = ['--no-force-async-hooks-checks'];

/** How much of its native stderr is kept, to tell why it ended: V8's report of a full heap is some kilobytes. */
const LAST_WORDS = 16_384;

/** How long the channel of a process that has ended may take to end too, in ms. */
const DRAIN_WAIT = 500;

/** The child process with the user's code. It cannot outlive this process: see kernel/guard-worker.ts. */
export class KernelProcess {
  readonly #child: ChildProcess;
  readonly #events: KernelEvents;
  readonly #exited: Promise<void>;
  #ready: { readonly resolve: () => void; readonly reject: (error: Error) => void } | undefined;
  #interrupting = false;
  #waiting: KernelJob | undefined;
  /** The end of what the process itself wrote on stderr. */
  #lastWords = '';
  #ended = false;
  #expected = false;

  private constructor(options: KernelOptions) {
    this.#events = options.events;
    this.#child = fork(ENTRY, [], {
      cwd: options.cwd,
      execArgv: [...options.nodeArgs, ...REQUIRED_ARGS],
      serialization: 'advanced',
      stdio: ['ignore', 'pipe', 'pipe', 'ipc', 'pipe'],
      // A process group of its own: Ctrl-C at the terminal is the engine's affair, and killing it takes all it started.
      detached: process.platform !== 'win32',
    });
    this.#exited = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => {
        resolve();
        // Its last messages may still be in the channel, which ends after them.
        this.#onceDrained(() => {
          const how = signal === null ? `exited with code ${code}` : `was killed by ${signal}`;
          this.#end(outOfMemory(this.#lastWords) ?? how);
        });
      });
      this.#child.once('error', (error) => {
        resolve();
        this.#end(`could not be started: ${error.message}`);
      });
    });
    this.#child.on('message', (message) => this.#receive(message as KernelMessage));
    this.#child.once('disconnect', () => this.#signal('SIGKILL'));
    // What native code and child processes write past the kernel's own streams.
    for (const name of ['stdout', 'stderr'] as const) {
      const decoder = new StringDecoder('utf8');
      this.#child[name]?.on('data', (bytes: Buffer) => {
        const text = decoder.write(bytes);
        if (name === 'stderr') this.#lastWords = `${this.#lastWords}${text}`.slice(-LAST_WORDS);
        if (text !== '') this.#events.onStream(name, text);
      });
    }
    this.#lifeline?.on('error', () => {});
  }

  /** Forks a kernel and waits until it takes jobs. @throws EngineError when it dies before that, TimeoutError */
  static async start(options: KernelOptions): Promise<KernelProcess> {
    const kernel = new KernelProcess(options);
    const ready = new Promise<void>((resolve, reject) => {
      kernel.#ready = { resolve, reject };
    });
    try {
      await withinDeadline(startDeadline({}, options.timeout), ready, (waited) =>
        timeoutError(`the engine's kernel process ${kernel.pid} was not ready`, waited),
      );
    } catch (error) {
      await kernel.dispose();
      throw error;
    }
    kernel.#send({ type: 'farewell', farewell: options.farewell });
    return kernel;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Runs one job; the one before it must be done. */
  run(job: KernelJob): void {
    // An interrupt still on its way would hit this job instead of the one that it was meant for.
    if (this.#interrupting) this.#waiting = job;
    else this.#send(job);
  }

  /** Interrupts what runs, if anything does. */
  interrupt(): void {
    if (this.#interrupting || this.#ended) return;
    this.#interrupting = true;
    this.#lifeline?.write(`${INTERRUPT_LINE}\n`);
  }

  /** Aborts the signal of a job, whether it runs or is on its way. */
  abort(job: number): void {
    if (!this.#ended) this.#lifeline?.write(`${abortLine(job)}\n`);
  }

  /** Sends a signal to the kernel process itself. */
  kill(signal: NodeJS.Signals | number): void {
    this.#child.kill(signal);
  }

  /** Kills the process and all that it started, and waits for its end; idempotent. */
  async dispose(): Promise<void> {
    this.#expected = true;
    this.#ready = undefined;
    this.#signal('SIGKILL');
    await this.#exited;
  }

  get #lifeline(): Writable | undefined {
    const pipe = this.#child.stdio[4];
    return pipe !== null && pipe !== undefined && 'write' in pipe ? pipe : undefined;
  }

  #send(request: KernelRequest): void {
    // A kernel that is gone is reported by its exit.
    if (this.#child.connected) this.#child.send(request, () => {});
  }

  #signal(signal: NodeJS.Signals): void {
    if (this.#ended || this.#child.pid === undefined) return;
    try {
      process.kill(process.platform === 'win32' ? this.#child.pid : -this.#child.pid, signal);
    } catch {
      this.#child.kill(signal);
    }
  }

  #receive(message: KernelMessage): void {
    if (this.#ended || this.#expected) return;
    switch (message.type) {
      case 'ready':
        this.#ready?.resolve();
        this.#ready = undefined;
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
        // What native code wrote before came through a pipe, which is read in this same turn of the event loop.
        setImmediate(() => this.#events.onDone(message.job, message.outcome));
        break;
      case 'interrupted': {
        this.#interrupting = false;
        const job = this.#waiting;
        this.#waiting = undefined;
        if (job !== undefined) this.#send(job);
        break;
      }
    }
  }

  #onceDrained(act: () => void): void {
    if (!this.#child.connected) {
      setImmediate(act);
      return;
    }
    const timer = setTimeout(act, DRAIN_WAIT);
    this.#child.once('disconnect', () => {
      clearTimeout(timer);
      setImmediate(act);
    });
  }

  #end(how: string): void {
    if (this.#ended) return;
    // What the code itself started is in its process group, and goes with it.
    this.#signal('SIGKILL');
    this.#ended = true;
    this.#ready?.reject(
      new EngineError({
        ename: 'EngineError',
        evalue: `the engine's kernel process ${how} before it was ready`,
        traceback: [],
      }),
    );
    if (!this.#expected) this.#events.onDeath(how);
  }
}

/** Says that a process ended because its memory was full, if its last words do. */
function outOfMemory(lastWords: string): string | undefined {
  const [, report] = /^FATAL ERROR: (.*out of memory.*)$/im.exec(lastWords) ?? [];
  return report === undefined
    ? undefined
    : `ran out of memory: ${report.trim()}; --max-old-space-size=MB among its node arguments, or in $NODE_OPTIONS, gives it more`;
}
