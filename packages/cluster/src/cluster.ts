import { existsSync, mkdirSync, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, type ClientOptions, type WaitOptions } from '@ipyparallel-js/client';
import { UsageError } from '@ipyparallel-js/protocol';
import { checkOptions } from '@ipyparallel-js/protocol/internal';
import {
  type Deadline,
  pause,
  startDeadline,
  timeoutError,
  WAIT_OPTIONS,
  withinDeadline,
} from '@ipyparallel-js/wire';
import { childEnv, controllerCommand, engineCommand } from './launch/commands.js';
import { endedTooEarly, lostAPort, portTaken } from './launch/diagnose.js';
import { EngineProcess } from './launch/engine-process.js';
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
import { unregisterEngine } from './launch/unregister.js';
import { Child, type ProcessExit } from './processes/child.js';
import { endProcesses, sendSignal } from './processes/end-processes.js';
import { Guard } from './processes/guard.js';
import { ignoreSignals, stopOnSignals } from './processes/signals.js';

/** A process of a cluster. */
export interface ClusterProcess {
  readonly pid: number;
  /** The file that both its output streams go to. */
  readonly log: string;
  /** How it ended; undefined while it runs. */
  readonly exited: ProcessExit | undefined;
}

/** An engine of a cluster. */
export interface ClusterEngine extends ClusterProcess {
  /** The id that the hub gave it. */
  readonly id: number;
  readonly language: EngineKind;
}

/** The controller of a cluster. */
export interface ClusterController extends ClusterProcess {
  readonly kind: ControllerKind;
}

/** Options of {@link Cluster.connect}: those of a client, without what says where to connect. */
export type ClusterClientOptions = Omit<
  ClientOptions,
  | 'connectionFile'
  | 'profile'
  | 'profileDir'
  | 'clusterId'
  | 'ipythonDir'
  | 'sshServer'
  | 'sshKey'
  | 'sshOptions'
>;

/** How long a process may take to end when asked to, in ms. Stock launchers allow about as much. */
const GRACE_MS = 3_000;
const FILE_POLL_MS = 20;
const ATTEMPTS = 3;

/**
 * A controller and engines as child processes, in a directory of their own. Everything ends with `stop()`, on Ctrl-C,
 * and when this process is gone, however it went. It keeps the process alive until it is stopped.
 * Mirrors ipyparallel `Cluster`.
 */
export class Cluster implements AsyncDisposable {
  /** Holds the logs and, unless another was given, the profile directory; removed by `stop()`. */
  readonly directory: string;
  readonly profileDir: string;
  /** The client's connection file. */
  readonly connectionFile: string;
  readonly engineConnectionFile: string;
  readonly #options: ResolvedClusterOptions;
  readonly #guard: Guard;
  #controller: Child;
  readonly #engines: EngineProcess[] = [];
  #stopping: Promise<void> | undefined;

