import { describe } from '../../common/describe.js';
import { UsageError } from '../../common/errors.js';

const DECIMAL = /^[+-]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?|inf(?:inity)?|s?nan\d*)$/i;

export function isDecimalText(text: string): boolean {
  return DECIMAL.test(text);
}

/** A Python `decimal.Decimal` as text, which preserves every digit. */
export class Decimal {
  readonly text: string;

  /** @throws {UsageError} when Python's Decimal cannot parse the text */
  constructor(text: string) {
    if (typeof text !== 'string' || !isDecimalText(text)) {
      throw new UsageError(`a Decimal must be a decimal number as text, got ${describe(text)}`);
    }
    this.text = text;
  }

  /** The nearest number. */
  valueOf(): number {
    if (/nan/i.test(this.text)) return Number.NaN;
    if (/inf/i.test(this.text))
      return this.text.startsWith('-') ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
    return Number(this.text);
  }

  toString(): string {
    return this.text;
  }

  toJSON(): string {
    return this.text;
  }
}
