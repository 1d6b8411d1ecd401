import { UsageError } from '@ipyparallel-js/protocol';

/** Server and limits of the MongoDB store. */
export interface MongoDatabaseOptions {
  /** Connection string of the server; by default `MONGODB_URI`, else `mongodb://127.0.0.1:27017`. */
  readonly uri?: string;
  /** Name of the database; `ipython-tasks` by default, as in a Python hub. If empty, this controller's session id. */
  readonly database?: string;
  /** Name of the collection; `task_records` by default, as in a Python hub. */
  readonly collection?: string;
  /** Time for which the start and each request wait for the server, in ms; 5000 by default. */
  readonly timeout?: number;
  /** Maximum number of records; unlimited by default. The oldest are removed first, pending tasks never. */
  readonly recordLimit?: number;
  /** Maximum size of the records in bytes, estimated; unlimited by default. */
  readonly sizeLimit?: number;
  /** Time after its submission at which a task is removed, in ms; unlimited by default. */
  readonly maxAge?: number;
  /** Fraction of a limit that is freed when the limit is exceeded; 0.1 by default. */
  readonly cullFraction?: number;
}

/** The options with all defaults. */
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

/**
 * Validates the options and adds the defaults. `session` names the database if the `database` option is empty.
 * @throws {UsageError} when an option is not valid
 */
export function resolveMongoOptions(options: MongoDatabaseOptions, session: string): ResolvedMongoOptions {
  const uri = options.uri ?? 'mongodb://127.0.0.1:27017';
  if (!/^mongodb(\+srv)?:\/\//.test(uri)) {
    throw new UsageError(
      `a MongoDB URI must begin with mongodb:// or mongodb+srv://, got ${withoutPassword(uri)}`,
    );
  }
  const checkPositive = (name: string, value: number): number => {
    if (!(value > 0)) throw new UsageError(`${name} must be a number > 0, got ${value}`);
    return value;
  };
  return {
    uri,
    database: (options.database ?? 'ipython-tasks') || session,
    collection: options.collection || 'task_records',
    timeout: Math.min(checkPositive('timeout', options.timeout ?? 5000), 2 ** 31 - 1),
    recordLimit: checkPositive('recordLimit', options.recordLimit ?? Number.POSITIVE_INFINITY),
    sizeLimit: checkPositive('sizeLimit', options.sizeLimit ?? Number.POSITIVE_INFINITY),
    maxAge: checkPositive('maxAge', options.maxAge ?? Number.POSITIVE_INFINITY),
    cullFraction: options.cullFraction ?? 0.1,
  };
}

/** Replaces user and password in a URI, so that it can be logged. */
export function withoutPassword(uri: string): string {
  return uri.replace(/^([^/]*\/\/)?.*@/s, '$1***@');
}
