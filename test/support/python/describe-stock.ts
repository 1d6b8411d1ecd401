import { describe } from 'vitest';
import { isCI } from '../environment.js';
import { pythonEnv, type StockVersion } from './python.js';

/**
 * A `describe` of tests that need the Python ipyparallel of this version. Where its environment is missing, they fail
 * if CI is set, and are left out with one line otherwise.
 */
export function describeStock(version: StockVersion, name: string, body: () => void): void {
  const env = pythonEnv(version);
  const leaveOut = 'missing' in env && !isCI();
  if (leaveOut) console.warn(`skipped: ${name}: ${env.missing}`);
  describe.skipIf(leaveOut)(name, body);
}
