import type { Dict } from '../common/dict.js';
import { InvalidQueryError } from '../common/errors.js';
import type { Comparison, ElementNode, QueryNode } from './tree.js';

type Node = QueryNode | ElementNode;

/**
 * A tree as a query again, the inverse of {@link parseQuery}: what is read from it is the same tree. Dates stay Dates,
 * which every packer writes as the texts that a hub reads.
 */
export function toWireQuery(node: Node): Dict {
  return all(node.kind === 'and' ? node.nodes : [node]);
}

/** A query that nothing matches. */
const NOTHING: Dict = { $nor: [{}] };

function all(nodes: readonly Node[]): Dict {
  const entries = new Map<string, unknown>();
  let last: string | undefined;
  for (const node of nodes) {
    if (node.kind === 'nor' && node.nodes.length === 0) continue;
    const name = nameOf(node);
    const value = node.kind === 'test' ? operator(node.comparison) : junction(node);
    const there = entries.get(name);
    if (there === undefined) entries.set(name, value);
    else {
      // One object has room for each name once, and for each of its operators.
      const merged = node.kind === 'test' && name === last ? joined(there as Dict, value as Dict) : undefined;
      if (merged === undefined) return apart(nodes);
      entries.set(name, merged);
    }
    last = name;
  }
  // An object puts numbers before all other keys.
  if (entries.size > 1 && [...entries.keys()].some((name) => /^\d+$/.test(name))) return apart(nodes);
  return Object.fromEntries(entries);
}

const apart = (nodes: readonly Node[]): Dict => ({ $and: nodes.map(toWireQuery) });

function nameOf(node: Node): string {
  if (node.kind !== 'test') return `$${node.kind}`;
  return 'field' in node ? node.field.name : node.path.join('.');
}

function junction(node: Exclude<Node, { readonly kind: 'test' }>): Dict[] {
  const queries = node.nodes.map(toWireQuery);
  if (queries.length > 0) return queries;
  return node.kind === 'or' ? [NOTHING] : [{}];
}

function joined(a: Dict, b: Dict): Dict | undefined {
  return Object.keys(b).some((key) => Object.hasOwn(a, key)) ? undefined : { ...a, ...b };
}

function operators(comparisons: readonly Comparison[]): Dict {
  return comparisons.map(operator).reduce((a, b) => {
    const both = joined(a, b);
    if (both === undefined)
      throw new InvalidQueryError(`one condition holds ${Object.keys(b).join(' and ')} more than once`);
    return both;
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
