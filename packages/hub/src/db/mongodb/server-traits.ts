import type { Db } from 'mongodb';

/** What a server can be trusted with. */
export interface ServerTraits {
  /** For logs: `MongoDB 8.0.4`. */
  readonly name: string;
  /** Whether whole queries are answered with MongoDB's meaning. */
  readonly fullQueries: boolean;
  /** How many values of a list are worth being sent: beyond, it is quicker to look at every record here. */
  readonly listLength: number;
  /** How many updates one command may have. */
  readonly updatesAtOnce: number;
  /**
   * How long changes that nobody asks about are gathered, in ms: whatever happens to a task meanwhile is one write.
   * 0 where updates are cheap.
   */
  readonly gatherFor: number;
  /** Whether documents may have keys with dots and dollars inside. */
  readonly anyKeys: boolean;
  /** Whether lists may hold lists. */
  readonly nestedLists: boolean;
}

/** Asks a server what it is. FerretDB 1 speaks MongoDB's protocol over SQLite or PostgreSQL and departs from its meaning. */
export async function readServerTraits(db: Db): Promise<ServerTraits> {
  const info: Record<string, unknown> = await db.command({ buildInfo: 1 });
  const ferret: unknown =
    info['ferretdbVersion'] ?? (info['ferretdb'] as Record<string, unknown>)?.['version'];
  if (ferret !== undefined) {
    return {
      name: `FerretDB ${String(ferret)}`,
      fullQueries: false,
      // It walks the whole list for each record.
      listLength: 50,
      // Until a command ends it keeps a connection to SQLite for each update in it, and it has a hundred: a command with
      // that many updates waits for itself for ever.
      updatesAtOnce: 40,
      // Over SQLite it reads the whole table for each update (its index on `_id` is of another expression than its
      // question), but not for an insertion.
      gatherFor: 200,
      anyKeys: false,
      nestedLists: false,
    };
  }
  const version = String(info['version'] ?? '');
  return {
    name: `MongoDB ${version}`,
    fullQueries: true,
    listLength: Number.POSITIVE_INFINITY,
    updatesAtOnce: 1000,
    gatherFor: 0,
    anyKeys: Number.parseInt(version, 10) >= 5,
    nestedLists: true,
  };
}
