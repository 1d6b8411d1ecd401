import { MemoryDatabase, type MemoryDatabaseOptions } from './memory-database.js';
import { NoDatabase } from './no-database.js';
import type { TaskDatabase } from './task-database.js';

/** Which Task Database a controller keeps. */
export type DatabaseOptions =
  | ({ readonly type: 'memory' } & MemoryDatabaseOptions)
  | { readonly type: 'none' };

/** Opens a store. A store with a driver of its own is to be imported here, on demand. */
export async function openDatabase(options: DatabaseOptions): Promise<TaskDatabase> {
  switch (options.type) {
    case 'memory':
      return new MemoryDatabase(options);
    case 'none':
      return new NoDatabase();
  }
}
