import { spawnSync } from 'node:child_process';
import { describe } from 'vitest';
import { isCI } from './environment.js';

/**
 * A `describe` of tests that need more than Node and npm. When something is `missing` (the reason in one line), the
 * tests fail if CI is set, and are skipped with one line otherwise.
 */
export function describeRequiring(missing: string | undefined, name: string, body: () => void): void {
  const skip = missing !== undefined && !isCI();
  if (skip) console.warn(`skipped: ${name}: ${missing}`);
  describe.skipIf(skip)(name, body);
}

/** The reason in one line why this program cannot be run, if so. */
export function missingProgram(name: string, args: readonly string[] = ['--version']): string | undefined {
  const { error } = spawnSync(name, args);
  return error === undefined ? undefined : `${name} cannot be run: ${error.message}`;
}
