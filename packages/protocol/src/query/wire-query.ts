import type { Dict } from '../common/dict.js';
import { InvalidQueryError } from '../common/errors.js';
import type { Comparison, ElementNode, QueryNode } from './tree.js';

type Node = QueryNode | ElementNode;

/**
 * Converts a tree back to a query for a message. {@link parseQuery} of the result returns the same tree. Dates remain
 * Dates, because every packer writes them in the format that hubs read.
 */
export function toWireQuery(node: Node): Dict {
  return conjunction(node.kind === 'and' ? node.nodes : [node]);
}

/** A query that matches nothing. */
const MATCH_NOTHING: Dict = { $nor: [{}] };

function conjunction(nodes: readonly Node[]): Dict {
  const entries = new Map<string, unknown>();
  let last: string | undefined;
  for (const node of nodes) {
    if (node.kind === 'nor' && node.nodes.length === 0) continue;
    const name = nameOf(node);
    const value = node.kind === 'test' ? operator(node.comparison) : junction(node);
    const existing = entries.get(name);
    if (existing === undefined) entries.set(name, value);
    else {
      // An object can hold each name only once, and under it each operator only once.
      const merged =
        node.kind === 'test' && name === last ? mergeOperators(existing as Dict, value as Dict) : undefined;
      if (merged === undefined) return asAnd(nodes);
      entries.set(name, merged);
    }
    last = name;
  }
  // JavaScript objects move numeric keys to the front, which would change the order of the tests.
  if (entries.size > 1 && [...entries.keys()].some((name) => /^\d+$/.test(name))) return asAnd(nodes);
  return Object.fromEntries(entries);
}

const asAnd = (nodes: readonly Node[]): Dict => ({ $and: nodes.map(toWireQuery) });

function nameOf(node: Node): string {
  if (node.kind !== 'test') return `$${node.kind}`;
  return 'field' in node ? node.field.name : node.path.join('.');
}

function junction(node: Exclude<Node, { readonly kind: 'test' }>): Dict[] {
  const queries = node.nodes.map(toWireQuery);
  if (queries.length > 0) return queries;
  return node.kind === 'or' ? [MATCH_NOTHING] : [{}];
}

/** Merges two objects of operators; undefined when both have the same operator. */
function mergeOperators(a: Dict, b: Dict): Dict | undefined {
  return Object.keys(b).some((key) => Object.hasOwn(a, key)) ? undefined : { ...a, ...b };
}

function operators(comparisons: readonly Comparison[]): Dict {
  return comparisons.map(operator).reduce((a, b) => {
    const merged = mergeOperators(a, b);
    if (merged === undefined)
      throw new InvalidQueryError(`a condition must have ${Object.keys(b).join(' and ')} only once`);
    return merged;
  }, {});
}

function operator(comparison: Comparison): Dict {
  switch (comparison.op) {
    case '$in':
    case '$nin':
    case '$all':
      return { [comparison.op]: comparison.values };
    case '$glob':
      return { $glob: comparison.pattern };
    case '$regex': {
      const { pattern, flags } = comparison;
      return flags === '' ? { $regex: pattern } : { $regex: pattern, $options: flags };
    }
    case '$mod':
      return { $mod: [comparison.divisor, comparison.remainder] };
    case '$size':
      return { $size: comparison.size };
    case '$type':
      return { $type: comparison.types };
    case '$elemMatch':
      return {
        $elemMatch:
          'element' in comparison ? toWireQuery(comparison.element) : operators(comparison.comparisons),
      };
    case '$not':
      return { $not: operators(comparison.comparisons) };
    default:
      return { [comparison.op]: comparison.value };
  }
}
