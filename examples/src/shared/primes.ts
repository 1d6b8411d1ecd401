// Engines import this module by its path.
import { task } from '@ipyparallel-js/engine/task';

/** Yields the primes below a limit and reports progress. */
export function* primesBelow(limit: number): Generator<number, void> {
  for (let n = 2; n < limit; n++) {
    if (isPrime(n)) yield n;
    task.progress({ done: n + 1, total: limit });
  }
}

function isPrime(n: number): boolean {
  for (let divisor = 2; divisor * divisor <= n; divisor++) if (n % divisor === 0) return false;
  return true;
}
