import { UsageError } from '@ipyparallel-js/protocol';

/** MongoDB's official driver. */
export type Driver = typeof import('mongodb');

/** Loads the driver, which is no dependency of ours: who has no MongoDB need not install it. @throws UsageError MISSING_DRIVER */
export async function loadDriver(load: () => Promise<Driver> = () => import('mongodb')): Promise<Driver> {
  try {
    return await load();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new UsageError(
      'a Task Database in MongoDB needs the npm package "mongodb", which is not installed here: npm install mongodb@7',
      { code: 'MISSING_DRIVER', cause: error },
    );
  }
}

/**
 * Errors of a server that is out of reach, restarting, electing or full, or that does not let this user in or write any
 * more (11, 13, 18): the same write may pass later, when somebody has seen to it.
 */
const PASSING_CODES = new Set([
  ...[6, 7, 11, 13, 18, 89, 91, 112, 134, 189, 262, 8000, 9001, 10107, 11600, 11602, 13435, 13436, 14031],
]);

/** What FerretDB hands on of SQLite, in words only: another writer was faster, or the disk takes nothing. */
const PASSING_IN_SQLITE = /\bSQLITE_(BUSY|LOCKED|FULL|IOERR|READONLY|CANTOPEN)/;

/** What a socket that has just been lost says; the driver hands on some of it as it is. */
const SOCKET_CODES = new Set([
  ...['EPIPE', 'ECONNRESET', 'ECONNREFUSED', 'ECONNABORTED', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH'],
  ...[
    'ERR_STREAM_DESTROYED',
    'ERR_STREAM_WRITE_AFTER_END',
    'ERR_STREAM_PREMATURE_CLOSE',
    'ERR_SOCKET_CLOSED',
  ],
]);

/** Whether an error says that the server cannot do anything now, rather than that it cannot do this. */
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
    (typeof error.code === 'number' && PASSING_CODES.has(error.code)) ||
    (error.code === 1 && PASSING_IN_SQLITE.test(error.message))
  );
}
