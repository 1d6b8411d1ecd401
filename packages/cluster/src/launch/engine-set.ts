import { join } from 'node:path';
import type { Client } from '@ipyparallel-js/client';
import { UsageError } from '@ipyparallel-js/protocol';
import { type Deadline, timeoutError, withinDeadline } from '@ipyparallel-js/wire';
import { Child } from '../processes/child.js';
import { EXIT_TIMEOUT_MS, endProcesses } from '../processes/end-processes.js';
import type { Guard } from '../processes/guard.js';
import { engineCommand } from './commands.js';
import { earlyExitError } from './diagnose.js';
import { EngineProcess } from './engine-process.js';
import type { ClusterError } from './errors.js';
import type { EngineCounts, EngineKind } from './options.js';
import { unregisterEngine } from './unregister.js';

export interface EngineSetOptions {
  readonly python: string;
  readonly profileDir: string;
  readonly connectionFile: string;
  /** Additional arguments of every engine. */
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** The directory for the logs. */
  readonly directory: string;
  readonly guard: Guard;
  /** Whether an engine that has ended must be unregistered; false while the whole cluster ends. */
  readonly mustUnregister: () => boolean;
}

/** The engines of a cluster. */
export class EngineSet {
  readonly #options: EngineSetOptions;
  readonly #engines: EngineProcess[] = [];

  constructor(options: EngineSetOptions) {
    this.#options = options;
  }

  /** All engines that were started, including those that have ended. */
  get list(): readonly EngineProcess[] {
    return this.#engines;
  }

  /** Starts engines and waits until the hub lists them. Ends them all if one of them fails. @returns Their ids. */
  async start(counts: Required<EngineCounts>, rc: Client, deadline: Deadline): Promise<number[]> {
    const kinds = (['javascript', 'python'] as const).flatMap((kind) =>
      Array<EngineKind>(counts[kind]).fill(kind),
    );
    const engines = kinds.map((kind) => this.#startOne(kind));
    try {
      const ids = await withinDeadline(
        deadline,
        Promise.all(engines.map((engine) => this.#idOf(engine))),
        (waited) => lateEnginesError(engines, waited),
      );
      const ends = engines.map((engine) =>
        engine.child.exited.then(() => Promise.reject(this.#earlyExit(engine))),
      );
      await Promise.race([waitUntilListed(rc, ids, deadline), ...ends]);
      return ids;
    } catch (error) {
      await endProcesses(
        engines.filter(({ child }) => child.exit === undefined).map(({ child }) => child.pid),
        EXIT_TIMEOUT_MS,
      );
      throw error;
    }
  }

  /** Returns a running engine. @throws {UsageError} when no running engine has this id. */
  find(id: number): EngineProcess {
    const runningEngines = this.#engines.filter(({ child }) => child.exit === undefined);
    const engine = runningEngines.find((candidate) => candidate.id === id);
    if (engine !== undefined) return engine;
    const ids = runningEngines
      .flatMap((other) => (other.id === undefined ? [] : [other.id]))
      .sort((a, b) => a - b);
    throw new UsageError(
      `this cluster has no running engine ${id}; running engines: ${ids.length === 0 ? 'none' : ids.join(', ')}`,
    );
  }

  #startOne(kind: EngineKind): EngineProcess {
    const { python, profileDir, connectionFile, args, env, directory, guard } = this.#options;
    const engine = new EngineProcess(
      kind,
      (onMessage) =>
        new Child(engineCommand(kind, connectionFile, { python, profileDir, args }), {
          role: 'engine',
          env,
          log: join(directory, `engine-${this.#engines.length + 1}.log`),
          guard,
          onMessage,
        }),
    );
    this.#engines.push(engine);
    void engine.child.exited.then(() => this.#onExit(engine));
    return engine;
  }

  async #idOf(engine: EngineProcess): Promise<number> {
    const id = await engine.registered;
    if (id === undefined) throw this.#earlyExit(engine);
    return id;
  }

  #earlyExit({ child, kind }: EngineProcess): ClusterError {
    return earlyExitError(child, 'engine', kind === 'python' ? this.#options.python : undefined);
  }

  async #onExit({ id, kind }: EngineProcess): Promise<void> {
    // The nanny of a Python engine unregisters it.
    if (id === undefined || kind === 'python' || !this.#options.mustUnregister()) return;
    // If this fails, the hub detects the missed heartbeats.
    await unregisterEngine(this.#options.connectionFile, id).catch(() => undefined);
  }
}

/** Waits until the hub lists these engines, which it does at their first heartbeats after they have received an id. */
async function waitUntilListed(rc: Client, ids: readonly number[], deadline: Deadline): Promise<void> {
  while (!ids.every((id) => rc.engines.has(id))) {
    await rc.waitForEngines(rc.ids.length + 1, {
      timeout: deadline.remaining(),
      ...(deadline.signal === undefined ? {} : { signal: deadline.signal }),
    });
  }
}

function lateEnginesError(engines: readonly EngineProcess[], waited: number): Error {
  const unregisteredEngines = engines.filter(({ id }) => id === undefined);
  const [first] = unregisteredEngines;
  const log =
    first === undefined
      ? ''
      : `the log of ${first.kind} process ${first.child.pid} ends:\n${first.child.logTail()}`;
  return timeoutError(
    `${unregisteredEngines.length} of ${engines.length} engines were not registered`,
    waited,
    log,
  );
}
