import { UsageError } from '@ipyparallel-js/protocol';
import { checkOptions, type OptionNames } from '@ipyparallel-js/protocol/internal';
import {
  type ConnectionFileLocation,
  type LogLevel,
  type LogSink,
  locateConnectionFile,
  stderrSink,
} from '@ipyparallel-js/wire';

/** Options of {@link Engine.start}. Without options it finds the connection file as Python's `ipengine` does. */
export interface EngineOptions {
  /** The path of an `ipcontroller-engine.json`. */
  connectionFile?: string;
  /** The content of such a file as an object, which replaces the file. */
  connectionInfo?: unknown;
  /** The name of the profile whose `security` directory contains the file; `default` by default. */
  profile?: string;
  /** The path of the profile directory; `$IPP_PROFILE_DIR` by default. */
  profileDir?: string;
  /** The cluster id, part of the file's name; `$IPP_CLUSTER_ID`, or none, by default. */
  clusterId?: string;
  /** The directory that contains the profiles; `$IPYTHONDIR`, or `~/.ipython`, by default. */
  ipythonDir?: string;
  /** The requested engine id. The controller chooses by default, and when the id is in use. */
  id?: number;
  /** How long to wait for the connection file, and then for the registration, in ms; 10,000 by default. */
  timeout?: number;
  /** How many missed controller heartbeats in a row end the engine; 50 by default, 0 disables the check. */
  maxHeartbeatMisses?: number;
  /** The process whose end ends the engine; none by default. */
  parentPid?: number;
  /** The working directory of the code; this process's by default. */
  cwd?: string;
  /** Arguments of the `node` process that runs the code, for example `--max-old-space-size=4096`; none by default. */
  nodeArgs?: readonly string[];
  /** The lowest level that is logged; `info` by default. */
  logLevel?: LogLevel;
  /** Receives log lines; writes to standard error by default. */
  log?: LogSink;
  /** Aborts the start, which then rejects with the signal's reason. Use `stop()` to end a started engine. */
  signal?: AbortSignal;
}

export type ConnectionSource =
  | { readonly kind: 'info'; readonly info: unknown; readonly name: string }
  | { readonly kind: 'text'; readonly text: string; readonly name: string }
  | { readonly kind: 'file'; readonly place: ConnectionFileLocation };

/** {@link EngineOptions} with all defaults. */
export interface ResolvedEngineOptions {
  readonly source: ConnectionSource;
  readonly id: number | undefined;
  readonly timeout: number;
  readonly maxHeartbeatMisses: number;
  readonly parentPid: number | undefined;
  readonly cwd: string;
  readonly nodeArgs: readonly string[];
  readonly logLevel: LogLevel;
  readonly log: LogSink;
  readonly signal: AbortSignal | undefined;
  /** May contain CURVE keys. */
  readonly env: NodeJS.ProcessEnv;
}

const OPTIONS: OptionNames<EngineOptions> = {
  connectionFile: true,
  connectionInfo: true,
  profile: true,
  profileDir: true,
  clusterId: true,
  ipythonDir: true,
  id: true,
  timeout: true,
  maxHeartbeatMisses: true,
  parentPid: true,
  cwd: true,
  nodeArgs: true,
  logLevel: true,
  log: true,
  signal: true,
};

/** Resolves all defaults. @throws {UsageError} when a value is invalid. */
export function resolveEngineOptions(
  options: EngineOptions,
  env: NodeJS.ProcessEnv = process.env,
): ResolvedEngineOptions {
  checkOptions(options, OPTIONS, 'Engine.start');
  const { id, timeout = 10_000, maxHeartbeatMisses = 50, parentPid } = options;
  if (id !== undefined && (!Number.isInteger(id) || id < 0)) {
    throw new UsageError(`id must be an integer >= 0, got ${id}`);
  }
  if (Number.isNaN(timeout) || timeout <= 0)
    throw new UsageError(`timeout must be a number of milliseconds > 0, got ${timeout}`);
  if (!Number.isInteger(maxHeartbeatMisses) || maxHeartbeatMisses < 0) {
    throw new UsageError(`maxHeartbeatMisses must be an integer >= 0, got ${maxHeartbeatMisses}`);
  }
  if (parentPid !== undefined && (!Number.isInteger(parentPid) || parentPid <= 0)) {
    throw new UsageError(`parentPid must be a process id, got ${parentPid}`);
  }
  return {
    source: connectionSource(options, env),
    id,
    timeout,
    maxHeartbeatMisses,
    parentPid,
    cwd: options.cwd ?? process.cwd(),
    nodeArgs: options.nodeArgs ?? [],
    logLevel: options.logLevel ?? 'info',
    log: options.log ?? stderrSink('engine'),
    signal: options.signal,
    env,
  };
}

function connectionSource(options: EngineOptions, env: NodeJS.ProcessEnv): ConnectionSource {
  if (options.connectionInfo !== undefined) {
    return { kind: 'info', info: options.connectionInfo, name: 'connectionInfo' };
  }
  const text = env.IPP_CONNECTION_INFO;
  if (options.connectionFile === undefined && text !== undefined && text !== '') {
    return { kind: 'text', text, name: '$IPP_CONNECTION_INFO' };
  }
  return { kind: 'file', place: locateConnectionFile(options, env, 'engine') };
}
