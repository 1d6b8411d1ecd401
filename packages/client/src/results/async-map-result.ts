import type { Task } from '../tasks/task.js';
import { AsyncResult } from './async-result.js';
import type { Reassembly } from './reassembly.js';

/**
 * The result of a map, whose tasks are chunks of elements. `get` returns all elements (`W`: a list, or for `gather`
 * possibly an array); iterating yields one element at a time. Mirrors ipyparallel `AsyncMapResult`.
 */
export class AsyncMapResult<E, W = E[]> extends AsyncResult<W, E, W> {
  /** Whether iterating yields the elements in order, not as their chunks end. */
  readonly ordered: boolean;

  /** @internal Created by views and by `Client.attach`. */
  constructor(tasks: readonly Task[], reassembly: Reassembly) {
    super(tasks, { single: false, reassembly });
    this.ordered = reassembly.ordered !== false;
  }
}
