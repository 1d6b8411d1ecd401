// Our controller as a process with unmodified Python engines, in a temporary directory; for interop tests.
import { existsSync, mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cleanEnv } from '../environment.js';
import { type RunPythonOptions, requirePythonEnv, runPython, type StockVersion } from '../python/python.js';
import { waitFor } from '../wait-for.js';
import { type GuardedProcess, ProcessGuard } from './guard.js';
import { PortBlock } from './ports.js';
import { engineTimeouts } from './python-engine.js';

/** The number of ports of the block; a controller binds fewer. */
const PORTS = 40;

const main = createRequire(import.meta.url).resolve('@ipyparallel-js/hub/main');

export interface OurControllerOptions {
  /** The ipyparallel version of the engines and clients. */
  readonly version: StockVersion;
  /** How many engines to start; a script waits for them with `wait_for_engines`. */
  readonly engines: number;
  readonly controllerArgs?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

export class OurController {
  readonly directory: string;
  readonly connectionFile: string;
  readonly #engineFile: string;
  readonly #options: OurControllerOptions;
  readonly #guard: ProcessGuard;
  /** The ports are below the ephemeral range, so that no other process takes one while the controller restarts. */
  readonly #ports: PortBlock;
  #controller: GuardedProcess | undefined;
  #started = 0;

  private constructor(options: OurControllerOptions, ports: PortBlock) {
    this.#options = options;
    this.#ports = ports;
    this.directory = mkdtempSync(join(tmpdir(), 'ippjs-interop-'));
    const security = join(this.directory, 'profile', 'security');
    this.connectionFile = join(security, 'ipcontroller-client.json');
    this.#engineFile = join(security, 'ipcontroller-engine.json');
    this.#guard = new ProcessGuard(requirePythonEnv(options.version).python, this.directory);
  }

  static async start(options: OurControllerOptions): Promise<OurController> {
    requirePythonEnv(options.version);
    const cluster = new OurController(options, await PortBlock.reserve(PORTS));
    try {
      await cluster.#start();
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  async #start(): Promise<void> {
    await this.#startController([]);
    for (let i = 0; i < this.#options.engines; i++) await this.startEngine();
  }

  /** Kills the controller; its engines keep running. */
  async killController(): Promise<void> {
    if (this.#controller?.exitCode !== undefined) return;
    if (this.#controller !== undefined) await this.#guard.kill(this.#controller.pid, { tree: false });
  }

  /** Restarts the controller with the same ports, key and engines, and with additional arguments. */
  async restartController(args: readonly string[] = []): Promise<void> {
    await this.killController();
    await this.#startController(['--restore', ...args]);
  }

  async #startController(more: readonly string[]): Promise<void> {
    const profile = join(this.directory, 'profile');
    const { from, to } = this.#ports.range(1, PORTS - 1);
    const args = [
      '--profile-dir',
      profile,
      `--ports=${from}-${to}`,
      '--ping=250',
      '--max-misses=40',
      '--registration-timeout=120',
      ...(this.#options.controllerArgs ?? []),
      ...more,
    ];
    const starts = this.#countStarts();
    this.#controller = await this.#spawn([process.execPath, main, ...args], 'controller.log');
    const there = (): boolean => existsSync(this.connectionFile) && existsSync(this.#engineFile);
    await waitFor(() => there() && this.#countStarts() > starts, {
      timeout: 60_000,
      what: () => `the controller to serve; its log:\n${this.log}`,
    });
  }

  /** Counts in the log how often a controller has started to serve. The connection files exist after the first time. */
  #countStarts(): number {
    return this.log.split('serving; connection files').length - 1;
  }

  /** Starts another engine, without waiting for its registration. */
  async startEngine(): Promise<GuardedProcess> {
    const n = this.#started++;
    const profile = join(this.directory, `engine-${n}`);
    mkdirSync(profile);
    const { python } = requirePythonEnv(this.#options.version);
    const argv = [
      python,
      '-m',
      'ipyparallel.engine',
      `--file=${this.#engineFile}`,
      `--profile-dir=${profile}`,
      ...engineTimeouts,
    ];
    return await this.#spawn(argv, `engine-${n}.log`);
  }

  async #spawn(argv: readonly string[], log: string): Promise<GuardedProcess> {
    return await this.#guard.spawn({
      argv,
      env: cleanEnv({ IPYTHONDIR: join(this.directory, 'ipython'), ...this.#options.env }),
      cwd: this.directory,
      log: join(this.directory, log),
    });
  }

  get log(): string {
    const file = join(this.directory, 'controller.log');
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
  }

  /** Resolves to the exit code of the controller. */
  get ended(): Promise<number> {
    if (this.#controller === undefined) throw new Error('the controller was not started');
    return this.#controller.exited;
  }

  /** Runs a Python script; `sys.argv[1]` is the client's connection file. */
  async runPython<T>(
    script: string,
    { args = [], ...options }: RunPythonOptions & { args?: readonly string[] } = {},
  ): Promise<T> {
    const env = { IPYTHONDIR: join(this.directory, 'ipython'), ...this.#options.env };
    try {
      return await runPython<T>(this.#options.version, script, [this.connectionFile, ...args], {
        ...{ cwd: this.directory, env },
        ...options,
      });
    } catch (error) {
      throw new Error(`${error instanceof Error ? error.message : error}\ncontroller:\n${this.log}`, {
        cause: error,
      });
    }
  }

  async stop(): Promise<void> {
    await this.#guard.stop();
    await this.#ports.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
