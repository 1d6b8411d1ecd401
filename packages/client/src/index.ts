// What a program needs beside the client: errors to catch, records and queries to type, values to recognise.
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
export type { ClientOptions } from './client-options.js';
export type { ConnectionOptions } from './connect/connection.js';
export type { EnginesOptions } from './engine-progress.js';
export type { EngineInfo } from './engine-registry.js';
export { fromModule } from './from-module.js';
export type { EngineQueueStatus, QueueStatus, ResultStatus } from './hub-operations.js';
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
export type { DbQueryOptions, RangeOptions } from './query/query-options.js';
export type { PlannedRequest, QueryPlan } from './query/query-plan.js';
export type { PurgeOptions, PurgeReport, ResubmitOptions } from './query/selections.js';
export type { ConnectionStatus } from './reconnect/connection-state.js';
export { AsyncMapResult } from './results/async-map-result.js';
export {
  AsyncResult,
  type ElementOf,
  type GetOptions,
  type InteractiveOptions,
  type ReturnWhen,
} from './results/async-result.js';
export type { DisplayOptions } from './results/display-outputs.js';
export type { ResultHandle } from './results/handle.js';
export type { Settled } from './results/iteration.js';
export type { Job, Jobs } from './results/jobs.js';
export type { PartialResult } from './results/partials.js';
export type { Progress } from './results/progress.js';
export type { ProgressBarOptions } from './results/progress-bar.js';
export type { Reassembly } from './results/reassembly.js';
export type { ResultCacheLimits } from './results/result-cache.js';
export type { OutputOptions, OutputStream } from './results/stream-output.js';
export type { OutputOfTask } from './results/task-group.js';
export type { TaskMetadata, TaskOutput } from './results/task-metadata.js';
export type { ExecuteReply } from './results/task-results.js';
export type { Moments, TimedeltaOptions, TimeKey } from './results/timing.js';
export type { ClientStats, TrafficStats } from './stats.js';
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
export type { CommandOptions, ShutdownOptions } from './views/engine-commands.js';
export type { EngineLanguage } from './views/engine-languages.js';
export { ViewExecutor } from './views/executor.js';
export { depend, requireModules } from './views/functional-dependency.js';
export { LazyMap, type LazyMapOptions } from './views/lazy-map.js';
export { LoadBalancedView } from './views/load-balanced-view.js';
export type { MapArguments, MapOptions, OneResult } from './views/map-arguments.js';
export type { Distribution } from './views/partition.js';
export type { ParallelFunction, ParallelOptions, RemoteFunction } from './views/remote-function.js';
export type { PerTarget, Targets } from './views/targets.js';
export { type PerTargetStatus, View, type ViewJobs } from './views/view.js';
export type { ExecuteOptions } from './views/view-calls.js';
export type { BalancedFlags, BroadcastFlags, DirectFlags, ViewFlags } from './views/view-flags.js';
export { type Callable, type JsFunction, Kwargs, kwargs } from './work.js';
