import { type ChildProcess, spawn } from 'node:child_process';
import { Socket } from 'node:net';
import { formatMs, pause } from '@ipyparallel-js/wire';

/** How an ssh ended. */
export interface SshEnd {
  /** `exit code 255`, `SIGTERM`, or why it could not be started. */
  readonly how: string;
  /** The error of the start, when it could not be started. */
  readonly cause: NodeJS.ErrnoException | undefined;
  readonly afterMs: number;
}

const mostKept = 4_000;
const lastOutputMs = 200;
const graceMs = 2_000;

/** Those that run, for the end of this process. */
const running = new Set<SshProcess>();

function killAll(): void {
  for (const ssh of running) ssh.kill('SIGTERM');
}

/**
 * One ssh that ends when this process does: at its exit by a listener, at its death by a second small process which
 * waits for that. It does not keep this process alive.
 */
export class SshProcess {
  /** Settles once, when it has ended or could not be started; never rejects. */
  readonly ended: Promise<SshEnd>;
  readonly #child: ChildProcess;
  readonly #watchdog: ChildProcess | undefined;
  #end: SshEnd | undefined;
  #output = '';

  constructor(args: readonly string[], env: NodeJS.ProcessEnv) {
    const started = performance.now();
    // A session of its own: Ctrl-C is for this process, which may still have to say something through the tunnel.
    const detached = process.platform !== 'win32';
    this.#child = spawn('ssh', args, {
      env,
      detached,
      windowsHide: true,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#child.unref();
    const { stderr } = this.#child;
    stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#output = (this.#output + text).slice(-mostKept);
    });
    if (stderr instanceof Socket) stderr.unref();
    if (running.size === 0) process.on('exit', killAll);
    running.add(this);
    this.#watchdog = watch(this.#child.pid);
    this.ended = new Promise((resolve) => {
      const finish = (how: string, cause?: NodeJS.ErrnoException): void => {
        if (this.#end !== undefined) return;
        this.#end = { how, cause, afterMs: performance.now() - started };
        this.#release();
        resolve(this.#end);
      };
      this.#child.once('error', (cause) => finish(cause.message, cause));
      this.#child.once('exit', (code, signal) => {
        const how = signal ?? `exit code ${code}`;
        // What it said last may still be in the pipe, which a child of its own may hold open.
        const timer = setTimeout(() => finish(how), lastOutputMs);
        this.#child.once('close', () => {
          clearTimeout(timer);
          finish(how);
        });
      });
    });
  }

  get hasEnded(): boolean {
    return this.#end !== undefined || this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** What it has written to its standard error, the last 4,000 characters. */
  get output(): string {
    return this.#output.trim();
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Ends it; resolves when it is gone. */
  async stop(): Promise<void> {
    if (this.#end !== undefined) return;
    this.#child.ref();
    this.kill('SIGTERM');
    const patience = new AbortController();
    const hard = pause(graceMs, patience.signal).then(() => {
      if (!patience.signal.aborted) this.kill('SIGKILL');
    });
    await this.ended;
    patience.abort();
    await hard;
  }

  #release(): void {
    running.delete(this);
    if (running.size === 0) process.off('exit', killAll);
    this.#watchdog?.kill('SIGKILL');
    this.#child.stderr?.destroy();
  }
}

/** `exit code 255 after 1.2 s: Permission denied`, for an error. */
export function describeEnd(end: SshEnd, output: string): string {
  return `${end.how} after ${formatMs(end.afterMs)}${output === '' ? '' : `: ${output}`}`;
}

/**
 * Starts a shell that waits for the end of its input, which comes with the end of this process however it dies, and
 * then ends ssh. The text is fixed; without /bin/sh there is none.
 */
function watch(pid: number | undefined): ChildProcess | undefined {
  if (pid === undefined || process.platform === 'win32') return undefined;
  const watchdog = spawn('/bin/sh', ['-c', 'read -r _; kill "$1"', 'sh', String(pid)], {
    env: {},
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  watchdog.on('error', () => undefined);
  watchdog.unref();
  const { stdin } = watchdog;
  stdin?.on('error', () => undefined);
  if (stdin instanceof Socket) stdin.unref();
  return watchdog;
}
