import { UsageError } from '../../common/errors.js';

/** A Python `fractions.Fraction`, as it came or as it was made: not reduced here. */
export class Fraction {
  readonly numerator: bigint;
  readonly denominator: bigint;

  /** @throws UsageError when the denominator is 0 */
  constructor(numerator: bigint | number, denominator: bigint | number = 1n) {
    this.numerator = BigInt(numerator);
    this.denominator = BigInt(denominator);
    if (this.denominator === 0n) throw new UsageError('a fraction cannot have the denominator 0');
  }

  /** The nearest number; NaN where both parts are past what a number can hold. */
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
