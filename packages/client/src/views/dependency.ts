import { UsageError } from '@ipyparallel-js/protocol';
import { checkOptions, type OptionNames } from '@ipyparallel-js/protocol/internal';
import { AsyncResult } from '../results/async-result.js';

/** Tasks, by id or by a result that stands for them. */
export type TaskNames = string | AsyncResult<unknown> | Iterable<string | AsyncResult<unknown>>;

/** What `after` and `follow` take: tasks that must all have succeeded, or a {@link Dependency}. */
export type DependencyLike = TaskNames | Dependency;

/** Options of a {@link Dependency}. */
export interface DependencyOptions {
  /** Whether all of the tasks must have ended as said, or any one of them is enough; true by default. */
  readonly all?: boolean;
  /** Whether a task that succeeded counts; true by default. */
  readonly success?: boolean;
  /** Whether a task that failed counts; false by default. */
  readonly failure?: boolean;
}

const DEPENDENCY_OPTIONS: OptionNames<DependencyOptions> = { all: true, success: true, failure: true };

/**
 * Tasks that a load-balanced task waits for (`after`) or follows to their engine (`follow`), and how they must have
 * ended. When that cannot happen any more, the task fails at once (`ImpossibleDependency`). Mirrors ipyparallel `Dependency`.
 */
export class Dependency {
  readonly msgIds: readonly string[];
  readonly all: boolean;
  readonly success: boolean;
  readonly failure: boolean;

  /** @throws UsageError when neither success nor failure is to count, or something is no task */
  constructor(tasks: TaskNames, options: DependencyOptions = {}) {
    checkOptions(options, DEPENDENCY_OPTIONS, 'dependency');
    this.msgIds = [...new Set(idsOfTasks(tasks))];
    this.all = options.all ?? true;
    this.success = options.success ?? true;
    this.failure = options.failure ?? false;
    if (!this.success && !this.failure) {
      throw new UsageError('a dependency counts successes, failures or both');
    }
  }

  /** As the task scheduler reads it. Mirrors ipyparallel `Dependency.as_dict`. */
  asDict(): { dependencies: string[]; all: boolean; success: boolean; failure: boolean } {
    return { dependencies: [...this.msgIds], all: this.all, success: this.success, failure: this.failure };
  }
}

/** A {@link Dependency} on tasks. */
export function dependency(tasks: TaskNames, options: DependencyOptions = {}): Dependency {
  return new Dependency(tasks, options);
}

/** What stands in a task's metadata. */
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
    throw new UsageError(`a task is named by its msg_id or its AsyncResult, not by ${typeof tasks}`);
  }
  return [...tasks].flatMap((task) => {
    if (typeof task === 'string') return [task];
    if (task instanceof AsyncResult) return [...task.msgIds];
    throw new UsageError(`a task is named by its msg_id or its AsyncResult, not by ${typeof task}`);
  });
}
