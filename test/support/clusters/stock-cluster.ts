// A real Python cluster: an unmodified ipcontroller with unmodified ipengines, in a temporary directory.
//
//     await using cluster = await StockCluster.start({ version: '9', db: 'sqlitedb', engines: 2 });
//     const rc = await Client.connect({ connectionFile: cluster.connectionFile });
//     const record = await cluster.runPython(`
//       import sys, json, ipyparallel
//       rc = ipyparallel.Client(sys.argv[1])
//       print(json.dumps(rc.ids))
//     `);
//     await cluster.killEngine(0);               // and its nanny; { nanny: 'spare' } lets the nanny notify the hub
//     const id = await cluster.startEngine();
//     await cluster.killController(); await cluster.restartController();
//
// start() resolves when the connection file is complete and every engine is registered. stop(), the end of
// `await using`, and the end of this process (SIGKILL included) end every process and remove the directory.
// Tests that use it belong in describeStock(version, name, body) of ../python/describe-stock.js.
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cleanEnv } from '../environment.js';
import { type RunPythonOptions, requirePythonEnv, runPython, type StockVersion } from '../python/python.js';
import { waitFor } from '../wait-for.js';
import { type GuardedProcess, ProcessGuard } from './guard.js';
import { acceptConnections, PortBlock } from './ports.js';
import { engineTimeouts } from './python-engine.js';

export { type StockVersion, stockVersions } from '../python/python.js';

export type StockDatabase = 'dictdb' | 'sqlitedb' | 'mongodb' | 'nodb';

export interface StockClusterOptions {
  version: StockVersion;
  /** `dictdb` by default. */
  db?: StockDatabase;
  /** How many engines to start; 0 by default. */
  engines?: number;
  /** The value of ipcontroller's `--Session.packer`: `json`, `orjson`, `msgpack.packb`, ... */
  pack?: string;
  /** The cluster id; the connection files are named `ipcontroller-ID-client.json`. */
  clusterId?: string;
  controllerArgs?: readonly string[];
  engineArgs?: readonly string[];
  /** The content of the controller's `ipcontroller_config.py`. */
  config?: string;
  /** Added to the environment of controller and engines. */
  env?: NodeJS.ProcessEnv;
  /** How long controller and engines may take to be ready, in ms; 120,000 by default. */
  timeout?: number;
}

export interface StockEngine {
  /** The id that the hub assigned. */
  id: number;
  /** The process that runs the tasks. */
  pid: number;
  /** The child of the engine that forwards signals and notifies the hub when the engine has ended. */
  nannyPid: number;
  /** The file of its output. */
  log: string;
}

// The hub registers an engine at its first heartbeat, so the interval is 200 ms. 25 misses are 5 s, enough for a busy
// machine.
const heartbeat = ['--HeartMonitor.period=200', '--HeartMonitor.max_heartmonitor_misses=25'];
// By default the hub drops an engine that takes longer than 30 s from its request to its first heartbeat, in seconds.
const registration = '--IPController.registration_timeout=120';
// A controller needs 16 ports. A restarted controller keeps the ports in its files and needs new ones for itself.
const portsOfOneStart = 31;
const attempts = 3;

export class StockCluster {
  readonly version: StockVersion;
  /** Contains all files of the cluster; stop() removes it. */
  readonly directory: string;
  readonly ipythonDir: string;
  readonly profileDir: string;
  /** The client's connection file. */
  readonly connectionFile: string;
  readonly engineConnectionFile: string;
  readonly controllerLog: string;
  readonly #options: StockClusterOptions;
  readonly #python: string;
  readonly #ports: PortBlock;
  readonly #guard: ProcessGuard;
  readonly #engines = new Map<number, StockEngine>();
  #controller: GuardedProcess | undefined;
  #startedEngines = 0;
  #env: NodeJS.ProcessEnv | undefined;

  private constructor(options: StockClusterOptions, ports: PortBlock) {
    const { python } = requirePythonEnv(options.version);
    this.#ports = ports;
    this.version = options.version;
    this.#options = options;
    this.#env = options.env;
    this.#python = python;
    this.directory = mkdtempSync(join(tmpdir(), 'ipp-stock-'));
    this.ipythonDir = join(this.directory, 'ipython');
    this.profileDir = join(this.ipythonDir, 'profile_default');
    mkdirSync(this.profileDir, { recursive: true });
    if (options.config !== undefined)
      writeFileSync(join(this.profileDir, 'ipcontroller_config.py'), options.config);
    const name = options.clusterId ? `ipcontroller-${options.clusterId}` : 'ipcontroller';
    this.connectionFile = join(this.profileDir, 'security', `${name}-client.json`);
    this.engineConnectionFile = join(this.profileDir, 'security', `${name}-engine.json`);
    this.controllerLog = join(this.directory, 'controller.log');
    this.#guard = new ProcessGuard(python, this.directory);
  }

