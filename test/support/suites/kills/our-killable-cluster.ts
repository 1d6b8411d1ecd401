// Our controller as a process, with JavaScript engines that survive it.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EngineProcess } from '../../clusters/engine-process.js';
import { CONTROLLER_PORTS, PortBlock } from '../../clusters/ports.js';
import { cleanEnv } from '../../environment.js';
import { RawClient } from '../../fakes/raw-client.js';
import type { Gate } from '../../gate.js';
import { waitFor } from '../../wait-for.js';
import { endMarkOf, type KillableCluster, type RestartOptions, runsFile } from './killable-cluster.js';

const main = createRequire(import.meta.url).resolve('@ipyparallel-js/hub/main');

export interface OurKillableClusterOptions {
  readonly engines: number;
  readonly controllerArgs?: readonly string[];
  /** Added to the environment of controller and engines. */
  readonly env?: NodeJS.ProcessEnv;
}

export class OurKillableCluster implements KillableCluster {
  readonly directory = mkdtempSync(join(tmpdir(), 'ippjs-kills-'));
  readonly connectionFile = join(this.directory, 'security', 'ipcontroller-client.json');
  readonly keepsRecords = true;
  readonly #engineFile = join(this.directory, 'security', 'ipcontroller-engine.json');
  readonly #args: readonly string[];
  readonly #engines: EngineProcess[] = [];
  #controller: ChildProcess | undefined;
  #ended: Promise<unknown> = Promise.resolve();
  #log = '';
  #env: NodeJS.ProcessEnv | undefined;
  readonly #ports: PortBlock;
  /** The offset of the ports of this run in the block. */
  #offset = 1;

  private constructor(options: OurKillableClusterOptions, ports: PortBlock) {
    this.#ports = ports;
    this.#args = options.controllerArgs ?? [];
    this.#env = options.env;
  }

  static async start(options: OurKillableClusterOptions): Promise<OurKillableCluster> {
    const cluster = new OurKillableCluster(options, await PortBlock.reserve(2 * CONTROLLER_PORTS + 1));
    try {
      await cluster.#startController([]);
      for (let i = 0; i < options.engines; i++) await cluster.startEngine();
      return cluster;
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The log of all runs of the controller. */
  get log(): string {
    return this.#log;
  }

  async startEngine(): Promise<number> {
    const engine = await EngineProcess.start({
      args: ['--file', this.#engineFile],
      cwd: this.directory,
      env: this.#env ?? {},
    });
    this.#engines.push(engine);
    await using client = RawClient.fromFile(this.connectionFile);
    await waitFor(async () => [...(await client.engines()).values()].includes(engine.uuid), {
      what: `the hub to register engine ${engine.registered?.id}`,
    });
    return engine.registered?.id ?? -1;
  }

  async killEngine(id: number): Promise<void> {
    const engine = this.#engines.find(({ registered }) => registered?.id === id);
    if (engine === undefined) throw new Error(`no engine ${id} runs`);
    engine.child.kill('SIGKILL');
    await engine.exited;
  }

  async killController(): Promise<void> {
    this.#controller?.kill('SIGKILL');
    await this.#ended;
  }

  async restartController({ newFiles = false, env }: RestartOptions = {}): Promise<void> {
    await this.killController();
    if (env !== undefined) this.#env = env;
    if (newFiles) {
      for (const file of [this.connectionFile, this.#engineFile]) rmSync(file, { force: true });
      this.#offset = this.#offset === 1 ? 1 + CONTROLLER_PORTS : 1;
    }
    await this.#startController(newFiles ? [] : ['--reuse', '--restore']);
  }

  task(name: string, until: number | Gate): string {
    const file = JSON.stringify(runsFile(this.directory));
    const note = (line: string): string => `require('node:fs').appendFileSync(${file}, '${line}\\n');`;
    const wait =
      typeof until === 'number' ? `await new Promise((go) => setTimeout(go, ${until}));` : until.javascript;
    return `${note(name)} ${wait} ${note(endMarkOf(name))} '${name}'`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.killController();
    await Promise.all(this.#engines.map((engine) => engine[Symbol.asyncDispose]()));
    await this.#ports.release();
    rmSync(this.directory, { recursive: true, force: true });
  }

  async #startController(args: readonly string[]): Promise<void> {
    // The ports are not assigned by the system, which could assign them to another test while the controller is away.
    const { from, to } = this.#ports.range(this.#offset, this.#offset + CONTROLLER_PORTS - 1);
    const own = ['--profile-dir', this.directory, `--ports=${from}-${to}`];
    const child = spawn(
      process.execPath,
      // The hub detects a killed engine after 10 s.
      [main, ...own, '--ping=200', '--max-misses=50', ...this.#args, ...args],
      { env: cleanEnv(this.#env), stdio: ['ignore', 'ignore', 'pipe'] },
    );
    this.#controller = child;
    this.#ended = new Promise((resolve) => child.once('exit', resolve));
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#log += text;
    });
    await waitFor(() => existsSync(this.connectionFile) && existsSync(this.#engineFile), {
      what: () => `connection files; ${this.#log}`,
    });
    await using client = RawClient.fromFile(this.connectionFile);
    await client.engines();
  }
}
