import { UsageError } from '@ipyparallel-js/protocol';
import { didYouMean } from '@ipyparallel-js/protocol/internal';
import { type LogLevel, parseLogLevel } from '@ipyparallel-js/wire';
import type { MemoryDatabaseOptions } from '../db/memory-database.js';
import type { MongoDatabaseOptions } from '../db/mongodb/mongo-options.js';
import type { SqliteDatabaseOptions } from '../db/sqlite/sqlite-database.js';
import { TASK_SCHEMES, type TaskScheme } from '../traffic/tasks/schemes.js';
import type { ControllerOptions, LiveQueryOptions } from './controller-options.js';

/** The parsed arguments of a command line. */
export interface CommandLine {
  readonly options: ControllerOptions;
  /** Print this and exit, instead of serving. */
  readonly print?: 'help' | 'version';
  readonly workDir?: string;
  /** Stop when this process has ended. */
  readonly parentPid?: number;
  /** Arguments without effect; the controller logs them. */
  readonly ignored: readonly string[];
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** The values of a command line by their destination. */
interface Draft {
  readonly options: Mutable<ControllerOptions>;
  readonly liveQueries: Mutable<LiveQueryOptions>;
  /** The retention options of the chosen Task Database. */
  readonly retention: Mutable<MemoryDatabaseOptions>;
  readonly sqlite: Mutable<SqliteDatabaseOptions>;
  readonly mongodb: Mutable<MongoDatabaseOptions>;
  readonly process: { workDir?: string; parentPid?: number };
}

type Parse<T> = (value: string, option: string, previous: T | undefined) => T;

/** One row of the table of arguments. */
interface Row<T> {
  readonly option: string;
  /** The name of the value in the help; undefined for a flag, which has no value. */
  readonly value?: string;
  readonly help: string;
  readonly parse: Parse<T>;
}

interface Argument extends Omit<Row<never>, 'parse'> {
  readonly apply: (draft: Draft, value: string) => void;
}

/** An argument that sets `key` in a section of the draft. */
function argument<S extends keyof Draft, K extends keyof Draft[S]>(
  section: S,
  key: K,
  { parse, ...row }: Row<NonNullable<Draft[S][K]>>,
): Argument {
  return {
    ...row,
    apply: (draft, value) => {
      const target: Draft[S] = draft[section];
      target[key] = parse(value, row.option, target[key] ?? undefined);
    },
  };
}

const text: Parse<string> = (value) => value;
const flag: Parse<boolean> = () => true;
const constant =
  <const T>(value: T) =>
  (): T =>
    value;

function number(value: string, option: string): number {
  const parsed = Number(value);
  if (value.trim() === '' || !Number.isFinite(parsed))
    throw new UsageError(`--${option} must be a number, got "${value}"`);
  return parsed;
}

const seconds: Parse<number> = (value, option) => number(value, option) * 1000;

/** Ports as `10101`, `10101,10105` or `10101-10120`. */
function ports(value: string, option: string): number[] {
  return value.split(',').flatMap((part) => {
    const [from, to = from] = part.split('-').map((end) => number(end, option));
    if (from === undefined || to === undefined || to - from > 65_535)
      throw new UsageError(`--${option} must be ports such as 10101,10105 or 10101-10120, got "${part}"`);
    return Array.from({ length: to - from + 1 }, (_, i) => from + i);
  });
}

function logLevel(value: string, option: string): LogLevel {
  const level = parseLogLevel(value);
  if (level === undefined)
    throw new UsageError(
      `--${option} must be error, warn, info, debug or a number, got ${JSON.stringify(value)}`,
    );
  return level;
}

function scheme(value: string, option: string): TaskScheme {
  const known = TASK_SCHEMES.find((name) => name === value);
  if (known === undefined)
    throw new UsageError(`--${option} must be one of ${TASK_SCHEMES.join(', ')}, got "${value}"`);
  return known;
}

function packer(value: string, option: string): 'json' | 'msgpack' {
  if (/^(or)?json$/.test(value)) return 'json';
  if (/^msgpack(\.(un)?packb)?$/.test(value)) return 'msgpack';
  throw new UsageError(`--${option} must be json or msgpack, got "${value}"`);
}

function synchronous(value: string, option: string): 'normal' | 'full' {
  if (value === 'normal' || value === 'full') return value;
  throw new UsageError(`--${option} must be normal or full, got "${value}"`);
}

/** Parses the arguments of pymongo's MongoClient: a URI or a host, and a port, alone or as a Python list. */
function mongoUri(value: string): string {
  const list = /^\s*\[(.*)\]\s*$/s.exec(value)?.[1];
  // A URI may contain commas; in a list it is quoted.
  const items = list?.match(/'[^']*'|"[^"]*"|[^\s,]+/g) ?? [value];
  const [host = '', port = ''] = items.map((item) => item.replace(/^(['"])(.*)\1$/s, '$2'));
  if (/^mongodb(\+srv)?:\/\//.test(host)) return host;
  if (!/^[^\s/@]*$/.test(host) || !/^\d*$/.test(port))
    throw new UsageError('MongoDB.connection_args must be a URI, or a host and a port');
  return `mongodb://${host || '127.0.0.1'}${port === '' ? '' : `:${port}`}`;
}

const ROWS: readonly Argument[] = [
  argument('options', 'profile', {
    option: 'profile',
    value: 'NAME',
    help: 'name of the profile',
    parse: text,
  }),
  argument('options', 'profileDir', {
    option: 'profile-dir',
    value: 'DIR',
    help: 'profile directory; the connection files are in its security/',
    parse: text,
  }),
  argument('options', 'ipythonDir', {
    option: 'ipython-dir',
    value: 'DIR',
    help: 'directory of the profiles; default $IPYTHONDIR or ~/.ipython',
    parse: text,
  }),
  argument('options', 'clusterId', {
    option: 'cluster-id',
    value: 'ID',
    help: 'part of the names of the connection files; may be empty',
    parse: text,
  }),
  argument('options', 'ip', {
    option: 'ip',
    value: 'ADDRESS',
    help: 'address to listen on, * for all; default 127.0.0.1',
    parse: text,
  }),
  argument('options', 'location', {
    option: 'location',
    value: 'HOST',
    help: 'name of this machine for peers, if it listens on all addresses',
    parse: text,
  }),
  argument('options', 'sshServer', {
    option: 'ssh',
    value: 'SERVER',
    help: 'ssh server through which clients connect',
    parse: text,
  }),
  argument('options', 'engineSshServer', {
    option: 'enginessh',
    value: 'SERVER',
    help: 'ssh server through which engines connect',
    parse: text,
  }),
  argument('options', 'reuse', {
    option: 'reuse',
    help: 'reuse ports and key of the existing connection files, and keep the files at the end',
    parse: flag,
  }),
  argument('options', 'restore', {
    option: 'restore',
    help: '--reuse, and restore the engines of the previous run',
    parse: flag,
  }),
  argument('options', 'ports', {
    option: 'port',
    value: 'PORT',
    help: 'port of the registration socket',
    parse: (value, option, previous = []) => [number(value, option), ...previous],
  }),
  argument('options', 'ports', {
    option: 'ports',
    value: 'LIST',
    help: 'ports to use, for example 10101-10120; any free ports after these',
    parse: (value, option, previous = []) => [...previous, ...ports(value, option)],
  }),
  argument('options', 'hbPeriod', {
    option: 'ping',
    value: 'MS',
    help: 'time between heartbeats; default 3000',
    parse: number,
  }),
  argument('options', 'maxHeartbeatMisses', {
    option: 'max-misses',
    value: 'N',
    help: 'missed heartbeats after which an engine is dead; default 10',
    parse: number,
  }),
  argument('options', 'registrationTimeout', {
    option: 'registration-timeout',
    value: 'SECONDS',
    help: 'how long a registration may take; default 30',
    parse: seconds,
  }),
  argument('options', 'taskScheme', {
    option: 'scheme',
    value: 'NAME',
    help: `how the task queue chooses an engine: ${TASK_SCHEMES.join(', ')}`,
    parse: scheme,
  }),
  argument('options', 'hwm', {
    option: 'hwm',
    value: 'N',
    help: 'tasks of the task queue per engine at a time; default 1, 0 for any number',
    parse: number,
  }),
  argument('liveQueries', 'resumeTime', {
    option: 'resume-time',
    value: 'SECONDS',
    help: 'how long another process can resume a live query; default 600, 0 for never',
    parse: seconds,
  }),
  argument('liveQueries', 'resumeBytes', {
    option: 'resume-bytes',
    value: 'N',
    help: 'memory for resuming live queries, in bytes; default 67108864',
    parse: number,
  }),
  argument('options', 'pack', {
    option: 'packer',
    value: 'NAME',
    help: 'json (default) or msgpack',
    parse: packer,
  }),
  argument('options', 'db', {
    option: 'dictdb',
    help: 'store tasks in memory (default)',
    parse: constant('memory'),
  }),
  argument('options', 'db', {
    option: 'sqlitedb',
    help: 'store tasks in an SQLite file, as ipyparallel does: tasks.db in the profile directory',
    parse: constant('sqlite'),
  }),
  argument('sqlite', 'filename', {
    option: 'sqlite-filename',
    value: 'NAME',
    help: 'with --sqlitedb: name of the file; default tasks.db',
    parse: text,
  }),
  argument('sqlite', 'location', {
    option: 'sqlite-location',
    value: 'DIR',
    help: 'with --sqlitedb: directory of the file; default the profile directory',
    parse: text,
  }),
  argument('sqlite', 'table', {
    option: 'sqlite-table',
    value: 'NAME',
    help: 'with --sqlitedb: table of the tasks; default ipython-tasks',
    parse: text,
  }),
  argument('sqlite', 'synchronous', {
    option: 'sqlite-synchronous',
    value: 'MODE',
    help: 'with --sqlitedb: normal (default), or full to survive a power failure',
    parse: synchronous,
  }),
  argument('options', 'db', {
    option: 'mongodb',
    help: 'store tasks in MongoDB, as ipyparallel does; requires the npm package mongodb',
    parse: constant('mongodb'),
  }),
  argument('mongodb', 'uri', {
    option: 'mongodb-uri',
    value: 'URI',
    help: 'with --mongodb: the server; default $MONGODB_URI or mongodb://127.0.0.1:27017',
    parse: mongoUri,
  }),
  argument('mongodb', 'database', {
    option: 'mongodb-database',
    value: 'NAME',
    help: 'with --mongodb: default ipython-tasks; empty for a new database for this run',
    parse: text,
  }),
  argument('mongodb', 'collection', {
    option: 'mongodb-collection',
    value: 'NAME',
    help: 'with --mongodb: default task_records',
    parse: text,
  }),
  argument('options', 'db', { option: 'nodb', help: 'store no tasks', parse: constant('none') }),
  argument('retention', 'recordLimit', {
    option: 'record-limit',
    value: 'N',
    help: 'maximum number of stored tasks; default 1024 in memory, otherwise unlimited',
    parse: number,
  }),
  argument('retention', 'sizeLimit', {
    option: 'size-limit',
    value: 'BYTES',
    help: 'maximum size of the stored tasks; default 1 GiB in memory, otherwise unlimited',
    parse: number,
  }),
  argument('retention', 'maxAge', {
    option: 'max-age',
    value: 'SECONDS',
    help: 'how long tasks are stored after submission; default unlimited',
    parse: seconds,
  }),
  argument('process', 'workDir', {
    option: 'work-dir',
    value: 'DIR',
    help: 'working directory',
    parse: text,
  }),
  argument('options', 'logLevel', {
    option: 'log-level',
    value: 'LEVEL',
    help: 'error, warn, info (default), debug, or a number as in Python',
    parse: logLevel,
  }),
  argument('options', 'logLevel', { option: 'debug', help: '--log-level=debug', parse: constant('debug') }),
  argument('process', 'parentPid', {
    option: 'parent-pid',
    value: 'PID',
    help: 'stop when this process has ended',
    parse: number,
  }),
];

const ARGUMENTS: ReadonlyMap<string, Argument> = new Map(ROWS.map((row) => [row.option, row]));

/** ipcontroller's long names for arguments that have short ones. */
const TRAITS: { readonly [trait: string]: string } = {
  'ProfileDir.location': 'profile-dir',
  'BaseIPythonApplication.profile': 'profile',
  'IPController.ip': 'ip',
  'IPController.location': 'location',
  'IPController.cluster_id': 'cluster-id',
  'IPController.ports': 'ports',
  'IPController.registration_timeout': 'registration-timeout',
  'IPController.ssh_server': 'ssh',
  'IPController.engine_ssh_server': 'enginessh',
  'HeartMonitor.period': 'ping',
  'HeartMonitor.max_heartmonitor_misses': 'max-misses',
  'TaskScheduler.scheme_name': 'scheme',
  'TaskScheduler.hwm': 'hwm',
  'Session.packer': 'packer',
  'DictDB.record_limit': 'record-limit',
  'DictDB.size_limit': 'size-limit',
  'SQLiteDB.filename': 'sqlite-filename',
  'SQLiteDB.location': 'sqlite-location',
  'SQLiteDB.table': 'sqlite-table',
  'MongoDB.connection_args': 'mongodb-uri',
  'MongoDB.database': 'mongodb-database',
  'MongoDB.collection': 'mongodb-collection',
  'Application.log_level': 'log-level',
};

/** Flags of ipcontroller without effect here. */
const FLAGS_WITHOUT_EFFECT = new Set(['init', 'quiet', 'log-to-file', 'clean-logs', 'usethreads']);

/**
 * Parses the arguments of ipcontroller, as `--name=value` or `--name value`. Unknown arguments are listed as ignored,
 * because launchers pass arguments of the Python controller.
 * @throws {UsageError} for an invalid value, and for an unknown argument that is close to a known one
 */
export function parseCommandLine(argv: readonly string[]): CommandLine {
  const draft: Draft = {
    options: { logLevel: 'info' },
    ...{ liveQueries: {}, retention: {}, sqlite: {}, mongodb: {}, process: {} },
  };
  const ignored: string[] = [];
  let print: CommandLine['print'];
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? '';
    const [, name = '', inline] = /^--?([^=]+)(?:=(.*))?$/s.exec(word) ?? [];
    if (name === 'help' || name === 'h' || name === 'help-all') print ??= 'help';
    else if (name === 'version' || name === 'V') print ??= 'version';
    else {
      const key = TRAITS[name] ?? name;
      const known = ARGUMENTS.get(key);
      if (known === undefined) refuseTypo(word, name);
      const takesNext = known === undefined ? looksLikeValue(name, argv[i + 1]) : known.value !== undefined;
      const value = inline ?? (takesNext ? argv[++i] : undefined);
      if (known === undefined)
        ignored.push(value === undefined || inline !== undefined ? word : `${word} ${value}`);
      else if (known.value !== undefined && value === undefined)
        throw new UsageError(`${word} requires a value`);
      else known.apply(draft, value ?? '');
    }
  }
  const { options, liveQueries, retention, sqlite, mongodb } = draft;
  if (Object.keys(liveQueries).length > 0) options.liveQueries = liveQueries;
  if (options.db === 'sqlite') options.db = { type: 'sqlite', ...sqlite, ...retention };
  else if (options.db === 'mongodb') options.db = { type: 'mongodb', ...mongodb, ...retention };
  else if (Object.keys(retention).length > 0 && options.db !== 'none') {
    options.db = { type: 'memory', ...retention };
  }
  return { options, ...draft.process, ...(print === undefined ? {} : { print }), ignored };
}

/** Rejects probable typing mistakes: without this check, a misspelt `--sqlitedb` would store nothing on disk. */
function refuseTypo(word: string, name: string): void {
  if (name === '') throw new UsageError(`unexpected argument "${word}"; see --help`);
  if (FLAGS_WITHOUT_EFFECT.has(name)) return;
  const near = didYouMean(name, [...ARGUMENTS.keys()]);
  if (near !== '') throw new UsageError(`unknown argument --${name}${near}`);
}

function looksLikeValue(name: string, next: string | undefined): boolean {
  return name !== '' && !FLAGS_WITHOUT_EFFECT.has(name) && next !== undefined && !next.startsWith('-');
}

/** The output of `--help`. */
export function usage(): string {
  const lines = ROWS.map(({ option, value, help }) => {
    const left = `  --${option}${value === undefined ? '' : `=${value}`}`;
    return `${left.padEnd(34)}${help}`;
  });
  return [
    'Usage: ippjs-controller [arguments]',
    '',
    'Starts an ipyparallel controller. It accepts the arguments of ipcontroller as far as they apply:',
    '',
    ...lines,
    '  --help, --version',
    '',
    'Environment: IPYTHONDIR, IPP_PROFILE_DIR, IPP_CLUSTER_ID, IPP_SESSION_KEY, IPP_ENABLE_CURVE,',
    'IPP_CURVE_PUBLICKEY, IPP_CURVE_SECRETKEY, MONGODB_URI.',
    '',
  ].join('\n');
}
