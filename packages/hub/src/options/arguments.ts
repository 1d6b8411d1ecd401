import type { MemoryDatabaseOptions } from '../db/memory-database.js';
import type { MongoDatabaseOptions } from '../db/mongodb/mongo-options.js';
import type { SqliteDatabaseOptions } from '../db/sqlite/sqlite-database.js';
import { TASK_SCHEMES } from '../traffic/tasks/schemes.js';
import {
  constantOf,
  type Parse,
  parseFlag,
  parseLogLevelName,
  parseMongoUri,
  parseNumber,
  parsePacker,
  parsePorts,
  parseScheme,
  parseSeconds,
  parseSynchronous,
  parseText,
} from './argument-values.js';
import type { ControllerOptions, LiveQueryOptions } from './controller-options.js';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** The values of a command line by their destination. */
export interface ParsedArguments {
  readonly options: Mutable<ControllerOptions>;
  readonly liveQueries: Mutable<LiveQueryOptions>;
  /** The retention options of the chosen Task Database. */
  readonly retention: Mutable<MemoryDatabaseOptions>;
  readonly sqlite: Mutable<SqliteDatabaseOptions>;
  readonly mongodb: Mutable<MongoDatabaseOptions>;
  readonly process: { workDir?: string; parentPid?: number };
}

/** One row of the table of arguments. */
interface Row<T> {
  readonly option: string;
  /** The name of the value in the help; undefined for a flag, which has no value. */
  readonly value?: string;
  readonly help: string;
  readonly parse: Parse<T>;
}

/** An argument of the command line. */
export interface Argument extends Omit<Row<never>, 'parse'> {
  readonly apply: (parsedArguments: ParsedArguments, value: string) => void;
}

/** Creates an argument that sets `key` in a section of the parsed arguments. */
function argument<S extends keyof ParsedArguments, K extends keyof ParsedArguments[S]>(
  section: S,
  key: K,
  { parse, ...row }: Row<NonNullable<ParsedArguments[S][K]>>,
): Argument {
  return {
    ...row,
    apply: (parsedArguments, value) => {
      const target: ParsedArguments[S] = parsedArguments[section];
      target[key] = parse(value, row.option, target[key] ?? undefined);
    },
  };
}

