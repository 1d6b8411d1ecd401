import type { TaskKey } from '../task-record.js';

/** What a test compares: a column, and the path inside it (empty for the column itself). */
export interface Field {
  /** As the query wrote it, older names replaced: `result_content.status`. */
  readonly name: string;
  readonly column: TaskKey;
  readonly path: readonly string[];
}

/** One comparison of a field. Values are checked: a date column's are Dates or null. */
export type Comparison =
  | { readonly op: '$eq' | '$ne' | '$gt' | '$gte' | '$lt' | '$lte'; readonly value: unknown }
  | { readonly op: '$in' | '$nin'; readonly values: readonly unknown[] }
  | { readonly op: '$glob'; readonly pattern: string };

/** A validated query: planner, evaluator and stores all work from this. */
export type QueryNode =
  | { readonly kind: 'and'; readonly nodes: readonly QueryNode[] }
  | { readonly kind: 'test'; readonly field: Field; readonly comparison: Comparison };

/** The tests of a tree, in the order written. */
export function* testsOf(
  node: QueryNode,
): Generator<{ readonly field: Field; readonly comparison: Comparison }> {
  if (node.kind === 'test') yield node;
  else for (const child of node.nodes) yield* testsOf(child);
}
