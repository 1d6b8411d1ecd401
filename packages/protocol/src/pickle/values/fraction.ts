import { UsageError } from '../../common/errors.js';

/** A Python `fractions.Fraction`. Numerator and denominator are not reduced. */
export class Fraction {
  readonly numerator: bigint;
  readonly denominator: bigint;

  /** @throws {UsageError} when the denominator is 0 */
  constructor(numerator: bigint | number, denominator: bigint | number = 1n) {
    this.numerator = BigInt(numerator);
    this.denominator = BigInt(denominator);
    if (this.denominator === 0n) throw new UsageError('the denominator of a Fraction must not be 0');
  }

  /** The nearest number; NaN if numerator and denominator both exceed the range of a number. */
  valueOf(): number {
    return Number(this.numerator) / Number(this.denominator);
  }

  toString(): string {
    return `${this.numerator}/${this.denominator}`;
  }

  toJSON(): string {
    return this.toString();
  }
}
