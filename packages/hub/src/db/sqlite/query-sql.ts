import type { TaskKey } from '@ipyparallel-js/protocol';
import {
  afterQuery,
  allOf,
  type Comparison,
  conjunctsOf,
  globPrefix,
  type QueryNode,
  type Sort,
  type SortKeys,
  TASK_COLUMNS,
} from '@ipyparallel-js/protocol/internal';
import type { Layout } from './layout.js';

/** An SQL condition on the row `t`. All values are parameters. */
export interface Condition {
  readonly sql: string;
  readonly params: readonly (string | null)[];
  /** Whether the condition is equivalent to the query; otherwise it also holds for other rows. */
  readonly isExact: boolean;
  /** Nesting depth of the parentheses. */
  readonly depth: number;
}

/** A query as an SQL condition and the residual, a query that must be applied to the rows that the condition finds. */
export interface CompiledQuery {
  readonly where: Condition;
  readonly residual: QueryNode | undefined;
}

const MATCH_ALL: Condition = { sql: '1', params: [], isExact: true, depth: 0 };
const MATCH_NONE: Condition = { sql: '0', params: [], isExact: true, depth: 0 };
/** Holds for every row; the residual decides. */
const INEXACT_MATCH_ALL: Condition = { sql: '1', params: [], isExact: false, depth: 0 };

/** Maximum depth of a condition: SQLite's parser stack has 100 entries. Deeper queries are left to the residual. */
const MAX_DEPTH = 20;

/** Maximum number of conditions in one AND or OR chain: SQLite limits the depth of expressions to 1,000. */
const MAX_CHAIN = 16;

/** Maximum length of a list with one parameter per value: SQLite limits a statement to 32,766 parameters. */
const MAX_LIST_PARAMS = 16;

/** A lone surrogate: no cell can contain one, because UTF-8 cannot encode it. */
const LONE_SURROGATE = /\p{Cs}/u;

/** Compiles a query. The residual consists of the parts that SQL cannot express exactly. */
export function compileQuery(node: QueryNode, layout: Layout): CompiledQuery {
  const conditions: Condition[] = [];
  const residualParts: QueryNode[] = [];
  for (const part of conjunctsOf(node)) {
    const condition = compileNode(part, layout);
    if (condition !== MATCH_ALL) conditions.push(condition);
    if (!condition.isExact) residualParts.push(part);
  }
  return {
    where: joinConditions(conditions, 'AND'),
    residual: residualParts.length === 0 ? undefined : allOf(residualParts),
  };
}

/** Compiles a query for the records after a position in an order; returns undefined if the order contains paths. */
export function compileAfter(sort: Sort, keys: SortKeys, layout: Layout): CompiledQuery | undefined {
  const query = afterQuery(sort, keys);
  if (query === undefined) return undefined;
  const compiled = compileQuery(query, layout);
  const first = sort[0];
  const value = keys[0];
  // Add a bound on the first field so that SQLite can use an index; it cannot derive one from alternatives.
  if (first === undefined || first.descending || value === null || value === undefined) return compiled;
  const parameter = compileQuery(
    { kind: 'test', field: first.field, comparison: { op: '$gte', value } },
    layout,
  ).where;
  return { ...compiled, where: joinConditions([parameter, compiled.where], 'AND') };
}

/** Compiles an order to ORDER BY terms; returns undefined if JavaScript must sort. */
export function compileSort(sort: Sort | undefined, layout: Layout): string | undefined {
  if (sort === undefined) return 't.rowid';
  const terms: string[] = [];
  for (const { field, descending } of sort) {
    const kind = TASK_COLUMNS[field.column];
    if (field.path.length > 0 || kind === 'dict' || kind === 'buffers') return undefined;
    terms.push(`${layout.sortKeySql(field.column)}${descending ? ' DESC' : ''}`);
  }
  return terms.join(', ');
}

function compileNode(node: QueryNode, layout: Layout): Condition {
  if (node.kind === 'test') {
    const { column, path } = node.field;
    return path.length === 0
      ? compileColumn(column, node.comparison, layout)
      : compilePath(column, node.comparison, layout);
  }
  const condition = compileJunction(node, layout);
  return condition.depth > MAX_DEPTH ? INEXACT_MATCH_ALL : condition;
}

