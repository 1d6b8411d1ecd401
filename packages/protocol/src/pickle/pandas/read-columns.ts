import { getOwn, isDict } from '../../common/dict.js';
import { NdArray, type NdData, perElement, requireDtype } from '../numpy/nd-array.js';
import { OpaqueValue } from '../opaque-value.js';
import { type Budget, MEMORY_COSTS } from '../pickle-limits.js';
import { type ColumnData, Index } from './frames.js';

// pandas stores columns in numpy arrays, or in its own array classes on top of numpy arrays.

/** Maximum length of the pickled state of a pandas array: its type, values and attributes. */
const MAX_PARTS = 4;

/** The rows of a block, each of which is the values of one column; undefined if they are not supported. */
export function readRows(values: unknown, budget: Budget): ColumnData[] | undefined {
  if (values instanceof NdArray)
    return values.shape.length === 2 ? rowsOf(values, budget) : singleRow(values);
  if (!(values instanceof OpaqueValue)) return values instanceof Index ? [values.data] : undefined;
  const backed = readBacked(values, budget) ?? readMasked(values, budget);
  if (backed === undefined || !(backed instanceof NdArray))
    return backed === undefined ? undefined : [backed];
  return backed.shape.length === 2 ? rowsOf(backed, budget) : singleRow(backed);
}

function singleRow(values: NdArray): ColumnData[] | undefined {
  return values.shape.length === 1 ? [toColumn(values)] : undefined;
}

/** Converts an array of objects to a plain array; keeps any other NdArray. */
function toColumn(values: NdArray): ColumnData {
  return values.dtype === 'object' ? (values.data as readonly unknown[]) : values;
}

/** The rows of an array with two axes, without a copy if each row is contiguous. */
function rowsOf(values: NdArray, budget: Budget): ColumnData[] {
  const [count = 0, length = 0] = values.shape;
  const width = perElement(requireDtype(values.dtype));
  budget.spend(4 * MEMORY_COSTS.container * count);
  return Array.from({ length: count }, (_, row) => {
    const data =
      values.fortranOrder && count > 1
        ? copyRow(values, row, budget)
        : sliceOf(values.data, row * length * width, length * width, budget);
    return toColumn(new NdArray(data, { dtype: values.dtype, shape: [length] }));
  });
}

function sliceOf(data: NdData, start: number, length: number, budget: Budget): NdData {
  if (ArrayBuffer.isView(data)) return data.subarray(start, start + length);
  budget.spend(MEMORY_COSTS.element * length);
  return data.slice(start, start + length);
}

/** Copies a row of an array in Fortran order. */
function copyRow(values: NdArray, row: number, budget: Budget): NdData {
  const [count = 0, length = 0] = values.shape;
  const width = perElement(requireDtype(values.dtype));
  budget.spend(MEMORY_COSTS.element * width * length);
  const position = (i: number): number => (Math.floor(i / width) * count + row) * width + (i % width);
  const { data } = values;
  if (!ArrayBuffer.isView(data)) return Array.from({ length }, (_, i) => data[position(i)]);
  const copy = data.slice(0, length * width);
  for (let i = 0; i < copy.length; i += 1) copy[i] = data[position(i)] as never;
  return copy;
}

/** Reads dates, durations, categories and strings: a numpy array with a type that defines its meaning. */
function readBacked(value: OpaqueValue, budget: Budget): ColumnData | undefined {
  if (value.callee?.qualname !== '__pyx_unpickle_NDArrayBacked' || !Array.isArray(value.state))
    return undefined;
  const [type] = value.args;
  const parts: readonly unknown[] = value.state;
  if (parts.length > MAX_PARTS) return undefined;
  const array = parts.find((part) => part instanceof NdArray);
  if (!(type instanceof OpaqueValue) || array === undefined) return undefined;
  if (/^(?:Arrow)?StringArray/.test(type.qualname)) return readTexts(array, budget);
  if (type.qualname !== 'Categorical')
    return /^(?:Datetime|Timedelta|Numpy|Pandas)\w*Array/.test(type.qualname) ? array : undefined;
  const dtype = parts.find((part) => part instanceof OpaqueValue && part.qualname === 'CategoricalDtype');
  const categories =
    dtype instanceof OpaqueValue && isDict(dtype.state) ? getOwn(dtype.state, 'categories') : undefined;
  return categories instanceof Index ? takeByCode(categories.data, array, budget) : undefined;
}

/** Reads strings, with null for missing ones. */
function readTexts({ dtype, data }: NdArray, budget: Budget): unknown[] | undefined {
  if (dtype !== 'object') return undefined;
  budget.spend(MEMORY_COSTS.element * data.length);
  return Array.from(data as readonly unknown[], (item) => (typeof item === 'string' ? item : null));
}

/** The elements of `from` at the codes; null for the code -1. */
export function takeByCode(from: ColumnData, codes: NdArray, budget: Budget): unknown[] | undefined {
  const { data } = codes;
  if (codes.shape.length !== 1 || !ArrayBuffer.isView(data)) return undefined;
  budget.spend(MEMORY_COSTS.element * codes.size);
  return Array.from({ length: codes.size }, (_, i) => {
    const code = Number(data[i]);
    return code < 0 ? null : elementAt(from, code);
  });
}

function elementAt(data: ColumnData, at: number): unknown {
  if (!(data instanceof NdArray)) return data[at] ?? null;
  return at < data.size ? data.at(at) : null;
}

/** Reads nullable numbers and booleans: an array and a mask of missing values. */
function readMasked(value: OpaqueValue, budget: Budget): ColumnData | undefined {
  if (!/^(?:Integer|Floating|Boolean)Array$/.test(value.qualname) || !isDict(value.state)) return undefined;
  const data = getOwn(value.state, '_data');
  const mask = getOwn(value.state, '_mask');
  if (!(data instanceof NdArray && mask instanceof NdArray) || data.size !== mask.size) return undefined;
  if (data.shape.length !== 1 || mask.dtype !== 'bool') return undefined;
  const missing = mask.data as Uint8Array;
  budget.countSteps(missing.length);
  if (!missing.includes(1)) return data;
  budget.spend(MEMORY_COSTS.element * data.size);
  return Array.from(missing, (flag, i) => (flag === 0 ? data.at(i) : null));
}
