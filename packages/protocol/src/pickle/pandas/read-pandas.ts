import { type Dict, getOwn, isDict } from '../../common/dict.js';
import { asInteger } from '../numbers.js';
import { NdArray } from '../numpy/nd-array.js';
import { OpaqueValue } from '../opaque-value.js';
import { type Budget, MEMORY_COSTS } from '../pickle-limits.js';
import { type ColumnData, DataFrame, Index, lengthOf, Series } from './frames.js';
import { readRows, takeByCode } from './read-columns.js';
import { upgradeTimedelta, upgradeTimestamp } from './read-times.js';

// Converts the pickles of pandas 1.3 and later, whose parts are already values. Unexpected pickles stay opaque.

/** A longer RangeIndex is not expanded to an array. */
const MAX_RANGE_LENGTH = 10_000_000;

/** Converts a value to a frame, series, index or time; undefined if it is none or has unexpected parts. */
export function upgradePandas(value: OpaqueValue, budget: Budget): unknown {
  switch (value.callee?.qualname) {
    case 'DataFrame':
      return readFrame(value, budget);
    case 'Series':
      return readSeries(value, budget);
    case '_new_Index':
    case '_new_DatetimeIndex':
    case '_new_TimedeltaIndex':
      return readIndex(value, budget);
    case '_unpickle_timestamp':
      return upgradeTimestamp(value, budget);
    case '_timedelta_unpickle':
      return upgradeTimedelta(value);
    default:
      return undefined;
  }
}

function blockManagerOf(value: OpaqueValue): OpaqueValue | undefined {
  const found = isDict(value.state) ? getOwn(value.state, '_mgr') : undefined;
  return found instanceof OpaqueValue ? found : undefined;
}

function readFrame(value: OpaqueValue, budget: Budget): DataFrame | undefined {
  const [blocks, axes] = blockManagerOf(value)?.args ?? [];
  if (!Array.isArray(blocks) || !Array.isArray(axes)) return undefined;
  const [columns, index] = axes;
  if (!(columns instanceof Index && index instanceof Index)) return undefined;
  const count = lengthOf(columns.data);
  budget.spend(4 * MEMORY_COSTS.element * count);
  const data: (ColumnData | undefined)[] = new Array(count).fill(undefined);
  for (const block of blocks) {
    budget.countSteps();
    if (!placeBlock(block, data, budget)) return undefined;
  }
  const rows = lengthOf(index.data);
  if (!data.every((column): column is ColumnData => column !== undefined && lengthOf(column) === rows))
    return undefined;
  const labels = columns.data instanceof NdArray ? (columns.data.toNested() as unknown[]) : columns.data;
  const plainLabels = labels.map((label) => (typeof label === 'bigint' ? asInteger(label) : label));
  return new DataFrame(plainLabels, data, index);
}

/** Stores the columns of one block in `data` at their positions; returns false if a position is invalid or taken. */
function placeBlock(block: unknown, data: (ColumnData | undefined)[], budget: Budget): boolean {
  if (!(block instanceof OpaqueValue) || block.callee?.qualname !== '_unpickle_block') return false;
  const [values, placement] = block.args;
  const rows = readRows(values, budget);
  if (rows === undefined) return false;
  const positions = readPlacement(placement, rows.length);
  return rows.every((row, i) => {
    const position = positions?.[i];
    if (position === undefined || position >= data.length || data[position] !== undefined) return false;
    data[position] = row;
    return true;
  });
}

/** Reads the column positions of a block: `slice(0, 2, 1)` or an array. */
function readPlacement(placement: unknown, count: number): number[] | undefined {
  if (placement instanceof NdArray)
    return placement.size === count ? Array.from(placement.data, Number) : undefined;
  if (!(placement instanceof OpaqueValue) || placement.name !== 'builtins.slice') return undefined;
  const [start, , step] = placement.args;
  if (typeof start !== 'number') return undefined;
  const by = typeof step === 'number' ? step : 1;
  return Array.from({ length: count }, (_, i) => start + i * by);
}

function readSeries(value: OpaqueValue, budget: Budget): Series | undefined {
  const { state } = value;
  const parts = blockManagerOf(value)?.state;
  if (!isDict(state) || !Array.isArray(parts)) return undefined;
  const [axes, blocks] = parts;
  if (!Array.isArray(axes) || !Array.isArray(blocks)) return undefined;
  const [index] = axes;
  const rows = readRows(blocks[0], budget);
  const [data] = rows ?? [];
  if (!(index instanceof Index) || data === undefined || rows?.length !== 1) return undefined;
  if (lengthOf(data) !== lengthOf(index.data)) return undefined;
  return new Series(data, index, getOwn(state, '_name') ?? getOwn(state, 'name') ?? null);
}

function readIndex({ args }: OpaqueValue, budget: Budget): Index | undefined {
  const [type, parts] = args;
  if (!(type instanceof OpaqueValue) || !isDict(parts)) return undefined;
  if (type.qualname === 'RangeIndex') return readRange(parts, budget);
  if (type.qualname === 'MultiIndex') return readMultiIndex(parts, budget);
  const [data] = readRows(getOwn(parts, 'data'), budget) ?? [];
  return data === undefined ? undefined : new Index(data, getOwn(parts, 'name') ?? null);
}

function readRange(parts: Dict, budget: Budget): Index | undefined {
  const [start, stop, step] = ['start', 'stop', 'step'].map((key) => getOwn(parts, key));
  if (!Number.isSafeInteger(start) || !Number.isSafeInteger(stop) || !Number.isSafeInteger(step))
    return undefined;
  const [from, to, by] = [Number(start), Number(stop), Number(step)];
  const length = by === 0 ? 0 : Math.max(0, Math.ceil((to - from) / by));
  if (length > MAX_RANGE_LENGTH) return undefined;
  budget.spend(2 * MEMORY_COSTS.container + 8 * length);
  const data = new BigInt64Array(length);
  for (let i = 0; i < length; i += 1) data[i] = BigInt(from + i * by);
  return new Index(new NdArray(data), getOwn(parts, 'name') ?? null);
}

/** Reads an index with several levels; each level has distinct values and a code per row. */
function readMultiIndex(parts: Dict, budget: Budget): Index | undefined {
  const [levels, codes, names] = ['levels', 'codes', 'names'].map((key) => getOwn(parts, key));
  if (!Array.isArray(levels) || !Array.isArray(codes) || levels.length !== codes.length) return undefined;
  const columns: unknown[][] = [];
  for (const [i, level] of levels.entries()) {
    budget.countSteps();
    const levelCodes: unknown = codes[i];
    const column =
      level instanceof Index && levelCodes instanceof NdArray
        ? takeByCode(level.data, levelCodes, budget)
        : undefined;
    if (column === undefined) return undefined;
    columns.push(column);
  }
  const length = columns[0]?.length ?? 0;
  if (columns.some((column) => column.length !== length)) return undefined;
  budget.spend((MEMORY_COSTS.container + MEMORY_COSTS.element * columns.length) * length);
  const rows = Array.from({ length }, (_, row) => columns.map((column) => column[row]));
  return new Index(rows, names ?? null);
}
