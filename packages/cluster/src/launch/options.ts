import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { UsageError } from '@ipyparallel-js/protocol';
import { checkOptions, type OptionNames } from '@ipyparallel-js/protocol/internal';

/** What runs a controller: this project's package, or Python's `ipcontroller`. */
export type ControllerKind = 'embedded' | 'python';

/** The language that an engine runs. */
export type EngineKind = 'javascript' | 'python';

/** How many engines of each language. */
export type EngineCounts = { readonly [K in EngineKind]?: number };

/** Options of {@link Cluster.start}. */
export interface ClusterOptions {
  /** How many engines; the number of cores by default. */
  readonly n?: number;
  /** `embedded` by default, which needs nothing but Node. */
  readonly controller?: ControllerKind;
  /** The engines' language, `javascript` by default; or how many of each, and then without `n`. */
  readonly engines?: EngineKind | EngineCounts;
  /** The interpreter for what is Python's; the environment's `PYTHON`, else `python3`, by default. */
  readonly python?: string;
  /**
   * More arguments for the controller, for example `['--sqlitedb']`. With `--reuse` or `--restore` it takes the ports and
   * the key from the connection files in `profileDir`, if there are any, and the files stay when the cluster ends.
   */
  readonly controllerArgs?: readonly string[];
  /** More arguments for every engine. */
  readonly engineArgs?: readonly string[];
  /** An IPython profile directory to run in; a directory of the cluster's own, removed at its end, by default. */
  readonly profileDir?: string;
  /** Part of the connection files' names; empty by default. */
  readonly clusterId?: string;
  /** How long everything may take to be ready, in ms; 60,000 by default. */
  readonly timeout?: number;
  /** Gives up starting; what has started is stopped. */
  readonly signal?: AbortSignal;
  /**
   * Whether SIGINT, SIGTERM and SIGHUP stop the cluster and are then raised again; true by default. Whoever says
   * false has handlers that call `stop()`.
   */
  readonly handleSignals?: boolean;
}

/** {@link ClusterOptions} with every default in place. */
export interface ResolvedClusterOptions {
  readonly controller: ControllerKind;
  readonly counts: Required<EngineCounts>;
  /** What `startEngines(n)` starts. */
  readonly defaultKind: EngineKind;
  readonly python: string;
  readonly controllerArgs: readonly string[];
  readonly engineArgs: readonly string[];
  /** Undefined for one of the cluster's own. */
  readonly profileDir: string | undefined;
  readonly clusterId: string;
  readonly timeout: number;
  readonly signal: AbortSignal | undefined;
  readonly handleSignals: boolean;
}

const START_TIMEOUT = 60_000;

const CLUSTER: OptionNames<ClusterOptions> = {
  n: true,
  controller: true,
  engines: true,
  python: true,
  controllerArgs: true,
  engineArgs: true,
  profileDir: true,
  clusterId: true,
  timeout: true,
  signal: true,
  handleSignals: true,
};

/** Puts every default in place. @throws UsageError for what cannot be */
export function resolveClusterOptions(
  options: ClusterOptions,
  env: NodeJS.ProcessEnv,
): ResolvedClusterOptions {
  checkOptions(options, CLUSTER, 'Cluster.start');
  const { controller = 'embedded', engines = 'javascript', clusterId = '', profileDir } = options;
  if (controller !== 'embedded' && controller !== 'python') {
    throw new UsageError(`controller is 'embedded' or 'python', not ${JSON.stringify(controller)}`);
  }
  if (/[/\\\0]/.test(clusterId)) {
    throw new UsageError(`clusterId becomes part of a file name; it cannot be ${JSON.stringify(clusterId)}`);
  }
  const resolved = profileDir === undefined ? undefined : resolve(profileDir);
  if (resolved !== undefined && !keepsFiles(options.controllerArgs ?? [])) assertFree(resolved, clusterId);
  const counts = engineCounts(options.n, engines);
  return {
    controller,
    counts,
    defaultKind: typeof engines === 'string' ? engines : counts.javascript > 0 ? 'javascript' : 'python',
    python: options.python ?? (env.PYTHON || 'python3'),
    controllerArgs: options.controllerArgs ?? [],
    engineArgs: options.engineArgs ?? [],
    profileDir: resolved,
    clusterId,
    timeout: options.timeout ?? START_TIMEOUT,
    signal: options.signal,
    handleSignals: options.handleSignals ?? true,
  };
}

/** Whether the controller leaves its connection files for the next one. */
export function keepsFiles(controllerArgs: readonly string[]): boolean {
  return controllerArgs.some((arg) => /^--?(reuse|restore)$/.test(arg));
}

/** How many engines of each language `n` and `engines` ask for. @throws UsageError */
export function engineCounts(
  n: number | undefined,
  engines: EngineKind | EngineCounts,
): Required<EngineCounts> {
  if (typeof engines === 'string') {
    const count = wholeNumber('n', n ?? availableParallelism());
    if (engines === 'javascript') return { javascript: count, python: 0 };
    if (engines === 'python') return { javascript: 0, python: count };
    throw new UsageError(`engines are 'javascript' or 'python', not ${JSON.stringify(engines)}`);
  }
  if (n !== undefined) throw new UsageError('engines says how many of each language; leave n away');
  const unknown = Object.keys(engines).find((kind) => kind !== 'javascript' && kind !== 'python');
  if (unknown !== undefined) throw new UsageError(`engines are 'javascript' or 'python', not ${unknown}`);
  return {
    javascript: wholeNumber('engines.javascript', engines.javascript ?? 0),
    python: wholeNumber('engines.python', engines.python ?? 0),
  };
}

/** Where a controller puts its connection files. */
export function connectionFilesIn(profileDir: string, clusterId: string): { client: string; engine: string } {
  const name = clusterId === '' ? 'ipcontroller' : `ipcontroller-${clusterId}`;
  const security = join(profileDir, 'security');
  return { client: join(security, `${name}-client.json`), engine: join(security, `${name}-engine.json`) };
}

function wholeNumber(name: string, value: number): number {
  if (!Number.isInteger(value) || value < 0) {
    throw new UsageError(`${name} is a number of engines, 0 or more; not ${String(value)}`);
  }
  return value;
}

/** Two controllers with the same files would cut each other off from their clients. */
function assertFree(profileDir: string, clusterId: string): void {
  const { client } = connectionFilesIn(profileDir, clusterId);
  if (existsSync(client)) {
    throw new UsageError(
      `${client} exists, so a controller seems to run in this profile: choose another clusterId, or remove the file if none does`,
    );
  }
}
