import type { TaskKey } from '@ipyparallel-js/protocol';
import type { Comparison, QueryNode, TestNode } from '@ipyparallel-js/protocol/internal';

/** Tests that must all hold. */
export type Branch = readonly TestNode[];

/** The highest number of branches that are requested separately; beyond it the client filters instead. */
const MAX_BRANCHES = 16;

/**
 * Splits a query into branches: every match passes all tests of at least one branch. Other records may pass, too. No
 * branch means that no record can match; a branch without tests means that any record may match.
 */
export function branchesOf(node: QueryNode): readonly Branch[] {
  switch (node.kind) {
    case 'test':
      return [[node]];
    case 'and':
      return productBranches(node.nodes);
    case 'or':
      return unionBranches(node.nodes);
    case 'nor':
      return productBranches(node.nodes.map(negate));
  }
}

const UNRESTRICTED_BRANCHES: readonly Branch[] = [[]];

function productBranches(nodes: readonly QueryNode[]): readonly Branch[] {
  let branches = UNRESTRICTED_BRANCHES;
  // Parts with few branches come first, so that the fewest tests are dropped when the product exceeds the limit.
  const parts = nodes.map(branchesOf).sort((a, b) => a.length - b.length);
  for (const part of parts) {
    if (part.length > 1 && branches.length * part.length > MAX_BRANCHES) continue;
    branches = branches.flatMap((tests) => part.map((more) => [...tests, ...more]));
  }
  return branches;
}

function unionBranches(nodes: readonly QueryNode[]): readonly Branch[] {
  const branches = mergeEqualities(nodes).flatMap(branchesOf);
  if (branches.length > MAX_BRANCHES || branches.some((tests) => tests.length === 0))
    return UNRESTRICTED_BRANCHES;
  return branches;
}

/** Merges all alternatives that compare the same column with values into one `$in`. */
function mergeEqualities(nodes: readonly QueryNode[]): QueryNode[] {
  const lists = new Map<TaskKey, { readonly test: TestNode; readonly values: unknown[] }>();
  const others: QueryNode[] = [];
  for (const node of nodes) {
    const values =
      node.kind === 'test' && node.field.path.length === 0 ? valuesOf(node.comparison) : undefined;
    if (node.kind !== 'test' || values === undefined) {
      others.push(node);
      continue;
    }
    const list = lists.get(node.field.column) ?? { test: node, values: [] };
    for (const value of values) list.values.push(value);
    lists.set(node.field.column, list);
  }
  const tests = [...lists.values()].map(
    ({ test, values }): TestNode => ({ ...test, comparison: { op: '$in', values } }),
  );
  return [...tests, ...others];
}

function valuesOf(comparison: Comparison): readonly unknown[] | undefined {
  if (comparison.op === '$eq') return [comparison.value];
  return comparison.op === '$in' ? comparison.values : undefined;
}

function negate(node: QueryNode): QueryNode {
  switch (node.kind) {
    case 'test':
      return { ...node, comparison: { op: '$not', comparisons: [node.comparison] } };
    case 'and':
      return { kind: 'or', nodes: node.nodes.map(negate) };
    case 'or':
      return { kind: 'nor', nodes: node.nodes };
    case 'nor':
      return { kind: 'or', nodes: node.nodes };
  }
}
