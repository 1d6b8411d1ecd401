import type { Db } from 'mongodb';

/** Capabilities and limits of a server. */
export interface ServerTraits {
  /** Product and version for logs: `MongoDB 8.0.4`. */
  readonly name: string;
  /** Whether the server evaluates all operators as MongoDB's documentation defines them. */
  readonly supportsFullQueries: boolean;
  /** Maximum length of a list in a filter. For longer lists it is faster to read and test every record. */
  readonly maxListLength: number;
  /** Maximum number of updates in one command. */
  readonly maxUpdates: number;
  /**
   * Delay before queued changes are written, in ms, so that all changes of a task in this time become one write. A read
   * writes the queued changes at once. 0 if updates are cheap.
   */
  readonly batchDelay: number;
  /** Whether keys in documents may contain dots and dollars. */
  readonly supportsAnyKey: boolean;
  /** Whether lists may contain lists. */
  readonly supportsNestedLists: boolean;
}

/**
 * Reads product and version of a server. FerretDB 1 implements MongoDB's protocol over SQLite or PostgreSQL, but evaluates
 * some operators differently.
 */
export async function readServerTraits(db: Db): Promise<ServerTraits> {
  const info: Record<string, unknown> = await db.command({ buildInfo: 1 });
  const ferretVersion: unknown =
    info['ferretdbVersion'] ?? (info['ferretdb'] as Record<string, unknown>)?.['version'];
  if (ferretVersion !== undefined) {
    return {
      name: `FerretDB ${String(ferretVersion)}`,
      supportsFullQueries: false,
      // FerretDB scans the complete list for each record.
      maxListLength: 50,
      // FerretDB holds one of its 100 SQLite connections for each update until the command ends. A command with 100 updates
      // deadlocks.
      maxUpdates: 40,
      // Over SQLite, FerretDB reads the complete table for each update, because its index on `_id` uses another expression
      // than its query. Insertions do not need that.
      batchDelay: 200,
      supportsAnyKey: false,
      supportsNestedLists: false,
    };
  }
  const version = String(info['version'] ?? '');
  return {
    name: `MongoDB ${version}`,
    supportsFullQueries: true,
    maxListLength: Number.POSITIVE_INFINITY,
    maxUpdates: 1000,
    batchDelay: 0,
    supportsAnyKey: Number.parseInt(version, 10) >= 5,
    supportsNestedLists: true,
  };
}
