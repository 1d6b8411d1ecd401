import { type Dict, getOwn, isDict } from '../common/dict.js';
import { InvalidQueryError } from '../common/errors.js';
import { didYouMean } from '../common/suggest.js';
import { TASK_COLUMNS } from '../tasks/task-record.js';
import { columnComparison, mergeEquality } from './column-comparison.js';
import { clip, describe } from './describe.js';
import { parseElementPath, parseField } from './field.js';
import { DEFAULT_LIMITS, type QueryLimits, valueDepthIn } from './limits.js';
import {
  checkListed,
  type Pattern,
  parseExists,
  parseMod,
  parsePattern,
  parseSize,
  parseTypes,
} from './operands.js';
import { anyPattern, compileRegex } from './regex.js';
import type { Comparison, ElementNode, Field, QueryNode } from './tree.js';
import { type DateFormat, ValueReader } from './value-reader.js';

const OPERATORS = [
  '$eq',
  '$ne',
  '$gt',
  '$gte',
  '$lt',
  '$lte',
  '$in',
  '$nin',
  '$exists',
  '$mod',
  '$all',
  '$regex',
  '$options',
  '$not',
  '$size',
  '$type',
  '$elemMatch',
  '$glob',
  '$ge',
  '$le',
] as const;
type Operator = (typeof OPERATORS)[number];

const JUNCTIONS = { $and: 'and', $or: 'or', $nor: 'nor' } as const;
type JunctionName = keyof typeof JUNCTIONS;

const isOperator = (name: string): name is Operator => (OPERATORS as readonly string[]).includes(name);
const isJunction = (name: string): name is JunctionName => Object.hasOwn(JUNCTIONS, name);

/**
 * Validates a query and turns it into a tree; nothing is sent or read before this has passed.
 * @throws InvalidQueryError naming the nearest key or operator, the wrong value, or the limit exceeded
 */
export function parseQuery(
  query: unknown,
  options: { dates?: DateFormat; limits?: Partial<QueryLimits> } = {},
): QueryNode {
  if (!isDict(query)) throw new InvalidQueryError(`a query is an object, not ${describe(query)}`);
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  return { kind: 'and', nodes: new Parser(options.dates ?? 'date', limits).query(query) };
}

/** What a comparison is made on: a field of the record, or of an item inside `$elemMatch`. */
interface Place {
  readonly name: string;
  /** Absent for what lies inside a dict, where values may be anything. */
  readonly column?: Field;
}

class Parser {
  readonly #limits: QueryLimits;
  readonly #values: ValueReader;
  #conditions = 0;
  #depth = 0;
  #program = 0;

  constructor(dates: DateFormat, limits: QueryLimits) {
    this.#limits = limits;
    this.#values = new ValueReader(dates);
  }

