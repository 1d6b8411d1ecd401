import type { TaskKey } from '../tasks/task-record.js';

/** The field of a test: a column or a path inside it. */
export interface Field {
  /** The key or dotted path of the query, with older names replaced, for example `result_content.status`. */
  readonly name: string;
  readonly column: TaskKey;
  /** The steps inside the column; empty for the column itself. */
  readonly path: readonly string[];
}

/**
 * One comparison of a field. Values are validated: those of a date column are Dates or null. For a column itself (no
 * path) the parser emits only `$eq` to `$nin`, `$glob`, `$regex` and `$not` of those; it rewrites the other operators.
 */
export type Comparison =
  | { readonly op: '$eq' | '$ne' | '$gt' | '$gte' | '$lt' | '$lte'; readonly value: unknown }
  | { readonly op: '$in' | '$nin'; readonly values: readonly unknown[] }
  | { readonly op: '$glob'; readonly pattern: string }
  /** RE2 syntax, matched anywhere in the text. Flags are among `i`, `m`, `s`, in this order. */
  | { readonly op: '$regex'; readonly pattern: string; readonly flags: string }
  | { readonly op: '$exists'; readonly value: boolean }
  /** Both are integers; the divisor is not 0. */
  | { readonly op: '$mod'; readonly divisor: number; readonly remainder: number }
  /** Every value equals the field or one of its items. An empty list matches nothing. */
  | { readonly op: '$all'; readonly values: readonly unknown[] }
  | { readonly op: '$size'; readonly size: number }
  /** MongoDB's names of types; `number` means `double`, `int`, `long` or `decimal`. */
  | { readonly op: '$type'; readonly types: readonly string[] }
  /** An item of an array satisfies all comparisons. */
  | { readonly op: '$elemMatch'; readonly comparisons: readonly Comparison[] }
  /** An item of an array, which is an object or an array itself, matches a query. */
  | { readonly op: '$elemMatch'; readonly element: ElementNode }
  /** At least one comparison fails; a missing field matches unless the comparisons match it. */
  | { readonly op: '$not'; readonly comparisons: readonly Comparison[] };

interface Junction<N> {
  readonly kind: 'and' | 'or' | 'nor';
  readonly nodes: readonly N[];
}

/** A query on the items of an array; its paths begin at the item. */
export type ElementNode =
  | Junction<ElementNode>
  | { readonly kind: 'test'; readonly path: readonly string[]; readonly comparison: Comparison };

/** One comparison of one field of the record. */
export interface TestNode {
  readonly kind: 'test';
  readonly field: Field;
  readonly comparison: Comparison;
}

/**
 * A validated query, the input of the planner, the evaluator and the stores. An empty `and` or `nor` matches every
 * record, an empty `or` none.
 */
export type QueryNode = Junction<QueryNode> | TestNode;

/** Yields all tests of a query in the order of the query, including those under `or` and `nor`. */
export function* testsOf(node: QueryNode): Generator<TestNode> {
  if (node.kind === 'test') yield node;
  else for (const child of node.nodes) yield* testsOf(child);
}

/** The columns that a query or a list of tests reads. */
export function columnsOf(query: QueryNode | Iterable<{ readonly field: Field }>): Set<TaskKey> {
  const columns = new Set<TaskKey>();
  for (const { field } of 'kind' in query ? testsOf(query) : query) columns.add(field.column);
  return columns;
}

/** The parts of a query that must all match; nested `and`s are flattened. */
export function conjunctsOf(node: QueryNode): QueryNode[] {
  return node.kind === 'and' ? node.nodes.flatMap(conjunctsOf) : [node];
}

/** Combines queries that must all match; a single one is returned as it is. */
export function allOf(nodes: readonly QueryNode[]): QueryNode {
  const [only] = nodes;
  return nodes.length === 1 && only !== undefined ? only : { kind: 'and', nodes };
}
