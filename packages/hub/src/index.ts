export type { LogLevel, LogSink } from '@ipyparallel-js/wire';
export { Controller } from './controller.js';
export type { MemoryDatabaseOptions } from './db/memory-database.js';
export type { MongoDatabaseOptions } from './db/mongodb/mongo-options.js';
export type { SqliteDatabaseOptions } from './db/sqlite/sqlite-database.js';
export type { ControllerOptions, CurveKeys, LiveQueryOptions } from './options/controller-options.js';
export type { TaskScheme } from './traffic/tasks/schemes.js';
