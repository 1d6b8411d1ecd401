import type { Dict, HubInfo } from '@ipyparallel-js/protocol';
import { type Comparison, type QueryNode, toWireQuery } from '@ipyparallel-js/protocol/internal';
import { planForStockHub, type StockTraits } from './stock/stock-plan.js';

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
  // Our hub answers the whole language.
  return { queries: [toWireQuery(node)], residual: false };
}

/** Whether no record can match: then nothing is asked. */
export function neverMatches(node: QueryNode): boolean {
  switch (node.kind) {
    case 'and':
      return node.nodes.some(neverMatches);
    case 'or':
      return node.nodes.every(neverMatches);
    case 'nor':
      return false;
    case 'test':
      return isNever(node.comparison);
  }
}

function isNever(comparison: Comparison): boolean {
  switch (comparison.op) {
    case '$in':
    case '$all':
      return comparison.values.length === 0;
    case '$gt':
    case '$lt':
      return comparison.value === null;
    default:
      return false;
  }
}
