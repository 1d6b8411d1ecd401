import { UsageError } from '@ipyparallel-js/protocol';
import { didYouMean } from '@ipyparallel-js/protocol/internal';
import type { EngineLanguage } from '../engines/engine-languages.js';
import type { Targets } from '../engines/targets.js';
import { type DependencyLike, wireDependency } from './dependency.js';

/** What may be said of every submission. */
export interface ViewFlags {
  /** A label that records carry from ipyparallel 9 on; undefined by default. */
  readonly label?: string | undefined;
  /** The language that code is in; needed only where engines of several languages are registered. */
  readonly language?: EngineLanguage | undefined;
}

/** What may be said of a submission to engines that the caller picks. */
export interface DirectFlags<T extends Targets = Targets> extends ViewFlags {
  readonly targets?: T;
}

/** What may be said of a broadcast. */
export interface BroadcastFlags<T extends Targets = Targets> extends DirectFlags<T> {
  /** Whether the replies come as one, put together by the scheduler, instead of one by one; false by default. */
  readonly coalescing?: boolean;
}

/** What may be asked of the task scheduler. Everything but labels needs a scheduler that is not of the `pure` scheme. */
export interface BalancedFlags extends ViewFlags {
  /** Engines among which the scheduler picks; all, also later ones, by default. */
  readonly targets?: Targets | undefined;
  /** How often a failed task is tried again, 0 by default. */
  readonly retries?: number | undefined;
  /** Runs only after these tasks have succeeded. */
  readonly after?: DependencyLike | undefined;
  /** Runs only on the engine where these tasks have succeeded. */
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
    throw new UsageError('pass either dependencyTimeout or its alias timeout, not both');
  const value = dependencyTimeout ?? timeout;
  return { ...flags, timeout: value, dependencyTimeout: value };
}

/** Checks flags by name and kind, so that a typing mistake is no silent default. @throws UsageError */
export function checkFlags(flags: object, names: readonly string[]): void {
  for (const [name, value] of Object.entries(flags)) {
    if (!names.includes(name)) {
      const near = didYouMean(name.slice(0, 60), names);
      throw new UsageError(
        `a view has no flag "${name.slice(0, 60)}"${near === '' ? `; there are ${names.join(', ')}` : near}`,
      );
    }
    if (value !== undefined) CHECKS[name]?.(value);
  }
}

const CHECKS: Readonly<Record<string, (value: unknown) => void>> = {
  label: (value) => expect(typeof value === 'string', 'a label is a text', value),
  language: (value) => expect(typeof value === 'string', 'a language is a text', value),
  coalescing: (value) => expect(typeof value === 'boolean', 'coalescing is true or false', value),
  retries: (value) =>
    expect(Number.isInteger(value) && Number(value) >= 0, 'retries are an integer from 0 on', value),
  timeout: (value) =>
    expect(
      typeof value === 'number' && value >= 0 && Number.isFinite(value),
      'a timeout is a number of ms from 0 on',
      value,
    ),
  after: (value) => void wireDependency(value as DependencyLike),
  follow: (value) => void wireDependency(value as DependencyLike),
};

function expect(fits: boolean, what: string, value: unknown): void {
  if (!fits) throw new UsageError(`${what}, not ${JSON.stringify(value)}`);
}
