import { compareAnyType } from './values.js';

/** Whether a value equals one of a list: by hash, or by halves for what has no hash, however long the list. */
export function listTest(wanted: readonly unknown[]): (value: unknown) => boolean {
  const texts = new Set<string>();
  const numbers = new Set<number | bigint>();
  const dates = new Set<number>();
  const others: unknown[] = [];
  let nulls = false;
  for (const value of wanted) {
    if (typeof value === 'string') texts.add(value);
    else if (typeof value === 'number' || typeof value === 'bigint') numbers.add(numberKey(value));
    else if (value instanceof Date) dates.add(value.getTime());
    else if (value === null || value === undefined) nulls = true;
    else others.push(value);
  }
  others.sort(compareAnyType);
  return (value) => {
    if (typeof value === 'string') return texts.has(value);
    if (value === null || value === undefined) return nulls;
    if (typeof value === 'number' || typeof value === 'bigint') return numbers.has(numberKey(value));
    if (value instanceof Date) return dates.has(value.getTime());
    return others.length > 0 && includes(others, value);
  };
}

// The two kinds of number are equal by value; to a Set they are not.
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
