import { homedir, hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { newId, UsageError } from '@ipyparallel-js/protocol';
import { checkOptions, type OptionNames } from '@ipyparallel-js/protocol/internal';
import { type LogLevel, type LogSink, stderrSink } from '@ipyparallel-js/wire';
import { curveKeyPair } from 'zeromq';
import type { MemoryDatabaseOptions } from '../db/memory-database.js';
import type { MongoDatabaseOptions } from '../db/mongodb/mongo-options.js';
import type { DatabaseOptions } from '../db/open-database.js';
import type { RetentionOptions } from '../db/sqlite/retention.js';
import type { SqliteDatabaseOptions } from '../db/sqlite/sqlite-database.js';
import type { ResumeLimits } from '../hub/subscriptions/resumption.js';
import { TASK_SCHEMES, type TaskScheme } from '../traffic/tasks/schemes.js';

/** A CURVE key pair, Z85 texts of 40 characters. */
export interface CurveKeys {
  readonly publicKey: string;
  readonly secretKey: string;
}

/** What a hub does for live queries. */
export interface LiveQueryOptions extends Partial<ResumeLimits> {
  /** How long a subscriber may say nothing before it is given up, in ms; 60,000. Clients say something six times in it. */
  readonly silence?: number;
}

/** How a {@link Controller} is to be. Everything has a default. */
export interface ControllerOptions {
  /** Profile name; `default`. Its directory is `profile_NAME` in the IPython directory. */
  readonly profile?: string;
  /** `IPYTHONDIR`, else `~/.ipython`. */
  readonly ipythonDir?: string;
  /** The profile directory itself; `IPP_PROFILE_DIR`. The connection files go into its `security`. */
  readonly profileDir?: string;
  /** Where the connection files go, instead of a profile directory's `security`. */
  readonly securityDir?: string;
  /** Part of the connection files' names; `IPP_CLUSTER_ID`, else empty. */
  readonly clusterId?: string;
  /** The address to listen on; `127.0.0.1`. `*` is every address of this machine. */
  readonly ip?: string;
  /** The name of this machine for those who read `*` in a connection file; the host name. */
  readonly location?: string;
  /** ssh servers to write into the files, for clients and for engines to tunnel through; none. */
  readonly sshServer?: string;
  readonly engineSshServer?: string;
  /** Take ports, address and key from the connection files that are there, and leave the files at the end; false. */
  readonly reuse?: boolean;
  /** Also take the engines back that the controller before had, as far as their hearts beat; false. */
  readonly restore?: boolean;
  /** Ports to use, in turn; any free ones after that. */
  readonly ports?: readonly number[];
  /** Between two heart beats, in ms; 3000. */
  readonly hbPeriod?: number;
  /** Missed beats in a row before an engine counts as dead; 10. */
  readonly maxHeartbeatMisses?: number;
  /** How long a registering engine may take to its first beat, in ms; 30,000. */
  readonly registrationTimeout?: number;
  /** The key that signs messages; `IPP_SESSION_KEY`, else a random one; empty under CURVE. */
  readonly key?: string;
  /** How messages are packed; `json`. */
  readonly pack?: 'json' | 'msgpack';
  /** Encrypt with CURVE: `true` for a new pair of keys, or the keys; `IPP_ENABLE_CURVE`, `IPP_CURVE_PUBLICKEY`, `IPP_CURVE_SECRETKEY`. */
  readonly curve?: boolean | CurveKeys;
  /** What is remembered of tasks, and where; `memory`. `sqlite` is `tasks.db` in the profile directory, `mongodb` the server of `MONGODB_URI`. */
  readonly db?:
    | 'memory'
    | 'sqlite'
    | 'mongodb'
    | 'none'
    | ({ readonly type: 'memory' } & MemoryDatabaseOptions)
    | ({ readonly type: 'sqlite' } & SqliteDatabaseOptions)
    | ({ readonly type: 'mongodb' } & MongoDatabaseOptions)
    | { readonly type: 'none' };
  /** How the task queue chooses an engine; `leastload`. */
  readonly taskScheme?: TaskScheme;
  /** Tasks of the task queue that an engine may have at a time; 1. 0 for any number. */
  readonly hwm?: number;
  /** How long the results of an engine that is gone may still arrive at the task queue, in ms; 1000 (stock: 5000). */
  readonly strandedDelay?: number;
  /** How long live queries are kept up, and what is remembered to resume them. */
  readonly liveQueries?: LiveQueryOptions;
  /** How much to say on standard error; `warn`. */
  readonly logLevel?: LogLevel;
  /** Takes each line of the log, instead of standard error. */
  readonly log?: LogSink;
}

/** Options with every default in place. */
export interface ResolvedControllerOptions {
  readonly securityDir: string;
  readonly clusterId: string;
  readonly ip: string;
  readonly location: string;
  readonly sshServer: string;
  readonly engineSshServer: string;
  readonly reuse: boolean;
  readonly restore: boolean;
  /** Where the engines are written down; ipyparallel's name and form. */
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

/** What each kind of Task Database can be told. */
const OF_DATABASE = { memory: MEMORY, sqlite: SQLITE, mongodb: MONGODB, none: {} };

const DATABASES: readonly DatabaseOptions['type'][] = ['memory', 'sqlite', 'mongodb', 'none'];

// Names that every stock Session can import.
const PACKERS = {
  json: { pack: 'json', unpack: 'json' },
  msgpack: { pack: 'msgpack.packb', unpack: 'msgpack.unpackb' },
} as const;

/** Puts defaults and environment in place. @throws UsageError naming the option that cannot be */
export function resolveControllerOptions(
  options: ControllerOptions,
  env: NodeJS.ProcessEnv,
): ResolvedControllerOptions {
  checkOptions(options, OPTIONS, 'Controller.start');
  const curve = resolveCurve(options.curve, env);
  const clusterId = options.clusterId ?? env['IPP_CLUSTER_ID'] ?? '';
  if (/[/\\\0]/.test(clusterId))
    throw new UsageError(`a cluster id is part of file names: ${JSON.stringify(clusterId)}`);
  const taskScheme = options.taskScheme ?? 'leastload';
  if (!TASK_SCHEMES.includes(taskScheme)) {
    throw new UsageError(`unknown task scheme "${taskScheme}"; there are ${TASK_SCHEMES.join(', ')}`);
  }
  const packer = Object.hasOwn(PACKERS, options.pack ?? 'json') ? PACKERS[options.pack ?? 'json'] : undefined;
  if (packer === undefined)
    throw new UsageError(`unknown packer "${options.pack}"; there are json and msgpack`);
  const ports = options.ports ?? [];
  if (!ports.every((port) => Number.isInteger(port) && port > 0 && port < 65_536)) {
    throw new UsageError(`ports are integers from 1 to 65535: ${ports.join(', ')}`);
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
    maxHeartbeatMisses: positive('maxHeartbeatMisses', options.maxHeartbeatMisses ?? 10),
    registrationTimeout: duration('registrationTimeout', options.registrationTimeout ?? 30_000),
    // Under CURVE nobody who lacks the server's key gets as far as a message: signatures would add nothing.
    key: options.key ?? (curve === undefined ? env['IPP_SESSION_KEY'] || newId() : ''),
    ...packer,
    signatureScheme: 'hmac-sha256',
    curve,
    db,
    taskScheme,
    hwm: notNegative('hwm', options.hwm ?? 1),
    strandedDelay: Math.min(notNegative('strandedDelay', options.strandedDelay ?? 1000), MAX_TIMER),
    liveQueries: resolveLiveQueries(options.liveQueries ?? {}),
    logLevel: options.logLevel ?? 'warn',
    log: options.log ?? stderrSink('controller'),
  };
}

function resolveLiveQueries(options: LiveQueryOptions): LiveQueryOptions {
  checkOptions(options, LIVE_QUERIES, 'liveQueries');
  for (const [name, value] of Object.entries(options)) {
    if (name === 'silence') positive(`liveQueries.${name}`, value);
    else notNegative(`liveQueries.${name}`, value);
  }
  return options;
}

function resolveDatabase(options: ControllerOptions, env: NodeJS.ProcessEnv): DatabaseOptions {
  const db: DatabaseOptions = typeof options.db === 'object' ? options.db : { type: options.db ?? 'memory' };
  if (!DATABASES.includes(db.type)) {
    throw new UsageError(`unknown Task Database "${db.type}"; there are ${DATABASES.join(', ')}`);
  }
  checkOptions(db, { type: true, ...OF_DATABASE[db.type] }, `the Task Database "${db.type}"`);
  if (db.type === 'mongodb') {
    const uri = db.uri ?? (env['MONGODB_URI'] || undefined);
    return uri === undefined ? db : { ...db, uri };
  }
  if (db.type !== 'sqlite') return db;
  const home = filesOnly(options) ?? profileDir(options, env);
  return { ...db, location: resolve(db.location || home) };
}

function securityDir(options: ControllerOptions, env: NodeJS.ProcessEnv): string {
  return options.securityDir ?? join(profileDir(options, env), 'security');
}

function logDir(options: ControllerOptions, env: NodeJS.ProcessEnv): string {
  return resolve(filesOnly(options) ?? join(profileDir(options, env), 'log'));
}

/** The directory for the connection files, where it is all that there is of a profile. */
function filesOnly({ securityDir: files, profileDir: profile }: ControllerOptions): string | undefined {
  return profile === undefined ? files : undefined;
}

function profileDir(options: ControllerOptions, env: NodeJS.ProcessEnv): string {
  const ipythonDir = options.ipythonDir ?? (env['IPYTHONDIR'] || join(homedir(), '.ipython'));
  const named = options.profile === undefined ? undefined : join(ipythonDir, `profile_${options.profile}`);
  return options.profileDir ?? named ?? (env['IPP_PROFILE_DIR'] || join(ipythonDir, 'profile_default'));
}

function resolveCurve(wanted: ControllerOptions['curve'], env: NodeJS.ProcessEnv): CurveKeys | undefined {
  if (typeof wanted === 'object') return wanted;
  if (!(wanted ?? env['IPP_ENABLE_CURVE'] === '1')) return undefined;
  const publicKey = env['IPP_CURVE_PUBLICKEY'];
  const secretKey = env['IPP_CURVE_SECRETKEY'];
  return publicKey && secretKey ? { publicKey, secretKey } : curveKeyPair();
}

/** A timer that is to wait longer than this fires at once. */
const MAX_TIMER = 2 ** 31 - 1;

function duration(name: string, value: number): number {
  return Math.min(positive(name, value), MAX_TIMER);
}

function positive(name: string, value: number): number {
  if (!(value > 0)) throw new UsageError(`${name} must be a number above 0, not ${value}`);
  return value;
}

function notNegative(name: string, value: number): number {
  if (!(value >= 0)) throw new UsageError(`${name} must be a number from 0, not ${value}`);
  return value;
}
