import { type ChildProcess, fork, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { sendSignal } from './end-processes.js';
import type { Guard } from './guard.js';

/** How a process has ended. */
export interface ProcessExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** What to run. */
export type Command =
  | { readonly kind: 'node'; readonly module: string; readonly args: readonly string[] }
  | { readonly kind: 'program'; readonly file: string; readonly args: readonly string[] };

/** Where and how a child runs. */
export interface ChildOptions {
  readonly role: 'controller' | 'engine';
  readonly env: NodeJS.ProcessEnv;
  /** Both output streams are appended to this file. */
  readonly log: string;
  readonly guard: Guard;
  readonly onMessage?: (message: unknown) => void;
}

/** A child process that leads a group of its own, writes to a log file and is known to the guard. */
export class Child {
  readonly log: string;
  /** Resolves when it has ended; also when it could not be started. */
  readonly exited: Promise<ProcessExit>;
  /** How it ended; undefined while it runs. */
  exit: ProcessExit | undefined;
  /** Why it could not be started. */
  failure: NodeJS.ErrnoException | undefined;
  readonly #process: ChildProcess;

  constructor(command: Command, options: ChildOptions) {
    const { role, env, log, guard } = options;
    this.log = log;
    const output = openSync(log, 'a', 0o600);
    try {
      // Detached: Ctrl-C at the terminal is for this process, which then stops its children in order.
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
    if (pid !== undefined) guard.tell({ watch: pid, role });
    if (options.onMessage !== undefined) this.#process.on('message', options.onMessage);
    this.exited = new Promise((resolve) => {
      const settle = (exit: ProcessExit): void => {
        this.exit = exit;
        if (pid !== undefined) {
          // What it started and left behind.
          sendSignal(-pid, 'SIGKILL');
          guard.tell({ forget: pid });
        }
        resolve(exit);
      };
      this.#process.once('exit', (code, signal) => settle({ code, signal }));
      this.#process.once('error', (error) => {
        // The same event tells of a message that could not be sent.
        if (pid !== undefined) return;
        this.failure = error;
        settle({ code: null, signal: null });
      });
    });
  }

  /** -1 when it could not be started. */
  get pid(): number {
    return this.#process.pid ?? -1;
  }

  /** What it wrote, all of it. */
  readLog(): string {
    try {
      return readFileSync(this.log, 'utf8');
    } catch {
      return '';
    }
  }

  /** The last lines of what it wrote, indented for an error message. */
  logTail(): string {
    const lines = this.readLog().trimEnd().split('\n').slice(-LINES_SHOWN);
    return lines.every((line) => line === '') ? '  (nothing)' : lines.map((line) => `  ${line}`).join('\n');
  }

  /** `exit code 1`, `signal SIGKILL`. */
  describeExit(): string {
    const { code, signal } = this.exit ?? { code: null, signal: null };
    return signal === null ? `exit code ${code}` : `signal ${signal}`;
  }
}

const LINES_SHOWN = 12;