  /** The parts of a query, all of which must hold. */
  query(query: Dict): QueryNode[] {
    return this.#parts<QueryNode>(query, (name, condition) => {
      const field = parseField(name);
      const place: Place = { name: field.name, ...(field.path.length === 0 ? { column: field } : {}) };
      return this.#condition(place, condition).map((comparison) => ({ kind: 'test', field, comparison }));
    });
  }

  #element(query: Dict): ElementNode[] {
    return this.#parts<ElementNode>(query, (name, condition) => {
      const path = parseElementPath(name);
      return this.#condition({ name }, condition).map((comparison) => ({ kind: 'test', path, comparison }));
    });
  }

  #parts<N>(query: Dict, tests: (name: string, condition: unknown) => N[]): N[] {
    return this.#deeper(() => {
      const nodes: N[] = [];
      for (const [name, operand] of Object.entries(query)) {
        if (!name.startsWith('$')) nodes.push(...tests(name, operand));
        else if (isJunction(name)) nodes.push(...this.#junction(name, operand, tests));
        else throw this.#misplaced(name);
      }
      return nodes;
    });
  }

  #junction<N>(name: JunctionName, operand: unknown, tests: (name: string, condition: unknown) => N[]): N[] {
    if (!Array.isArray(operand) || operand.length === 0)
      throw new InvalidQueryError(`"${name}" takes a list of one or more queries, not ${describe(operand)}`);
    const branches = Array.from(operand as unknown[], (branch, i) => {
      if (!isDict(branch))
        throw new InvalidQueryError(`"${name}" takes a list of queries; item ${i} is ${describe(branch)}`);
      this.#count();
      return this.#parts<N>(branch, tests);
    });
    if (name === '$and') return branches.flat();
    const nodes = branches.map((parts) => (parts.length === 1 ? parts[0] : { kind: 'and', nodes: parts }));
    return [{ kind: JUNCTIONS[name], nodes } as N];
  }

  #misplaced(name: string): InvalidQueryError {
    if (isOperator(name)) {
      return new InvalidQueryError(
        `operator "${name}" cannot stand at the top level of a query; conditions are keyed by TaskRecord keys`,
      );
    }
    return new InvalidQueryError(
      `unknown operator "${clip(name)}" at the top level of a query${didYouMean(clip(name), Object.keys(JUNCTIONS))}`,
    );
  }

  #condition(place: Place, condition: unknown): Comparison[] {
    if (condition === undefined) {
      throw new InvalidQueryError(
        `the value of "${place.name}" is undefined; use null to find what is missing`,
      );
    }
    if (condition instanceof RegExp)
      return this.#counted([
        this.#pattern(place, parsePattern(condition, undefined, `the pattern of "${place.name}"`)),
      ]);
    if (isDict(condition)) {
      const names = Object.keys(condition);
      if (names.some((name) => name.startsWith('$'))) return this.#operators(place, condition);
      if (names.length === 0 && place.column !== undefined && TASK_COLUMNS[place.column.column] !== 'dict') {
        throw new InvalidQueryError(`the condition of "${place.name}" is empty`);
      }
    }
    return this.#counted([{ op: '$eq', value: this.#read(place, condition) }]);
  }

  /** An object of operators, all of which must hold. */
  #operators(place: Place, condition: Dict): Comparison[] {
    const names = Object.keys(condition);
    if (!names.every((name) => name.startsWith('$')))
      throw new InvalidQueryError(`the condition of "${place.name}" mixes operators with plain keys`);
    if (Object.hasOwn(condition, '$options') && !Object.hasOwn(condition, '$regex'))
      throw new InvalidQueryError(`$options of "${place.name}" needs a $regex`);
    const comparisons = names.flatMap((name) => this.#operator(place, name, condition));
    return this.#counted(comparisons).map((comparison) =>
      place.column === undefined ? comparison : columnComparison(place.column, comparison),
    );
  }

  #operator(place: Place, name: string, condition: Dict): Comparison[] {
    const operand = condition[name];
    if (!isOperator(name)) {
      if (isJunction(name)) {
        throw new InvalidQueryError(
          `"${name}" cannot stand inside the condition of "${place.name}"; it takes whole queries and stands beside keys`,
        );
      }
      throw new InvalidQueryError(
        `unknown operator "${clip(name)}" on "${place.name}"${didYouMean(clip(name), OPERATORS)}`,
      );
    }
    const at = `${name} of "${place.name}"`;
    switch (name) {
      case '$in':
      case '$nin':
        return this.#list(place, name, operand, at);
      case '$all':
        return this.#all(place, operand, at);
      case '$glob':
        if (typeof operand !== 'string')
          throw new InvalidQueryError(`${at} takes a text, not ${describe(operand)}`);
        this.#checkText(place, operand, at);
        return [{ op: '$glob', pattern: operand }];
      case '$regex':
        return [this.#pattern(place, parsePattern(operand, getOwn(condition, '$options'), at))];
      case '$options':
        return [];
      case '$exists':
        return [{ op: '$exists', value: parseExists(operand, at) }];
      case '$mod':
        return [parseMod(operand, at)];
      case '$size':
        return [parseSize(operand, at)];
      case '$type':
        return [{ op: '$type', types: parseTypes(operand, at) }];
      case '$not':
        return [this.#not(place, operand, at)];
      case '$elemMatch':
        return [this.#elemMatch(place, operand, at)];
      case '$ge':
        return [{ op: '$gt', value: this.#value(place, operand, at) }];
      case '$le':
        return [{ op: '$lt', value: this.#value(place, operand, at) }];
      default:
        return [{ op: name, value: this.#value(place, operand, at) }];
    }
  }

  #value(place: Place, value: unknown, at: string): unknown {
    if (value instanceof RegExp)
      throw new InvalidQueryError(
        `${at} takes a value, not a regular expression; use $regex, or $not with one`,
      );
    return this.#read(place, value);
  }

  #read(place: Place, value: unknown): unknown {
    return this.#values.read(place, value, valueDepthIn(this.#limits, this.#depth));
  }

  // A regular expression may stand in a list: then one `$regex` for all of them stands beside the values.
  #list(place: Place, op: '$in' | '$nin', operand: unknown, at: string): Comparison[] {
    const { values, patterns } = this.#listed(place, operand, at);
    if (patterns.length === 0) return [{ op, values }];
    const regex = this.#pattern(place, { pattern: anyPattern(patterns), flags: '' });
    const neither: Comparison[] = [{ op: '$not', comparisons: [regex] }];
    if (values.length > 0) neither.unshift({ op: '$nin', values });
    if (op === '$nin') return neither;
    return values.length === 0 ? [regex] : [{ op: '$not', comparisons: neither }];
  }

  #all(place: Place, operand: unknown, at: string): Comparison[] {
    const isElemMatch = (item: unknown): item is Dict => isDict(item) && Object.hasOwn(item, '$elemMatch');
    if (Array.isArray(operand) && operand.some(isElemMatch)) {
      this.#checkLength(operand, at);
      return Array.from(operand as unknown[], (item, i) => {
        if (!isElemMatch(item) || Object.keys(item).length !== 1)
          throw new InvalidQueryError(`${at}, item ${i}: beside one $elemMatch, all items are such`);
        return this.#elemMatch(place, item.$elemMatch, at);
      });
    }
    const { values, patterns } = this.#listed(place, operand, at);
    const regexes = patterns.map((pattern) => this.#pattern(place, pattern));
    return values.length > 0 || patterns.length === 0 ? [{ op: '$all', values }, ...regexes] : regexes;
  }

  #listed(place: Place, operand: unknown, at: string): { values: unknown[]; patterns: Pattern[] } {
    if (!Array.isArray(operand)) throw new InvalidQueryError(`${at} takes a list, not ${describe(operand)}`);
    this.#checkLength(operand, at);
    const values: unknown[] = [];
    const patterns: Pattern[] = [];
    for (const [i, value] of (operand as unknown[]).entries()) {
      const item = `${at}, item ${i}`;
      if (value instanceof RegExp) {
        patterns.push(parsePattern(value, undefined, item));
        continue;
      }
      if (value === undefined) {
        const why = place.name === 'engine_uuid' ? '; is there no engine of that id?' : '';
        throw new InvalidQueryError(`${item} is undefined${why}`);
      }
      checkListed(value, item);
      values.push(this.#read(place, value));
    }
    return { values, patterns };
  }

  #not(place: Place, operand: unknown, at: string): Comparison {
    if (operand instanceof RegExp)
      return { op: '$not', comparisons: [this.#pattern(place, parsePattern(operand, undefined, at))] };
    if (!isDict(operand))
      throw new InvalidQueryError(`${at} takes operators or a regular expression, not ${describe(operand)}`);
    if (Object.keys(operand).length === 0) throw new InvalidQueryError(`${at} is empty`);
    return {
      op: '$not',
      comparisons: this.#deeper(() => this.#nested(place, this.#operators(place, operand), at)),
    };
  }

  #elemMatch(place: Place, operand: unknown, at: string): Comparison {
    if (!isDict(operand)) throw new InvalidQueryError(`${at} takes an object, not ${describe(operand)}`);
    const [first] = Object.keys(operand);
    // Operators are about the item itself; anything else is a query on an item that is an object.
    if (first?.startsWith('$') === true && !isJunction(first)) {
      const item: Place = { name: place.name };
      return {
        op: '$elemMatch',
        comparisons: this.#deeper(() => this.#nested(item, this.#operators(item, operand), at)),
      };
    }
    const parts = this.#element(operand);
    const [only] = parts;
    const element: ElementNode =
      only !== undefined && parts.length === 1 ? only : { kind: 'and', nodes: parts };
    return { op: '$elemMatch', element };
  }

  // One object has room for each operator once. A second one goes behind two negations.
  #nested(place: Place, given: readonly Comparison[], at: string): Comparison[] {
    const isTwice = new Set(given.map(({ op }) => op)).size < given.length;
    const comparisons = isTwice && place.column !== undefined ? mergeEquality(given) : given;
    const out: Comparison[] = [];
    const again: Comparison[] = [];
    for (const comparison of comparisons) {
      (out.some(({ op }) => op === comparison.op) ? again : out).push(comparison);
    }
    if (again.length === 0) return out;
    if (out.some(({ op }) => op === '$not') || again.some(({ op }) => op === '$not'))
      throw new InvalidQueryError(`${at} combines too much at one place; write it with $and and $nor`);
    return [
      ...out,
      { op: '$not', comparisons: [{ op: '$not', comparisons: this.#nested(place, again, at) }] },
    ];
  }

  #pattern(place: Place, { pattern, flags }: Pattern): Comparison {
    const at = `$regex of "${place.name}"`;
    this.#checkText(place, pattern, at);
    let size: number;
    try {
      size = compileRegex(pattern, flags).programSize();
    } catch (error) {
      throw error instanceof InvalidQueryError ? new InvalidQueryError(`${at}: ${error.message}`) : error;
    }
    this.#program += size;
    if (this.#program > this.#limits.programSize) {
      throw new InvalidQueryError(
        `${at}: the regular expressions of the query compile to more than ${this.#limits.programSize} instructions`,
      );
    }
    return { op: '$regex', pattern, flags };
  }

  #checkText(place: Place, pattern: string, at: string): void {
    if (place.column !== undefined && TASK_COLUMNS[place.column.column] !== 'text')
      throw new InvalidQueryError(`${at}: a pattern can only match a text key`);
    if (pattern.length > this.#limits.patternLength) {
      throw new InvalidQueryError(
        `${at} has ${pattern.length} characters, more than ${this.#limits.patternLength}`,
      );
    }
  }

  #checkLength(list: readonly unknown[], at: string): void {
    if (list.length > this.#limits.listLength)
      throw new InvalidQueryError(`${at} lists ${list.length} values, more than ${this.#limits.listLength}`);
  }

  #counted<T>(comparisons: T[]): T[] {
    for (const _ of comparisons) this.#count();
    return comparisons;
  }

  #count(): void {
    if (++this.#conditions > this.#limits.conditions)
      throw new InvalidQueryError(`more than ${this.#limits.conditions} conditions in one query`);
  }

  #deeper<T>(read: () => T): T {
    if (++this.#depth > this.#limits.depth)
      throw new InvalidQueryError(`the query nests deeper than ${this.#limits.depth} levels`);
    const value = read();
    this.#depth--;
    return value;
  }
}
