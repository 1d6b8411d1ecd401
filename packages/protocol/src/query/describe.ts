import { isDict } from '../common/dict.js';

/** What a value is, in the words of a message. */
export function describe(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'an invalid Date' : 'a Date';
  if (value instanceof RegExp) return 'a regular expression';
  if (typeof value === 'string') return `the text ${JSON.stringify(clip(value))}`;
  if (typeof value === 'number' || typeof value === 'boolean') return `the ${typeof value} ${value}`;
  if (typeof value === 'object')
    return isDict(value) ? 'an object' : `a ${value.constructor?.name ?? 'class instance'}`;
  return `a value of type ${typeof value}`;
}

/** A text short enough for a message. */
export function clip(text: string): string {
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
