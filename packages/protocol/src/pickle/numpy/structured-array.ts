import { checkOptions, type OptionNames } from '../../common/check-options.js';
import { UsageError } from '../../common/errors.js';
import { NdArray, sizeOf } from './nd-array.js';

/** The values of one field: an array that has the axes of the whole, and then those of the field. */
export type FieldData = NdArray | StructuredArray;

/** Options of a {@link StructuredArray}. */
export interface StructuredArrayOptions {
  /** Length along each axis; by default one axis, as long as the first field's first. */
  readonly shape?: readonly number[];
}

const OPTIONS: OptionNames<StructuredArrayOptions> = { shape: true };

/**
 * A numpy array of records, by its fields: `fields.get('x')` has the `x` of all records. An array without axes is one
 * record. How numpy lays records out in memory, and titles of fields, are not kept.
 */
export class StructuredArray {
  readonly fields: ReadonlyMap<string, FieldData>;
  readonly shape: readonly number[];

  /** @throws UsageError when the fields have not all the axes of the whole */
  constructor(
    fields: ReadonlyMap<string, FieldData> | Readonly<Record<string, FieldData>>,
    options: StructuredArrayOptions = {},
  ) {
    checkOptions(options, OPTIONS, 'StructuredArray');
    this.fields = fields instanceof Map ? new Map(fields) : new Map(Object.entries(fields));
    const [first] = this.fields.values();
    this.shape = Object.freeze([...(options.shape ?? first?.shape?.slice(0, 1) ?? [0])]);
    for (const [name, field] of this.fields) {
      const holds = field instanceof NdArray || field instanceof StructuredArray;
      if (!holds || !this.shape.every((length, axis) => field.shape[axis] === length)) {
        throw new UsageError(
          `the field ${JSON.stringify(name)} is no array whose axes begin with (${this.shape.join(', ')})`,
        );
      }
      if (field instanceof NdArray && field.fortranOrder && field.shape.length > 1) {
        throw new UsageError(
          `the field ${JSON.stringify(name)} has its first axis fastest; give it the last one`,
        );
      }
    }
  }

  /** The number of records. */
  get size(): number {
    return sizeOf(this.shape);
  }

  /** The values of one field. @throws UsageError when there is none of that name */
  field(name: string): FieldData {
    const field = this.fields.get(name);
    if (field === undefined) throw new UsageError(`no field ${JSON.stringify(name)}`);
    return field;
  }

  /** Every record as a Map from name to value, the last axis fastest; a field with axes of its own gives arrays. */
  rows(): Map<string, unknown>[] {
    const columns = [...this.fields].map(
      ([name, field]) => [name, elementsOf(field, this.shape.length)] as const,
    );
    return Array.from(
      { length: this.size },
      (_, row) => new Map(columns.map(([name, elements]) => [name, elements[row]])),
    );
  }
}

/** One element for each record. */
function elementsOf(field: FieldData, axes: number): readonly unknown[] {
  if (field instanceof NdArray) return axes === 0 ? [field.toNested()] : flatten(field.toNested(), axes);
  const rows: readonly unknown[] = field.rows();
  const width = sizeOf(field.shape.slice(axes));
  if (field.shape.length === axes) return rows;
  return Array.from({ length: rows.length / width || 0 }, (_, i) => rows.slice(i * width, (i + 1) * width));
}

function flatten(nested: unknown, axes: number): readonly unknown[] {
  return (nested as unknown[]).flat(axes - 1);
}
