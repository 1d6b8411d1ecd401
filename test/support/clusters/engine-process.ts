// Runs ippjs-engine as a process, for tests of its start and end.
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cleanEnv } from '../environment.js';
import { isAlive } from '../processes.js';
import { root } from '../repository.js';
import { waitFor } from '../wait-for.js';

export const engineMain = join(root, 'packages', 'engine', 'dist', 'main.js');

export interface EngineProcessOptions {
  args?: readonly string[];
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  nodeArgs?: readonly string[];
}

export class EngineProcess {
  readonly child: ChildProcess;
  /** Exit code, or the signal's name. */
  readonly exited: Promise<number | string>;
  stdout = '';
  stderr = '';
  registered: { id: number; uuid: string; pid: number } | undefined;
  #kernels: number[] = [];

  constructor(options: EngineProcessOptions = {}) {
    const { args = [], env = {}, cwd = '/', nodeArgs = [] } = options;
    // An engine gives up after ten seconds by default.
    const timeout = args.some((argument) => argument.startsWith('--timeout')) ? [] : ['--timeout=60'];
    this.child = spawn(process.execPath, [...nodeArgs, engineMain, ...timeout, ...args], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: cleanEnv(env),
      cwd,
    });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.child.on('message', (message) => {
      const notice = message as { type: string; id: number; uuid: string; pid: number };
      if (notice.type === 'registered') this.registered = notice;
    });
    // The event is not 'close', which a disconnected process never emits.
    const ended = (['stdout', 'stderr'] as const).map(
      (name) => new Promise((resolve) => this.child[name]?.once('close', resolve)),
    );
    this.exited = new Promise((resolve) => {
      this.child.once('exit', (code, signal) => {
        void Promise.all(ended).then(() => resolve(signal ?? code ?? -1));
      });
    });
  }

  /** Starts an engine and waits for its registration message. */
  static async start(options: EngineProcessOptions): Promise<EngineProcess> {
    // A busy machine needs more than the ten seconds of a user.
    const engine = new EngineProcess({ ...options, args: ['--timeout=60', ...(options.args ?? [])] });
    await engine.untilRegistered();
    return engine;
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  get uuid(): string {
    return this.registered?.uuid ?? '';
  }

  /** The pid of the kernel process, from the system's process table. */
  get kernelPid(): number {
    const [kernel = 0] = childrenOf(this.pid);
    if (kernel !== 0) this.#kernels.push(kernel);
    return kernel;
  }

  async untilRegistered(): Promise<void> {
    await waitFor(
      () => {
        if (this.registered === undefined && this.child.exitCode !== null)
          throw new Error(`the engine ended: ${this.stderr}`);
        return this.registered;
      },
      { timeout: 90_000, what: () => `the engine to register: ${this.stderr}` },
    );
    // Read once, so that stop() knows it after the engine has ended.
    void this.kernelPid;
  }

  /** Kills the remaining processes of the engine and its kernels. */
  stop(): void {
    for (const pid of [this.pid, ...childrenOf(this.pid), ...this.#kernels]) {
      if (pid !== 0 && isAlive(pid)) process.kill(pid, 'SIGKILL');
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop();
    await this.exited;
  }
}

/** Returns the process ids of the children of a process; Linux only. */
function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
        return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === pid;
      } catch {
        return false;
      }
    })
    .map(Number);
}

export async function untilGone(pid: number, timeout = 30_000): Promise<void> {
  await waitFor(() => !isAlive(pid), { timeout, what: `process ${pid} to end` });
}