  private constructor(options: ResolvedClusterOptions) {
    this.#options = options;
    this.directory = mkdtempSync(join(tmpdir(), 'ipyparallel-js-'));
    this.profileDir = options.profileDir ?? join(this.directory, 'profile_default');
    mkdirSync(this.profileDir, { recursive: true, mode: 0o700 });
    const files = connectionFilesIn(this.profileDir, options.clusterId);
    this.connectionFile = files.client;
    this.engineConnectionFile = files.engine;
    this.#guard = new Guard();
    for (const path of this.#ownPaths()) this.#guard.tell({ remove: path });
    if (options.handleSignals) stopOnSignals(this);
    this.#controller = this.#startController(options.controllerArgs);
  }

  /**
   * Starts a controller and engines; resolves when the hub serves and all engines are registered there.
   * @throws UsageError, ClusterError with the end of the log, TimeoutError naming what was not ready, `signal.reason`
   */
  static async start(options: ClusterOptions = {}): Promise<Cluster> {
    const resolved = resolveClusterOptions(options, process.env);
    const deadline = startDeadline(options, resolved.timeout);
    for (let attempt = 1; ; attempt++) {
      deadline.signal?.throwIfAborted();
      const cluster = new Cluster(resolved);
      try {
        await cluster.#ready(deadline);
        return cluster;
      } catch (error) {
        const again = lostAPort(cluster.#controller) && attempt < ATTEMPTS && deadline.remaining() > 0;
        await cluster.stop();
        if (!again) throw error;
      }
    }
  }

  get controller(): ClusterController {
    const { pid, log, exit } = this.#controller;
    return { kind: this.#options.controller, pid, log, exited: exit };
  }

  /** The engines, by id; those that have ended stay in the list. */
  get engines(): readonly ClusterEngine[] {
    return this.#engines
      .flatMap(({ id, kind, child: { pid, log, exit } }) =>
        id === undefined ? [] : [{ id, language: kind, pid, log, exited: exit }],
      )
      .sort((a, b) => a.id - b.id);
  }

  /** A client of this cluster. The caller closes it. */
  async connect(options: ClusterClientOptions = {}): Promise<Client> {
    this.#assertRunning();
    return await Client.connect({ ...options, connectionFile: this.connectionFile });
  }

  /**
   * Starts more engines: a number of the cluster's own language, or so many of each. Gives their ids once the hub knows
   * them all. The time-out is that of the start by default. @throws as {@link Cluster.start}
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
    return await this.#startEngines(counts, rc, deadline);
  }

  /** Ends an engine: asks it to, and kills it when it does not. Resolves when it has ended. */
  async stopEngine(id: number): Promise<void> {
    const { child } = this.#engine(id);
    await endProcesses([child.pid], GRACE_MS);
    await child.exited;
  }

  /**
   * Sends a signal to an engine. For SIGKILL, the default, it takes the engine's own children along and resolves when
   * the engine has ended; for others when it is sent.
   */
  async killEngine(id: number, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const { child } = this.#engine(id);
    if (signal !== 'SIGKILL') {
      sendSignal(child.pid, signal);
      return;
    }
    sendSignal(-child.pid, signal);
    await child.exited;
  }

  /**
   * Kills the controller, if it still runs, and starts another in its place, which takes over its ports, its key and its
   * engines (`--restore`). Resolves when the hub serves; engines come back with their next heartbeats.
   * @throws as {@link Cluster.start}
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
    await this.#serving(deadline, async () => {});
  }

  /** Ends engines and controller, killing what does not end by itself, and removes their directory; idempotent. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #ready(deadline: Deadline): Promise<void> {
    await this.#serving(deadline, async (rc, patience) => {
      await this.#startEngines(this.#options.counts, rc, patience);
      if (lostAPort(this.#controller)) throw portTaken(this.#controller);
    });
  }

  /** Waits until the controller serves, and for what is to be done then; fails when it ends meanwhile. */
  async #serving(deadline: Deadline, then: (rc: Client, patience: Deadline) => Promise<void>): Promise<void> {
    const controller = this.#controller;
    const lost = new AbortController();
    void controller.exited.then(() => lost.abort());
    const signals = deadline.signal === undefined ? [lost.signal] : [lost.signal, deadline.signal];
    const patience: Deadline = { ...deadline, signal: AbortSignal.any(signals) };
    try {
      await this.#untilServing(patience);
      await using rc = await this.#connectWithin(patience);
      await then(rc, patience);
    } catch (error) {
      if (this.#stopping !== undefined)
        throw new ClusterError('CLUSTER_STOPPED', 'the cluster was stopped while it started');
      if (lost.signal.aborted)
        throw endedTooEarly(controller, 'controller', this.#pythonOf(this.#options.controller));
      throw error;
    }
  }

  async #untilServing(deadline: Deadline): Promise<void> {
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

  async #startEngines(counts: Required<EngineCounts>, rc: Client, deadline: Deadline): Promise<number[]> {
    const kinds = (['javascript', 'python'] as const).flatMap((kind) =>
      Array<EngineKind>(counts[kind]).fill(kind),
    );
    const engines = kinds.map((kind) => this.#startEngine(kind));
    try {
      const ids = await withinDeadline(
        deadline,
        Promise.all(engines.map((engine) => this.#idOf(engine))),
        (waited) => lateEngines(engines, waited),
      );
      const ends = engines.map((engine) =>
        engine.child.exited.then(() => Promise.reject(this.#tooEarly(engine))),
      );
      await Promise.race([untilKnown(rc, ids, deadline), ...ends]);
      return ids;
    } catch (error) {
      await endProcesses(
        engines.filter(({ child }) => child.exit === undefined).map(({ child }) => child.pid),
        GRACE_MS,
      );
      throw error;
    }
  }

  #startEngine(kind: EngineKind): EngineProcess {
    const { python, engineArgs: args } = this.#options;
    const engine = new EngineProcess(
      kind,
      (onMessage) =>
        new Child(
          engineCommand(kind, this.engineConnectionFile, { python, profileDir: this.profileDir, args }),
          {
            role: 'engine',
            env: this.#env(),
            log: join(this.directory, `engine-${this.#engines.length + 1}.log`),
            guard: this.#guard,
            onMessage,
          },
        ),
    );
    this.#engines.push(engine);
    void engine.child.exited.then(() => this.#onEngineExit(engine));
    return engine;
  }

  async #idOf(engine: EngineProcess): Promise<number> {
    const id = await engine.registered;
    if (id === undefined) throw this.#tooEarly(engine);
    return id;
  }

  #tooEarly({ child, kind }: EngineProcess): ClusterError {
    return endedTooEarly(child, 'engine', this.#pythonOf(kind));
  }

  async #onEngineExit({ id, kind }: EngineProcess): Promise<void> {
    // A Python engine has a nanny for that.
    if (id === undefined || kind === 'python' || this.#stopping !== undefined) return;
    if (this.#controller.exit !== undefined) return;
    // Where the notice cannot be sent, missed heartbeats tell the hub.
    await unregisterEngine(this.engineConnectionFile, id).catch(() => undefined);
  }

  async #stop(): Promise<void> {
    const engines = this.#engines.map(({ child }) => child);
    const running = (children: readonly Child[]): number[] =>
      children.filter((child) => child.exit === undefined && child.pid > 0).map((child) => child.pid);
    // Engines first: their nannies tell the controller.
    await endProcesses(running(engines), GRACE_MS);
    await endProcesses(running([this.#controller]), GRACE_MS);
    await Promise.all([this.#controller, ...engines].map((child) => child.exited));
    for (const path of this.#ownPaths()) {
      await rm(path, { recursive: true, force: true, maxRetries: 3 });
    }
    await this.#guard.release();
    ignoreSignals(this);
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

  /** What is removed in the end: all but connection files that are there for another run. */
  #ownPaths(): string[] {
    if (keepsFiles(this.#options.controllerArgs)) return [this.directory];
    return [this.connectionFile, this.engineConnectionFile, this.directory];
  }

  #engine(id: number): EngineProcess {
    this.#assertRunning();
    const engine = this.#engines.find(
      (candidate) => candidate.id === id && candidate.child.exit === undefined,
    );
    if (engine !== undefined) return engine;
    const ids = this.engines.filter(({ exited }) => exited === undefined).map((running) => running.id);
    throw new UsageError(
      `no engine ${id} of this cluster runs; ${ids.length === 0 ? 'none does' : `running: ${ids.join(', ')}`}`,
    );
  }

  #assertRunning(): void {
    if (this.#stopping !== undefined) throw new ClusterError('CLUSTER_STOPPED', 'the cluster was stopped');
  }

  /** A profile of one's own comes with an IPython directory of one's own: nothing is made in the user's home. */
  #env(): NodeJS.ProcessEnv {
    return childEnv(this.#options.profileDir === undefined ? this.directory : undefined);
  }

  #pythonOf(kind: ControllerKind | EngineKind): string | undefined {
    return kind === 'python' ? this.#options.python : undefined;
  }
}

/** The hub announces an engine at its first heartbeat, after the engine has its id. */
async function untilKnown(rc: Client, ids: readonly number[], deadline: Deadline): Promise<void> {
  while (!ids.every((id) => rc.engines.has(id))) {
    await rc.waitForEngines(rc.ids.length + 1, {
      timeout: deadline.remaining(),
      ...(deadline.signal === undefined ? {} : { signal: deadline.signal }),
    });
  }
}

function lateEngines(engines: readonly EngineProcess[], waited: number): Error {
  const late = engines.filter(({ id }) => id === undefined);
  const [first] = late;
  const log =
    first === undefined
      ? ''
      : `the log of ${first.kind} process ${first.child.pid} ends:\n${first.child.logTail()}`;
  return timeoutError(`${late.length} of ${engines.length} engines were not registered`, waited, log);
}
