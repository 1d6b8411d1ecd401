import { UsageError } from '../../common/errors.js';

/** A number that is sent as a Python `float` even if it is an integer; see {@link float}. */
export class PyFloat {
  readonly value: number;

  constructor(value: number) {
    if (typeof value !== 'number') throw new UsageError(`float expects a number, got ${typeof value}`);
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

/** Sends a number as a Python `float`: `float(2)`, because a plain 2 becomes an `int`. Python floats are returned as numbers. */
export function float(value: number): PyFloat {
  return new PyFloat(value);
}