function compileJunction({ kind, nodes }: Exclude<QueryNode, { kind: 'test' }>, layout: Layout): Condition {
  const parts = nodes.map((child) => compileNode(child, layout));
  if (kind === 'and') return joinConditions(parts, 'AND');
  if (kind === 'or') return joinConditions(parts, 'OR');
  // The negation of an inexact condition would exclude matches, so negate the exact ones only.
  const exactParts = parts.filter(({ isExact }) => isExact);
  const negation = exactParts.length === 0 ? MATCH_ALL : negate(joinConditions(exactParts, 'OR'));
  return { ...negation, isExact: exactParts.length === parts.length };
}

function compileColumn(column: TaskKey, comparison: Comparison, layout: Layout): Condition {
  const kind = TASK_COLUMNS[column];
  if (comparison.op === '$not') {
    const parts = comparison.comparisons.map((part) => compileColumn(column, part, layout));
    const condition = joinConditions(parts, 'AND');
    return condition.isExact ? negate(condition) : INEXACT_MATCH_ALL;
  }
  if (comparison.op === '$exists') return comparison.value ? MATCH_ALL : MATCH_NONE;
  if (kind === 'buffers') return compileBuffers(column, comparison, layout);
  if (kind === 'dict') return compileDict(layout.cellSql(column), comparison);
  return compileScalar(layout.sortKeySql(column), comparison);
}

/** Compiles a comparison of a text or date column. */
function compileScalar(expr: string, comparison: Comparison): Condition {
  const { op } = comparison;
  switch (op) {
    case '$eq':
    case '$ne': {
      const { value } = comparison;
      if (value === null) return exactCondition(`${expr} IS ${op === '$eq' ? '' : 'NOT '}NULL`);
      const parameter = toParameter(value);
      if (parameter === undefined) return op === '$eq' ? MATCH_NONE : MATCH_ALL;
      return exactCondition(`${expr} ${op === '$eq' ? '=' : 'IS NOT'} ?`, parameter);
    }
    case '$gt':
    case '$gte':
    case '$lt':
    case '$lte': {
      const { value } = comparison;
      if (value === null)
        return op === '$gte' || op === '$lte' ? exactCondition(`${expr} IS NULL`) : MATCH_NONE;
      const parameter = toParameter(value);
      if (parameter === undefined) return INEXACT_MATCH_ALL;
      const operator = { $gt: '>', $gte: '>=', $lt: '<', $lte: '<=' }[op];
      return exactCondition(`${expr} ${operator} ?`, parameter);
    }
    case '$in':
      return compileList(expr, comparison.values);
    case '$nin':
      return negate(compileList(expr, comparison.values));
    case '$glob': {
      const prefix = globPrefix(comparison.pattern);
      const end = LONE_SURROGATE.test(prefix) ? undefined : prefixEnd(prefix);
      if (end === undefined) return { ...exactCondition(`${expr} IS NOT NULL`), isExact: false };
      return { sql: `(${expr} >= ? AND ${expr} < ?)`, params: [prefix, end], isExact: false, depth: 1 };
    }
    case '$regex':
      return { ...exactCondition(`${expr} IS NOT NULL`), isExact: false };
    default:
      return INEXACT_MATCH_ALL;
  }
}

function compileList(expr: string, values: readonly unknown[]): Condition {
  const texts = values.flatMap((value) => (value === null ? [] : (toParameter(value) ?? [])));
  const parts: Condition[] = values.includes(null) ? [exactCondition(`${expr} IS NULL`)] : [];
  if (texts.length > MAX_LIST_PARAMS) {
    parts.push(exactCondition(`${expr} IN (SELECT value FROM json_each(?))`, JSON.stringify(texts)));
  } else if (texts.length > 0) {
    parts.push(exactCondition(`${expr} IN (${texts.map(() => '?').join(', ')})`, ...texts));
  }
  return joinConditions(parts, 'OR');
}

// Queries can compare buffers with null only.
function compileBuffers(column: TaskKey, comparison: Comparison, layout: Layout): Condition {
  const isNull = exactCondition(`${layout.cellSql(column)} IS NULL`);
  switch (comparison.op) {
    case '$eq':
    case '$gte':
    case '$lte':
      return comparison.value === null ? isNull : MATCH_NONE;
    case '$ne':
      return comparison.value === null ? negate(isNull) : MATCH_ALL;
    case '$in':
      return comparison.values.includes(null) ? isNull : MATCH_NONE;
    case '$nin':
      return comparison.values.includes(null) ? negate(isNull) : MATCH_ALL;
    default:
      return INEXACT_MATCH_ALL;
  }
}

