import { homedir, hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { newId, UsageError } from '@ipyparallel-js/protocol';
import { checkOptions, describe, type OptionNames } from '@ipyparallel-js/protocol/internal';
import { type LogLevel, type LogSink, stderrSink } from '@ipyparallel-js/wire';
import { curveKeyPair } from 'zeromq';
import type { MemoryDatabaseOptions } from '../db/memory-database.js';
import type { MongoDatabaseOptions } from '../db/mongodb/mongo-options.js';
import type { DatabaseOptions } from '../db/open-database.js';
import type { RetentionOptions } from '../db/sqlite/retention.js';
import type { SqliteDatabaseOptions } from '../db/sqlite/sqlite-database.js';
import type { ResumeLimits } from '../hub/subscriptions/resumption.js';
import { TASK_SCHEMES, type TaskScheme } from '../traffic/tasks/schemes.js';

/** A CURVE key pair; each key is a Z85 string of 40 characters. */
export interface CurveKeys {
  readonly publicKey: string;
  readonly secretKey: string;
}

/** The limits of live queries. */
export interface LiveQueryOptions extends Partial<ResumeLimits> {
  /**
   * How long a client may send no message before the hub ends its live query, in ms; 60,000 by default. Clients send six
   * messages in that time.
   */
  readonly silence?: number;
}

/** Options of {@link Controller.start}. */
export interface ControllerOptions {
  /** Name of the profile; `default` by default. Its directory is `profile_NAME` in the IPython directory. */
  readonly profile?: string;
  /** The IPython directory; `$IPYTHONDIR`, or `~/.ipython`, by default. */
  readonly ipythonDir?: string;
  /**
   * The profile directory itself; `$IPP_PROFILE_DIR` by default. The connection files are in its `security` directory.
   */
  readonly profileDir?: string;
  /** Directory of the connection files; `security` in the profile directory by default. */
  readonly securityDir?: string;
  /** Part of the names of the connection files; `$IPP_CLUSTER_ID`, or empty, by default. */
  readonly clusterId?: string;
  /** The address to listen on; `127.0.0.1` by default. `*` stands for all addresses of this machine. */
  readonly ip?: string;
  /** The name of this machine for peers that read `*` in a connection file; the host name by default. */
  readonly location?: string;
  /** The ssh server through which clients connect; none by default. It is written to their connection file. */
  readonly sshServer?: string;
  /** The ssh server through which engines connect; none by default. It is written to their connection file. */
  readonly engineSshServer?: string;
  /**
   * Whether to reuse ports, address and key of the existing connection files, and keep the files at the end; false by
   * default.
   */
  readonly reuse?: boolean;
  /** Like `reuse`; also restores the engines of the previous run that send heartbeats. False by default. */
  readonly restore?: boolean;
  /** The ports to use, in order; none by default. Further sockets use any free ports. */
  readonly ports?: readonly number[];
  /** The time between two heartbeats, in ms; 3000 by default. */
  readonly hbPeriod?: number;
  /** How many missed heartbeats in a row an engine may have before it counts as dead; 10 by default. */
  readonly maxHeartbeatMisses?: number;
  /** How long the first heartbeat of a registering engine may take, in ms; 30,000 by default. */
  readonly registrationTimeout?: number;
  /**
   * The key that signs messages; `$IPP_SESSION_KEY`, or a random key, by default. With CURVE, an empty key by default.
   */
  readonly key?: string;
  /** The format of messages; `json` by default. */
  readonly pack?: 'json' | 'msgpack';
  /**
   * Encryption with CURVE: the keys, or `true` for those of `$IPP_CURVE_PUBLICKEY` and `$IPP_CURVE_SECRETKEY` or else a new
   * pair; `true` by default if `$IPP_ENABLE_CURVE` is `1`.
   */
  readonly curve?: boolean | CurveKeys;
  /**
   * The Task Database; `memory` by default. `sqlite` stores `tasks.db` in the profile directory, `mongodb` uses the server
   * of `$MONGODB_URI`.
   */
  readonly db?:
    | 'memory'
    | 'sqlite'
    | 'mongodb'
    | 'none'
    | ({ readonly type: 'memory' } & MemoryDatabaseOptions)
    | ({ readonly type: 'sqlite' } & SqliteDatabaseOptions)
    | ({ readonly type: 'mongodb' } & MongoDatabaseOptions)
    | { readonly type: 'none' };
  /** How the task queue chooses an engine; `leastload` by default. */
  readonly taskScheme?: TaskScheme;
  /** How many tasks of the task queue an engine may have at a time; 1 by default, 0 for any number. */
  readonly hwm?: number;
  /**
   * How long the task queue waits for results of an unregistered engine, in ms; 1000 by default (5000 in Python
   * controllers).
   */
  readonly strandedDelay?: number;
  /** The limits of live queries. */
  readonly liveQueries?: LiveQueryOptions;
  /** The lowest level that is logged; `warn` by default. */
  readonly logLevel?: LogLevel;
  /** Receives log lines; writes to standard error by default. */
  readonly log?: LogSink;
}

/** The options with all defaults applied. */
export interface ResolvedControllerOptions {
  readonly securityDir: string;
  readonly clusterId: string;
  readonly ip: string;
  readonly location: string;
  readonly sshServer: string;
  readonly engineSshServer: string;
  readonly reuse: boolean;
  readonly restore: boolean;
  /** The path of the file of registered engines, under ipyparallel's name and in its format. */
  readonly engineStateFile: string;
  readonly ports: readonly number[];
  readonly hbPeriod: number;
  readonly maxHeartbeatMisses: number;
  readonly registrationTimeout: number;
  readonly key: string;
  readonly pack: string;
  readonly unpack: string;
  readonly signatureScheme: string;
  readonly curve: CurveKeys | undefined;
  readonly db: DatabaseOptions;
  readonly taskScheme: TaskScheme;
  readonly hwm: number;
  readonly strandedDelay: number;
  readonly liveQueries: LiveQueryOptions;
  readonly logLevel: LogLevel;
  readonly log: LogSink;
}

const OPTIONS: OptionNames<ControllerOptions> = {
  profile: true,
  ipythonDir: true,
  profileDir: true,
  securityDir: true,
  clusterId: true,
  ip: true,
  location: true,
  sshServer: true,
  engineSshServer: true,
  reuse: true,
  restore: true,
  ports: true,
  hbPeriod: true,
  maxHeartbeatMisses: true,
  registrationTimeout: true,
  key: true,
  pack: true,
  curve: true,
  db: true,
  taskScheme: true,
  hwm: true,
  strandedDelay: true,
  liveQueries: true,
  logLevel: true,
  log: true,
};

const LIVE_QUERIES: OptionNames<LiveQueryOptions> = {
  silence: true,
  resumeTime: true,
  resumeChanges: true,
  resumeBytes: true,
  resumeQueries: true,
};

const RETENTION: OptionNames<RetentionOptions> = {
  maxAge: true,
  recordLimit: true,
  sizeLimit: true,
  cullFraction: true,
};

const MEMORY: OptionNames<MemoryDatabaseOptions> = RETENTION;

const SQLITE: OptionNames<SqliteDatabaseOptions> = {
  filename: true,
  location: true,
  table: true,
  synchronous: true,
  ...RETENTION,
};

const MONGODB: OptionNames<MongoDatabaseOptions> = {
  uri: true,
  database: true,
  collection: true,
  timeout: true,
  ...RETENTION,
};

/** The option names of each Task Database. */
const DATABASE_OPTIONS = { memory: MEMORY, sqlite: SQLITE, mongodb: MONGODB, none: {} };

const DATABASES: readonly DatabaseOptions['type'][] = ['memory', 'sqlite', 'mongodb', 'none'];

// Names that the Session of every ipyparallel release can import.
const PACKERS = {
  json: { pack: 'json', unpack: 'json' },
  msgpack: { pack: 'msgpack.packb', unpack: 'msgpack.unpackb' },
} as const;

/**
 * Applies defaults and environment variables.
 * @throws {UsageError} when an option is invalid
 */
export function resolveControllerOptions(
  options: ControllerOptions,
  env: NodeJS.ProcessEnv,
): ResolvedControllerOptions {
  checkOptions(options, OPTIONS, 'Controller.start');
  const curve = resolveCurve(options.curve, env);
  const clusterId = options.clusterId ?? env['IPP_CLUSTER_ID'] ?? '';
  if (/[/\\\0]/.test(clusterId))
    throw new UsageError(
      `clusterId must not contain slashes, backslashes or NUL, got ${describe(clusterId)}`,
    );
  const taskScheme = options.taskScheme ?? 'leastload';
  if (!TASK_SCHEMES.includes(taskScheme)) {
    throw new UsageError(`taskScheme must be one of ${TASK_SCHEMES.join(', ')}, got "${taskScheme}"`);
  }
  const packer = Object.hasOwn(PACKERS, options.pack ?? 'json') ? PACKERS[options.pack ?? 'json'] : undefined;
  if (packer === undefined) throw new UsageError(`pack must be json or msgpack, got "${options.pack}"`);
  const ports = options.ports ?? [];
  if (!ports.every((port) => Number.isInteger(port) && port > 0 && port < 65_536)) {
    throw new UsageError(`ports must be integers from 1 to 65535, got ${ports.join(', ')}`);
  }
  const db = resolveDatabase(options, env);
  return {
    securityDir: resolve(securityDir(options, env)),
    clusterId,
    ip: options.ip ?? '127.0.0.1',
    location: options.location ?? hostname(),
    sshServer: options.sshServer ?? '',
    engineSshServer: options.engineSshServer ?? '',
    reuse: (options.reuse ?? false) || (options.restore ?? false),
    restore: options.restore ?? false,
    engineStateFile: join(logDir(options, env), `engines${clusterId}.json`),
    ports,
    hbPeriod: duration('hbPeriod', options.hbPeriod ?? 3000),
    maxHeartbeatMisses: positiveNumber('maxHeartbeatMisses', options.maxHeartbeatMisses ?? 10),
    registrationTimeout: duration('registrationTimeout', options.registrationTimeout ?? 30_000),
    // Under CURVE, only peers with the server's key can send messages, so signatures would add nothing.
    key: options.key ?? (curve === undefined ? env['IPP_SESSION_KEY'] || newId() : ''),
    ...packer,
    signatureScheme: 'hmac-sha256',
    curve,
    db,
    taskScheme,
    hwm: nonNegativeNumber('hwm', options.hwm ?? 1),
    strandedDelay: Math.min(nonNegativeNumber('strandedDelay', options.strandedDelay ?? 1000), MAX_TIMER),
    liveQueries: resolveLiveQueries(options.liveQueries ?? {}),
    logLevel: options.logLevel ?? 'warn',
    log: options.log ?? stderrSink('controller'),
  };
}

function resolveLiveQueries(options: LiveQueryOptions): LiveQueryOptions {
  checkOptions(options, LIVE_QUERIES, 'liveQueries');
  for (const [name, value] of Object.entries(options)) {
    if (name === 'silence') positiveNumber(`liveQueries.${name}`, value);
    else nonNegativeNumber(`liveQueries.${name}`, value);
  }
  return options;
}

function resolveDatabase(options: ControllerOptions, env: NodeJS.ProcessEnv): DatabaseOptions {
  const db: DatabaseOptions = typeof options.db === 'object' ? options.db : { type: options.db ?? 'memory' };
  if (!DATABASES.includes(db.type)) {
    throw new UsageError(`the type of db must be one of ${DATABASES.join(', ')}, got "${db.type}"`);
  }
  checkOptions(db, { type: true, ...DATABASE_OPTIONS[db.type] }, `the Task Database "${db.type}"`);
  if (db.type === 'mongodb') {
    const uri = db.uri ?? (env['MONGODB_URI'] || undefined);
    return uri === undefined ? db : { ...db, uri };
  }
  if (db.type !== 'sqlite') return db;
  const directory = bareSecurityDir(options) ?? profileDir(options, env);
  return { ...db, location: resolve(db.location || directory) };
}

function securityDir(options: ControllerOptions, env: NodeJS.ProcessEnv): string {
  return options.securityDir ?? join(profileDir(options, env), 'security');
}

function logDir(options: ControllerOptions, env: NodeJS.ProcessEnv): string {
  return resolve(bareSecurityDir(options) ?? join(profileDir(options, env), 'log'));
}

/** The directory of the connection files if the options name it without a profile directory. */
function bareSecurityDir({
  securityDir: directory,
  profileDir: profile,
}: ControllerOptions): string | undefined {
  return profile === undefined ? directory : undefined;
}

function profileDir(options: ControllerOptions, env: NodeJS.ProcessEnv): string {
  const ipythonDir = options.ipythonDir ?? (env['IPYTHONDIR'] || join(homedir(), '.ipython'));
  const namedProfileDir =
    options.profile === undefined ? undefined : join(ipythonDir, `profile_${options.profile}`);
  return (
    options.profileDir ?? namedProfileDir ?? (env['IPP_PROFILE_DIR'] || join(ipythonDir, 'profile_default'))
  );
}

function resolveCurve(option: ControllerOptions['curve'], env: NodeJS.ProcessEnv): CurveKeys | undefined {
  if (typeof option === 'object') return option;
  if (!(option ?? env['IPP_ENABLE_CURVE'] === '1')) return undefined;
  const publicKey = env['IPP_CURVE_PUBLICKEY'];
  const secretKey = env['IPP_CURVE_SECRETKEY'];
  return publicKey && secretKey ? { publicKey, secretKey } : curveKeyPair();
}

/** The maximum delay of a timer: a longer one would fire immediately. */
const MAX_TIMER = 2 ** 31 - 1;

function duration(name: string, value: number): number {
  if (!(value > 0)) throw new UsageError(`${name} must be a number of milliseconds > 0, got ${value}`);
  return Math.min(value, MAX_TIMER);
}

function positiveNumber(name: string, value: number): number {
  if (!(value > 0)) throw new UsageError(`${name} must be a number > 0, got ${value}`);
  return value;
}

function nonNegativeNumber(name: string, value: number): number {
  if (!(value >= 0)) throw new UsageError(`${name} must be a number >= 0, got ${value}`);
  return value;
}
