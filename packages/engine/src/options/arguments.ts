import { parseArgs } from 'node:util';
import { UsageError } from '@ipyparallel-js/protocol';
import { parseLogLevel } from '@ipyparallel-js/wire';
import type { EngineOptions } from './options.js';

/** The parsed command line of `ippjs-engine`. */
export type EngineArguments =
  | { readonly kind: 'help' }
  | { readonly kind: 'version' }
  | { readonly kind: 'run'; readonly options: EngineOptions };

export const HELP = `Usage: ippjs-engine [options]

A JavaScript engine for an ipyparallel controller.

  --file PATH            connection file (ipcontroller-engine.json)
  --profile NAME         profile whose security directory contains the file (default)
  --profile-dir DIR      profile directory; $IPP_PROFILE_DIR
  --cluster-id ID        cluster id, part of the file's name; $IPP_CLUSTER_ID
  --ipython-dir DIR      directory that contains the profiles; $IPYTHONDIR, ~/.ipython
  --id N                 requested engine id
  --timeout SECONDS      how long to wait for the file, and then for registration (10)
  --max-heartbeat-misses N
                         missed controller heartbeats that end the engine; 0 for no limit (50)
  --parent-pid PID       end when process PID ends
  --log-level LEVEL      error, warn, info, debug, or Python's number (info)
  --version, --help

$IPP_CONNECTION_INFO may contain the connection file's JSON.
`;

/** Parses the command line; accepts an empty cluster id. @throws {UsageError} naming the invalid argument. */
export function parseEngineArguments(argv: readonly string[]): EngineArguments {
  const values = parse(argv);
  if (values.help === true) return { kind: 'help' };
  if (values.version === true) return { kind: 'version' };
  const options: EngineOptions = {};
  if (values.file !== undefined) options.connectionFile = values.file;
  if (values.profile !== undefined) options.profile = values.profile;
  if (values['profile-dir'] !== undefined) options.profileDir = values['profile-dir'];
  if (values['cluster-id'] !== undefined) options.clusterId = values['cluster-id'];
  if (values['ipython-dir'] !== undefined) options.ipythonDir = values['ipython-dir'];
  if (values.id !== undefined) options.id = number('id', values.id);
  if (values.timeout !== undefined) options.timeout = number('timeout', values.timeout) * 1000;
  if (values['parent-pid'] !== undefined) options.parentPid = number('parent-pid', values['parent-pid']);
  const misses = values['max-heartbeat-misses'];
  if (misses !== undefined) options.maxHeartbeatMisses = number('max-heartbeat-misses', misses);
  const level = values['log-level'];
  if (level !== undefined) {
    const logLevel = parseLogLevel(level);
    if (logLevel === undefined)
      throw new UsageError(`--log-level must be error, warn, info, debug or a number, got ${level}`);
    options.logLevel = logLevel;
  }
  return { kind: 'run', options };
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      allowPositionals: false,
      options: {
        file: { type: 'string' },
        profile: { type: 'string' },
        'profile-dir': { type: 'string' },
        'cluster-id': { type: 'string' },
        'ipython-dir': { type: 'string' },
        id: { type: 'string' },
        timeout: { type: 'string' },
        'max-heartbeat-misses': { type: 'string' },
        'parent-pid': { type: 'string' },
        'log-level': { type: 'string' },
        help: { type: 'boolean' },
        version: { type: 'boolean' },
      },
    }).values;
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause);
    throw new UsageError(`${problem.split('. ')[0]}; --help lists the options`, { cause });
  }
}

function number(name: string, text: string): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (Number.isNaN(value)) throw new UsageError(`--${name} must be a number, got ${text}`);
  return value;
}
