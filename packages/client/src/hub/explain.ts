import type { Dict } from '@ipyparallel-js/protocol';
import { type Comparison, type QueryNode, TASK_COLUMNS, toWireSort } from '@ipyparallel-js/protocol/internal';
import type { HubPlan, HubTraits } from './query-planner.js';
import type { RecordQuery } from './record-query.js';
import type { Extent } from './stock/stock-records.js';

/** What a hub would be asked for a query, and what would be left to do here. */
export interface QueryPlan {
  /** `ours` has the whole language; `stock` is a Python hub. */
  readonly hub: 'ours' | 'stock';
  /** The requests for records, in this order; none when nothing can match. In slices, each of them is made per slice. */
  readonly requests: readonly PlannedRequest[];
  /** The conditions that are finished here, and why each is. */
  readonly residual: readonly { readonly condition: string; readonly why: string }[];
  /** What of the order and the range is done here. */
  readonly here: readonly ('sort' | 'skip' | 'limit')[];
  /** Ids that the hub has, or that the query names, where that decides how it is asked. */
  readonly ids: number | undefined;
  /** How often the requests are made, by an estimate; 1 where that is up to our hub's pages. */
  readonly passes: number;
  /** The plan as text of some lines. */
  toString(): string;
}

/** One request of a plan. */
export interface PlannedRequest {
  readonly query: Dict;
  /** Null for all but the buffers. */
  readonly keys: readonly string[] | null;
  readonly sort?: readonly (readonly [string, 1 | -1])[];
  readonly skip?: number;
  readonly limit?: number;
}

/** Ids per slice once the pace is found, for the estimate: what a stock SQLite gives of full records in 100 ms. */
const SLICE = 400;

/** Describes how a question is asked. */
export function describePlan(
  question: RecordQuery,
  traits: HubTraits,
  plan: HubPlan,
  paged: boolean,
  extent: Extent | undefined,
): QueryPlan {
  const { node, keys, sort, skip, limit } = question;
  const range = {
    ...(skip > 0 ? { skip } : {}),
    ...(limit === Number.POSITIVE_INFINITY ? {} : { limit }),
  };
  const names = keys?.map(({ column }) => column) ?? null;
  const requests = plan.queries.map((query) => ({
    ...{ query, keys: names },
    ...(paged ? { sort: toWireSort(sort), ...range } : {}),
  }));
  const ids = extent?.ids;
  const known = {
    hub: traits.kind,
    requests,
    residual: plan.residual && requests.length > 0 ? [...residualOf(node, traits)] : [],
    here: paged ? [] : (['sort', ...(['skip', 'limit'] as const).filter((name) => name in range)] as const),
    ids,
    passes: requests.length === 0 ? 0 : extent?.sliced === true ? Math.ceil(extent.ids / SLICE) : 1,
  };
  return Object.defineProperty(known as QueryPlan, 'toString', {
    value: () => textOf(known),
    enumerable: false,
  });
}

type Known = Omit<QueryPlan, 'toString'>;

function textOf({ hub, requests, residual, here, ids, passes }: Known): string {
  const many = passes > 1 ? `, about ${passes} times, in slices of ${ids} ids` : '';
  return [
    `hub: ${hub === 'ours' ? 'ours' : 'a stock one'}`,
    requests.length === 0 ? 'asked: nothing, for nothing can match' : `asked${many}:`,
    ...requests.map((request) => `  ${JSON.stringify(request)}`),
    ...(residual.length === 0 ? [] : ['finished here:']),
    ...residual.map(({ condition, why }) => `  ${condition}: ${why}`),
    ...(here.length === 0 ? [] : [`done here: ${here.join(', ')}`]),
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
      why: 'stock hubs answer it with nothing, or refuse it; its branches are asked for',
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
  if (path.length > 0) return 'stock hubs do not look inside dicts';
  if (column === 'display_data') return 'stock hubs keep it in some records only';
  if (column === 'label' && traits.kind === 'stock' && !traits.label)
    return 'this hub has no such key; it reads as missing';
  switch (TASK_COLUMNS[column]) {
    case 'buffers':
      return 'stock hubs show empty buffers and none alike';
    case 'dict':
      return isNullTest(comparison)
        ? undefined
        : 'stock hubs compare dicts as text, or without the order of keys';
  }
  switch (comparison.op) {
    case '$ne':
    case '$nin':
      return isNullTest(comparison) ? undefined : 'SQLite drops nulls from it, so they are asked for apart';
    case '$gt':
      return 'DictDB has it reversed; asked as $gte';
    case '$glob':
      return 'the pattern is matched here; its beginning is asked for';
    case '$regex':
    case '$not':
    case '$all':
    case '$mod':
    case '$size':
    case '$type':
    case '$exists':
    case '$elemMatch':
      return `stock hubs have no ${comparison.op}, or another`;
    case '$in':
      return TASK_COLUMNS[column] === 'date'
        ? 'asked as the span from the first to the last date'
        : undefined;
    default:
      return undefined;
  }
}

function isNullTest(comparison: Comparison): boolean {
  return 'value' in comparison && comparison.value === null;
}
