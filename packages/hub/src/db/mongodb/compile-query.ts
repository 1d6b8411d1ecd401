import type { TaskKey } from '@ipyparallel-js/protocol';
import {
  type Comparison,
  type QueryNode,
  TASK_COLUMNS,
  type TestNode,
} from '@ipyparallel-js/protocol/internal';
import { isPlainRegex, regexOfGlob } from './patterns.js';
import type { ServerTraits } from './server-traits.js';

/** A filter in MongoDB's language. */
export type Filter = Record<string, unknown>;

/** A query as a server is asked it. */
export interface CompiledQuery {
  /** Lets every match through, and perhaps more. */
  readonly filter: Filter;
  /** What is left to be tested of those it lets through; undefined when the filter says all. */
  readonly residual: QueryNode | undefined;
}

/** A filter and whether it lets nothing but matches through. */
interface Sieve {
  readonly filter: Filter;
  readonly exact: boolean;
}

const ALL: Filter = {};
const NONE: Filter = { msg_id: { $in: [] } };
const NO_SIEVE: Sieve = { filter: ALL, exact: false };

/** MongoDB's limit of a message's document is 16 MiB. */
const MAX_FILTER = 8 << 20;

/** Types that a value has in the same way in JSON, in our documents and in Python's. */
const PLAIN_TYPES = new Set(['string', 'object', 'array', 'bool', 'null', 'number']);

/**
 * Relays a query: compiles the tree to a filter with the same meaning, and tells what of it a server cannot be trusted
 * with. `outside` names the columns of which some document holds the value elsewhere: such a document is let through.
 */
export function compileQuery(
  query: QueryNode,
  traits: ServerTraits,
  outside: ReadonlySet<TaskKey> = new Set(),
): CompiledQuery {
  const compiler = new Compiler(traits, outside);
  const { filter, exact } = compiler.sieve(query);
  if (compiler.size > MAX_FILTER) return { filter: ALL, residual: query };
  return { filter, residual: exact ? undefined : query };
}

class Compiler {
  /** How large the filter has become, by estimate. */
  size = 0;
  readonly #traits: ServerTraits;
  readonly #outside: ReadonlySet<TaskKey>;

  constructor(traits: ServerTraits, outside: ReadonlySet<TaskKey>) {
    this.#traits = traits;
    this.#outside = outside;
  }

  sieve(node: QueryNode): Sieve {
    if (node.kind === 'test') return this.#test(node);
    const sieves = node.nodes.map((child) => this.sieve(child));
    const exact = sieves.every((sieve) => sieve.exact);
    switch (node.kind) {
      case 'and': {
        const filters = sieves.map(({ filter }) => filter).filter((filter) => filter !== ALL);
        const [only] = filters;
        if (only === undefined) return { filter: ALL, exact };
        return { filter: filters.length === 1 ? only : { $and: filters }, exact };
      }
      case 'or': {
        if (sieves.length === 0) return { filter: NONE, exact: true };
        if (sieves.some(({ filter }) => filter === ALL)) return { filter: ALL, exact };
        return { filter: { $or: sieves.map(({ filter }) => filter) }, exact };
      }
      case 'nor':
        // What a sieve lets through too much, its negation would hold back.
        if (!exact || !this.#traits.fullQueries) return NO_SIEVE;
        if (sieves.length === 0) return { filter: ALL, exact: true };
        return { filter: { $nor: sieves.map(({ filter }) => filter) }, exact: true };
    }
  }

  #test({ field, comparison }: TestNode): Sieve {
    if (!this.#relays(field.path, comparison)) return NO_SIEVE;
    const filter = this.#filter(field.name, comparison);
    if (filter === undefined) return NO_SIEVE;
    if (!this.#outside.has(field.column)) return { filter, exact: true };
    return {
      filter: { $or: [filter, { [`ipyparallel_js.outside.${field.column}`]: { $exists: true } }] },
      exact: false,
    };
  }

  /** Whether the server can be asked this with a meaning that is MongoDB's. */
  #relays(path: readonly string[], comparison: Comparison): boolean {
    if (path.some((step) => step.startsWith('$') || step.includes('\0') || isLone(step))) return false;
    if (this.#traits.fullQueries) return true;
    // FerretDB is right about plain values; what it makes of lists, paths and negations is another matter.
    if (path.length > 0) return false;
    switch (comparison.op) {
      case '$eq':
        return true;
      case '$in':
        return comparison.values.length <= this.#traits.listLength;
      case '$gt':
      case '$gte':
      case '$lt':
      case '$lte':
        return comparison.value !== null;
      default:
        return false;
    }
  }

  #filter(name: string, comparison: Comparison): Filter | undefined {
    switch (comparison.op) {
      case '$eq':
      case '$ne':
      case '$gt':
      case '$gte':
      case '$lt':
      case '$lte':
        return this.#carries(comparison.value)
          ? { [name]: { [comparison.op]: comparison.value } }
          : undefined;
      case '$in':
      case '$nin':
      case '$all': {
        if (comparison.op === '$all' && comparison.values.length === 0) return NONE;
        const { op, values } = comparison;
        return values.every((value) => this.#carries(value)) ? { [name]: { [op]: values } } : undefined;
      }
      case '$glob': {
        const pattern = regexOfGlob(comparison.pattern);
        return pattern === undefined ? undefined : { [name]: { $regex: pattern } };
      }
      case '$regex':
        return isPlainRegex(comparison.pattern, comparison.flags)
          ? { [name]: { $regex: comparison.pattern } }
          : undefined;
      case '$exists':
        return { [name]: { $exists: comparison.value } };
      case '$mod': {
        const { divisor, remainder } = comparison;
        const usual = [divisor, remainder].every((number) => Math.abs(number) < 2 ** 31);
        return usual ? { [name]: { $mod: [divisor, remainder] } } : undefined;
      }
      case '$size':
        return { [name]: { $size: comparison.size } };
      case '$type':
        return comparison.types.every((type) => PLAIN_TYPES.has(type))
          ? { [name]: { $type: [...comparison.types] } }
          : undefined;
      case '$not': {
        const filters = comparison.comparisons.map((inner) => this.#filter(name, inner));
        if (filters.some((filter) => filter === undefined)) return undefined;
        return { $nor: [{ $and: filters }] };
      }
      case '$elemMatch':
        return undefined;
    }
  }

  /** Whether BSON has the value, and how much it adds. */
  #carries(value: unknown): boolean {
    this.size += 16;
    if (this.size > MAX_FILTER) return false;
    if (typeof value === 'string') {
      this.size += value.length * 3;
      return !isLone(value);
    }
    if (typeof value === 'bigint') return false;
    if (typeof value !== 'object' || value === null || value instanceof Date) return true;
    if (Array.isArray(value)) return value.every((item) => this.#carries(item));
    return Object.entries(value).every(
      ([key, item]) =>
        !key.startsWith('$') &&
        key !== '_bsontype' &&
        !key.includes('\0') &&
        !isLone(key) &&
        this.#carries(item),
    );
  }
}

const isLone = (text: string): boolean => /\p{Cs}/u.test(text);

/** Whether a column's values can be ordered by a server: they cannot be lists or dicts. */
export function isScalar(column: TaskKey): boolean {
  return TASK_COLUMNS[column] === 'text' || TASK_COLUMNS[column] === 'date';
}
