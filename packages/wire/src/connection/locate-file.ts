import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { UsageError } from '@ipyparallel-js/protocol';

/** Which cluster: the options that lead to a connection file. */
export interface ConnectionFileOptions {
  /** The file itself; everything else is then ignored. */
  readonly connectionFile?: string | URL;
  /** Name of an IPython profile; `default` by default. */
  readonly profile?: string;
  /** The part between `ipcontroller-` and `-client.json` or `-engine.json`; empty for none. */
  readonly clusterId?: string;
  /** A profile's directory itself; goes before `profile`. */
  readonly profileDir?: string;
  /** Where profiles are; `IPYTHONDIR` or `~/.ipython` by default. */
  readonly ipythonDir?: string;
}

/** Where the connection file is, or will be once a controller has started. */
export interface ConnectionFileLocation {
  readonly path: string;
  /** Undefined when the file was named itself. */
  readonly profileDir: string | undefined;
  /** Undefined when the file or the profile's directory was named itself. */
  readonly ipythonDir: string | undefined;
  /** A command that would make it appear. */
  readonly startCommand: string;
}

/**
 * Finds the place of a connection file as Python's Client and engines do. `IPP_PROFILE_DIR` stands in for a profile
 * that was not named, `IPP_CLUSTER_ID` for the cluster id.
 * @throws UsageError for an option that cannot be part of a path
 */
export function locateConnectionFile(
  choice: ConnectionFileOptions,
  env: NodeJS.ProcessEnv,
  role: 'client' | 'engine' = 'client',
): ConnectionFileLocation {
  const { connectionFile } = choice;
  if (connectionFile !== undefined) {
    return {
      path: pathOf(connectionFile, env),
      profileDir: undefined,
      ipythonDir: undefined,
      startCommand: 'ipcontroller',
    };
  }
  const named =
    choice.profile !== undefined || choice.profileDir !== undefined || choice.ipythonDir !== undefined;
  const envProfileDir = env.IPP_PROFILE_DIR || undefined;
  // Set together they name one cluster: its id says nothing about the clusters of another profile.
  const envClusterId = named && envProfileDir !== undefined ? undefined : env.IPP_CLUSTER_ID;
  const clusterId = nameOf('clusterId', choice.clusterId ?? envClusterId ?? '');
  const fileName = `ipcontroller${clusterId === '' ? '' : `-${clusterId}`}-${role}.json`;
  const idArgument = clusterId === '' ? '' : ` --cluster-id=${clusterId}`;

  const givenDir = choice.profileDir ?? (named ? undefined : envProfileDir);
  if (givenDir !== undefined) {
    const profileDir = directoryOf('profileDir', givenDir, env);
    return {
      path: join(profileDir, 'security', fileName),
      profileDir,
      ipythonDir: undefined,
      startCommand: `ipcontroller --profile-dir=${profileDir}${idArgument}`,
    };
  }
  const profile = nameOf('profile', choice.profile ?? 'default') || 'default';
  const ipythonDir =
    choice.ipythonDir === undefined
      ? defaultIpythonDir(env)
      : directoryOf('ipythonDir', choice.ipythonDir, env);
  const profileDir = join(ipythonDir, `profile_${profile}`);
  return {
    path: join(profileDir, 'security', fileName),
    profileDir,
    ipythonDir,
    startCommand: `ipcontroller${profile === 'default' ? '' : ` --profile=${profile}`}${idArgument}`,
  };
}

/** What can be said about a file that is not there: which directory is missing, which other files there are. */
export async function describeAbsence(place: ConnectionFileLocation): Promise<string> {
  const { profileDir, ipythonDir } = place;
  const start = `start a controller (${place.startCommand})`;
  if (profileDir === undefined) return `is a controller running? Otherwise ${start}`;
  const directory = `the profile directory ${profileDir} ${existsSync(profileDir) ? 'exists' : 'does not exist'}`;
  const others = await otherFiles(profileDir, ipythonDir);
  return `${directory}; ${others === '' ? '' : `${others}; `}${start}`;
}

/** `~` and `~/…` become the home directory; relative paths start at the working directory. */
export function expandPath(path: string, env: NodeJS.ProcessEnv): string {
  const expanded = /^~(?=$|[/\\])/.test(path) ? join(homeDir(env), path.slice(1)) : path;
  return resolve(expanded);
}

const mostNamed = 10;

async function otherFiles(profileDir: string, ipythonDir: string | undefined): Promise<string> {
  const here = await clientFilesIn(profileDir);
  if (here.length > 0) return `it has ${someOf(here)}`;
  if (ipythonDir === undefined) return '';
  const profiles = (await entriesOf(ipythonDir)).filter((name) => name.startsWith('profile_'));
  const found: string[] = [];
  for (const name of profiles) {
    if (found.length > mostNamed) break;
    const files = await clientFilesIn(join(ipythonDir, name));
    found.push(...files.map((file) => join(name, 'security', file)));
  }
  return found.length === 0 ? '' : `other profiles in ${ipythonDir} have ${someOf(found)}`;
}

async function clientFilesIn(profileDir: string): Promise<string[]> {
  const names = await entriesOf(join(profileDir, 'security'));
  return names.filter((name) => /^ipcontroller(-.+)?-client\.json$/.test(name)).sort();
}

function someOf(names: readonly string[]): string {
  return `${names.slice(0, mostNamed).join(', ')}${names.length > mostNamed ? ', …' : ''}`;
}

/** For a hint only: what cannot be listed has nothing to name. */
async function entriesOf(directory: string): Promise<string[]> {
  return await readdir(directory).catch(() => []);
}

function homeDir(env: NodeJS.ProcessEnv): string {
  const given = process.platform === 'win32' ? env.USERPROFILE : env.HOME;
  return given || homedir();
}

/** IPython's own: `IPYTHONDIR`, else `~/.ipython`, else the directory of IPython 0.x where only that one exists. */
function defaultIpythonDir(env: NodeJS.ProcessEnv): string {
  const given = env.IPYTHONDIR;
  if (given) return expandPath(given, env);
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
      throw new UsageError(`connectionFile is not the URL of a file: ${String(file)}`, { cause });
    }
  }
  if (/^[a-z]+:\/\//i.test(file)) {
    throw new UsageError(`connectionFile is the path of a file, not an address: ${file}`);
  }
  return directoryOf('connectionFile', file, env);
}

function directoryOf(option: string, path: string, env: NodeJS.ProcessEnv): string {
  if (typeof path !== 'string' || path === '' || path.includes('\0')) {
    throw new UsageError(`${option} is not a path: ${JSON.stringify(path)}`);
  }
  return expandPath(path, env);
}

function nameOf(option: string, name: string): string {
  if (typeof name !== 'string' || /[/\\\0]/.test(name)) {
    throw new UsageError(`${option} becomes part of a file name; it cannot be ${JSON.stringify(name)}`);
  }
  return name;
}
