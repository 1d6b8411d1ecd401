import { type ChildProcess, spawn } from 'node:child_process';
import { Socket } from 'node:net';
import { formatMs, pause } from '@ipyparallel-js/wire';

/** How an ssh process ended. */
export interface SshEnd {
  /** `exit code 255`, `SIGTERM`, or the error of its start. */
  readonly reason: string;
  /** The error of its start; undefined if it was started. */
  readonly cause: NodeJS.ErrnoException | undefined;
  readonly afterMs: number;
}

const MAX_OUTPUT_LENGTH = 4_000;
const LAST_OUTPUT_MS = 200;
/** How long ssh may take to end after SIGTERM before it receives SIGKILL, in ms. */
const KILL_DELAY_MS = 2_000;

/** The running ssh processes, which must end with this process. */
const runningProcesses = new Set<SshProcess>();

function killAll(): void {
  for (const ssh of runningProcesses) ssh.kill('SIGTERM');
}

/**
 * An ssh process that ends with this process: an exit listener stops it, and if this process is killed, a small watchdog
 * process does. It does not keep this process alive.
 */
export class SshProcess {
  /** Resolves when the process has ended or could not be started; never rejects. */
  readonly ended: Promise<SshEnd>;
  readonly #child: ChildProcess;
  readonly #watchdog: ChildProcess | undefined;
  #end: SshEnd | undefined;
  #output = '';

  constructor(args: readonly string[], env: NodeJS.ProcessEnv) {
    const startTime = performance.now();
    // ssh has a separate session, because Ctrl-C must not end it: this process may still send messages through it.
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
      this.#output = (this.#output + text).slice(-MAX_OUTPUT_LENGTH);
    });
    if (stderr instanceof Socket) stderr.unref();
    if (runningProcesses.size === 0) process.on('exit', killAll);
    runningProcesses.add(this);
    this.#watchdog = startWatchdog(this.#child.pid);
    this.ended = new Promise((resolve) => {
      const finish = (reason: string, cause?: NodeJS.ErrnoException): void => {
        if (this.#end !== undefined) return;
        this.#end = { reason, cause, afterMs: performance.now() - startTime };
        this.#release();
        resolve(this.#end);
      };
      this.#child.once('error', (cause) => finish(cause.message, cause));
      this.#child.once('exit', (code, signal) => {
        const reason = signal ?? `exit code ${code}`;
        // The last output may still be in the pipe, which a child process of ssh may keep open.
        const timer = setTimeout(() => finish(reason), LAST_OUTPUT_MS);
        this.#child.once('close', () => {
          clearTimeout(timer);
          finish(reason);
        });
      });
    });
  }

  get hasEnded(): boolean {
    return this.#end !== undefined || this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** The last 4,000 characters of its stderr. */
  get output(): string {
    return this.#output.trim();
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Stops the process; resolves when it has ended. */
  async stop(): Promise<void> {
    if (this.#end !== undefined) return;
    this.#child.ref();
    this.kill('SIGTERM');
    const killTimer = new AbortController();
    const forcedKill = pause(KILL_DELAY_MS, killTimer.signal).then(() => {
      if (!killTimer.signal.aborted) this.kill('SIGKILL');
    });
    await this.ended;
    killTimer.abort();
    await forcedKill;
  }

  #release(): void {
    runningProcesses.delete(this);
    if (runningProcesses.size === 0) process.off('exit', killAll);
    this.#watchdog?.kill('SIGKILL');
    this.#child.stderr?.destroy();
  }
}

/** The text of an error: `exit code 255 after 1.2 s: Permission denied`. */
export function describeEnd(end: SshEnd, output: string): string {
  return `${end.reason} after ${formatMs(end.afterMs)}${output === '' ? '' : `: ${output}`}`;
}

/**
 * Starts a shell that waits for the end of its stdin, which closes when this process ends in any way, and then stops ssh. The
 * shell script is constant; without /bin/sh there is no watchdog.
 */
function startWatchdog(pid: number | undefined): ChildProcess | undefined {
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
