import { createRequire } from 'node:module';
import type { Command } from '../processes/child.js';
import type { ControllerKind, EngineKind } from './options.js';

/** The location and arguments of a controller. */
export interface ControllerLaunch {
  readonly python: string;
  readonly profileDir: string;
  readonly clusterId: string;
  readonly args: readonly string[];
}

/** The hub lists engines at their first heartbeat, so a local cluster beats faster than the default of 3 s. */
const HEARTBEAT_MS = 500;
/** How many heartbeats an engine may miss: 10 s, enough on a busy machine. */
const HEARTBEAT_MISSES = 20;

const { resolve } = createRequire(import.meta.url);

export function controllerCommand(kind: ControllerKind, launch: ControllerLaunch): Command {
  const args = [`--profile-dir=${launch.profileDir}`, `--cluster-id=${launch.clusterId}`];
  if (kind === 'embedded') {
    return {
      kind: 'node',
      module: resolve('@ipyparallel-js/hub/main'),
      args: [
        ...args,
        `--parent-pid=${process.pid}`,
        `--ping=${HEARTBEAT_MS}`,
        `--max-misses=${HEARTBEAT_MISSES}`,
        ...launch.args,
      ],
    };
  }
  const heartbeatArgs = [
    `--HeartMonitor.period=${HEARTBEAT_MS}`,
    `--HeartMonitor.max_heartmonitor_misses=${HEARTBEAT_MISSES}`,
  ];
  return {
    kind: 'program',
    file: launch.python,
    args: ['-m', 'ipyparallel.controller', ...args, ...heartbeatArgs, ...launch.args],
  };
}

/** Returns the command of an engine that reads connection file `file`. */
export function engineCommand(
  kind: EngineKind,
  file: string,
  launch: Pick<ControllerLaunch, 'python' | 'profileDir' | 'args'>,
): Command {
  if (kind === 'javascript') {
    return {
      kind: 'node',
      module: resolve('@ipyparallel-js/engine/main'),
      args: [`--file=${file}`, `--parent-pid=${process.pid}`, ...launch.args],
    };
  }
  return {
    kind: 'program',
    file: launch.python,
    // EngineProcess reads the id from the log.
    args: [
      '-m',
      'ipyparallel.engine',
      `--profile-dir=${launch.profileDir}`,
      `--file=${file}`,
      '--log-level=INFO',
      ...launch.args,
    ],
  };
}

/** This process's environment without the variables that select another cluster. */
export function childEnv(ipythonDir: string | undefined): NodeJS.ProcessEnv {
  const { IPP_PROFILE_DIR, IPP_CLUSTER_ID, IPP_CONNECTION_INFO, ...env } = process.env;
  return { ...env, PYTHONUNBUFFERED: '1', ...(ipythonDir === undefined ? {} : { IPYTHONDIR: ipythonDir }) };
}
