import { UsageError } from '../../common/errors.js';

const DECIMAL = /^[+-]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?|inf(?:inity)?|s?nan\d*)$/i;

export function isDecimalText(text: string): boolean {
  return DECIMAL.test(text);
}

/** A Python `decimal.Decimal`: its text, which keeps every digit. */
export class Decimal {
  readonly text: string;

  /** @throws UsageError for what Python's Decimal would not read */
  constructor(text: string) {
    if (typeof text !== 'string' || !isDecimalText(text)) {
      throw new UsageError(`${JSON.stringify(text)} is no decimal number`);
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
