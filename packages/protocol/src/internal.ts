// Used by the other packages of this project only. This entry point carries no promise of stability.

export { BoundedSet } from './common/bounded-set.js';
export { checkOptions, type OptionNames } from './common/check-options.js';
export { describe } from './common/describe.js';
export { getOwn, getOwnString, isDict } from './common/dict.js';
export { didYouMean, nearest } from './common/suggest.js';
export { isBindable } from './javascript/function-source.js';
export {
  type CaptureRef,
  type DecodedCall,
  decodeJsCall,
  decodeJsResult,
  encodeJsCall,
  encodeJsResult,
  isJsContent,
  type JsCall,
  type JsPayload,
  type WireFunction,
} from './javascript/js-call.js';
export { type Recipe, recipeOf, withRecipe } from './javascript/js-function.js';
export { NO_TASK, setCurrentTask } from './javascript/task-context.js';
export { type Codec, decodeMessage, encodeMessage, type OutgoingMessage } from './messages/codec.js';
export { hubError, remoteErrorInfo, type TaskEngine, taskError } from './messages/remote-errors.js';
export { decodeCursor, encodeCursor } from './query/cursor.js';
export {
  type ColumnReader,
  compilePredicate,
  type Predicate,
  recordPredicate,
} from './query/evaluate.js';
export { columnOf, parseKeys } from './query/field.js';
export { globPrefix } from './query/glob.js';
export type { QueryLimits } from './query/limits.js';
export { parseQuery } from './query/parse.js';
export { compileRegex, type Regex, regexPrefix } from './query/regex.js';
export {
  afterQuery,
  compareRecords,
  compareSortKeys,
  DEFAULT_SORT,
  isAfterKeys,
  parseSort,
  type Sort,
  type SortField,
  type SortKeys,
  sortKeyReader,
  sortRecords,
  toWireSort,
} from './query/sort.js';
export {
  allOf,
  type Comparison,
  columnsOf,
  conjunctsOf,
  type ElementNode,
  type Field,
  type QueryNode,
  type TestNode,
  testsOf,
} from './query/tree.js';
export type { DateFormat } from './query/value-reader.js';
export { compareAnyType, compareText, compareValues, equalValues } from './query/values.js';
export { toWireQuery } from './query/wire-query.js';
export { decodeTaskData, encodeTaskData, type PartialResults, partialResults } from './tasks/task-data.js';
export {
  type ColumnKind,
  decodeRecord,
  isKeyAlias,
  isTaskKey,
  KEY_ALIASES,
  type ProjectedKey,
  projectRecord,
  type RecordBuffers,
  recordDecoder,
  TASK_COLUMNS,
  TASK_KEYS,
  type WireRecord,
} from './tasks/task-record.js';
export { outcome, STATUS_KEYS } from './tasks/task-status.js';
