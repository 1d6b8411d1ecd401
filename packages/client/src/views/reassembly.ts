/** How the values of a map's tasks become one: handed to an AsyncResult by the views. */
export interface Reassembly {
  /** How many elements each task has, in the order of the tasks; undefined where only the tasks know (`gather`). */
  readonly sizes: readonly number[] | undefined;
  /** Whether iterating gives the elements in their order, or each task's as soon as it has ended. */
  readonly ordered: boolean;
  /** Whether the error of a task stands in the place of each of its elements, instead of failing the whole. */
  readonly returnErrors: boolean;
  /** One value of all the tasks' values, in the order of the tasks. */
  join(parts: readonly unknown[]): unknown;
}
