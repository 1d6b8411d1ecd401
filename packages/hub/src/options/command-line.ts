import { UsageError } from '@ipyparallel-js/protocol';
import { didYouMean } from '@ipyparallel-js/protocol/internal';
import { type LogLevel, parseLogLevel } from '@ipyparallel-js/wire';
import type { MongoDatabaseOptions } from '../db/mongodb/mongo-options.js';
import type { SqliteDatabaseOptions } from '../db/sqlite/sqlite-database.js';
import { TASK_SCHEMES, type TaskScheme } from '../traffic/tasks/schemes.js';
import type { ControllerOptions } from './controller-options.js';

/** What a command line asks for. */
export interface CommandLine {
  readonly options: ControllerOptions;
  /** Print this and end, instead of serving. */
  readonly print?: 'help' | 'version';
  readonly workDir?: string;
  /** End when this process has ended. */
  readonly parentPid?: number;
  /** What was asked for and is not done here; told, and otherwise without effect. */
  readonly ignored: readonly string[];
}

type Mutable = { -readonly [K in keyof ControllerOptions]: ControllerOptions[K] };
type Draft = {
  options: Mutable;
  /** What applies to whichever Task Database it is that keeps something. */
  limits: Record<string, number>;
  sqlite: { -readonly [K in keyof SqliteDatabaseOptions]: SqliteDatabaseOptions[K] };
  mongodb: { -readonly [K in keyof MongoDatabaseOptions]: MongoDatabaseOptions[K] };
  workDir?: string;
  parentPid?: number;
};

interface Argument {
  readonly help: string;
  /** Missing for a flag, which takes no value. */
  readonly value?: string;
  readonly apply: (draft: Draft, value: string) => void;
}

function number(name: string, value: string): number {
  const parsed = Number(value);
  if (value.trim() === '' || !Number.isFinite(parsed))
    throw new UsageError(`--${name} takes a number, not "${value}"`);
  return parsed;
}

/** Ports as `10101`, `10101,10105` or `10101-10120`. */
function ports(value: string): number[] {
  return value.split(',').flatMap((part) => {
    const [from, to = from] = part.split('-').map((end) => number('ports', end));
    if (from === undefined || to === undefined || to - from > 65_535)
      throw new UsageError(`--ports: "${part}"`);
    return Array.from({ length: to - from + 1 }, (_, i) => from + i);
  });
}

function logLevel(value: string): LogLevel {
  const level = parseLogLevel(value);
  if (level === undefined) throw new UsageError(`--log-level: ${JSON.stringify(value)} is no level`);
  return level;
}

function scheme(value: string): TaskScheme {
  const known = TASK_SCHEMES.find((name) => name === value);
  if (known === undefined) throw new UsageError(`--scheme takes ${TASK_SCHEMES.join(', ')}, not "${value}"`);
  return known;
}

function packer(value: string): 'json' | 'msgpack' {
  if (/^(or)?json$/.test(value)) return 'json';
  if (/^msgpack(\.(un)?packb)?$/.test(value)) return 'msgpack';
  throw new UsageError(`the packer is json or msgpack, not "${value}"`);
}

