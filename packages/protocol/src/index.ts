export { formatWireDate, parseWireDate, type WireDate } from './common/dates.js';
export type { Dict } from './common/dict.js';
export {
  AuthenticationError,
  CompositeError,
  ConnectionClosedError,
  ConnectionFileError,
  EngineError,
  HubError,
  InvalidQueryError,
  IpyparallelError,
  LanguageMismatchError,
  MalformedMessageError,
  NoDatabaseError,
  ProtocolError,
  RemoteError,
  type RemoteErrorInfo,
  ReplayError,
  SignatureError,
  TaskAbortedError,
  type TaskFailure,
  TaskLostError,
  TaskNotFoundError,
  TaskPendingError,
  TimeoutError,
  TransportError,
  UnsupportedPackerError,
  UsageError,
} from './common/errors.js';
export { type AnyFunction, capture, type TaskResult } from './javascript/js-function.js';
export { type EngineGlobal, type TaskContext, type TaskProgress, task } from './javascript/task-context.js';
export { DELIMITER, type SplitFrames, splitFrames } from './messages/codec.js';
export {
  type ClientChannel,
  type ClientConnectionInfo,
  channelAddress,
  type EngineConnectionInfo,
  parseConnectionFile,
  validateClientConnectionInfo,
  validateEngineConnectionInfo,
} from './messages/connection-info.js';
export {
  type AnyMessage,
  type ErrorContent,
  type Header,
  type HubInfo,
  isKnownMessage,
  isMessageOf,
  type Message,
  type MessageContents,
  type MessageOf,
  type MsgType,
  parentId,
  type QueueStatusContent,
  type ReplyContent,
  type SubscriptionChange,
} from './messages/messages.js';
export { type Packer, packerFor } from './messages/packers.js';
export { ReplayHistory } from './messages/replay-history.js';
export {
  type MessageParts,
  type NewMessage,
  newId,
  PROTOCOL_VERSION,
  Session,
  type SessionOptions,
} from './messages/session.js';
export { createSigner, type Signer } from './messages/signing.js';
export {
  type UnpackedApply,
  type UnpackedResult,
  type UnpackOptions,
  unpackApplyMessage,
  unpackResult,
} from './pickle/apply-message.js';
export type { TypedArray } from './pickle/numpy/dtype.js';
export { NdArray, type NdArrayOptions, type NdData } from './pickle/numpy/nd-array.js';
export {
  type FieldData,
  StructuredArray,
  type StructuredArrayOptions,
} from './pickle/numpy/structured-array.js';
export { type OpaqueKind, type OpaqueParts, OpaqueValue } from './pickle/opaque-value.js';
export { type ColumnData, DataFrame, Index, Series } from './pickle/pandas/frames.js';
export type { PickleLimits } from './pickle/pickle-limits.js';
export { PyCallable, PyReference, py, ref } from './pickle/py.js';
export { type ReadPickleOptions, readPickle } from './pickle/read-pickle.js';
export { UnpickleError } from './pickle/unpickle-error.js';
export { Complex } from './pickle/values/complex.js';
export { Decimal } from './pickle/values/decimal.js';
export { Fraction } from './pickle/values/fraction.js';
export { PlainDate } from './pickle/values/plain-date.js';
export { PlainTime } from './pickle/values/plain-time.js';
export { float, PyFloat } from './pickle/values/py-float.js';
export { TimeDelta } from './pickle/values/time-delta.js';
export { tuple } from './pickle/values/tuple.js';
export { Uuid } from './pickle/values/uuid.js';
export { packApplyMessage } from './pickle/write/pack-apply-message.js';
export { packObject } from './pickle/write/pack-object.js';
export { type WritePickleOptions, writePickle } from './pickle/write/write-pickle.js';
export type { PickleProtocol } from './pickle/write/writer.js';
export type {
  ColumnOperators,
  DictKey,
  ElementQuery,
  FullRecord,
  Operators,
  PathOperators,
  PatternOperators,
  Projected,
  ProjectionKey,
  QueryDict,
  QueryValue,
  SortKey,
  TaskQuery,
  TaskSort,
  TextOperators,
  TypeName,
} from './query/types.js';
export {
  type DateKey,
  exactTime,
  type KeyAlias,
  type TaskKey,
  type TaskRecord,
} from './tasks/task-record.js';
export { isDone, TASK_STATUSES, type TaskStatus, taskStatus } from './tasks/task-status.js';
