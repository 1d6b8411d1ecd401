import type { WaitOptions } from '@ipyparallel-js/wire';
import type { Task } from './task.js';

/** What a task needs of the client that follows it. */
export interface TaskKeeper {
  /** Which cluster it belongs to: a digest that is the same for all of the cluster's clients; null when it has no key. */
  readonly cluster: string | null;
  /** Aborts tasks that wait at an engine. */
  abort(tasks: readonly Task[], options: WaitOptions): Promise<void>;
  /** The result of a task was read. */
  read(task: Task): void;
}
