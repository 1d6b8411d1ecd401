import type { TaskKey } from '../tasks/task-record.js';

/** What a test compares: a column, and the path inside it (empty for the column itself). */
export interface Field {
  /** As the query wrote it, older names replaced: `result_content.status`. */
  readonly name: string;
  readonly column: TaskKey;
  readonly path: readonly string[];
}

/**
 * One comparison of a field. Values are checked: a date column's are Dates or null. Of a column itself (no path) only
 * `$eq` to `$nin`, `$glob`, `$regex` and `$not` of those are left by the parser, which writes the others with these.
 */
export type Comparison =
  | { readonly op: '$eq' | '$ne' | '$gt' | '$gte' | '$lt' | '$lte'; readonly value: unknown }
  | { readonly op: '$in' | '$nin'; readonly values: readonly unknown[] }
  | { readonly op: '$glob'; readonly pattern: string }
  /** RE2 syntax, found anywhere in the text; flags are among `i`, `m`, `s`, in this order. */
  | { readonly op: '$regex'; readonly pattern: string; readonly flags: string }
  | { readonly op: '$exists'; readonly value: boolean }
  /** Whole numbers; the divisor is not 0. */
  | { readonly op: '$mod'; readonly divisor: number; readonly remainder: number }
  /** Every value equals the field or one of its items; none matches nothing. */
  | { readonly op: '$all'; readonly values: readonly unknown[] }
  | { readonly op: '$size'; readonly size: number }
  /** MongoDB's names of types; `number` stands for `double`, `int`, `long` and `decimal`. */
  | { readonly op: '$type'; readonly types: readonly string[] }
  /** One item of an array that satisfies all of these. */
  | { readonly op: '$elemMatch'; readonly comparisons: readonly Comparison[] }
  /** One item of an array, an object or an array itself, that satisfies a query of its own. */
  | { readonly op: '$elemMatch'; readonly element: ElementNode }
  /** Not all of these hold; so a missing field matches where the comparisons do not match it. */
  | { readonly op: '$not'; readonly comparisons: readonly Comparison[] };

interface Junction<N> {
  readonly kind: 'and' | 'or' | 'nor';
  readonly nodes: readonly N[];
}

/** A query on the items of an array: paths begin at the item. */
export type ElementNode =
  | Junction<ElementNode>
  | { readonly kind: 'test'; readonly path: readonly string[]; readonly comparison: Comparison };

/** One test of a query. */
export interface TestNode {
  readonly kind: 'test';
  readonly field: Field;
  readonly comparison: Comparison;
}

/**
 * A validated query: planner, evaluator and stores all work from this. An `and` or `nor` of nothing matches every
 * record, an `or` of nothing none.
 */
export type QueryNode = Junction<QueryNode> | TestNode;

/** The tests of a whole tree, in the order written: those under `or` and `nor`, too. */
export function* testsOf(node: QueryNode): Generator<TestNode> {
  if (node.kind === 'test') yield node;
  else for (const child of node.nodes) yield* testsOf(child);
}

/** The columns that a query, or some tests, read. */
export function columnsOf(query: QueryNode | Iterable<{ readonly field: Field }>): Set<TaskKey> {
  const columns = new Set<TaskKey>();
  for (const { field } of 'kind' in query ? testsOf(query) : query) columns.add(field.column);
  return columns;
}

/** The parts that must all hold, with `and`s inside `and`s laid flat. */
export function conjunctsOf(node: QueryNode): QueryNode[] {
  return node.kind === 'and' ? node.nodes.flatMap(conjunctsOf) : [node];
}

/** A query whose parts must all hold; one part stands for itself. */
export function allOf(nodes: readonly QueryNode[]): QueryNode {
  const [only] = nodes;
  return nodes.length === 1 && only !== undefined ? only : { kind: 'and', nodes };
}

/** What came of splitting a query. */
export interface SplitQuery<T> {
  /** What the compiler made of the parts that it can say exactly. */
  readonly compiled: readonly T[];
  /** The parts that it cannot say; undefined when nothing is left to be done. */
  readonly residual: QueryNode | undefined;
}

/**
 * Splits a query into the parts (all of which must hold) that a compiler says exactly, and the rest, which is to be
 * finished by {@link compilePredicate}. The compiler answers undefined for what it cannot say.
 */
export function splitQuery<T>(node: QueryNode, compile: (part: QueryNode) => T | undefined): SplitQuery<T> {
  const compiled: T[] = [];
  const rest: QueryNode[] = [];
  for (const part of conjunctsOf(node)) {
    const said = compile(part);
    if (said === undefined) rest.push(part);
    else compiled.push(said);
  }
  return { compiled, residual: rest.length === 0 ? undefined : allOf(rest) };
}
