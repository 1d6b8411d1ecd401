import type { Task } from '../tasks/task.js';
import { AsyncResult } from './async-result.js';
import type { Reassembly } from './reassembly.js';

/**
 * The results of a map: its tasks are chunks, its elements what the function gave for each item. `get` gives the whole
 * (`W`: a list; of `gather` perhaps an array), iterating gives element by element. Mirrors ipyparallel `AsyncMapResult`.
 */
export class AsyncMapResult<E, W = E[]> extends AsyncResult<W, E, W> {
  /** Whether iterating gives the elements in their order, or as their chunks end. */
  readonly ordered: boolean;

  /** @internal Made by views and by `Client.attach`. */
  constructor(tasks: readonly Task[], reassembly: Reassembly) {
    super(tasks, { single: false, reassembly });
    this.ordered = reassembly.ordered !== false;
  }
}
