import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { UsageError } from '@ipyparallel-js/protocol';
import { describe } from '@ipyparallel-js/protocol/internal';

/** The options that select the connection file of a cluster. */
export interface ConnectionFileOptions {
  /** The path or file URL of the connection file; the other options are then ignored. */
  readonly connectionFile?: string | URL;
  /** The name of an IPython profile; `default` by default. */
  readonly profile?: string;
  /** The part of the file name between `ipcontroller-` and `-client.json` or `-engine.json`; none by default. */
  readonly clusterId?: string;
  /** The directory of a profile; takes precedence over `profile`. */
  readonly profileDir?: string;
  /** The directory of all profiles; `IPYTHONDIR` or `~/.ipython` by default. */
  readonly ipythonDir?: string;
}

/** The location of a connection file, which exists once a controller has started. */
export interface ConnectionFileLocation {
  readonly path: string;
  /** Undefined when the options name the connection file itself. */
  readonly profileDir: string | undefined;
  /** Undefined when the options name the connection file or the profile directory itself. */
  readonly ipythonDir: string | undefined;
  /** A command that starts a controller with this connection file; for error messages. */
  readonly startCommand: string;
}

/**
 * Locates a connection file like Python's `Client` and engines. Without options for the profile, `IPP_PROFILE_DIR`
 * applies; without a cluster id, `IPP_CLUSTER_ID` does.
 * @throws {UsageError} when an option cannot be part of a path
 */
export function locateConnectionFile(
  options: ConnectionFileOptions,
  env: NodeJS.ProcessEnv,
  role: 'client' | 'engine' = 'client',
): ConnectionFileLocation {
  const { connectionFile } = options;
  if (connectionFile !== undefined) {
    return {
      path: pathOf(connectionFile, env),
      profileDir: undefined,
      ipythonDir: undefined,
      startCommand: 'ipcontroller',
    };
  }
  const hasProfile =
    options.profile !== undefined || options.profileDir !== undefined || options.ipythonDir !== undefined;
  const envProfileDir = env.IPP_PROFILE_DIR || undefined;
  // If both variables are set, they select one cluster, so the id does not apply to another profile.
  const envClusterId = hasProfile && envProfileDir !== undefined ? undefined : env.IPP_CLUSTER_ID;
  const clusterId = checkedName('clusterId', options.clusterId ?? envClusterId ?? '');
  const fileName = `ipcontroller${clusterId === '' ? '' : `-${clusterId}`}-${role}.json`;
  const idArgument = clusterId === '' ? '' : ` --cluster-id=${clusterId}`;

  const explicitDir = options.profileDir ?? (hasProfile ? undefined : envProfileDir);
  if (explicitDir !== undefined) {
    const profileDir = checkedPath('profileDir', explicitDir, env);
    return {
      path: join(profileDir, 'security', fileName),
      profileDir,
      ipythonDir: undefined,
      startCommand: `ipcontroller --profile-dir=${profileDir}${idArgument}`,
    };
  }
  const profile = checkedName('profile', options.profile ?? 'default') || 'default';
  const ipythonDir =
    options.ipythonDir === undefined
      ? defaultIpythonDir(env)
      : checkedPath('ipythonDir', options.ipythonDir, env);
  const profileDir = join(ipythonDir, `profile_${profile}`);
  return {
    path: join(profileDir, 'security', fileName),
    profileDir,
    ipythonDir,
    startCommand: `ipcontroller${profile === 'default' ? '' : ` --profile=${profile}`}${idArgument}`,
  };
}

/** Explains why a connection file is missing: whether its directory exists, and which other connection files exist. */
export async function missingFileHint(location: ConnectionFileLocation): Promise<string> {
  const { profileDir, ipythonDir } = location;
  const start = `start a controller (${location.startCommand})`;
  if (profileDir === undefined) return `is a controller running? Otherwise ${start}`;
  const directory = `the profile directory ${profileDir} ${existsSync(profileDir) ? 'exists' : 'does not exist'}`;
  const others = await otherFiles(profileDir, ipythonDir);
  return `${directory}; ${others === '' ? '' : `${others}; `}${start}`;
}

/** Replaces a leading `~` with the home directory and makes a path absolute. */
export function expandPath(path: string, env: NodeJS.ProcessEnv): string {
  const expanded = /^~(?=$|[/\\])/.test(path) ? join(homeDir(env), path.slice(1)) : path;
  return resolve(expanded);
}

/** The maximum number of connection files that a hint lists. */
const LISTED_FILES = 10;

async function otherFiles(profileDir: string, ipythonDir: string | undefined): Promise<string> {
  const siblings = await clientFilesIn(profileDir);
  if (siblings.length > 0) return `it has ${listFiles(siblings)}`;
  if (ipythonDir === undefined) return '';
  const profiles = (await entriesOf(ipythonDir)).filter((name) => name.startsWith('profile_'));
  const found: string[] = [];
  for (const name of profiles) {
    if (found.length > LISTED_FILES) break;
    const files = await clientFilesIn(join(ipythonDir, name));
    found.push(...files.map((file) => join(name, 'security', file)));
  }
  return found.length === 0 ? '' : `other profiles in ${ipythonDir} have ${listFiles(found)}`;
}

async function clientFilesIn(profileDir: string): Promise<string[]> {
  const names = await entriesOf(join(profileDir, 'security'));
  return names.filter((name) => /^ipcontroller(-.+)?-client\.json$/.test(name)).sort();
}

function listFiles(names: readonly string[]): string {
  return `${names.slice(0, LISTED_FILES).join(', ')}${names.length > LISTED_FILES ? ', …' : ''}`;
}

/** Lists a directory for a hint; an unreadable directory counts as empty. */
async function entriesOf(directory: string): Promise<string[]> {
  return await readdir(directory).catch(() => []);
}

function homeDir(env: NodeJS.ProcessEnv): string {
  const variable = process.platform === 'win32' ? env.USERPROFILE : env.HOME;
  return variable || homedir();
}

/** IPython's default: `IPYTHONDIR`, or `~/.ipython`, or the directory of IPython 0.x if only that one exists. */
function defaultIpythonDir(env: NodeJS.ProcessEnv): string {
  const configuredDir = env.IPYTHONDIR;
  if (configuredDir) return expandPath(configuredDir, env);
  const home = join(homeDir(env), '.ipython');
  const xdg = join(env.XDG_CONFIG_HOME || join(homeDir(env), '.config'), 'ipython');
  return process.platform !== 'win32' && !existsSync(home) && existsSync(xdg) ? xdg : home;
}

function pathOf(file: string | URL, env: NodeJS.ProcessEnv): string {
  const isUrl = file instanceof URL || /^file:/i.test(file);
  if (isUrl) {
    try {
      return fileURLToPath(file);
    } catch (cause) {
      throw new UsageError(`connectionFile must be a path or a file: URL, got ${String(file)}`, { cause });
    }
  }
  if (/^[a-z]+:\/\//i.test(file)) {
    throw new UsageError(`connectionFile must be a path or a file: URL, got the address ${file}`);
  }
  return checkedPath('connectionFile', file, env);
}

function checkedPath(option: string, path: string, env: NodeJS.ProcessEnv): string {
  if (typeof path !== 'string' || path === '' || path.includes('\0')) {
    throw new UsageError(`${option} must be a path, got ${describe(path)}`);
  }
  return expandPath(path, env);
}

function checkedName(option: string, name: string): string {
  if (typeof name !== 'string' || /[/\\\0]/.test(name)) {
    throw new UsageError(
      `${option} must be a string without / or \\, because it is part of a file name, got ${describe(name)}`,
    );
  }
  return name;
}
