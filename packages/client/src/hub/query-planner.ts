import type { Dict } from '@ipyparallel-js/protocol';
import { type Comparison, type QueryNode, toWireQuery } from '@ipyparallel-js/protocol/internal';
import { planForStockHub, type StockTraits } from './stock/stock-plan.js';

/** How a query is executed: the queries to send, and whether the client must filter the replies. */
export interface HubPlan {
  /** The queries to send, in this order; none when no record can match. */
  readonly queries: readonly Dict[];
  /** Whether the client must apply the query to the replies, because they hold a superset of the matches. */
  readonly residual: boolean;
}

/** The facts about the hub that a plan depends on. */
export type HubTraits = { readonly kind: 'ours' } | ({ readonly kind: 'stock' } & StockTraits);

/** The traits of a hub of this project, which answers the whole query language. */
export const OUR_TRAITS: HubTraits = { kind: 'ours' };

/** Plans a validated query for a hub. */
export function planQuery(node: QueryNode, traits: HubTraits): HubPlan {
  if (neverMatches(node)) return { queries: [], residual: false };
  if (traits.kind === 'stock') return { queries: planForStockHub(node, traits), residual: true };
  return { queries: [toWireQuery(node)], residual: false };
}

/** Whether no record can match, so that no request is needed. */
export function neverMatches(node: QueryNode): boolean {
  switch (node.kind) {
    case 'and':
      return node.nodes.some(neverMatches);
    case 'or':
      return node.nodes.every(neverMatches);
    case 'nor':
      return false;
    case 'test':
      return isUnsatisfiable(node.comparison);
  }
}

function isUnsatisfiable(comparison: Comparison): boolean {
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