/** What pymongo's MongoClient takes: a URI or a host, and a port, alone or as Python writes a list. */
function mongoUri(value: string): string {
  const list = /^\s*\[(.*)\]\s*$/s.exec(value)?.[1];
  // A URI may have commas of its own; in a list it has quotes.
  const words = list?.match(/'[^']*'|"[^"]*"|[^\s,]+/g) ?? [value];
  const [host = '', port = ''] = words.map((word) => word.replace(/^(['"])(.*)\1$/s, '$2'));
  if (/^mongodb(\+srv)?:\/\//.test(host)) return host;
  if (!/^[^\s/@]*$/.test(host) || !/^\d*$/.test(port))
    throw new UsageError(`MongoDB.connection_args takes a URI, or a host and a port`);
  return `mongodb://${host || '127.0.0.1'}${port === '' ? '' : `:${port}`}`;
}

const ARGUMENTS: { readonly [name: string]: Argument } = {
  profile: {
    ...{ value: 'NAME', help: 'profile whose directory is used' },
    apply: (draft, value) => {
      draft.options.profile = value;
    },
  },
  'profile-dir': {
    ...{ value: 'DIR', help: 'profile directory; its security/ gets the connection files' },
    apply: (draft, value) => {
      draft.options.profileDir = value;
    },
  },
  'ipython-dir': {
    ...{ value: 'DIR', help: 'where profiles are; default $IPYTHONDIR or ~/.ipython' },
    apply: (draft, value) => {
      draft.options.ipythonDir = value;
    },
  },
  'cluster-id': {
    ...{ value: 'ID', help: 'part of the names of the connection files; may be empty' },
    apply: (draft, value) => {
      draft.options.clusterId = value;
    },
  },
  ip: {
    ...{ value: 'ADDRESS', help: 'address to listen on; * for all; default 127.0.0.1' },
    apply: (draft, value) => {
      draft.options.ip = value;
    },
  },
  location: {
    ...{ value: 'HOST', help: 'how others reach this machine when it listens on all addresses' },
    apply: (draft, value) => {
      draft.options.location = value;
    },
  },
  ssh: {
    ...{ value: 'SERVER', help: 'ssh server that clients tunnel through' },
    apply: (draft, value) => {
      draft.options.sshServer = value;
    },
  },
  enginessh: {
    ...{ value: 'SERVER', help: 'ssh server that engines tunnel through' },
    apply: (draft, value) => {
      draft.options.engineSshServer = value;
    },
  },
  reuse: {
    help: 'take ports and key from the connection files of the run before, and leave the files at the end',
    apply: (draft) => {
      draft.options.reuse = true;
    },
  },
  restore: {
    help: 'the same, and take back the engines of the run before',
    apply: (draft) => {
      draft.options.restore = true;
    },
  },
  port: {
    ...{ value: 'PORT', help: 'port of the registration socket' },
    apply: (draft, value) => {
      draft.options.ports = [number('port', value), ...(draft.options.ports ?? [])];
    },
  },
  ports: {
    ...{ value: 'LIST', help: 'ports to use, as 10101-10120; any free ones after these' },
    apply: (draft, value) => {
      draft.options.ports = [...(draft.options.ports ?? []), ...ports(value)];
    },
  },
  ping: {
    ...{ value: 'MS', help: 'time between heart beats; default 3000' },
    apply: (draft, value) => {
      draft.options.hbPeriod = number('ping', value);
    },
  },
  'max-misses': {
    ...{ value: 'N', help: 'missed beats before an engine counts as dead; default 10' },
    apply: (draft, value) => {
      draft.options.maxHeartbeatMisses = number('max-misses', value);
    },
  },
  'registration-timeout': {
    ...{ value: 'SECONDS', help: 'how long a registering engine may take; default 30' },
    apply: (draft, value) => {
      draft.options.registrationTimeout = number('registration-timeout', value) * 1000;
    },
  },
  scheme: {
    ...{ value: 'NAME', help: `how the task queue chooses an engine: ${TASK_SCHEMES.join(', ')}` },
    apply: (draft, value) => {
      draft.options.taskScheme = scheme(value);
    },
  },
  hwm: {
    ...{
      value: 'N',
      help: 'tasks of the task queue that an engine has at a time; default 1, 0 for any number',
    },
    apply: (draft, value) => {
      draft.options.hwm = number('hwm', value);
    },
  },
  'resume-time': {
    ...{
      value: 'SECONDS',
      help: 'how long live queries can be resumed by another process; default 600, 0 for not',
    },
    apply: (draft, value) => {
      const resumeTime = number('resume-time', value) * 1000;
      draft.options.liveQueries = { ...draft.options.liveQueries, resumeTime };
    },
  },
  'resume-bytes': {
    ...{ value: 'N', help: 'memory for that, in bytes; default 67108864' },
    apply: (draft, value) => {
      const resumeBytes = number('resume-bytes', value);
      draft.options.liveQueries = { ...draft.options.liveQueries, resumeBytes };
    },
  },
  packer: {
    ...{ value: 'NAME', help: 'json (default) or msgpack' },
    apply: (draft, value) => {
      draft.options.pack = packer(value);
    },
  },
  dictdb: {
    help: 'remember tasks in memory (default)',
    apply: (draft) => {
      draft.options.db = 'memory';
    },
  },
  sqlitedb: {
    help: 'remember tasks in an SQLite file, as ipyparallel does: tasks.db in the profile directory',
    apply: (draft) => {
      draft.options.db = 'sqlite';
    },
  },
  'sqlite-filename': {
    ...{ value: 'NAME', help: 'with --sqlitedb: the name of the file; default tasks.db' },
    apply: (draft, value) => {
      draft.sqlite.filename = value;
    },
  },
  'sqlite-location': {
    ...{ value: 'DIR', help: 'with --sqlitedb: the directory of the file; default the profile directory' },
    apply: (draft, value) => {
      draft.sqlite.location = value;
    },
  },
  'sqlite-table': {
    ...{ value: 'NAME', help: 'with --sqlitedb: the table of the tasks; default ipython-tasks' },
    apply: (draft, value) => {
      draft.sqlite.table = value;
    },
  },
  'sqlite-synchronous': {
    ...{ value: 'MODE', help: 'with --sqlitedb: normal (default), or full to survive a power failure, too' },
    apply: (draft, value) => {
      if (value !== 'normal' && value !== 'full')
        throw new UsageError(`--sqlite-synchronous takes normal or full, not "${value}"`);
      draft.sqlite.synchronous = value;
    },
  },
  mongodb: {
    help: 'remember tasks in MongoDB, as ipyparallel does; needs the npm package mongodb',
    apply: (draft) => {
      draft.options.db = 'mongodb';
    },
  },
  'mongodb-uri': {
    ...{
      value: 'URI',
      help: 'with --mongodb: the server; default $MONGODB_URI or mongodb://127.0.0.1:27017',
    },
    apply: (draft, value) => {
      draft.mongodb.uri = mongoUri(value);
    },
  },
  'mongodb-database': {
    ...{ value: 'NAME', help: 'with --mongodb: default ipython-tasks; empty for one of this session' },
    apply: (draft, value) => {
      draft.mongodb.database = value;
    },
  },
  'mongodb-collection': {
    ...{ value: 'NAME', help: 'with --mongodb: default task_records' },
    apply: (draft, value) => {
      draft.mongodb.collection = value;
    },
  },
  nodb: {
    help: 'remember no tasks',
    apply: (draft) => {
      draft.options.db = 'none';
    },
  },
  'record-limit': {
    ...{ value: 'N', help: 'tasks remembered; default 1024 in memory, else any number' },
    apply: (draft, value) => {
      draft.limits['recordLimit'] = number('record-limit', value);
    },
  },
  'size-limit': {
    ...{ value: 'BYTES', help: 'size of the tasks remembered; default 1 GiB in memory, else any' },
    apply: (draft, value) => {
      draft.limits['sizeLimit'] = number('size-limit', value);
    },
  },
  'max-age': {
    ...{ value: 'SECONDS', help: 'how long after its submission a task is remembered; default for ever' },
    apply: (draft, value) => {
      draft.limits['maxAge'] = number('max-age', value) * 1000;
    },
  },
  'work-dir': {
    ...{ value: 'DIR', help: 'directory to work in' },
    apply: (draft, value) => {
      draft.workDir = value;
    },
  },
  'log-level': {
    ...{ value: 'LEVEL', help: 'error, warn, info (default), debug, or a number as in Python' },
    apply: (draft, value) => {
      draft.options.logLevel = logLevel(value);
    },
  },
  debug: {
    help: 'the same as --log-level=debug',
    apply: (draft) => {
      draft.options.logLevel = 'debug';
    },
  },
  'parent-pid': {
    ...{ value: 'PID', help: 'end when this process has ended' },
    apply: (draft, value) => {
      draft.parentPid = number('parent-pid', value);
    },
  },
};

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

/** Flags of ipcontroller that change nothing here. */
const FLAGS_WITHOUT_EFFECT = new Set(['init', 'quiet', 'log-to-file', 'clean-logs', 'usethreads']);

/**
 * Reads the arguments of ipcontroller, as `--name=value` or `--name value`. What is unknown is ignored, and told: those
 * who start a controller pass what the Python one takes.
 * @throws UsageError for a value that cannot be, and for what is most likely a typing mistake
 */
export function parseCommandLine(argv: readonly string[]): CommandLine {
  const draft: Draft = { options: { logLevel: 'info' }, limits: {}, sqlite: {}, mongodb: {} };
  const ignored: string[] = [];
  let print: CommandLine['print'];
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? '';
    const [, name = '', inline] = /^--?([^=]+)(?:=(.*))?$/s.exec(word) ?? [];
    if (name === 'help' || name === 'h' || name === 'help-all') print ??= 'help';
    else if (name === 'version' || name === 'V') print ??= 'version';
    else {
      const key = TRAITS[name] ?? name;
      const argument = Object.hasOwn(ARGUMENTS, key) ? ARGUMENTS[key] : undefined;
      if (argument === undefined) refuseMistake(word, name);
      const takesNext =
        argument === undefined ? looksLikeValue(name, argv[i + 1]) : argument.value !== undefined;
      const value = inline ?? (takesNext ? argv[++i] : undefined);
      if (argument === undefined)
        ignored.push(value === undefined || inline !== undefined ? word : `${word} ${value}`);
      else if (argument.value !== undefined && value === undefined)
        throw new UsageError(`${word} takes a value`);
      else argument.apply(draft, value ?? '');
    }
  }
  const { options, limits, sqlite, mongodb, ...rest } = draft;
  if (options.db === 'sqlite') options.db = { type: 'sqlite', ...sqlite, ...limits };
  else if (options.db === 'mongodb') options.db = { type: 'mongodb', ...mongodb, ...limits };
  else if (Object.keys(limits).length > 0 && options.db !== 'none') {
    options.db = { type: 'memory', ...limits };
  }
  return { options, ...rest, ...(print === undefined ? {} : { print }), ignored };
}

/** What ipcontroller has and this has not is let pass, but a misspelt `--sqlitedb` would be a database lost. */
function refuseMistake(word: string, name: string): void {
  if (name === '') throw new UsageError(`unexpected argument "${word}"; --help lists those there are`);
  if (FLAGS_WITHOUT_EFFECT.has(name)) return;
  const near = didYouMean(name, Object.keys(ARGUMENTS));
  if (near !== '') throw new UsageError(`unknown argument --${name}${near}`);
}

function looksLikeValue(name: string, next: string | undefined): boolean {
  return name !== '' && !FLAGS_WITHOUT_EFFECT.has(name) && next !== undefined && !next.startsWith('-');
}

/** What `--help` prints. */
export function usage(): string {
  const lines = Object.entries(ARGUMENTS).map(([name, { value, help }]) => {
    const left = `  --${name}${value === undefined ? '' : `=${value}`}`;
    return `${left.padEnd(34)}${help}`;
  });
  return [
    'Usage: ippjs-controller [arguments]',
    '',
    'Starts an ipyparallel controller. Takes the arguments of ipcontroller as far as they apply:',
    '',
    ...lines,
    '  --help, --version',
    '',
    'Environment: IPYTHONDIR, IPP_PROFILE_DIR, IPP_CLUSTER_ID, IPP_SESSION_KEY, IPP_ENABLE_CURVE,',
    'IPP_CURVE_PUBLICKEY, IPP_CURVE_SECRETKEY, MONGODB_URI.',
    '',
  ].join('\n');
}
