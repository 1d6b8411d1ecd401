import { existsSync, mkdirSync, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, type ConnectOptions, type WaitOptions } from '@ipyparallel-js/client';
import { checkOptions } from '@ipyparallel-js/protocol/internal';
import {
  type Deadline,
  pause,
  startDeadline,
  timeoutError,
  WAIT_OPTIONS,
  withinDeadline,
} from '@ipyparallel-js/wire';
import { childEnv, controllerCommand } from './launch/commands.js';
import { earlyExitError, hasPortConflict, portConflictError } from './launch/diagnose.js';
import { EngineSet } from './launch/engine-set.js';
import { ClusterError } from './launch/errors.js';
import {
  type ClusterOptions,
  type ControllerKind,
  connectionFilesIn,
  type EngineCounts,
  type EngineKind,
  engineCounts,
  keepsFiles,
  type ResolvedClusterOptions,
  resolveClusterOptions,
} from './launch/options.js';
import { Child, type ProcessExit } from './processes/child.js';
import { EXIT_TIMEOUT_MS, endProcesses, sendSignal } from './processes/end-processes.js';
import { Guard } from './processes/guard.js';
import { releaseSignals, stopOnSignals } from './processes/signals.js';

/** A process of a cluster. */
export interface ClusterProcess {
  readonly pid: number;
  /** The file with both output streams of the process. */
  readonly log: string;
  /** How the process ended; undefined while it runs. */
  readonly exited: ProcessExit | undefined;
}

/** An engine of a cluster. */
export interface ClusterEngine extends ClusterProcess {
  /** The id that the hub assigned. */
  readonly id: number;
  readonly language: EngineKind;
}

/** The controller of a cluster. */
export interface ClusterController extends ClusterProcess {
  readonly kind: ControllerKind;
}

/** Options of {@link Cluster.connect}: those of a client, except the location of the controller. */
export type ClusterClientOptions = Omit<
  ConnectOptions,
  | 'connectionFile'
  | 'profile'
  | 'profileDir'
  | 'clusterId'
  | 'ipythonDir'
  | 'sshServer'
  | 'sshKey'
  | 'sshOptions'
>;

const FILE_POLL_MS = 20;
const MAX_ATTEMPTS = 3;

/**
 * A controller and engines as child processes with their own directory. All of them end with `stop()`, on Ctrl-C, and when
 * this process ends for any reason. A cluster keeps this process alive until it is stopped. Mirrors ipyparallel's
 * `Cluster`.
 */
export class Cluster implements AsyncDisposable {
  /** Contains the logs and, unless `profileDir` was passed, the profile directory; `stop()` removes it. */
  readonly directory: string;
  readonly profileDir: string;
  /** The client's connection file. */
  readonly connectionFile: string;
  readonly engineConnectionFile: string;
  readonly #options: ResolvedClusterOptions;
  readonly #guard: Guard;
  #controller: Child;
  readonly #engines: EngineSet;
  #stopPromise: Promise<void> | undefined;

