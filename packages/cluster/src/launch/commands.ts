import { createRequire } from 'node:module';
import type { Command } from '../processes/child.js';
import type { ControllerKind, EngineKind } from './options.js';

/** Where a controller runs and what it is told beyond that. */
export interface ControllerPlace {
  readonly python: string;
  readonly profileDir: string;
  readonly clusterId: string;
  readonly args: readonly string[];
}

/** Engines register at their first heartbeat, so a local cluster beats faster than the default of 3 s. */
const HEARTBEAT_MS = 500;
/** What an engine may miss before it counts as dead: 10 s, enough for a machine that is busy. */
const HEARTBEAT_MISSES = 20;

const { resolve } = createRequire(import.meta.url);

/** How to start a controller. */
export function controllerCommand(kind: ControllerKind, place: ControllerPlace): Command {
  const args = [`--profile-dir=${place.profileDir}`, `--cluster-id=${place.clusterId}`];
  if (kind === 'embedded') {
    return {
      kind: 'node',
      module: resolve('@ipyparallel-js/hub/main'),
      args: [...args, `--parent-pid=${process.pid}`, `--ping=${HEARTBEAT_MS}`, ...place.args],
    };
  }
  const heart = [
    `--HeartMonitor.period=${HEARTBEAT_MS}`,
    `--HeartMonitor.max_heartmonitor_misses=${HEARTBEAT_MISSES}`,
  ];
  return {
    kind: 'program',
    file: place.python,
    args: ['-m', 'ipyparallel.controller', ...args, ...heart, ...place.args],
  };
}

/** How to start an engine that reads this connection file. */
export function engineCommand(
  kind: EngineKind,
  file: string,
  place: Pick<ControllerPlace, 'python' | 'profileDir' | 'args'>,
): Command {
  if (kind === 'javascript') {
    return {
      kind: 'node',
      module: resolve('@ipyparallel-js/engine/main'),
      args: [`--file=${file}`, `--parent-pid=${process.pid}`, ...place.args],
    };
  }
  return {
    kind: 'program',
    file: place.python,
    // Its id is read from the log.
    args: [
      '-m',
      'ipyparallel.engine',
      `--profile-dir=${place.profileDir}`,
      `--file=${file}`,
      '--log-level=INFO',
      ...place.args,
    ],
  };
}

/** This process's environment, without what would lead a child to another cluster. */
export function childEnv(ipythonDir: string | undefined): NodeJS.ProcessEnv {
  const { IPP_PROFILE_DIR, IPP_CLUSTER_ID, IPP_CONNECTION_INFO, ...env } = process.env;
  return { ...env, PYTHONUNBUFFERED: '1', ...(ipythonDir === undefined ? {} : { IPYTHONDIR: ipythonDir }) };
}
