import { UsageError } from '@ipyparallel-js/protocol';
import { describe, didYouMean } from '@ipyparallel-js/protocol/internal';
import type { EngineLanguage } from '../engines/engine-languages.js';
import type { Targets } from '../engines/targets.js';
import { type DependencyLike, wireDependency } from './dependency.js';

/** Flags of every submission. */
export interface ViewFlags {
  /** A label that is stored in the records from ipyparallel 9 on; undefined by default. */
  readonly label?: string | undefined;
  /** The language of the code; needed only if engines of several languages are registered. */
  readonly language?: EngineLanguage | undefined;
}

/** Flags of a submission to chosen engines. */
export interface DirectFlags<T extends Targets = Targets> extends ViewFlags {
  readonly targets?: T;
}

/** Flags of a broadcast. */
export interface BroadcastFlags<T extends Targets = Targets> extends DirectFlags<T> {
  /** Whether the scheduler combines the replies of all engines into one message; false by default. */
  readonly coalescing?: boolean;
}

/** Flags of a submission to the task scheduler. All flags but `label` and `language` need another scheme than `pure`. */
export interface BalancedFlags extends ViewFlags {
  /** The engines among which the scheduler chooses; by default all, including those that register later. */
  readonly targets?: Targets | undefined;
  /** How often a failed task is retried; 0 by default. */
  readonly retries?: number | undefined;
  /** The task runs only after these tasks have succeeded. */
  readonly after?: DependencyLike | undefined;
  /** The task runs only on the engine where these tasks have succeeded. */
  readonly follow?: DependencyLike | undefined;
  /** How long the task may wait for its dependencies at the scheduler, in ms; 0, the default, means indefinitely. */
  readonly dependencyTimeout?: number | undefined;
  /** Python's name for `dependencyTimeout`, in ms as well. */
  readonly timeout?: number | undefined;
}

/**
 * Sets `dependencyTimeout` and its alias `timeout` to the same value if one of them is given.
 * @throws {UsageError} when both are given with different values
 */
export function withDependencyTimeout<F extends Partial<BalancedFlags>>(flags: F): F {
  if (!('timeout' in flags || 'dependencyTimeout' in flags)) return flags;
  const { timeout, dependencyTimeout } = flags;
  if (timeout !== undefined && dependencyTimeout !== undefined && timeout !== dependencyTimeout)
    throw new UsageError(
      `pass either dependencyTimeout or its alias timeout, not both; got ${dependencyTimeout} and ${timeout}`,
    );
  const value = dependencyTimeout ?? timeout;
  return { ...flags, timeout: value, dependencyTimeout: value };
}

/** Checks the names and values of flags, so that a misspelt flag is an error. @throws {UsageError} for an invalid flag */
export function checkFlags(flags: object, names: readonly string[]): void {
  for (const [name, value] of Object.entries(flags)) {
    if (!names.includes(name)) {
      const suggestion = didYouMean(name.slice(0, 60), names);
      throw new UsageError(
        `a view has no flag "${name.slice(0, 60)}"${suggestion === '' ? `; there are ${names.join(', ')}` : suggestion}`,
      );
    }
    if (value !== undefined) FLAG_CHECKS[name]?.(value);
  }
}

function checkDependencyTimeout(value: unknown): void {
  checkFlag(
    typeof value === 'number' && value >= 0 && Number.isFinite(value),
    'dependencyTimeout must be a number of milliseconds >= 0',
    value,
  );
}

const FLAG_CHECKS: Readonly<Record<string, (value: unknown) => void>> = {
  label: (value) => checkFlag(typeof value === 'string', 'label must be a string', value),
  language: (value) => checkFlag(typeof value === 'string', 'language must be a string', value),
  coalescing: (value) => checkFlag(typeof value === 'boolean', 'coalescing must be true or false', value),
  retries: (value) =>
    checkFlag(Number.isInteger(value) && Number(value) >= 0, 'retries must be an integer >= 0', value),
  dependencyTimeout: checkDependencyTimeout,
  timeout: checkDependencyTimeout,
  after: (value) => void wireDependency(value as DependencyLike),
  follow: (value) => void wireDependency(value as DependencyLike),
};

function checkFlag(isValid: boolean, requirement: string, value: unknown): void {
  if (!isValid) throw new UsageError(`${requirement}, got ${describe(value)}`);
}
