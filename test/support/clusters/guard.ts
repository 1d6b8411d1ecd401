// A process guard: a small Python parent of all processes that one test starts. It kills them, including grandchildren
// in sessions of their own, on request and whenever this process ends, even by SIGKILL.
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const script = join(import.meta.dirname, '../python/guard.py');

export interface GuardedSpawn {
  argv: readonly string[];
  env: NodeJS.ProcessEnv;
  cwd: string;
  /** Both output streams are appended to this file. */
  log: string;
}

export interface GuardedProcess {
  readonly pid: number;
  /** Resolves to the exit code of the process itself, negative for a signal. */
  readonly exited: Promise<number>;
  /** The exit code, or undefined while the process runs. */
  readonly exitCode: number | undefined;
}

export interface KillOptions {
  /** `SIGKILL` by default. */
  signal?: NodeJS.Signals;
  /** Whether to kill the descendants too; true by default. */
  tree?: boolean;
  /** How long all of them may take to end, in ms; 60,000 by default. */
  timeout?: number;
}

interface GuardMessage {
  id?: number;
  error?: string;
  pid?: number;
  left?: number[];
  tree?: [number, number][];
  exit?: number;
  code?: number;
}

class Guarded implements GuardedProcess {
  readonly pid: number;
  readonly exited: Promise<number>;
  exitCode: number | undefined = undefined;
  readonly settle: (code: number) => void;

  constructor(pid: number) {
    this.pid = pid;
    let settle = (_code: number): void => {};
    this.exited = new Promise((resolve) => {
      settle = resolve;
    });
    this.settle = (code) => {
      this.exitCode = code;
      settle(code);
    };
  }
}

export class ProcessGuard {
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #waiting = new Map<
    number,
    { resolve: (reply: GuardMessage) => void; reject: (error: Error) => void }
  >();
  readonly #members = new Map<number, Guarded>();
  readonly #ended: Promise<void>;
  #lastId = 0;
  #errors = '';

  /**
   * Starts a guard with this Python. The guard removes `directory` when it ends, so that even a killed test run leaves
   * nothing behind.
   */
  constructor(python: string, directory: string) {
    // A session of its own: Ctrl-C at the terminal ends the test run, and that ends the guard.
    const child = spawn(python, ['-I', '-S', script, directory], { detached: true, cwd: '/' });
    this.#child = child;
    this.pid = child.pid ?? 0;
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#errors += text;
    });
    // After the guard has died, its requests are rejected below.
    child.stdin.on('error', () => {});
    createInterface({ input: child.stdout }).on('line', (line) => this.#receive(line));
    this.#ended = new Promise((resolve) => {
      const end = (reason: string): void => {
        const error = new Error(`process guard ${reason}: ${this.#errors.trim() || 'no output'}`);
        for (const { reject } of this.#waiting.values()) reject(error);
        this.#waiting.clear();
        for (const member of this.#members.values()) member.settle(-9);
        this.#members.clear();
        resolve();
      };
      child.once('error', (error) => end(error.message));
      child.once('close', (code, signal) => end(`ended (${signal ?? `exit code ${code}`})`));
    });
  }

  async spawn(what: GuardedSpawn): Promise<GuardedProcess> {
    const { pid } = await this.#ask({ op: 'spawn', ...what });
    const member = pid === undefined ? undefined : this.#members.get(pid);
    if (member === undefined) throw new Error('process guard returned no pid');
    return member;
  }

  /** Sends a signal, and by default waits until the process and all its descendants have ended. */
  async kill(pid: number, options: KillOptions = {}): Promise<void> {
    const { signal = 'SIGKILL', tree = true, timeout = 60_000 } = options;
    const { left = [] } = await this.#ask({ op: 'kill', pid, signal, tree, timeout: timeout / 1000 });
    if (left.length > 0) {
      throw new Error(`processes ${left.join(', ')} still run ${timeout} ms after ${signal}`);
    }
  }

  /** The pids of all descendants of `pid`, by default of the guard itself, parents first. */
  async descendants(pid = this.pid): Promise<{ pid: number; parent: number }[]> {
    const { tree = [] } = await this.#ask({ op: 'tree', pid });
    return tree.map(([child, parent]) => ({ pid: child, parent }));
  }

  /** Kills all processes below the guard, removes its directory and waits until the guard has ended. */
  async stop(): Promise<void> {
    this.#child.stdin?.end();
    await this.#ended;
  }

  #ask(request: Record<string, unknown>): Promise<GuardMessage> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) {
      return Promise.reject(new Error(`process guard has ended: ${this.#errors.trim() || 'no output'}`));
    }
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.stdin?.write(`${JSON.stringify({ id, ...request })}\n`);
    });
  }

  #receive(line: string): void {
    const message = JSON.parse(line) as GuardMessage;
    if (message.exit !== undefined) {
      this.#members.get(message.exit)?.settle(message.code ?? 0);
      this.#members.delete(message.exit);
      return;
    }
    const waiting = this.#waiting.get(message.id ?? 0);
    if (waiting === undefined) return;
    this.#waiting.delete(message.id ?? 0);
    if (message.error !== undefined) {
      waiting.reject(new Error(`process guard: ${message.error}`));
      return;
    }
    // Not in spawn(): the exit notice of a process that ends at once may be the next line.
    if (message.pid !== undefined) this.#members.set(message.pid, new Guarded(message.pid));
    waiting.resolve(message);
  }
}
