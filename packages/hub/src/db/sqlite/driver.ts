import { UsageError } from '@ipyparallel-js/protocol';

/** A prepared statement, as far as it is used here. Values come one by one or, which is quicker, as one list. */
export interface Statement {
  run(...values: readonly unknown[]): { readonly changes: number };
  all(...values: readonly unknown[]): unknown[];
  /** The first row; the statement is over then. */
  get(...values: readonly unknown[]): unknown;
  /** Rows as lists. */
  raw(): Statement;
  /** Rows as their first column. */
  pluck(): Statement;
}

/** One connection to a file; every call blocks its thread. */
export interface Connection {
  prepare(sql: string): Statement;
  exec(sql: string): unknown;
  close(): void;
}

/** Opens a file. `timeout` is how long a call waits for a lock, in ms. */
export type OpenConnection = (file: string, options: { readonly timeout: number }) => Connection;

type Driver = new (file: string, options: { timeout: number }) => Connection;

// A name that no compiler and no bundler looks for: the driver is there only where somebody installed it.
const DRIVER: string = 'libsql';

/** Loads the driver. @throws UsageError saying what to install when it is not there */
export async function loadDriver(): Promise<OpenConnection> {
  let loaded: { readonly default: Driver };
  try {
    loaded = (await import(DRIVER)) as { readonly default: Driver };
  } catch (cause) {
    throw new UsageError(
      `a Task Database in SQLite needs the package "${DRIVER}", which could not be loaded; npm install ${DRIVER}`,
      { cause },
    );
  }
  const Database = loaded.default;
  return (file, options) => new Database(file, options);
}

/** The result code of SQLite in an error of the driver: `SQLITE_BUSY`, `SQLITE_FULL`; undefined for other errors. */
export function sqliteCode(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code } = error as { readonly code?: unknown };
  return typeof code === 'string' && code.startsWith('SQLITE_') ? code : undefined;
}