/** All arguments, in the order of the help. */
export const ARGUMENTS: readonly Argument[] = [
  argument('options', 'profile', {
    option: 'profile',
    value: 'NAME',
    help: 'name of the profile',
    parse: parseText,
  }),
  argument('options', 'profileDir', {
    option: 'profile-dir',
    value: 'DIR',
    help: 'profile directory; the connection files are in its security/',
    parse: parseText,
  }),
  argument('options', 'ipythonDir', {
    option: 'ipython-dir',
    value: 'DIR',
    help: 'directory of the profiles; default $IPYTHONDIR or ~/.ipython',
    parse: parseText,
  }),
  argument('options', 'clusterId', {
    option: 'cluster-id',
    value: 'ID',
    help: 'part of the names of the connection files; may be empty',
    parse: parseText,
  }),
  argument('options', 'ip', {
    option: 'ip',
    value: 'ADDRESS',
    help: 'address to listen on, * for all; default 127.0.0.1',
    parse: parseText,
  }),
  argument('options', 'location', {
    option: 'location',
    value: 'HOST',
    help: 'name of this machine for peers, used with --ip=*',
    parse: parseText,
  }),
  argument('options', 'sshServer', {
    option: 'ssh',
    value: 'SERVER',
    help: 'ssh server through which clients connect',
    parse: parseText,
  }),
  argument('options', 'engineSshServer', {
    option: 'enginessh',
    value: 'SERVER',
    help: 'ssh server through which engines connect',
    parse: parseText,
  }),
  argument('options', 'reuse', {
    option: 'reuse',
    help: 'reuse ports and key of the existing connection files, and keep the files at the end',
    parse: parseFlag,
  }),
  argument('options', 'restore', {
    option: 'restore',
    help: 'like --reuse, and restore the engines of the previous run',
    parse: parseFlag,
  }),
  argument('options', 'ports', {
    option: 'port',
    value: 'PORT',
    help: 'port of the registration socket',
    parse: (value, option, previous = []) => [parseNumber(value, option), ...previous],
  }),
  argument('options', 'ports', {
    option: 'ports',
    value: 'LIST',
    help: 'ports to use, for example 10101-10120; further sockets use any free ports',
    parse: (value, option, previous = []) => [...previous, ...parsePorts(value, option)],
  }),
  argument('options', 'hbPeriod', {
    option: 'ping',
    value: 'MS',
    help: 'time between heartbeats; default 3000',
    parse: parseNumber,
  }),
  argument('options', 'maxHeartbeatMisses', {
    option: 'max-misses',
    value: 'N',
    help: 'missed heartbeats after which an engine is dead; default 10',
    parse: parseNumber,
  }),
  argument('options', 'registrationTimeout', {
    option: 'registration-timeout',
    value: 'SECONDS',
    help: 'how long a registration may take; default 30',
    parse: parseSeconds,
  }),
  argument('options', 'taskScheme', {
    option: 'scheme',
    value: 'NAME',
    help: `how the task queue chooses an engine: ${TASK_SCHEMES.join(', ')}`,
    parse: parseScheme,
  }),
  argument('options', 'hwm', {
    option: 'hwm',
    value: 'N',
    help: 'maximum tasks of the task queue per engine at a time; default 1, 0 for any number',
    parse: parseNumber,
  }),
  argument('liveQueries', 'resumeTime', {
    option: 'resume-time',
    value: 'SECONDS',
    help: 'how long another process can resume a live query; default 600, 0 for never',
    parse: parseSeconds,
  }),
  argument('liveQueries', 'resumeBytes', {
    option: 'resume-bytes',
    value: 'N',
    help: 'memory for resuming live queries, in bytes; default 67108864',
    parse: parseNumber,
  }),
  argument('options', 'pack', {
    option: 'packer',
    value: 'NAME',
    help: 'format of messages: json (default) or msgpack',
    parse: parsePacker,
  }),
  argument('options', 'db', {
    option: 'dictdb',
    help: 'store tasks in memory (default)',
    parse: constantOf('memory'),
  }),
  argument('options', 'db', {
    option: 'sqlitedb',
    help: 'store tasks in an SQLite file, as ipyparallel does: tasks.db in the profile directory',
    parse: constantOf('sqlite'),
  }),
  argument('sqlite', 'filename', {
    option: 'sqlite-filename',
    value: 'NAME',
    help: 'with --sqlitedb: name of the file; default tasks.db',
    parse: parseText,
  }),
  argument('sqlite', 'location', {
    option: 'sqlite-location',
    value: 'DIR',
    help: 'with --sqlitedb: directory of the file; default the profile directory',
    parse: parseText,
  }),
  argument('sqlite', 'table', {
    option: 'sqlite-table',
    value: 'NAME',
    help: 'with --sqlitedb: table of the tasks; default ipython-tasks',
    parse: parseText,
  }),
  argument('sqlite', 'synchronous', {
    option: 'sqlite-synchronous',
    value: 'MODE',
    help: 'with --sqlitedb: normal (default), or full to survive a power failure',
    parse: parseSynchronous,
  }),
  argument('options', 'db', {
    option: 'mongodb',
    help: 'store tasks in MongoDB, as ipyparallel does; requires the npm package mongodb',
    parse: constantOf('mongodb'),
  }),
  argument('mongodb', 'uri', {
    option: 'mongodb-uri',
    value: 'URI',
    help: 'with --mongodb: the server; default $MONGODB_URI or mongodb://127.0.0.1:27017',
    parse: parseMongoUri,
  }),
  argument('mongodb', 'database', {
    option: 'mongodb-database',
    value: 'NAME',
    help: 'with --mongodb: name of the database; default ipython-tasks, empty for a new one per run',
    parse: parseText,
  }),
  argument('mongodb', 'collection', {
    option: 'mongodb-collection',
    value: 'NAME',
    help: 'with --mongodb: name of the collection; default task_records',
    parse: parseText,
  }),
  argument('options', 'db', { option: 'nodb', help: 'store no tasks', parse: constantOf('none') }),
  argument('retention', 'recordLimit', {
    option: 'record-limit',
    value: 'N',
    help: 'maximum number of stored tasks; default 1024 in memory, otherwise unlimited',
    parse: parseNumber,
  }),
  argument('retention', 'sizeLimit', {
    option: 'size-limit',
    value: 'BYTES',
    help: 'maximum size of the stored tasks; default 1 GiB in memory, otherwise unlimited',
    parse: parseNumber,
  }),
  argument('retention', 'maxAge', {
    option: 'max-age',
    value: 'SECONDS',
    help: 'how long tasks are stored after submission; default unlimited',
    parse: parseSeconds,
  }),
  argument('process', 'workDir', {
    option: 'work-dir',
    value: 'DIR',
    help: 'working directory',
    parse: parseText,
  }),
  argument('options', 'logLevel', {
    option: 'log-level',
    value: 'LEVEL',
    help: 'error, warn, info (default), debug, or a number as in Python',
    parse: parseLogLevelName,
  }),
  argument('options', 'logLevel', {
    option: 'debug',
    help: 'same as --log-level=debug',
    parse: constantOf('debug'),
  }),
  argument('process', 'parentPid', {
    option: 'parent-pid',
    value: 'PID',
    help: 'stop when process PID has ended',
    parse: parseNumber,
  }),
];

const ARGUMENTS_BY_NAME: ReadonlyMap<string, Argument> = new Map(ARGUMENTS.map((row) => [row.option, row]));

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

/** Returns an argument by its name or by ipcontroller's long name. */
export function findArgument(name: string): Argument | undefined {
  return ARGUMENTS_BY_NAME.get(TRAITS[name] ?? name);
}
