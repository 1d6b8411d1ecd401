// The only file of this folder that other folders may import: see README.md.

export {
  type UnpackedApply,
  type UnpackedResult,
  type UnpackOptions,
  unpackApplyMessage,
  unpackResult,
} from './apply-message.js';
export type { TypedArray } from './numpy/dtype.js';
export { NdArray, type NdArrayOptions, type NdData } from './numpy/nd-array.js';
export { type FieldData, StructuredArray, type StructuredArrayOptions } from './numpy/structured-array.js';
export { type OpaqueKind, type OpaqueParts, OpaqueValue } from './opaque-value.js';
export { type ColumnData, DataFrame, Index, Series } from './pandas/frames.js';
export type { PickleLimits } from './pickle-limits.js';
export { PyCallable, PyReference, py, ref } from './py.js';
export { type ReadPickleOptions, readPickle } from './read-pickle.js';
export { UnpickleError } from './unpickle-error.js';
export { Complex } from './values/complex.js';
export { Decimal } from './values/decimal.js';
export { Fraction } from './values/fraction.js';
export { PlainDate } from './values/plain-date.js';
export { PlainTime } from './values/plain-time.js';
export { float, PyFloat } from './values/py-float.js';
export { TimeDelta } from './values/time-delta.js';
export { tuple } from './values/tuple.js';
export { Uuid } from './values/uuid.js';
export type { PickleProtocol } from './write/opcode-writer.js';
export { packApplyMessage } from './write/pack-apply-message.js';
export { packObject } from './write/pack-object.js';
export { type WritePickleOptions, writePickle } from './write/write-pickle.js';