  /** Starts the controller, then all engines together, and waits until they are registered. */
  static async start(options: StockClusterOptions): Promise<StockCluster> {
    requirePythonEnv(options.version);
    for (let attempt = 1; ; attempt++) {
      const ports = await PortBlock.reserve(2 * portsOfOneStart + 2);
      const cluster = new StockCluster(options, ports);
      try {
        await cluster.#startController(ports.range(1, portsOfOneStart), []);
        await Promise.all(Array.from({ length: options.engines ?? 0 }, () => cluster.startEngine()));
        checkPorts(readText(cluster.controllerLog));
        return cluster;
      } catch (error) {
        await cluster.stop();
        if (attempt < attempts && error instanceof PortTakenError) continue;
        throw error;
      }
    }
  }

  get controllerPid(): number {
    if (this.#controller === undefined) throw new Error('the controller is not running');
    return this.#controller.pid;
  }

  /** The engines that were started and not killed by killEngine(), by id. */
  get engines(): StockEngine[] {
    return [...this.#engines.values()].sort((a, b) => a.id - b.id);
  }

  get enginePids(): number[] {
    return this.engines.map((engine) => engine.pid);
  }

  /** All processes of this cluster: controller, schedulers, heart monitor, engines, nannies. */
  async pids(): Promise<number[]> {
    return (await this.#guard.descendants()).map(({ pid }) => pid);
  }

  /** The children of the controller: its schedulers and its heart monitor. */
  async controllerChildren(): Promise<number[]> {
    return (await this.#guard.descendants(this.controllerPid)).map(({ pid }) => pid);
  }

  /** Starts another engine, waits until it is registered, and returns its id. */
  async startEngine(args: readonly string[] = []): Promise<number> {
    const log = join(this.directory, `engine-${this.#startedEngines++}.log`);
    const controllerLogBefore = readText(this.controllerLog).length;
    const child = await this.#spawn(
      'ipyparallel.engine',
      [...engineTimeouts, ...(this.#options.engineArgs ?? []), ...args],
      log,
    );
    const id = await this.#untilReady('the engine', child, log, () => {
      const given = /Completed registration with id (\d+)/.exec(readText(log))?.[1];
      if (given === undefined) return undefined;
      const hubLog = readText(this.controllerLog).slice(controllerLogBefore);
      return hubLog.includes(`finished registering engine ${given}:`) ? Number(given) : undefined;
    });
    const nannyPid = Number(/nanny pid=(\d+)/.exec(readText(log))?.[1]);
    this.#engines.set(id, { id, pid: child.pid, nannyPid, log });
    return id;
  }

  /**
   * Sends SIGKILL to an engine, and by default to its nanny: the hub then detects the missed heartbeats after 5 s. With
   * `nanny: 'spare'` the nanny notifies the hub within a second. Resolves when the killed processes have ended.
   */
  async killEngine(id: number, { nanny = 'kill' }: { nanny?: 'kill' | 'spare' } = {}): Promise<void> {
    const engine = this.#engines.get(id);
    if (engine === undefined) throw new Error(`no engine ${id} runs`);
    this.#engines.delete(id);
    await this.#guard.kill(engine.pid, { tree: nanny === 'kill' });
  }

  /** Kills the controller and its children, but no engine. After SIGTERM it may remove its connection files. */
  async killController(signal: 'SIGKILL' | 'SIGTERM' | 'SIGINT' = 'SIGKILL'): Promise<void> {
    const pid = this.controllerPid;
    this.#controller = undefined;
    await this.#guard.kill(pid, { signal, tree: true });
  }

  /**
   * Restarts the controller with `--reuse`, which keeps ports and key, or with new ones if `newFiles` is set. Kills a
   * running controller first.
   */
  async restartController(
    args: readonly string[] = [],
    { newFiles = false, env }: { readonly newFiles?: boolean; readonly env?: NodeJS.ProcessEnv } = {},
  ): Promise<void> {
    if (this.#controller !== undefined) await this.killController();
    if (env !== undefined) this.#env = env;
    const ports = this.#ports.range(portsOfOneStart + 1, 2 * portsOfOneStart);
    await this.#startController(ports, newFiles ? args : ['--reuse', ...args]);
  }

  /** Runs a Python script with this cluster's ipyparallel; `sys.argv[1]` is the client's connection file. */
  async runPython<T = unknown>(
    script: string,
    args: readonly string[] = [],
    options: RunPythonOptions = {},
  ): Promise<T> {
    return await runPython<T>(this.version, script, [this.connectionFile, ...args], {
      cwd: this.directory,
      ...options,
      env: { IPYTHONDIR: this.ipythonDir, ...this.#options.env, ...options.env },
    });
  }

  /** Kills all processes of the cluster, waits until they have ended and removes the directory. */
  async stop(): Promise<void> {
    this.#controller = undefined;
    this.#engines.clear();
    await this.#guard.stop();
    await this.#ports.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #startController(ports: { from: number; to: number }, extraArgs: readonly string[]): Promise<void> {
    const { db = 'dictdb', pack, controllerArgs = [] } = this.#options;
    const args = [...controllerArgs, ...extraArgs];
    const logBefore = readText(this.controllerLog).length;
    // traitlets rejects a repeated option.
    const given = (option: string): boolean =>
      args.some((arg) => arg.startsWith(option.slice(0, option.indexOf('=') + 1)));
    const defaults = [...heartbeat, registration].filter((option) => !given(option));
    const packers = pack ? [`--Session.packer=${pack}`, `--Session.unpacker=${unpackerOf(pack)}`] : [];
    const child = await this.#spawn(
      'ipyparallel.controller',
      [`--${db}`, `--ports=${ports.from}-${ports.to}`, ...defaults, ...packers, ...args],
      this.controllerLog,
    );
    this.#controller = child;
    const depth = Number(/broadcast_scheduler_depth=(\d+)/.exec(args.join(' '))?.[1] ?? 1);
    const broadcastSchedulers = 2 ** (depth + 1) - 1;
    await this.#untilReady('the controller', child, this.controllerLog, async () => {
      const log = readText(this.controllerLog).slice(logBefore);
      checkPorts(log);
      // The controller's children bind their ports after it has written the files; the broadcast schedulers bind more ports.
      const started = log.match(/BroadcastScheduler \S+ started/g)?.length ?? 0;
      if (started < broadcastSchedulers || !log.includes('Heartmonitor beating')) return undefined;
      // The task scheduler receives the registrations of engines after this line.
      if (!log.includes('Task scheduler started')) return undefined;
      const files = [this.connectionFile, this.engineConnectionFile].map(readConnectionFile);
      for (const file of files) {
        if (file === undefined || !(await acceptConnections(portsOf(file)))) return undefined;
      }
      return true;
    });
  }

  async #spawn(module: string, args: readonly string[], log: string): Promise<GuardedProcess> {
    const { clusterId } = this.#options;
    const env = this.#env;
    return await this.#guard.spawn({
      argv: [
        this.#python,
        '-m',
        module,
        `--profile-dir=${this.profileDir}`,
        ...(clusterId ? [`--cluster-id=${clusterId}`] : []),
        ...args,
      ],
      env: cleanEnv({ IPYTHONDIR: this.ipythonDir, ...env }),
      cwd: this.directory,
      log,
    });
  }

  async #untilReady<T>(
    what: string,
    child: GuardedProcess,
    log: string,
    ready: () => T | undefined | Promise<T | undefined>,
  ): Promise<T> {
    const check = async (): Promise<T | undefined> => {
      const answer = await ready();
      if (answer === undefined && child.exitCode !== undefined) {
        throw new Error(`${what} ended with code ${child.exitCode} before it was ready:\n${logTail(log)}`);
      }
      return answer;
    };
    return await waitFor(check, {
      timeout: this.#options.timeout ?? 120_000,
      what: () => `${what} to be ready; its log ends:\n${logTail(log)}`,
    });
  }
}

function unpackerOf(packer: string): string {
  return packer.replace(/packb$/, 'unpackb').replace(/\.dumps$/, '.loads');
}

/**
 * A child of ipcontroller whose port is taken dies, and the others continue without it. The ports were free a moment
 * before, but another process may have bound one since.
 */
class PortTakenError extends Error {}

function checkPorts(controllerLog: string): void {
  if (controllerLog.includes('Address already in use')) {
    throw new PortTakenError('a port of the controller was taken before it could bind it');
  }
}

function readConnectionFile(file: string): Record<string, unknown> | undefined {
  try {
    const info: unknown = JSON.parse(readFileSync(file, 'utf8'));
    if (typeof info !== 'object' || info === null || !('key' in info)) return undefined;
    return info as Record<string, unknown>;
  } catch {
    // The file is missing or incomplete so far.
    return undefined;
  }
}

function portsOf(info: Record<string, unknown>): number[] {
  if (!String(info.interface).startsWith('tcp:')) return [];
  return Object.values(info)
    .flat()
    .filter((value) => typeof value === 'number');
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function logTail(file: string): string {
  return readText(file).trimEnd().split('\n').slice(-20).join('\n');
}
