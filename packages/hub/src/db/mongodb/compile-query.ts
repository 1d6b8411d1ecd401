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

/** A query as a server receives it. */
export interface CompiledQuery {
  /** Accepts every match, and possibly other records. */
  readonly filter: Filter;
  /** The query to apply to the accepted records; undefined if the filter is exact. */
  readonly residual: QueryNode | undefined;
}

/** A filter for a part of a query, and whether it accepts matches only. */
interface PartialFilter {
  readonly filter: Filter;
  readonly isExact: boolean;
}

const MATCH_ALL: Filter = {};
const MATCH_NONE: Filter = { msg_id: { $in: [] } };
const INEXACT_MATCH_ALL: PartialFilter = { filter: MATCH_ALL, isExact: false };

/** MongoDB's limit of a message's document is 16 MiB. */
const MAX_FILTER = 8 << 20;

/** BSON types that a value has both in our documents and in Python's. */
const JSON_TYPES = new Set(['string', 'object', 'array', 'bool', 'null', 'number']);

/**
 * Compiles a query to a filter and a residual. The residual is undefined if the server evaluates the filter exactly.
 * `externalColumns` are the columns whose values a document may store externally; the filter accepts such documents.
 */
export function compileQuery(
  query: QueryNode,
  traits: ServerTraits,
  externalColumns: ReadonlySet<TaskKey> = new Set(),
): CompiledQuery {
  const compiler = new Compiler(traits, externalColumns);
  const { filter, isExact } = compiler.compile(query);
  if (compiler.size > MAX_FILTER) return { filter: MATCH_ALL, residual: query };
  return { filter, residual: isExact ? undefined : query };
}

class Compiler {
  /** Estimated size of the filter in bytes. */
  size = 0;
  readonly #traits: ServerTraits;
  readonly #externalColumns: ReadonlySet<TaskKey>;

  constructor(traits: ServerTraits, externalColumns: ReadonlySet<TaskKey>) {
    this.#traits = traits;
    this.#externalColumns = externalColumns;
  }

  compile(node: QueryNode): PartialFilter {
    if (node.kind === 'test') return this.#test(node);
    const parts = node.nodes.map((child) => this.compile(child));
    const isExact = parts.every(({ isExact }) => isExact);
    switch (node.kind) {
      case 'and': {
        const filters = parts.map(({ filter }) => filter).filter((filter) => filter !== MATCH_ALL);
        const [only] = filters;
        if (only === undefined) return { filter: MATCH_ALL, isExact };
        return { filter: filters.length === 1 ? only : { $and: filters }, isExact };
      }
      case 'or': {
        if (parts.length === 0) return { filter: MATCH_NONE, isExact: true };
        if (parts.some(({ filter }) => filter === MATCH_ALL)) return { filter: MATCH_ALL, isExact };
        return { filter: { $or: parts.map(({ filter }) => filter) }, isExact };
      }
      case 'nor':
        // The negation of an inexact filter would reject matches.
        if (!isExact || !this.#traits.supportsFullQueries) return INEXACT_MATCH_ALL;
        if (parts.length === 0) return { filter: MATCH_ALL, isExact: true };
        return { filter: { $nor: parts.map(({ filter }) => filter) }, isExact: true };
    }
  }

  #test({ field, comparison }: TestNode): PartialFilter {
    if (!this.#canDelegate(field.path, comparison)) return INEXACT_MATCH_ALL;
    const filter = this.#compileComparison(field.name, comparison);
    if (filter === undefined) return INEXACT_MATCH_ALL;
    if (!this.#externalColumns.has(field.column)) return { filter, isExact: true };
    return {
      filter: { $or: [filter, { [`ipyparallel_js.outside.${field.column}`]: { $exists: true } }] },
      isExact: false,
    };
  }

  /** Whether the server evaluates this comparison as MongoDB's documentation defines it. */
  #canDelegate(path: readonly string[], comparison: Comparison): boolean {
    if (path.some((step) => step.startsWith('$') || step.includes('\0') || hasLoneSurrogate(step)))
      return false;
    if (this.#traits.supportsFullQueries) return true;
    // FerretDB is correct for plain values only, not for lists, paths and negations.
    if (path.length > 0) return false;
    switch (comparison.op) {
      case '$eq':
        return true;
      case '$in':
        return comparison.values.length <= this.#traits.maxListLength;
      case '$gt':
      case '$gte':
      case '$lt':
      case '$lte':
        return comparison.value !== null;
      default:
        return false;
    }
  }

  #compileComparison(name: string, comparison: Comparison): Filter | undefined {
    switch (comparison.op) {
      case '$eq':
      case '$ne':
      case '$gt':
      case '$gte':
      case '$lt':
      case '$lte':
        return this.#isEncodable(comparison.value)
          ? { [name]: { [comparison.op]: comparison.value } }
          : undefined;
      case '$in':
      case '$nin':
      case '$all': {
        if (comparison.op === '$all' && comparison.values.length === 0) return MATCH_NONE;
        const { op, values } = comparison;
        return values.every((value) => this.#isEncodable(value)) ? { [name]: { [op]: values } } : undefined;
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
        const isInRange = [divisor, remainder].every((number) => Math.abs(number) < 2 ** 31);
        return isInRange ? { [name]: { $mod: [divisor, remainder] } } : undefined;
      }
      case '$size':
        return { [name]: { $size: comparison.size } };
      case '$type':
        return comparison.types.every((type) => JSON_TYPES.has(type))
          ? { [name]: { $type: [...comparison.types] } }
          : undefined;
      case '$not': {
        const filters = comparison.comparisons.map((inner) => this.#compileComparison(name, inner));
        if (filters.some((filter) => filter === undefined)) return undefined;
        return { $nor: [{ $and: filters }] };
      }
      case '$elemMatch':
        return undefined;
    }
  }

  /** Whether BSON can encode the value. Adds its size to `size`. */
  #isEncodable(value: unknown): boolean {
    this.size += 16;
    if (this.size > MAX_FILTER) return false;
    if (typeof value === 'string') {
      this.size += value.length * 3;
      return !hasLoneSurrogate(value);
    }
    if (typeof value === 'bigint') return false;
    if (typeof value !== 'object' || value === null || value instanceof Date) return true;
    if (Array.isArray(value)) return value.every((item) => this.#isEncodable(item));
    return Object.entries(value).every(
      ([key, item]) =>
        !key.startsWith('$') &&
        key !== '_bsontype' &&
        !key.includes('\0') &&
        !hasLoneSurrogate(key) &&
        this.#isEncodable(item),
    );
  }
}

const hasLoneSurrogate = (text: string): boolean => /\p{Cs}/u.test(text);

/** Whether a server can sort by a column, that is, its values are neither lists nor dicts. */
export function isScalar(column: TaskKey): boolean {
  return TASK_COLUMNS[column] === 'text' || TASK_COLUMNS[column] === 'date';
}
