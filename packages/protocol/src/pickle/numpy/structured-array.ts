import { checkOptions, type OptionNames } from '../../common/check-options.js';
import { describe } from '../../common/describe.js';
import { UsageError } from '../../common/errors.js';
import { NdArray, sizeOf } from './nd-array.js';

/** The values of one field: an array whose axes are those of the records followed by those of the field. */
export type FieldData = NdArray | StructuredArray;

/** Options of a {@link StructuredArray}. */
export interface StructuredArrayOptions {
  /** Length of each axis of the records; by default one axis, as long as the first field's first axis. */
  readonly shape?: readonly number[];
}

const OPTIONS: OptionNames<StructuredArrayOptions> = { shape: true };

/**
 * A numpy array of records, stored by field: `fields.get('x')` has the `x` of all records. An array without axes is one
 * record. The memory layout of records and the titles of fields are not preserved.
 */
export class StructuredArray {
  readonly fields: ReadonlyMap<string, FieldData>;
  readonly shape: readonly number[];

  /** @throws {UsageError} when a field does not begin with the axes of the records */
  constructor(
    fields: ReadonlyMap<string, FieldData> | Readonly<Record<string, FieldData>>,
    options: StructuredArrayOptions = {},
  ) {
    checkOptions(options, OPTIONS, 'StructuredArray');
    this.fields = fields instanceof Map ? new Map(fields) : new Map(Object.entries(fields));
    const [first] = this.fields.values();
    this.shape = Object.freeze([...(options.shape ?? first?.shape?.slice(0, 1) ?? [0])]);
    for (const [name, field] of this.fields) {
      const isArray = field instanceof NdArray || field instanceof StructuredArray;
      if (!isArray || !this.shape.every((length, axis) => field.shape[axis] === length)) {
        throw new UsageError(
          `field ${JSON.stringify(name)} must be an NdArray or StructuredArray whose shape begins with (${this.shape.join(', ')})`,
        );
      }
      if (field instanceof NdArray && field.fortranOrder && field.shape.length > 1) {
        throw new UsageError(`field ${JSON.stringify(name)} must be in C order, not Fortran order`);
      }
    }
  }

  /** The number of records. */
  get size(): number {
    return sizeOf(this.shape);
  }

  /**
   * The values of one field.
   * @throws {UsageError} when there is no field of this name
   */
  field(name: string): FieldData {
    const field = this.fields.get(name);
    if (field === undefined) throw new UsageError(`the StructuredArray has no field ${describe(name)}`);
    return field;
  }

  /** The records as Maps from name to value, in C order; the value of a field with axes is an array. */
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

/** The values of a field, one per record. */
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
