import { UsageError } from '@ipyparallel-js/protocol';

/** The methods of the driver's prepared statement that this store uses. One list of values is faster than separate values. */
export interface Statement {
  run(...values: readonly unknown[]): { readonly changes: number };
  all(...values: readonly unknown[]): unknown[];
  /** Returns the first row and ends the statement. */
  get(...values: readonly unknown[]): unknown;
  /** Returns rows as lists. */
  raw(): Statement;
  /** Returns the first column of each row. */
  pluck(): Statement;
}

/** A connection to a file. Every call blocks the thread. */
export interface Connection {
  prepare(sql: string): Statement;
  exec(sql: string): unknown;
  close(): void;
}

/** Opens a file. `timeout` is the time for which a call waits for a lock, in ms. */
export type OpenConnection = (file: string, options: { readonly timeout: number }) => Connection;

type Driver = new (file: string, options: { timeout: number }) => Connection;

// Typed as string so that compilers and bundlers do not resolve it: the driver is an optional dependency.
const DRIVER: string = 'libsql';

/**
 * Loads the driver.
 * @throws {UsageError} when the driver is not installed
 */
export async function loadDriver(): Promise<OpenConnection> {
  let loaded: { readonly default: Driver };
  try {
    loaded = (await import(DRIVER)) as { readonly default: Driver };
  } catch (cause) {
    throw new UsageError(
      `the SQLite Task Database needs the npm package "${DRIVER}", which could not be loaded: npm install ${DRIVER}`,
      { cause },
    );
  }
  const Database = loaded.default;
  return (file, options) => new Database(file, options);
}

/** Returns the SQLite result code of a driver error (`SQLITE_BUSY`, `SQLITE_FULL`), or undefined for other errors. */
export function sqliteCode(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code } = error as { readonly code?: unknown };
  return typeof code === 'string' && code.startsWith('SQLITE_') ? code : undefined;
}
