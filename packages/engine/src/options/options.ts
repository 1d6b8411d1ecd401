import { UsageError } from '@ipyparallel-js/protocol';
import { checkOptions, type OptionNames } from '@ipyparallel-js/protocol/internal';
import {
  type ConnectionFileLocation,
  type LogLevel,
  type LogSink,
  locateConnectionFile,
  stderrSink,
} from '@ipyparallel-js/wire';

/** How to start an engine. Without any option it looks where Python's `ipengine` looks. */
export interface EngineOptions {
  /** Path of an `ipcontroller-engine.json`. */
  connectionFile?: string;
  /** What such a file holds, as an object; nothing is read from disk then. */
  connectionInfo?: unknown;
  /** Name of the profile whose `security` directory has the file; `default` by default. */
  profile?: string;
  /** Path of the profile directory; `$IPP_PROFILE_DIR` by default. */
  profileDir?: string;
  /** Cluster id, part of the file's name; `$IPP_CLUSTER_ID` by default, else none. */
  clusterId?: string;
  /** Where profiles are; `$IPYTHONDIR`, else `~/.ipython`, by default. */
  ipythonDir?: string;
  /** The engine id to ask for; the controller's choice by default, and when it is taken. */
  id?: number;
  /** How long the connection file may take to appear, and registration after that, in ms; 10,000 by default. */
  timeout?: number;
  /** How many controller heartbeats may stay away before the engine ends; 50 by default, 0 for any number. */
  maxHeartbeatMisses?: number;
  /** The engine ends when this process does; none by default. */
  parentPid?: number;
  /** Working directory of the code that the engine runs; this process's by default. */
  cwd?: string;
  /** Arguments for the `node` that runs the code, for example `--max-old-space-size=4096`; none by default. */
  nodeArgs?: readonly string[];
  /** `info` by default. */
  logLevel?: LogLevel;
  /** Where log lines go; standard error by default. */
  log?: LogSink;
  /** Aborts the start: it rejects with the signal's reason. A started engine is ended by `stop()`. */
  signal?: AbortSignal;
}

/** Where the connection information is. */
export type ConnectionSource =
  | { readonly kind: 'info'; readonly info: unknown; readonly name: string }
  | { readonly kind: 'text'; readonly text: string; readonly name: string }
  | { readonly kind: 'file'; readonly place: ConnectionFileLocation };

/** {@link EngineOptions} with every default in place. */
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
  /** Where CURVE keys may stand. */
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

/** Fills in every default. @throws UsageError for a value that cannot be */
export function resolveEngineOptions(
  options: EngineOptions,
  env: NodeJS.ProcessEnv = process.env,
): ResolvedEngineOptions {
  checkOptions(options, OPTIONS, 'Engine.start');
  const { id, timeout = 10_000, maxHeartbeatMisses = 50, parentPid } = options;
  if (id !== undefined && (!Number.isInteger(id) || id < 0)) {
    throw new UsageError(`an engine id is an integer from 0, not ${id}`);
  }
  if (Number.isNaN(timeout) || timeout <= 0) throw new UsageError(`timeout ${timeout} is not a number of ms`);
  if (!Number.isInteger(maxHeartbeatMisses) || maxHeartbeatMisses < 0) {
    throw new UsageError(`maxHeartbeatMisses ${maxHeartbeatMisses} is not a count`);
  }
  if (parentPid !== undefined && (!Number.isInteger(parentPid) || parentPid <= 0)) {
    throw new UsageError(`parentPid ${parentPid} is not a process id`);
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
