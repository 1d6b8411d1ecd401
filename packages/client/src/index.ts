// Re-exports the errors, the types of records and queries, and the classes of values that programs need.
export {
  type AnyFunction,
  AuthenticationError,
  type ColumnData,
  Complex,
  CompositeError,
  ConnectionClosedError,
  ConnectionFileError,
  capture,
  DataFrame,
  Decimal,
  EngineError,
  exactTime,
  type FieldData,
  Fraction,
  type FullRecord,
  float,
  HubError,
  Index,
  InvalidQueryError,
  IpyparallelError,
  isDone,
  LanguageMismatchError,
  NdArray,
  type NdArrayOptions,
  type NdData,
  NoDatabaseError,
  OpaqueValue,
  type PickleLimits,
  PlainDate,
  PlainTime,
  type Projected,
  type ProjectionKey,
  ProtocolError,
  PyCallable,
  PyFloat,
  PyReference,
  py,
  RemoteError,
  ref,
  Series,
  type SortKey,
  StructuredArray,
  type StructuredArrayOptions,
  TaskAbortedError,
  type TaskContext,
  type TaskFailure,
  TaskLostError,
  TaskNotFoundError,
  TaskPendingError,
  type TaskProgress,
  type TaskQuery,
  type TaskRecord,
  type TaskSort,
  type TaskStatus,
  TimeDelta,
  TimeoutError,
  TransportError,
  type TypedArray,
  task,
  tuple,
  UnpickleError,
  UsageError,
  Uuid,
} from '@ipyparallel-js/protocol';
export type { WaitOptions } from '@ipyparallel-js/wire';
export { Client } from './client.js';
export type { ConnectionOptions } from './connection/connection.js';
export type { ConnectionStatus } from './connection/connection-state.js';
export type { TrafficStats } from './connection/traffic-stats.js';
export type { CommandOptions, ShutdownOptions } from './engines/engine-commands.js';
export type { EngineLanguage } from './engines/engine-languages.js';
export type { EngineInfo } from './engines/engine-registry.js';
export type { Targets } from './engines/targets.js';
export type { PlannedRequest, QueryPlan } from './hub/explain.js';
export type { EngineQueueStatus, PurgeReport, QueueStatus, ResultStatus } from './hub/hub-operations.js';
export type { ClientOptions, ConnectOptions } from './link/connect-options.js';
export type { EnginesOptions, WaitForEnginesOptions } from './link/engine-progress.js';
export type { ClientStats } from './link/stats.js';
export { groupByStatus, progress, records, untilDone } from './live/operators.js';
export { Watch } from './live/watch.js';
export type {
  ChangedEvent,
  ChangeEvent,
  EnteredEvent,
  LeftEvent,
  SnapshotEvent,
  WatchEvent,
  WatchOptions,
  WatchSequence,
} from './live/watch-event.js';
export { DbQuery } from './query/db-query.js';
export type { DbQueryOptions, PurgeOptions, RangeOptions, ResubmitOptions } from './query/query-options.js';
export { AsyncMapResult } from './results/async-map-result.js';
export {
  AsyncResult,
  type ElementOf,
  type GetOptions,
  type InteractiveOptions,
  type ReturnWhen,
  type WaitInteractiveOptions,
} from './results/async-result.js';
export type { DisplayOptions, DisplayOutputsOptions } from './results/display-outputs.js';
export type { ResultHandle } from './results/handle.js';
export type { Settled } from './results/iteration.js';
export type { Job, Jobs } from './results/jobs.js';
export type { PartialResult } from './results/partials.js';
export type { ProgressBarOptions } from './results/progress-bar.js';
export type { Reassembly } from './results/reassembly.js';
export type { OutputOptions, OutputStream, StreamOutputOptions } from './results/stream-output.js';
export type { Moments, TimedeltaOptions, TimeKey } from './results/timing.js';
export type { Progress } from './tasks/progress.js';
export type { ResultCacheLimits } from './tasks/result-cache.js';
export type { OutputOfTask, TaskMetadata, TaskOutput } from './tasks/task-metadata.js';
export type { ExecuteReply } from './tasks/task-outcome.js';
export { BroadcastView } from './views/broadcast-view.js';
export {
  Dependency,
  type DependencyLike,
  type DependencyOptions,
  dependency,
  type TaskNames,
} from './views/dependency.js';
export {
  DirectView,
  type Gathered,
  type ItemOf,
  type Namespace,
  type ScatterOptions,
} from './views/direct-view.js';
export { fromModule } from './views/from-module.js';
export { depend, requireModules } from './views/functional-dependency.js';
export { type ImapOptions, LazyMap, type LazyMapOptions } from './views/lazy-map.js';
export { LoadBalancedView } from './views/load-balanced-view.js';
export type { MapArguments, MapOptions, OneResult } from './views/map-arguments.js';
export type { Distribution } from './views/partition.js';
export type { ParallelFunction, ParallelOptions, RemoteFunction } from './views/remote-function.js';
export { type PerTargetStatus, View, ViewExecutor, type ViewJobs } from './views/view.js';
export type { ExecuteOptions } from './views/view-calls.js';
export type { BalancedFlags, BroadcastFlags, DirectFlags, ViewFlags } from './views/view-flags.js';
export type { PerTarget } from './views/view-result.js';
export { type Callable, type JsFunction, Kwargs, kwargs } from './views/work.js';
