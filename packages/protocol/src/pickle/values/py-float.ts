import { UsageError } from '../../common/errors.js';

/** A number that is a `float` in Python also where it is whole: see {@link float}. */
export class PyFloat {
  readonly value: number;

  constructor(value: number) {
    if (typeof value !== 'number')
      throw new UsageError(`a float is made of a number, not of a ${typeof value}`);
    this.value = value;
  }

  valueOf(): number {
    return this.value;
  }

  toString(): string {
    return String(this.value);
  }

  toJSON(): number {
    return this.value;
  }
}

/** A `float` for Python, where the bare number 2 becomes an `int`: `float(2)`. What comes back is a number. */
export function float(value: number): PyFloat {
  return new PyFloat(value);
}
