import { describe } from '../../common/describe.js';
import { UsageError } from '../../common/errors.js';
import { nameOfTypedArray, type TypedArray } from '../numpy/dtype.js';
import { NdArray } from '../numpy/nd-array.js';

/** Values of a column or index: an NdArray of one axis if pandas stores them in numpy, otherwise a plain array. */
export type ColumnData = NdArray | readonly unknown[];

function checkColumn(data: ColumnData | TypedArray, what: string): ColumnData {
  if (nameOfTypedArray(data) !== undefined) return new NdArray(data as TypedArray);
  if (Array.isArray(data) || (data instanceof NdArray && data.shape.length === 1)) return data;
  throw new UsageError(`${what} must be an array, a typed array or an NdArray of one axis`);
}

export function lengthOf(data: ColumnData): number {
  return data instanceof NdArray ? data.size : data.length;
}

function elements(data: ColumnData): readonly unknown[] {
  return data instanceof NdArray ? (data.toNested() as unknown[]) : data;
}

/** A pandas `Index`. The elements of an index with several levels are arrays. */
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
  /** Null for the default index 0, 1, 2, … */
  readonly index: Index | null;
  readonly name: unknown;

  /** @throws {UsageError} when index and data have different lengths */
  constructor(data: ColumnData | TypedArray, index: Index | null = null, name: unknown = null) {
    this.data = checkColumn(data, 'the data of a Series');
    this.index = index;
    this.name = name;
    if (index !== null && lengthOf(index.data) !== lengthOf(this.data)) {
      throw new UsageError(
        `the index of a Series must be as long as its data, ${lengthOf(this.data)}, got ${lengthOf(index.data)}`,
      );
    }
  }
}

/** A pandas `DataFrame`, stored by column. */
export class DataFrame {
  /** Labels of the columns, usually strings. */
  readonly columns: readonly unknown[];
  /** The values of each column, in the same order. */
  readonly data: readonly ColumnData[];
  /** Null for the default index 0, 1, 2, … */
  readonly index: Index | null;

  /** @throws {UsageError} when labels, columns and index have different lengths */
  constructor(
    columns: readonly unknown[],
    data: readonly (ColumnData | TypedArray)[],
    index: Index | null = null,
  ) {
    if (columns.length !== data.length) {
      throw new UsageError(
        `a DataFrame must have one label per column, got ${columns.length} labels for ${data.length} columns`,
      );
    }
    this.columns = columns;
    this.data = data.map((column) => checkColumn(column, 'a column of a DataFrame'));
    this.index = index;
    const lengths = new Set(this.data.map(lengthOf));
    if (index !== null) lengths.add(lengthOf(index.data));
    if (lengths.size > 1)
      throw new UsageError(
        `columns and index of a DataFrame must have equal lengths, got ${[...lengths].join(', ')}`,
      );
  }

  /** The number of rows. */
  get length(): number {
    const [first] = this.data;
    if (first !== undefined) return lengthOf(first);
    return this.index === null ? 0 : lengthOf(this.index.data);
  }

  /**
   * The values of the first column with this label.
   * @throws {UsageError} when no column has this label
   */
  column(label: unknown): ColumnData {
    const column = this.data[this.columns.indexOf(label)];
    if (column === undefined) {
      // The label of several levels is an array.
      const description = Array.isArray(label) ? `[${label.map(describe).join(', ')}]` : describe(label);
      throw new UsageError(`the DataFrame has no column ${description}`);
    }
    return column;
  }

  /** The rows as Maps from label to value. */
  rows(): Map<unknown, unknown>[] {
    const columns = this.data.map(elements);
    return Array.from(
      { length: this.length },
      (_, row) => new Map(this.columns.map((label, i) => [label, columns[i]?.[row]])),
    );
  }
}
