import { type ChildProcess, fork, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { sendSignal } from './end-processes.js';
import type { Guard } from './guard.js';

/** How a process ended. */
export interface ProcessExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export type Command =
  | { readonly kind: 'node'; readonly module: string; readonly args: readonly string[] }
  | { readonly kind: 'program'; readonly file: string; readonly args: readonly string[] };

export interface ChildOptions {
  readonly role: 'controller' | 'engine';
  readonly env: NodeJS.ProcessEnv;
  /** The file to append both output streams to. */
  readonly log: string;
  readonly guard: Guard;
  readonly onMessage?: (message: unknown) => void;
}

/** A child process that leads its own process group, writes to a log file and is watched by the guard. */
export class Child {
  readonly log: string;
  /** Resolves when the process has ended or could not be started. */
  readonly exited: Promise<ProcessExit>;
  /** How the process ended; undefined while it runs. */
  exit: ProcessExit | undefined;
  /** Why the process could not be started; undefined if it was started. */
  failure: NodeJS.ErrnoException | undefined;
  readonly #process: ChildProcess;

  constructor(command: Command, options: ChildOptions) {
    const { role, env, log, guard } = options;
    this.log = log;
    const output = openSync(log, 'a', 0o600);
    try {
      // Detach the child, so that Ctrl-C reaches only this process, which then stops its children in order.
      const common = { detached: true, env };
      this.#process =
        command.kind === 'node'
          ? fork(command.module, [...command.args], {
              ...common,
              execArgv: [],
              stdio: ['ignore', output, output, 'ipc'],
            })
          : spawn(command.file, [...command.args], { ...common, stdio: ['ignore', output, output] });
    } finally {
      closeSync(output);
    }
    const { pid } = this.#process;
    if (pid !== undefined) guard.send({ watch: pid, role });
    if (options.onMessage !== undefined) this.#process.on('message', options.onMessage);
    this.exited = new Promise((resolve) => {
      const settle = (exit: ProcessExit): void => {
        this.exit = exit;
        if (pid !== undefined) {
          // Kill the processes that the child started.
          sendSignal(-pid, 'SIGKILL');
          guard.send({ forget: pid });
        }
        resolve(exit);
      };
      this.#process.once('exit', (code, signal) => settle({ code, signal }));
      this.#process.once('error', (error) => {
        // The same event also reports a message that could not be sent.
        if (pid !== undefined) return;
        this.failure = error;
        settle({ code: null, signal: null });
      });
    });
  }

  /** -1 when the process could not be started. */
  get pid(): number {
    return this.#process.pid ?? -1;
  }

  readLog(): string {
    try {
      return readFileSync(this.log, 'utf8');
    } catch {
      return '';
    }
  }

  /** The last lines of the log, indented for an error message. */
  logTail(): string {
    const lines = this.readLog().trimEnd().split('\n').slice(-LOG_TAIL_LINES);
    return lines.every((line) => line === '') ? '  (nothing)' : lines.map((line) => `  ${line}`).join('\n');
  }

  /** Returns `exit code 1` or `signal SIGKILL`. */
  describeExit(): string {
    const { code, signal } = this.exit ?? { code: null, signal: null };
    return signal === null ? `exit code ${code}` : `signal ${signal}`;
  }
}

const LOG_TAIL_LINES = 12;
