import { describe } from '../../common/describe.js';
import { UsageError } from '../../common/errors.js';

const UUID = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i;

export function isUuidText(text: unknown): text is string {
  return typeof text === 'string' && UUID.test(text);
}

/** A Python `uuid.UUID` as text, in lower case with hyphens. */
export class Uuid {
  readonly text: string;

  /** @throws {UsageError} when the text is not 32 hexadecimal digits, with or without hyphens */
  constructor(text: string) {
    if (!isUuidText(text))
      throw new UsageError(
        `a Uuid must be 32 hexadecimal digits, with or without hyphens, got ${describe(text)}`,
      );
    const hex = text.replaceAll('-', '').toLowerCase();
    this.text = hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  }

  toString(): string {
    return this.text;
  }

  toJSON(): string {
    return this.text;
  }
}
