import type { Dict, HubInfo } from '@ipyparallel-js/protocol';
import { type Comparison, type QueryNode, testsOf } from '@ipyparallel-js/protocol/internal';
import { planForStockHub, type StockTraits } from './stock-plan.js';

/** What a hub is asked, and what is left to do here. */
export interface HubPlan {
  /** The queries to send, in this order; none when nothing can match. */
  readonly queries: readonly Dict[];
  /** Whether the answers must still be filtered by the query here. */
  readonly residual: boolean;
}

/** What is known of the hub at hand. */
export type HubTraits =
  | { readonly kind: 'ours'; readonly info: HubInfo }
  | ({ readonly kind: 'stock' } & StockTraits);

/** Plans a validated query for a hub. */
export function planQuery(node: QueryNode, traits: HubTraits): HubPlan {
  if (traits.kind === 'stock') return { queries: planForStockHub(node, traits), residual: true };
  return wholeQuery(node);
}

/** Whether no record can match: then nothing is asked. */
export function neverMatches(node: QueryNode): boolean {
  for (const { comparison } of testsOf(node)) {
    if (comparison.op === '$in' && comparison.values.length === 0) return true;
    if ((comparison.op === '$gt' || comparison.op === '$lt') && comparison.value === null) return true;
  }
  return false;
}

// Our hub answers the whole language. Only an operator that two conditions put on one field (as `pyin` and
// `execute_input` can) does not fit into one object; then the client applies the query once more.
function wholeQuery(node: QueryNode): HubPlan {
  const query: Record<string, Record<string, unknown>> = {};
  let residual = false;
  for (const { field, comparison } of testsOf(node)) {
    query[field.name] ??= {};
    const condition = query[field.name] as Record<string, unknown>;
    if (Object.hasOwn(condition, comparison.op)) residual = true;
    else condition[comparison.op] = operandOf(comparison);
  }
  return { queries: [query], residual };
}

function operandOf(comparison: Comparison): unknown {
  switch (comparison.op) {
    case '$in':
    case '$nin':
      return comparison.values;
    case '$glob':
      return comparison.pattern;
    case '$eq':
    case '$ne':
    case '$gt':
    case '$gte':
    case '$lt':
    case '$lte':
      return comparison.value;
    default:
      throw new Error(`${comparison.op} cannot be sent yet`);
  }
}
