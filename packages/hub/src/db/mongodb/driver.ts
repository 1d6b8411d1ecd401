import { UsageError } from '@ipyparallel-js/protocol';

/** The module of MongoDB's official driver. */
export type Driver = typeof import('mongodb');

/**
 * Loads the driver, an optional peer dependency.
 * @throws {UsageError} MISSING_DRIVER when it is not installed
 */
export async function loadDriver(load: () => Promise<Driver> = () => import('mongodb')): Promise<Driver> {
  try {
    return await load();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new UsageError(
      'the MongoDB Task Database needs the npm package "mongodb", which is not installed: npm install mongodb@7',
      { code: 'MISSING_DRIVER', cause: error },
    );
  }
}

/**
 * Codes of temporary errors: the server is unreachable, restarting, electing or full, or denies access to this user (11,
 * 13, 18), which an administrator may restore. The same write may succeed later.
 */
const TEMPORARY_CODES = new Set([
  ...[6, 7, 11, 13, 18, 89, 91, 112, 134, 189, 262, 8000, 9001, 10107, 11600, 11602, 13435, 13436, 14031],
]);

/** Temporary SQLite errors, which FerretDB reports in the message only. */
const TEMPORARY_SQLITE_ERROR = /\bSQLITE_(BUSY|LOCKED|FULL|IOERR|READONLY|CANTOPEN)/;

/** Codes of a lost socket. The driver does not wrap all of these errors. */
const SOCKET_CODES = new Set([
  ...['EPIPE', 'ECONNRESET', 'ECONNREFUSED', 'ECONNABORTED', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH'],
  ...[
    'ERR_STREAM_DESTROYED',
    'ERR_STREAM_WRITE_AFTER_END',
    'ERR_STREAM_PREMATURE_CLOSE',
    'ERR_SOCKET_CLOSED',
  ],
]);

/** Whether an error means that the server is unavailable, not that it refuses this operation. */
export function isOutage(driver: Driver, error: unknown): boolean {
  if (!(error instanceof driver.MongoError)) {
    const code: unknown = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
    return typeof code === 'string' && SOCKET_CODES.has(code);
  }
  if (
    error instanceof driver.MongoNetworkError ||
    error instanceof driver.MongoServerSelectionError ||
    error instanceof driver.MongoNotConnectedError ||
    error instanceof driver.MongoTopologyClosedError ||
    error instanceof driver.MongoOperationTimeoutError
  )
    return true;
  return (
    error.hasErrorLabel('RetryableWriteError') ||
    error.hasErrorLabel('PoolRequestedRetry') ||
    (typeof error.code === 'number' && TEMPORARY_CODES.has(error.code)) ||
    (error.code === 1 && TEMPORARY_SQLITE_ERROR.test(error.message))
  );
}
