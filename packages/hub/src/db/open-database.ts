import type { Logger } from '@ipyparallel-js/wire';
import { MemoryDatabase, type MemoryDatabaseOptions } from './memory-database.js';
import type { MongoDatabaseOptions } from './mongodb/mongo-options.js';
import { NoDatabase } from './no-database.js';
import type { SqliteDatabaseOptions } from './sqlite/sqlite-database.js';
import type { TaskDatabase } from './task-database.js';

/** Selects and configures the Task Database of a controller. */
export type DatabaseOptions =
  | ({ readonly type: 'memory' } & MemoryDatabaseOptions)
  | ({ readonly type: 'sqlite' } & SqliteDatabaseOptions)
  | ({ readonly type: 'mongodb' } & MongoDatabaseOptions)
  | { readonly type: 'none' };

export interface DatabaseContext {
  readonly log: Logger;
  /** The session id of the hub. */
  readonly session: string;
}

/** Opens a store. A store that needs a driver is imported only when it is selected. */
export async function openDatabase(
  options: DatabaseOptions,
  context: DatabaseContext,
): Promise<TaskDatabase> {
  switch (options.type) {
    case 'memory':
      return new MemoryDatabase(options);
    case 'sqlite': {
      const { SqliteDatabase } = await import('./sqlite/sqlite-database.js');
      return SqliteDatabase.open(options, context.log);
    }
    case 'mongodb': {
      const { MongoDatabase } = await import('./mongodb/mongo-database.js');
      return MongoDatabase.open(options, context);
    }
    case 'none':
      return new NoDatabase();
  }
}
