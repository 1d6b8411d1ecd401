// Our controller as a process that tests kill and restart with --reuse or --restore.
import { type ChildProcess, fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cleanEnv } from '../environment.js';
import { waitFor } from '../wait-for.js';
import { CONTROLLER_PORTS, PortBlock } from './ports.js';

const main = createRequire(import.meta.url).resolve('@ipyparallel-js/hub/main');

export class RestartableController {
  readonly directory: string;
  readonly profileDir: string;
  readonly clientFile: string;
  readonly engineFile: string;
  /** The log of all runs. */
  log = '';
  readonly #args: readonly string[];
  readonly #ports: PortBlock;
  #child: ChildProcess | undefined;

  private constructor(args: readonly string[], ports: PortBlock) {
    this.#ports = ports;
    this.directory = mkdtempSync(join(tmpdir(), 'ippjs-restart-'));
    this.profileDir = join(this.directory, 'profile');
    this.clientFile = join(this.profileDir, 'security', 'ipcontroller-client.json');
    this.engineFile = join(this.profileDir, 'security', 'ipcontroller-engine.json');
    this.#args = args;
  }

  /** `args` apply to every run. */
  static async start(args: readonly string[] = ['--restore']): Promise<RestartableController> {
    const controller = new RestartableController(args, await PortBlock.reserve(CONTROLLER_PORTS + 1));
    try {
      await controller.start();
    } catch (error) {
      await controller[Symbol.asyncDispose]();
      throw error;
    }
    return controller;
  }

  /**
   * Starts or restarts the controller, with additional arguments for this run; resolves when it serves and its log until
   * then has arrived.
   */
  async start(args: readonly string[] = []): Promise<void> {
    // The ports are not assigned by the system, which could assign them to another test while the controller is away.
    const { from, to } = this.#ports.range(1, CONTROLLER_PORTS);
    const ownArgs = ['--profile-dir', this.profileDir, `--ports=${from}-${to}`];
    // An engine may pause for 30 s.
    const argv = [...ownArgs, '--ping=200', '--max-misses=150', ...this.#args, ...args];
    const starts = this.#countStarts();
    const child = fork(main, argv, { env: cleanEnv({}), stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
    this.#child = child;
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.log += text;
    });
    await new Promise<void>((resolve, reject) => {
      child.once('message', () => resolve());
      child.once('exit', () => reject(new Error(`the controller ended:\n${this.log}`)));
    });
    await waitFor(() => this.#countStarts() > starts, {
      what: () => `the log of the start:\n${this.log}`,
    });
  }

  #countStarts(): number {
    return this.log.split('serving; connection files').length - 1;
  }

  /** Kills the controller, or stops it with SIGTERM. */
  async kill(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await this.#ports.release();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
