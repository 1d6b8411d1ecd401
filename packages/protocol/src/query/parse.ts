import { clip, describe } from '../common/describe.js';
import { type Dict, getOwn, isDict } from '../common/dict.js';
import { InvalidQueryError } from '../common/errors.js';
import { didYouMean } from '../common/suggest.js';
import { TASK_COLUMNS } from '../tasks/task-record.js';
import { columnComparison, mergeEquality } from './column-comparison.js';
import { parseElementPath, parseField } from './field.js';
import { LimitCounter } from './limit-counter.js';
import { DEFAULT_LIMITS, type QueryLimits } from './limits.js';
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
 * Validates a query and parses it to a tree. Every query is parsed before anything is sent or read.
 * @throws {InvalidQueryError} when a key, operator or value is invalid or a limit is exceeded; the message suggests the
 * nearest name
 */
export function parseQuery(
  query: unknown,
  options: { dates?: DateFormat; limits?: Partial<QueryLimits> } = {},
): QueryNode {
  if (!isDict(query)) throw new InvalidQueryError(`query must be an object, got ${describe(query)}`);
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  return { kind: 'and', nodes: new QueryParser(options.dates ?? 'date', limits).parse(query) };
}

/** The target of a comparison: a field of the record, or of an item inside `$elemMatch`. */
interface Target {
  readonly name: string;
  /** Missing for a path inside a dict, where values may have any type. */
  readonly column?: Field;
}

class QueryParser {
  readonly #limits: LimitCounter;
  readonly #values: ValueReader;

  constructor(dates: DateFormat, limits: QueryLimits) {
    this.#limits = new LimitCounter(limits);
    this.#values = new ValueReader(dates);
  }