function compileDict(expr: string, comparison: Comparison): Condition {
  const isNotNull = exactCondition(`${expr} IS NOT NULL`);
  switch (comparison.op) {
    case '$eq':
      return comparison.value === null ? exactCondition(`${expr} IS NULL`) : { ...isNotNull, isExact: false };
    case '$ne':
      return comparison.value === null ? isNotNull : INEXACT_MATCH_ALL;
    case '$gt':
    case '$lt':
      return comparison.value === null ? MATCH_NONE : { ...isNotNull, isExact: false };
    case '$gte':
    case '$lte':
      return comparison.value === null ? exactCondition(`${expr} IS NULL`) : { ...isNotNull, isExact: false };
    default:
      return INEXACT_MATCH_ALL;
  }
}

/** Compiles a comparison of a path in a dict to a necessary condition, because the cell is a JSON text. */
function compilePath(column: TaskKey, comparison: Comparison, layout: Layout): Condition {
  const expr = layout.cellSql(column);
  const isNotNull: Condition = { ...exactCondition(`${expr} IS NOT NULL`), isExact: false };
  switch (comparison.op) {
    case '$eq':
      return compileContains(expr, [comparison.value]) ?? isNotNull;
    case '$in':
      return compileContains(expr, comparison.values) ?? INEXACT_MATCH_ALL;
    case '$gt':
    case '$gte':
    case '$lt':
    case '$lte':
      return comparison.value === null ? INEXACT_MATCH_ALL : isNotNull;
    case '$regex':
    case '$glob':
    case '$mod':
    case '$size':
    case '$elemMatch':
      return isNotNull;
    case '$exists':
      return comparison.value ? isNotNull : INEXACT_MATCH_ALL;
    default:
      return INEXACT_MATCH_ALL;
  }
}

/** Printable ASCII that every JSON serializer writes unescaped. */
const PLAIN_JSON = /^[ !#-[\]-~]*$/;

/** Compiles the condition that the JSON contains one of the values; returns undefined if SQL cannot test that. */
function compileContains(expr: string, values: readonly unknown[]): Condition | undefined {
  if (values.includes(null)) return INEXACT_MATCH_ALL;
  if (values.length > MAX_LIST_PARAMS) return undefined;
  const texts: string[] = [];
  for (const value of values) {
    if (typeof value !== 'string' || !PLAIN_JSON.test(value)) return undefined;
    texts.push(`"${value}"`);
  }
  const parts = texts.map((text) => exactCondition(`instr(${expr}, ?) > 0`, text));
  return { ...joinConditions(parts, 'OR'), isExact: false };
}

/** Converts a value to the text with which cells are compared; returns undefined if no cell can contain the value. */
function toParameter(value: unknown): string | undefined {
  if (typeof value === 'string') return LONE_SURROGATE.test(value) ? undefined : value;
  if (!(value instanceof Date)) return undefined;
  const year = value.getUTCFullYear();
  // Stored years have four digits. ':' sorts after all of them, ' ' before.
  if (year > 9999) return ':';
  if (year < 0) return ' ';
  return value.toISOString().slice(0, 23);
}

/** Returns the least text that is greater than all texts with this prefix; undefined if there is none. */
function prefixEnd(prefix: string): string | undefined {
  const points = [...prefix];
  for (let last = points.pop(); last !== undefined; last = points.pop()) {
    const code = last.codePointAt(0) ?? 0;
    if (code === 0x10ffff) continue;
    return points.join('') + String.fromCodePoint(code === 0xd7ff ? 0xe000 : code + 1);
  }
  return undefined;
}

function exactCondition(sql: string, ...params: readonly (string | null)[]): Condition {
  return { sql, params, isExact: true, depth: 1 };
}

// IS NOT TRUE instead of NOT, because a comparison with NULL is neither true nor false.
function negate(condition: Condition): Condition {
  return { ...condition, sql: `(${condition.sql}) IS NOT TRUE`, depth: condition.depth + 1 };
}

function joinConditions(parts: readonly Condition[], operator: 'AND' | 'OR'): Condition {
  const [only] = parts;
  if (only === undefined) return operator === 'AND' ? MATCH_ALL : MATCH_NONE;
  if (parts.length === 1) return only;
  if (parts.length > MAX_CHAIN) {
    const size = Math.ceil(parts.length / MAX_CHAIN);
    const groups: Condition[] = [];
    for (let at = 0; at < parts.length; at += size)
      groups.push(joinConditions(parts.slice(at, at + size), operator));
    return joinConditions(groups, operator);
  }
  return {
    sql: `(${parts.map(({ sql }) => sql).join(` ${operator} `)})`,
    params: parts.flatMap(({ params }) => params),
    isExact: parts.every(({ isExact }) => isExact),
    depth: Math.max(...parts.map(({ depth }) => depth)) + 1,
  };
}
