import { UsageError } from '@ipyparallel-js/protocol';

/** Where tasks are kept in MongoDB, and how many. */
export interface MongoDatabaseOptions {
  /** The server, as the driver takes it; `MONGODB_URI`, else `mongodb://127.0.0.1:27017`. */
  readonly uri?: string;
  /** `ipython-tasks`, as a Python hub has it. Empty for a database named after this controller's session. */
  readonly database?: string;
  /** `task_records`, as a Python hub has it. */
  readonly collection?: string;
  /** How long the start and each question wait for a server that does not answer, in ms; 5000. */
  readonly timeout?: number;
  /** Records kept; any number by default. The oldest go first, none whose result is still waited for. */
  readonly recordLimit?: number;
  /** Bytes kept, by estimate; any number by default. */
  readonly sizeLimit?: number;
  /** How long after its submission a task is kept, in ms; for ever by default. */
  readonly maxAge?: number;
  /** How much of a limit is freed when it is exceeded; 0.1 by default. */
  readonly cullFraction?: number;
}

/** Options with every default in place. */
export interface ResolvedMongoOptions {
  readonly uri: string;
  readonly database: string;
  readonly collection: string;
  readonly timeout: number;
  readonly recordLimit: number;
  readonly sizeLimit: number;
  readonly maxAge: number;
  readonly cullFraction: number;
}

/** Puts the defaults in place. `session` names the database when no name is wanted. @throws UsageError */
export function resolveMongoOptions(options: MongoDatabaseOptions, session: string): ResolvedMongoOptions {
  const uri = options.uri ?? 'mongodb://127.0.0.1:27017';
  if (!/^mongodb(\+srv)?:\/\//.test(uri)) {
    throw new UsageError(`a MongoDB URI begins with mongodb:// or mongodb+srv://: ${withoutPassword(uri)}`);
  }
  const positive = (name: string, value: number): number => {
    if (!(value > 0)) throw new UsageError(`${name} must be a number above 0, not ${value}`);
    return value;
  };
  return {
    uri,
    database: (options.database ?? 'ipython-tasks') || session,
    collection: options.collection || 'task_records',
    timeout: Math.min(positive('timeout', options.timeout ?? 5000), 2 ** 31 - 1),
    recordLimit: positive('recordLimit', options.recordLimit ?? Number.POSITIVE_INFINITY),
    sizeLimit: positive('sizeLimit', options.sizeLimit ?? Number.POSITIVE_INFINITY),
    maxAge: positive('maxAge', options.maxAge ?? Number.POSITIVE_INFINITY),
    cullFraction: options.cullFraction ?? 0.1,
  };
}

/** A URI as it may be logged. */
export function withoutPassword(uri: string): string {
  return uri.replace(/^([^/]*\/\/)?.*@/s, '$1***@');
}