  /** Parses a query to the parts that must all match. */
  parse(query: Dict): QueryNode[] {
    return this.#parseParts<QueryNode>(query, (name, condition) => {
      const field = parseField(name);
      const target: Target = { name: field.name, ...(field.path.length === 0 ? { column: field } : {}) };
      return this.#parseCondition(target, condition).map((comparison) => ({
        kind: 'test',
        field,
        comparison,
      }));
    });
  }

  #parseElementQuery(query: Dict): ElementNode[] {
    return this.#parseParts<ElementNode>(query, (name, condition) => {
      const path = parseElementPath(name);
      return this.#parseCondition({ name }, condition).map((comparison) => ({
        kind: 'test',
        path,
        comparison,
      }));
    });
  }

  #parseParts<N>(query: Dict, tests: (name: string, condition: unknown) => N[]): N[] {
    return this.#limits.withDepth(() => {
      const nodes: N[] = [];
      for (const [name, operand] of Object.entries(query)) {
        if (!name.startsWith('$')) nodes.push(...tests(name, operand));
        else if (isJunction(name)) nodes.push(...this.#parseJunction(name, operand, tests));
        else throw this.#misplacedOperator(name);
      }
      return nodes;
    });
  }

  #parseJunction<N>(
    name: JunctionName,
    operand: unknown,
    tests: (name: string, condition: unknown) => N[],
  ): N[] {
    if (!Array.isArray(operand) || operand.length === 0)
      throw new InvalidQueryError(
        `"${name}" must be an array of at least one query, got ${describe(operand)}`,
      );
    const branches = Array.from(operand as unknown[], (branch, i) => {
      if (!isDict(branch))
        throw new InvalidQueryError(`"${name}", item ${i} must be a query object, got ${describe(branch)}`);
      this.#limits.addConditions(1);
      return this.#parseParts<N>(branch, tests);
    });
    if (name === '$and') return branches.flat();
    const nodes = branches.map((parts) => (parts.length === 1 ? parts[0] : { kind: 'and', nodes: parts }));
    return [{ kind: JUNCTIONS[name], nodes } as N];
  }

  #misplacedOperator(name: string): InvalidQueryError {
    if (isOperator(name)) {
      return new InvalidQueryError(
        `operator "${name}" cannot be used at the top level of a query; use it on a TaskRecord key, as in { completed: { ${name}: … } }`,
      );
    }
    return new InvalidQueryError(
      `unknown operator "${clip(name)}" at the top level of a query${didYouMean(clip(name), Object.keys(JUNCTIONS))}`,
    );
  }

  #parseCondition(target: Target, condition: unknown): Comparison[] {
    if (condition === undefined) {
      throw new InvalidQueryError(
        `the value of "${target.name}" is undefined; use null to match missing values`,
      );
    }
    if (condition instanceof RegExp)
      return this.#countAll([
        this.#compilePattern(target, parsePattern(condition, undefined, `the pattern of "${target.name}"`)),
      ]);
    if (isDict(condition)) {
      const names = Object.keys(condition);
      if (names.some((name) => name.startsWith('$'))) return this.#parseOperators(target, condition);
      if (
        names.length === 0 &&
        target.column !== undefined &&
        TASK_COLUMNS[target.column.column] !== 'dict'
      ) {
        throw new InvalidQueryError(
          `the condition of "${target.name}" is an empty object; use a value, null or an operator`,
        );
      }
    }
    return this.#countAll([{ op: '$eq', value: this.#readValue(target, condition) }]);
  }

  /** Parses an object of operators, which must all match. */
  #parseOperators(target: Target, condition: Dict): Comparison[] {
    const names = Object.keys(condition);
    if (!names.every((name) => name.startsWith('$')))
      throw new InvalidQueryError(
        `the condition of "${target.name}" mixes operators with plain keys; use only one kind`,
      );
    if (Object.hasOwn(condition, '$options') && !Object.hasOwn(condition, '$regex'))
      throw new InvalidQueryError(`$options of "${target.name}" requires a $regex in the same object`);
    const comparisons = names.flatMap((name) => this.#parseOperator(target, name, condition));
    return this.#countAll(comparisons).map((comparison) =>
      target.column === undefined ? comparison : columnComparison(target.column, comparison),
    );
  }

  #parseOperator(target: Target, name: string, condition: Dict): Comparison[] {
    const operand = condition[name];
    if (!isOperator(name)) {
      if (isJunction(name)) {
        throw new InvalidQueryError(
          `"${name}" cannot be used inside the condition of "${target.name}"; it combines queries: { ${name}: [{ "${target.name}": … }, …] }`,
        );
      }
      throw new InvalidQueryError(
        `unknown operator "${clip(name)}" on "${target.name}"${didYouMean(clip(name), OPERATORS)}`,
      );
    }
    const subject = `${name} of "${target.name}"`;
    switch (name) {
      case '$in':
      case '$nin':
        return this.#parseList(target, name, operand, subject);
      case '$all':
        return this.#parseAll(target, operand, subject);
      case '$glob':
        if (typeof operand !== 'string')
          throw new InvalidQueryError(`${subject} must be a string, got ${describe(operand)}`);
        this.#checkPattern(target, operand, subject);
        return [{ op: '$glob', pattern: operand }];
      case '$regex':
        return [this.#compilePattern(target, parsePattern(operand, getOwn(condition, '$options'), subject))];
      case '$options':
        return [];
      case '$exists':
        return [{ op: '$exists', value: parseExists(operand, subject) }];
      case '$mod':
        return [parseMod(operand, subject)];
      case '$size':
        return [parseSize(operand, subject)];
      case '$type':
        return [{ op: '$type', types: parseTypes(operand, subject) }];
      case '$not':
        return [this.#parseNot(target, operand, subject)];
      case '$elemMatch':
        return [this.#parseElemMatch(target, operand, subject)];
      case '$ge':
        return [{ op: '$gt', value: this.#parseValue(target, operand, subject) }];
      case '$le':
        return [{ op: '$lt', value: this.#parseValue(target, operand, subject) }];
      default:
        return [{ op: name, value: this.#parseValue(target, operand, subject) }];
    }
  }

  #parseValue(target: Target, value: unknown, subject: string): unknown {
    if (value instanceof RegExp)
      throw new InvalidQueryError(
        `${subject} must be a value, got a regular expression; use $regex, or $not with a regular expression`,
      );
    return this.#readValue(target, value);
  }

  #readValue(target: Target, value: unknown): unknown {
    return this.#values.read(target, value, this.#limits.valueDepth);
  }

  // All regular expressions in a list become one `$regex`, because the lists of stores hold only values.
  #parseList(target: Target, op: '$in' | '$nin', operand: unknown, subject: string): Comparison[] {
    const { values, patterns } = this.#parseItems(target, operand, subject);
    if (patterns.length === 0) return [{ op, values }];
    const regex = this.#compilePattern(target, { pattern: anyPattern(patterns), flags: '' });
    const neither: Comparison[] = [{ op: '$not', comparisons: [regex] }];
    if (values.length > 0) neither.unshift({ op: '$nin', values });
    if (op === '$nin') return neither;
    return values.length === 0 ? [regex] : [{ op: '$not', comparisons: neither }];
  }

  #parseAll(target: Target, operand: unknown, subject: string): Comparison[] {
    const isElemMatch = (item: unknown): item is Dict => isDict(item) && Object.hasOwn(item, '$elemMatch');
    if (Array.isArray(operand) && operand.some(isElemMatch)) {
      this.#limits.checkListLength(operand, subject);
      return Array.from(operand as unknown[], (item, i) => {
        if (!isElemMatch(item) || Object.keys(item).length !== 1)
          throw new InvalidQueryError(
            `${subject}, item ${i}: if one item is an $elemMatch, every item must be an object with $elemMatch only`,
          );
        return this.#parseElemMatch(target, item.$elemMatch, subject);
      });
    }
    const { values, patterns } = this.#parseItems(target, operand, subject);
    const regexes = patterns.map((pattern) => this.#compilePattern(target, pattern));
    return values.length > 0 || patterns.length === 0 ? [{ op: '$all', values }, ...regexes] : regexes;
  }

  #parseItems(target: Target, operand: unknown, subject: string): { values: unknown[]; patterns: Pattern[] } {
    if (!Array.isArray(operand))
      throw new InvalidQueryError(`${subject} must be an array, got ${describe(operand)}`);
    this.#limits.checkListLength(operand, subject);
    const values: unknown[] = [];
    const patterns: Pattern[] = [];
    for (const [i, value] of (operand as unknown[]).entries()) {
      const item = `${subject}, item ${i}`;
      if (value instanceof RegExp) {
        patterns.push(parsePattern(value, undefined, item));
        continue;
      }
      if (value === undefined) {
        const hint = target.name === 'engine_uuid' ? '; is there no engine with that id?' : '';
        throw new InvalidQueryError(`${item} is undefined${hint}`);
      }
      checkListed(value, item);
      values.push(this.#readValue(target, value));
    }
    return { values, patterns };
  }

  #parseNot(target: Target, operand: unknown, subject: string): Comparison {
    if (operand instanceof RegExp)
      return {
        op: '$not',
        comparisons: [this.#compilePattern(target, parsePattern(operand, undefined, subject))],
      };
    if (!isDict(operand))
      throw new InvalidQueryError(
        `${subject} must be an object of operators or a regular expression, got ${describe(operand)}`,
      );
    if (Object.keys(operand).length === 0)
      throw new InvalidQueryError(`${subject} must have at least one operator, got an empty object`);
    return {
      op: '$not',
      comparisons: this.#limits.withDepth(() =>
        this.#withoutRepeats(target, this.#parseOperators(target, operand), subject),
      ),
    };
  }

  #parseElemMatch(target: Target, operand: unknown, subject: string): Comparison {
    if (!isDict(operand))
      throw new InvalidQueryError(`${subject} must be an object, got ${describe(operand)}`);
    const [first] = Object.keys(operand);
    // Operators test the item itself; anything else is a query on the fields of the item.
    if (first?.startsWith('$') === true && !isJunction(first)) {
      const item: Target = { name: target.name };
      return {
        op: '$elemMatch',
        comparisons: this.#limits.withDepth(() =>
          this.#withoutRepeats(item, this.#parseOperators(item, operand), subject),
        ),
      };
    }
    const parts = this.#parseElementQuery(operand);
    const [only] = parts;
    const element: ElementNode =
      only !== undefined && parts.length === 1 ? only : { kind: 'and', nodes: parts };
    return { op: '$elemMatch', element };
  }

  // An object can hold each operator only once. Further ones move into a double negation.
  #withoutRepeats(target: Target, given: readonly Comparison[], subject: string): Comparison[] {
    const hasRepeats = new Set(given.map(({ op }) => op)).size < given.length;
    const comparisons = hasRepeats && target.column !== undefined ? mergeEquality(given) : given;
    const unique: Comparison[] = [];
    const repeated: Comparison[] = [];
    for (const comparison of comparisons) {
      (unique.some(({ op }) => op === comparison.op) ? repeated : unique).push(comparison);
    }
    if (repeated.length === 0) return unique;
    if (unique.some(({ op }) => op === '$not') || repeated.some(({ op }) => op === '$not'))
      throw new InvalidQueryError(
        `${subject} has operators that cannot be combined in one object; write it with $and and $nor`,
      );
    return [
      ...unique,
      {
        op: '$not',
        comparisons: [{ op: '$not', comparisons: this.#withoutRepeats(target, repeated, subject) }],
      },
    ];
  }

  #compilePattern(target: Target, { pattern, flags }: Pattern): Comparison {
    const subject = `$regex of "${target.name}"`;
    this.#checkPattern(target, pattern, subject);
    let size: number;
    try {
      size = compileRegex(pattern, flags).programSize();
    } catch (error) {
      throw error instanceof InvalidQueryError
        ? new InvalidQueryError(`${subject}: ${error.message}`)
        : error;
    }
    this.#limits.addProgram(size, subject);
    return { op: '$regex', pattern, flags };
  }

  #checkPattern(target: Target, pattern: string, subject: string): void {
    if (target.column !== undefined && TASK_COLUMNS[target.column.column] !== 'text')
      throw new InvalidQueryError(`${subject}: a pattern matches only keys that hold text`);
    this.#limits.checkPatternLength(pattern, subject);
  }

  #countAll<T>(comparisons: T[]): T[] {
    this.#limits.addConditions(comparisons.length);
    return comparisons;
  }
}
