// For the other packages and the tests of this project only; not part of the public API.
export { type Clock, systemClock } from './common/clock.js';
export { RateLimit } from './common/rate-limit.js';
export { VERSION } from './common/version.js';
export { MemoryDatabase } from './db/memory-database.js';
export { compileQuery } from './db/mongodb/compile-query.js';
export { type Driver, loadDriver } from './db/mongodb/driver.js';
export { type MongoContext, MongoDatabase } from './db/mongodb/mongo-database.js';
export { withoutPassword } from './db/mongodb/mongo-options.js';
export { isPlainRegex, regexOfGlob } from './db/mongodb/patterns.js';
export { WriteQueue } from './db/mongodb/write-queue.js';
export { NoDatabase } from './db/no-database.js';
export { type DatabaseOptions, openDatabase } from './db/open-database.js';
export { decodeBuffers, encodeBuffers } from './db/sqlite/buffer-list.js';
export { mergeChanges } from './db/sqlite/merge-changes.js';
export { SqliteDatabase } from './db/sqlite/sqlite-database.js';
export {
  emptyTask,
  type FindOptions,
  type FoundTask,
  type RemovalResult,
  type StoredTask,
  type TaskChange,
  type TaskDatabase,
  type TaskFields,
  type WriteOutcome,
} from './db/task-database.js';
export { Hub, type HubOptions } from './hub/hub.js';
export { ChangeLog } from './hub/subscriptions/change-log.js';
export type { SubscriptionLimits } from './hub/subscriptions/subscriptions.js';
export { QuerySocket } from './hub/thread/query-socket.js';
export { type CommandLine, parseCommandLine, usage } from './options/command-line.js';
export { type ResolvedControllerOptions, resolveControllerOptions } from './options/controller-options.js';
export { packBatch, unpackBatch } from './thread-link/frame-batch.js';
export { LinkCounts } from './thread-link/link-counts.js';
export type { Monitor, Schedulers } from './thread-link/schedulers.js';
export { BroadcastScheduler } from './traffic/broadcast-scheduler.js';
export { HeartMonitor } from './traffic/heart-monitor.js';
export { Dependency, parseDependency } from './traffic/tasks/dependency.js';
export { SCHEMES, type Scheme } from './traffic/tasks/schemes.js';
export { TaskScheduler, type TaskSchedulerOptions } from './traffic/tasks/task-scheduler.js';
