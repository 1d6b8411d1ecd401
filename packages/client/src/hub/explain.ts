import type { Dict } from '@ipyparallel-js/protocol';
import { type Comparison, type QueryNode, TASK_COLUMNS, toWireSort } from '@ipyparallel-js/protocol/internal';
import type { HubPlan, HubTraits } from './query-planner.js';
import type { RecordQuery } from './record-query.js';

/** How a query is executed: the requests to the hub, and the work that the client does itself. */
export interface QueryPlan {
  /** `ours` answers the whole query language; `stock` is a Python hub. */
  readonly hub: 'ours' | 'stock';
  /** The requests for records, in this order; none when no record can match. Sliced requests are repeated per slice. */
  readonly requests: readonly PlannedRequest[];
  /** The conditions that the client checks itself, each with the reason. */
  readonly residual: readonly { readonly condition: string; readonly why: string }[];
  /** The parts of the order and the range that the client applies itself. */
  readonly here: readonly ('sort' | 'skip' | 'limit')[];
  /** The number of ids that the hub has or the query names; undefined where the plan does not depend on it. */
  readonly ids: number | undefined;
  /** How often the requests are repeated, estimated; 1 where the hub pages the reply itself. */
  readonly passes: number;
  /** Formats the plan as text of several lines. */
  toString(): string;
}

/** One request of a plan. */
export interface PlannedRequest {
  readonly query: Dict;
  /** Null for all keys except the buffers. */
  readonly keys: readonly string[] | null;
  readonly sort?: readonly (readonly [string, 1 | -1])[];
  readonly skip?: number;
  readonly limit?: number;
}

/** The known size of a query on a hub that does not page its replies. */
export interface Extent {
  /** The number of ids that the hub has, or that the query names. */
  readonly ids: number;
  /** Whether the ids are requested in slices. */
  readonly sliced: boolean;
}

/** Where a query is executed: by a hub that sorts, skips, limits and pages, or by requests that the client completes. */
export type Execution =
  | { readonly paged: true }
  | { readonly paged: false; readonly extent: Extent | undefined };

/** Ids per slice, for the estimate: a Python hub with SQLite returns this many full records in about 100 ms. */
const TYPICAL_SLICE_SIZE = 400;

/** Describes how a query is executed. */
export function describePlan(
  query: RecordQuery,
  traits: HubTraits,
  plan: HubPlan,
  execution: Execution,
): QueryPlan {
  const { node, keys, sort, skip, limit } = query;
  const range = {
    ...(skip > 0 ? { skip } : {}),
    ...(limit === Number.POSITIVE_INFINITY ? {} : { limit }),
  };
  const names = keys?.map(({ column }) => column) ?? null;
  const requests = plan.queries.map((wireQuery) => ({
    ...{ query: wireQuery, keys: names },
    ...(execution.paged ? { sort: toWireSort(sort), ...range } : {}),
  }));
  const extent = execution.paged ? undefined : execution.extent;
  const description = {
    hub: traits.kind,
    requests,
    residual: plan.residual && requests.length > 0 ? [...residualOf(node, traits)] : [],
    here: execution.paged
      ? []
      : (['sort', ...(['skip', 'limit'] as const).filter((name) => name in range)] as const),
    ids: extent?.ids,
    passes:
      requests.length === 0 ? 0 : extent?.sliced === true ? Math.ceil(extent.ids / TYPICAL_SLICE_SIZE) : 1,
  };
  return Object.defineProperty(description as QueryPlan, 'toString', {
    value: () => format(description),
    enumerable: false,
  });
}

function format({ hub, requests, residual, here, ids, passes }: Omit<QueryPlan, 'toString'>): string {
  const repetition = passes > 1 ? `, about ${passes} times, in slices of ${ids} ids` : '';
  return [
    `hub: ${hub === 'ours' ? 'ipyparallel-js' : 'Python'}`,
    requests.length === 0 ? 'requests: none, because no record can match' : `requests${repetition}:`,
    ...requests.map((request) => `  ${JSON.stringify(request)}`),
    ...(residual.length === 0 ? [] : ['checked by the client:']),
    ...residual.map(({ condition, why }) => `  ${condition}: ${why}`),
    ...(here.length === 0 ? [] : [`applied by the client: ${here.join(', ')}`]),
  ].join('\n');
}

function* residualOf(
  node: QueryNode,
  traits: HubTraits,
): Generator<{ readonly condition: string; readonly why: string }> {
  if (node.kind === 'and') {
    for (const child of node.nodes) yield* residualOf(child, traits);
  } else if (node.kind !== 'test') {
    yield {
      condition: `$${node.kind} of ${node.nodes.length}`,
      why: 'Python hubs find no record for it or refuse it; each branch is requested separately',
    };
  } else {
    const why = reasonOf(node.field.column, node.field.path, node.comparison, traits);
    if (why !== undefined) yield { condition: `${node.field.name} ${node.comparison.op}`, why };
  }
}

function reasonOf(
  column: keyof typeof TASK_COLUMNS,
  path: readonly string[],
  comparison: Comparison,
  traits: HubTraits,
): string | undefined {
  if (path.length > 0) return 'Python hubs cannot query inside dicts';
  if (column === 'display_data') return 'Python hubs store it in some records only';
  if (column === 'label' && traits.kind === 'stock' && !traits.label)
    return 'this hub has no such key; it counts as missing';
  switch (TASK_COLUMNS[column]) {
    case 'buffers':
      return 'Python hubs return the same for an empty list of buffers and for none';
    case 'dict':
      return isNullTest(comparison)
        ? undefined
        : 'Python hubs compare dicts as text, or without the order of keys';
  }
  switch (comparison.op) {
    case '$ne':
    case '$nin':
      return isNullTest(comparison) ? undefined : 'SQLite omits nulls, so they are requested separately';
    case '$gt':
      return 'DictDB inverts $gt, so $gte is sent';
    case '$glob':
      return 'the client matches the pattern; the hub receives its literal prefix';
    case '$regex':
    case '$not':
    case '$all':
    case '$mod':
    case '$size':
    case '$type':
    case '$exists':
    case '$elemMatch':
      return `Python hubs have no ${comparison.op}, or one with another meaning`;
    case '$in':
      return TASK_COLUMNS[column] === 'date'
        ? 'requested as the range from the first to the last date'
        : undefined;
    default:
      return undefined;
  }
}

function isNullTest(comparison: Comparison): boolean {
  return 'value' in comparison && comparison.value === null;
}
