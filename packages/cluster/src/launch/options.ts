import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { UsageError } from '@ipyparallel-js/protocol';
import { checkOptions, describe, type OptionNames } from '@ipyparallel-js/protocol/internal';

/** The kind of a controller: this project's, or Python's `ipcontroller`. */
export type ControllerKind = 'embedded' | 'python';

/** The language that an engine runs. */
export type EngineKind = 'javascript' | 'python';

/** The number of engines of each language. */
export type EngineCounts = { readonly [K in EngineKind]?: number };

/** Options of {@link Cluster.start}. */
export interface ClusterOptions {
  /** The number of engines; the number of cores by default. */
  readonly n?: number;
  /** The kind of controller; `embedded` by default, which requires only Node. */
  readonly controller?: ControllerKind;
  /** The engines' language, `javascript` by default; or the number of each language, which excludes `n`. */
  readonly engines?: EngineKind | EngineCounts;
  /** The interpreter of Python processes; `$PYTHON`, or `python3`, by default. */
  readonly python?: string;
  /**
   * Additional arguments of the controller, for example `['--sqlitedb']`. With `--reuse` or `--restore` it reuses the
   * ports and the key of existing connection files in `profileDir`, and keeps the files when the cluster ends.
   */
  readonly controllerArgs?: readonly string[];
  /** Additional arguments of every engine. */
  readonly engineArgs?: readonly string[];
  /** The IPython profile directory; by default a temporary directory, which the cluster removes at its end. */
  readonly profileDir?: string;
  /** The cluster id, part of the connection files' names; empty by default. */
  readonly clusterId?: string;
  /** How long the start may take, in ms; 60,000 by default. */
  readonly timeout?: number;
  /** Aborts the start and stops all processes. */
  readonly signal?: AbortSignal;
  /**
   * Whether SIGINT, SIGTERM and SIGHUP stop the cluster before they end this process; true by default. With false, your
   * own handlers must call `stop()`.
   */
  readonly handleSignals?: boolean;
}

/** {@link ClusterOptions} with all defaults. */
export interface ResolvedClusterOptions {
  readonly controller: ControllerKind;
  readonly counts: Required<EngineCounts>;
  /** The language of the engines of `startEngines(n)`. */
  readonly defaultKind: EngineKind;
  readonly python: string;
  readonly controllerArgs: readonly string[];
  readonly engineArgs: readonly string[];
  /** Undefined for a temporary directory. */
  readonly profileDir: string | undefined;
  readonly clusterId: string;
  readonly timeout: number;
  readonly signal: AbortSignal | undefined;
  readonly handleSignals: boolean;
}

const START_TIMEOUT = 60_000;

const CLUSTER_OPTIONS: OptionNames<ClusterOptions> = {
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

/** Resolves all defaults. @throws {UsageError} when an option is invalid. */
export function resolveClusterOptions(
  options: ClusterOptions,
  env: NodeJS.ProcessEnv,
): ResolvedClusterOptions {
  checkOptions(options, CLUSTER_OPTIONS, 'Cluster.start');
  const { controller = 'embedded', engines = 'javascript', clusterId = '', profileDir } = options;
  if (controller !== 'embedded' && controller !== 'python') {
    throw new UsageError(`controller must be 'embedded' or 'python', got ${describe(controller)}`);
  }
  if (/[/\\\0]/.test(clusterId)) {
    throw new UsageError(
      `clusterId must not contain slashes, backslashes or NUL, got ${describe(clusterId)}`,
    );
  }
  const resolvedProfileDir = profileDir === undefined ? undefined : resolve(profileDir);
  if (resolvedProfileDir !== undefined && !keepsFiles(options.controllerArgs ?? []))
    assertUnused(resolvedProfileDir, clusterId);
  const counts = engineCounts(options.n, engines);
  return {
    controller,
    counts,
    defaultKind: typeof engines === 'string' ? engines : counts.javascript > 0 ? 'javascript' : 'python',
    python: options.python ?? (env.PYTHON || 'python3'),
    controllerArgs: options.controllerArgs ?? [],
    engineArgs: options.engineArgs ?? [],
    profileDir: resolvedProfileDir,
    clusterId,
    timeout: options.timeout ?? START_TIMEOUT,
    signal: options.signal,
    handleSignals: options.handleSignals ?? true,
  };
}

/** Whether the controller keeps its connection files for its next run. */
export function keepsFiles(controllerArgs: readonly string[]): boolean {
  return controllerArgs.some((arg) => /^--?(reuse|restore)$/.test(arg));
}

/** Returns the number of engines of each language. @throws {UsageError} when an option is invalid. */
export function engineCounts(
  n: number | undefined,
  engines: EngineKind | EngineCounts,
): Required<EngineCounts> {
  if (typeof engines === 'string') {
    const count = engineCount('n', n ?? availableParallelism());
    if (engines === 'javascript') return { javascript: count, python: 0 };
    if (engines === 'python') return { javascript: 0, python: count };
    throw new UsageError(`engines must be 'javascript' or 'python', got ${describe(engines)}`);
  }
  if (n !== undefined)
    throw new UsageError('pass either n or the number of engines of each language in engines, not both');
  const unknownKey = Object.keys(engines).find((kind) => kind !== 'javascript' && kind !== 'python');
  if (unknownKey !== undefined)
    throw new UsageError(`engines may have only the keys javascript and python, got ${unknownKey}`);
  return {
    javascript: engineCount('engines.javascript', engines.javascript ?? 0),
    python: engineCount('engines.python', engines.python ?? 0),
  };
}

/** The paths of a controller's connection files. */
export function connectionFilesIn(profileDir: string, clusterId: string): { client: string; engine: string } {
  const name = clusterId === '' ? 'ipcontroller' : `ipcontroller-${clusterId}`;
  const security = join(profileDir, 'security');
  return { client: join(security, `${name}-client.json`), engine: join(security, `${name}-engine.json`) };
}

function engineCount(name: string, value: number): number {
  if (!Number.isInteger(value) || value < 0) {
    throw new UsageError(`${name} must be an integer >= 0, got ${String(value)}`);
  }
  return value;
}

/** A second controller would overwrite the files, and clients could no longer find the first. */
function assertUnused(profileDir: string, clusterId: string): void {
  const { client } = connectionFilesIn(profileDir, clusterId);
  if (existsSync(client)) {
    throw new UsageError(
      `${client} exists, so a controller may be running in this profile: choose another clusterId, or remove the file if no controller uses it`,
    );
  }
}
