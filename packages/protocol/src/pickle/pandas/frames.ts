import { UsageError } from '../../common/errors.js';
import { nameOfTypedArray, type TypedArray } from '../numpy/dtype.js';
import { NdArray } from '../numpy/nd-array.js';

/** Values of a column or an index: an array of one axis where numpy holds them, otherwise a list. */
export type ColumnData = NdArray | readonly unknown[];

function checkColumn(data: ColumnData | TypedArray, what: string): ColumnData {
  if (nameOfTypedArray(data) !== undefined) return new NdArray(data as TypedArray);
  if (Array.isArray(data) || (data instanceof NdArray && data.shape.length === 1)) return data;
  throw new UsageError(`${what} is an array, a typed array or an NdArray of one axis`);
}

export function lengthOf(data: ColumnData): number {
  return data instanceof NdArray ? data.size : data.length;
}

function elements(data: ColumnData): readonly unknown[] {
  return data instanceof NdArray ? (data.toNested() as unknown[]) : data;
}

/** A pandas `Index`; one of several levels has arrays as its elements. */
export class Index {
  readonly data: ColumnData;
  readonly name: unknown;

  constructor(data: ColumnData | TypedArray, name: unknown = null) {
    this.data = checkColumn(data, 'the data of an Index');
    this.name = name;
  }
}

/** A pandas `Series`. */
export class Series {
  readonly data: ColumnData;
  /** Null for 0, 1, 2, … */
  readonly index: Index | null;
  readonly name: unknown;

  /** @throws UsageError when index and data are of different lengths */
  constructor(data: ColumnData | TypedArray, index: Index | null = null, name: unknown = null) {
    this.data = checkColumn(data, 'the data of a Series');
    this.index = index;
    this.name = name;
    if (index !== null && lengthOf(index.data) !== lengthOf(this.data)) {
      throw new UsageError(`an index of ${lengthOf(index.data)} for ${lengthOf(this.data)} values`);
    }
  }
}

/** A pandas `DataFrame`, by its columns. */
export class DataFrame {
  /** Labels of the columns: texts, mostly. */
  readonly columns: readonly unknown[];
  /** The values of each column, in the same order. */
  readonly data: readonly ColumnData[];
  /** Null for 0, 1, 2, … */
  readonly index: Index | null;

  /** @throws UsageError when columns, labels and index do not fit each other */
  constructor(
    columns: readonly unknown[],
    data: readonly (ColumnData | TypedArray)[],
    index: Index | null = null,
  ) {
    if (columns.length !== data.length) {
      throw new UsageError(`${columns.length} labels for ${data.length} columns`);
    }
    this.columns = columns;
    this.data = data.map((column) => checkColumn(column, 'a column of a DataFrame'));
    this.index = index;
    const lengths = new Set(this.data.map(lengthOf));
    if (index !== null) lengths.add(lengthOf(index.data));
    if (lengths.size > 1)
      throw new UsageError(`columns and index are of different lengths: ${[...lengths].join(', ')}`);
  }

  /** The number of rows. */
  get length(): number {
    const [first] = this.data;
    if (first !== undefined) return lengthOf(first);
    return this.index === null ? 0 : lengthOf(this.index.data);
  }

  /** The values under a label; the first where several columns have it. @throws UsageError when there is none */
  column(label: unknown): ColumnData {
    const column = this.data[this.columns.indexOf(label)];
    if (column === undefined) throw new UsageError(`no column ${JSON.stringify(label)}`);
    return column;
  }

  /** A Map from label to value for each row. */
  rows(): Map<unknown, unknown>[] {
    const columns = this.data.map(elements);
    return Array.from(
      { length: this.length },
      (_, row) => new Map(this.columns.map((label, i) => [label, columns[i]?.[row]])),
    );
  }
}
