// What the other packages of this project need and users do not. No promise of stability.

export { BoundedSet } from './bounded-set.js';
export { checkOptions, type OptionNames } from './check-options.js';
export { type Codec, decodeMessage, encodeMessage, type OutgoingMessage } from './codec.js';
export { isDict, own, ownString } from './dict.js';
export { isBindable } from './function-source.js';
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
} from './js-call.js';
export { type Recipe, recipeOf, withRecipe } from './js-function.js';
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
  afterKeys,
  afterQuery,
  compareRecords,
  compareSortKeys,
  DEFAULT_SORT,
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
  type SplitQuery,
  splitQuery,
  type TestNode,
  testsOf,
} from './query/tree.js';
export type { DateForm } from './query/value-reader.js';
export { compareAnyType, compareText, compareValues, equalValues } from './query/values.js';
export { toWireQuery } from './query/wire.js';
export { hubError, remoteErrorInfo, type TaskPlace, taskError } from './remote-errors.js';
export { didYouMean, nearest } from './suggest.js';
export { NO_TASK, setCurrentTask } from './task-context.js';
export { decodeTaskData, encodeTaskData, type PartialResults, partialResults } from './task-data.js';
export {
  type ColumnKind,
  decodeRecord,
  isKeyAlias,
  isTaskKey,
  KEY_ALIASES,
  type ProjectedKey,
  projectRecord,
  type RecordBuffers,
  recordTaker,
  TASK_COLUMNS,
  TASK_KEYS,
  type WireRecord,
} from './task-record.js';
export { outcome, STATUS_KEYS } from './task-status.js';
