import { compareAnyType } from './values.js';

/** Compiles a test for equality with any value of a list. It uses hashing, or binary search for arrays and objects. */
export function listTest(wanted: readonly unknown[]): (value: unknown) => boolean {
  const texts = new Set<string>();
  const numbers = new Set<number | bigint>();
  const dates = new Set<number>();
  const otherValues: unknown[] = [];
  let matchesNull = false;
  for (const value of wanted) {
    if (typeof value === 'string') texts.add(value);
    else if (typeof value === 'number' || typeof value === 'bigint') numbers.add(numberKey(value));
    else if (value instanceof Date) dates.add(value.getTime());
    else if (value === null || value === undefined) matchesNull = true;
    else otherValues.push(value);
  }
  otherValues.sort(compareAnyType);
  return (value) => {
    if (typeof value === 'string') return texts.has(value);
    if (value === null || value === undefined) return matchesNull;
    if (typeof value === 'number' || typeof value === 'bigint') return numbers.has(numberKey(value));
    if (value instanceof Date) return dates.has(value.getTime());
    return otherValues.length > 0 && includes(otherValues, value);
  };
}

// A number and a bigint of the same value must match, but a Set distinguishes them.
function numberKey(value: number | bigint): number | bigint {
  if (typeof value === 'number')
    return Number.isInteger(value) && !Number.isSafeInteger(value) ? BigInt(value) : value;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function includes(sorted: readonly unknown[], value: unknown): boolean {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const order = compareAnyType(sorted[middle], value);
    if (order === 0) return true;
    if (order < 0) low = middle + 1;
    else high = middle;
  }
  return false;
}
