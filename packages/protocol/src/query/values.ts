import { isDict } from '../common/dict.js';

// MongoDB's types in their sort order. $gt, $gte, $lt and $lte do not match values of different types.
type TypeName = 'null' | 'number' | 'text' | 'object' | 'array' | 'binary' | 'boolean' | 'date';

function typeName(value: unknown): TypeName | undefined {
  if (value === null || value === undefined) return 'null';
  switch (typeof value) {
    case 'number':
    case 'bigint':
      return 'number';
    case 'string':
      return 'text';
    case 'boolean':
      return 'boolean';
  }
  if (Array.isArray(value)) return 'array';
  if (value instanceof Date) return 'date';
  if (value instanceof Uint8Array) return 'binary';
  return isDict(value) ? 'object' : undefined;
}

const isHighSurrogate = (code: number): boolean => code >= 0xd800 && code <= 0xdbff;

/** Compares strings by code point, like MongoDB (UTF-8 bytes), SQLite and Python, but unlike JavaScript's `<`. */
export function compareText(a: string, b: string): number {
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    const xs = x >= 0xd800 && x <= 0xdfff;
    const ys = y >= 0xd800 && y <= 0xdfff;
    // A surrogate encodes a code point greater than every other code unit.
    if (xs !== ys) return xs ? 1 : -1;
    if (xs && isHighSurrogate(x) !== isHighSurrogate(y)) return isHighSurrogate(x) ? 1 : -1;
    return x < y ? -1 : 1;
  }
  return a.length - b.length;
}

/** Compares two values of one type like MongoDB; undefined when their types differ or have no order. */
export function compareValues(a: unknown, b: unknown): number | undefined {
  const type = typeName(a);
  if (type === undefined || type !== typeName(b)) return undefined;
  switch (type) {
    case 'null':
      return 0;
    case 'number':
      return orderOf(a as number | bigint, b as number | bigint);
    case 'boolean':
      return orderOf(Number(a), Number(b));
    case 'text':
      return compareText(a as string, b as string);
    case 'date':
      return orderOf((a as Date).getTime(), (b as Date).getTime());
    case 'binary':
      return Buffer.compare(a as Uint8Array, b as Uint8Array);
    case 'array':
      return compareLists(a as unknown[], b as unknown[], compareAnyType);
    case 'object':
      return compareLists(Object.entries(a as object), Object.entries(b as object), ([ak, av], [bk, bv]) => {
        // BSON compares the type of a field first, then its name, then its value.
        return typeOrder(av) - typeOrder(bv) || compareText(ak, bk) || (compareValues(av, bv) ?? 0);
      });
  }
}

/** Whether two values are equal as in MongoDB: same type and same value, including the order of an object's keys. */
export function equalValues(a: unknown, b: unknown): boolean {
  return compareValues(a, b) === 0;
}

const TYPE_ORDER: { readonly [T in TypeName]: number } = {
  null: 0,
  number: 1,
  text: 2,
  object: 3,
  array: 4,
  binary: 5,
  boolean: 6,
  date: 7,
};

function typeOrder(value: unknown): number {
  const type = typeName(value);
  return type === undefined ? 8 : TYPE_ORDER[type];
}

/** Compares any two values in MongoDB's sort order: by type (null, numbers, strings, objects, arrays, …), then by value. */
export function compareAnyType(a: unknown, b: unknown): number {
  // Fast path for the types of most sorts.
  if (typeof a === 'string' && typeof b === 'string') return compareText(a, b);
  if (a instanceof Date && b instanceof Date) return orderOf(a.getTime(), b.getTime());
  return typeOrder(a) - typeOrder(b) || (compareValues(a, b) ?? 0);
}

function compareLists<T>(a: readonly T[], b: readonly T[], compare: (x: T, y: T) => number): number {
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) {
    const order = compare(a[i] as T, b[i] as T);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

function orderOf(a: number | bigint, b: number | bigint): number {
  // `<` and `>` compare a number with a bigint by value; `===` does not.
  if (a < b) return -1;
  if (a > b) return 1;
  // The rest are equal numbers, and NaN, which sorts below every number and equals itself.
  return Number(Number.isNaN(b)) - Number(Number.isNaN(a));
}
