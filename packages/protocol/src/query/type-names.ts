import { isDict } from '../common/dict.js';

/** MongoDB's type names and their numbers; `number` has none because it means several types. */
export const TYPE_NAMES: ReadonlyMap<string, number | undefined> = new Map([
  ['double', 1],
  ['string', 2],
  ['object', 3],
  ['array', 4],
  ['binData', 5],
  ['undefined', 6],
  ['objectId', 7],
  ['bool', 8],
  ['date', 9],
  ['null', 10],
  ['regex', 11],
  ['dbPointer', 12],
  ['javascript', 13],
  ['symbol', 14],
  ['javascriptWithScope', 15],
  ['int', 16],
  ['timestamp', 17],
  ['long', 18],
  ['decimal', 19],
  ['minKey', -1],
  ['maxKey', 127],
  ['number', undefined],
]);

const NUMBERS = ['double', 'int', 'long', 'decimal'];

/** The types that the names denote; `number` denotes several. */
export function typeSet(names: readonly string[]): Set<string> {
  return new Set(names.flatMap((name) => (name === 'number' ? NUMBERS : [name])));
}

/**
 * The MongoDB type of a value; undefined for a missing value. JSON has one type of number, so an integer is an `int` if
 * it fits 32 bits and a `long` if it fits 64, and any other number is a `double`.
 */
export function bsonType(value: unknown): string | undefined {
  if (value === null) return 'null';
  switch (typeof value) {
    case 'string':
      return 'string';
    case 'boolean':
      return 'bool';
    case 'number':
      // -0 is an `int` too, because a store that rewrites JSON loses its sign.
      if (!Number.isInteger(value)) return 'double';
      if (value === (value | 0)) return 'int';
      return value >= -(2 ** 63) && value < 2 ** 63 ? 'long' : 'double';
    case 'bigint':
      return BigInt.asIntN(32, value) === value ? 'int' : 'long';
  }
  if (Array.isArray(value)) return 'array';
  if (value instanceof Date) return 'date';
  if (value instanceof Uint8Array) return 'binData';
  return isDict(value) ? 'object' : undefined;
}