  private constructor(options: ResolvedClusterOptions) {
    this.#options = options;
    this.directory = mkdtempSync(join(tmpdir(), 'ipyparallel-js-'));
    this.profileDir = options.profileDir ?? join(this.directory, 'profile_default');
    mkdirSync(this.profileDir, { recursive: true, mode: 0o700 });
    const files = connectionFilesIn(this.profileDir, options.clusterId);
    this.connectionFile = files.client;
    this.engineConnectionFile = files.engine;
    this.#guard = new Guard();
    for (const path of this.#temporaryPaths()) this.#guard.send({ remove: path });
    if (options.handleSignals) stopOnSignals(this);
    this.#engines = new EngineSet({
      python: options.python,
      profileDir: this.profileDir,
      connectionFile: this.engineConnectionFile,
      args: options.engineArgs,
      env: this.#env(),
      directory: this.directory,
      guard: this.#guard,
      mustUnregister: () => this.#stopPromise === undefined && this.#controller.exit === undefined,
    });
    this.#controller = this.#startController(options.controllerArgs);
  }

  /**
   * Starts a controller and engines. Resolves when the hub is ready and all engines are registered.
   * @throws {UsageError} when an option is invalid.
   * @throws {ClusterError} when a process cannot start or ends early; the message contains the end of its log.
   * @throws {TimeoutError} naming the process that was not ready in time.
   */
  static async start(options: ClusterOptions = {}): Promise<Cluster> {
    const resolved = resolveClusterOptions(options, process.env);
    const deadline = startDeadline(options, resolved.timeout);
    for (let attempt = 1; ; attempt++) {
      deadline.signal?.throwIfAborted();
      const cluster = new Cluster(resolved);
      try {
        await cluster.#waitUntilReady(deadline);
        return cluster;
      } catch (error) {
        const mayRetry =
          hasPortConflict(cluster.#controller) && attempt < MAX_ATTEMPTS && deadline.remaining() > 0;
        await cluster.stop();
        if (!mayRetry) throw error;
      }
    }
  }

  get controller(): ClusterController {
    const { pid, log, exit } = this.#controller;
    return { kind: this.#options.controller, pid, log, exited: exit };
  }

  /** The engines in the order of their ids, including engines that have ended. */
  get engines(): readonly ClusterEngine[] {
    return this.#engines.list
      .flatMap(({ id, kind, child: { pid, log, exit } }) =>
        id === undefined ? [] : [{ id, language: kind, pid, log, exited: exit }],
      )
      .sort((a, b) => a.id - b.id);
  }

  /** Connects a client to this cluster. The caller must close it. */
  async connect(options: ClusterClientOptions = {}): Promise<Client> {
    this.#assertRunning();
    return await Client.connect({ ...options, connectionFile: this.connectionFile });
  }

  /**
   * Starts more engines: a number in the cluster's language, or a number of each language. `timeout`
   * defaults to the one passed to {@link Cluster.start}.
   * @returns The ids, once the hub lists all new engines.
   * @throws The errors of {@link Cluster.start}.
   */
  async startEngines(engines: number | EngineCounts, options: WaitOptions = {}): Promise<number[]> {
    checkOptions(options, WAIT_OPTIONS, 'startEngines');
    this.#assertRunning();
    const counts =
      typeof engines === 'number'
        ? engineCounts(engines, this.#options.defaultKind)
        : engineCounts(undefined, engines);
    const deadline = startDeadline(options, this.#options.timeout);
    await using rc = await this.#connectWithin(deadline);
    return await this.#engines.start(counts, rc, deadline);
  }

  /** Ends an engine with SIGTERM, and with SIGKILL after three seconds. Resolves when it has ended. */
  async stopEngine(id: number): Promise<void> {
    this.#assertRunning();
    const { child } = this.#engines.find(id);
    await endProcesses([child.pid], EXIT_TIMEOUT_MS);
    await child.exited;
  }

  /**
   * Sends a signal to an engine. SIGKILL, the default, also kills the engine's children, and the promise resolves when the
   * engine has ended. For other signals the promise resolves when the signal is sent.
   */
  async killEngine(id: number, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    this.#assertRunning();
    const { child } = this.#engines.find(id);
    if (signal !== 'SIGKILL') {
      sendSignal(child.pid, signal);
      return;
    }
    sendSignal(-child.pid, signal);
    await child.exited;
  }

  /**
   * Kills the controller if it still runs, and starts another one with its ports, key and engines (`--restore`). Resolves
   * when the hub is ready; engines return with their next heartbeats.
   * @throws The errors of {@link Cluster.start}.
   */
  async restartController(options: WaitOptions = {}): Promise<void> {
    checkOptions(options, WAIT_OPTIONS, 'restartController');
    this.#assertRunning();
    const deadline = startDeadline(options, this.#options.timeout);
    const { pid, exited, exit } = this.#controller;
    if (exit === undefined && pid > 0) sendSignal(-pid, 'SIGKILL');
    await withinDeadline(deadline, exited, (waited) => timeoutError('the controller did not end', waited));
    this.#assertRunning();
    this.#controller = this.#startController([...this.#options.controllerArgs, '--restore']);
    await this.#runWhenServing(deadline, async () => {});
  }

  /** Ends the engines and the controller with SIGTERM, then SIGKILL, and removes their directory; idempotent. */
  stop(): Promise<void> {
    this.#stopPromise ??= this.#stop();
    return this.#stopPromise;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #waitUntilReady(deadline: Deadline): Promise<void> {
    await this.#runWhenServing(deadline, async (rc, combinedDeadline) => {
      await this.#engines.start(this.#options.counts, rc, combinedDeadline);
      if (hasPortConflict(this.#controller)) throw portConflictError(this.#controller);
    });
  }

  /** Runs `action` once the controller serves. Fails if the controller ends before `action` has completed. */
  async #runWhenServing(
    deadline: Deadline,
    action: (rc: Client, combinedDeadline: Deadline) => Promise<void>,
  ): Promise<void> {
    const controller = this.#controller;
    const { controller: kind, python } = this.#options;
    const exitController = new AbortController();
    void controller.exited.then(() => exitController.abort());
    const signals =
      deadline.signal === undefined ? [exitController.signal] : [exitController.signal, deadline.signal];
    const combinedDeadline: Deadline = { ...deadline, signal: AbortSignal.any(signals) };
    try {
      await this.#waitForFiles(combinedDeadline);
      await using rc = await this.#connectWithin(combinedDeadline);
      await action(rc, combinedDeadline);
    } catch (error) {
      if (this.#stopPromise !== undefined)
        throw new ClusterError('CLUSTER_STOPPED', 'the cluster was stopped during its start');
      if (exitController.signal.aborted)
        throw earlyExitError(controller, 'controller', kind === 'python' ? python : undefined);
      throw error;
    }
  }

  async #waitForFiles(deadline: Deadline): Promise<void> {
    const files = [this.connectionFile, this.engineConnectionFile];
    while (!files.every((file) => existsSync(file))) {
      deadline.signal?.throwIfAborted();
      if (deadline.remaining() === 0) {
        throw timeoutError(
          'the controller was not ready',
          deadline.elapsed(),
          `its log ends:\n${this.#controller.logTail()}`,
        );
      }
      await pause(Math.min(FILE_POLL_MS, deadline.remaining()), deadline.signal);
    }
  }

  #connectWithin({ remaining, signal }: Deadline): Promise<Client> {
    return this.connect({ timeout: remaining(), ...(signal === undefined ? {} : { signal }) });
  }

  async #stop(): Promise<void> {
    const engines = this.#engines.list.map(({ child }) => child);
    const runningPids = (children: readonly Child[]): number[] =>
      children.filter((child) => child.exit === undefined && child.pid > 0).map((child) => child.pid);
    // End the engines first, because their nannies notify the controller.
    await endProcesses(runningPids(engines), EXIT_TIMEOUT_MS);
    await endProcesses(runningPids([this.#controller]), EXIT_TIMEOUT_MS);
    await Promise.all([this.#controller, ...engines].map((child) => child.exited));
    for (const path of this.#temporaryPaths()) {
      await rm(path, { recursive: true, force: true, maxRetries: 3 });
    }
    await this.#guard.release();
    releaseSignals(this);
  }

  #startController(args: readonly string[]): Child {
    const { controller, python, clusterId } = this.#options;
    return new Child(
      controllerCommand(controller, { python, profileDir: this.profileDir, clusterId, args }),
      {
        role: 'controller',
        env: this.#env(),
        log: join(this.directory, 'controller.log'),
        guard: this.#guard,
      },
    );
  }

  /** The paths to remove at the end: all except connection files that another run will reuse. */
  #temporaryPaths(): string[] {
    if (keepsFiles(this.#options.controllerArgs)) return [this.directory];
    return [this.connectionFile, this.engineConnectionFile, this.directory];
  }

  #assertRunning(): void {
    if (this.#stopPromise !== undefined)
      throw new ClusterError(
        'CLUSTER_STOPPED',
        'the cluster was stopped; start another with Cluster.start()',
      );
  }

  /**
   * With a temporary profile, the children also get a temporary IPython directory and create nothing in the home
   * directory.
   */
  #env(): NodeJS.ProcessEnv {
    return childEnv(this.#options.profileDir === undefined ? this.directory : undefined);
  }
}
