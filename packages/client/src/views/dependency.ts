import { UsageError } from '@ipyparallel-js/protocol';
import { checkOptions, type OptionNames } from '@ipyparallel-js/protocol/internal';
import { AsyncResult } from '../results/async-result.js';

/** Tasks, named by id or by their AsyncResult. */
export type TaskNames = string | AsyncResult<unknown> | Iterable<string | AsyncResult<unknown>>;

/** The value of `after` and `follow`: tasks that must all have succeeded, or a {@link Dependency}. */
export type DependencyLike = TaskNames | Dependency;

/** Options of a {@link Dependency}. */
export interface DependencyOptions {
  /** Whether all tasks must have ended as required, not just one of them; true by default. */
  readonly all?: boolean;
  /** Whether a success satisfies the dependency; true by default. */
  readonly success?: boolean;
  /** Whether a failure satisfies the dependency; false by default. */
  readonly failure?: boolean;
}

const DEPENDENCY_OPTIONS: OptionNames<DependencyOptions> = { all: true, success: true, failure: true };

/**
 * Tasks that a load-balanced task waits for (`after`) or follows to their engine (`follow`), and how they must have
 * ended. When the dependency cannot be satisfied any more, the task fails with `ImpossibleDependency`. Mirrors
 * ipyparallel `Dependency`.
 */
export class Dependency {
  readonly msgIds: readonly string[];
  readonly all: boolean;
  readonly success: boolean;
  readonly failure: boolean;

  /** @throws {UsageError} when both `success` and `failure` are false, or a value does not name a task */
  constructor(tasks: TaskNames, options: DependencyOptions = {}) {
    checkOptions(options, DEPENDENCY_OPTIONS, 'dependency');
    this.msgIds = [...new Set(idsOfTasks(tasks))];
    this.all = options.all ?? true;
    this.success = options.success ?? true;
    this.failure = options.failure ?? false;
    if (!this.success && !this.failure) {
      throw new UsageError('success and failure must not both be false; set at least one of them to true');
    }
  }

  /** The form that the task scheduler reads. Mirrors ipyparallel `Dependency.as_dict`. */
  asDict(): { dependencies: string[]; all: boolean; success: boolean; failure: boolean } {
    return { dependencies: [...this.msgIds], all: this.all, success: this.success, failure: this.failure };
  }
}

/** Creates a {@link Dependency} on tasks. */
export function dependency(tasks: TaskNames, options: DependencyOptions = {}): Dependency {
  return new Dependency(tasks, options);
}

/** The form in a task's metadata. */
export function wireDependency(
  value: DependencyLike | undefined,
): string[] | ReturnType<Dependency['asDict']> {
  if (value === undefined) return [];
  return value instanceof Dependency ? value.asDict() : idsOfTasks(value);
}

function idsOfTasks(tasks: TaskNames): string[] {
  if (typeof tasks === 'string') return [tasks];
  if (tasks instanceof AsyncResult) return [...tasks.msgIds];
  if (typeof tasks !== 'object' || tasks === null || !(Symbol.iterator in tasks)) {
    throw new UsageError(`a task must be named by its msg_id or its AsyncResult, got ${typeof tasks}`);
  }
  return [...tasks].flatMap((task) => {
    if (typeof task === 'string') return [task];
    if (task instanceof AsyncResult) return [...task.msgIds];
    throw new UsageError(`a task must be named by its msg_id or its AsyncResult, got ${typeof task}`);
  });
}
