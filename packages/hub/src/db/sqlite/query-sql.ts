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

/** A condition on the row `t`. Values are parameters only. */
export interface Condition {
  readonly sql: string;
  readonly params: readonly (string | null)[];
  /** Whether it says all that was meant; otherwise it holds for more rows. */
  readonly exact: boolean;
  /** How deep its parentheses nest. */
  readonly depth: number;
}

/** What a query becomes: a condition in SQL, and what is left to be finished on the rows that it finds. */
export interface CompiledQuery {
  readonly where: Condition;
  readonly residual: QueryNode | undefined;
}

const ALL: Condition = { sql: '1', params: [], exact: true, depth: 0 };
const NONE: Condition = { sql: '0', params: [], exact: true, depth: 0 };
/** Says nothing of the row; the predicate decides. */
const OPEN: Condition = { sql: '1', params: [], exact: false, depth: 0 };

/** SQLite's parser has room for a hundred symbols that wait for their end; what nests deeper is left to the predicate. */
const MOST_DEPTH = 20;

/** So many conditions stand in one row; SQLite takes expressions up to a depth of 1,000. */
const ROW = 16;

/** Longer lists travel as one parameter: SQLite takes 32,766 of them. */
const SHORT_LIST = 16;

/** Half a character, which is in no file: on its way there it would become another. */
const LONE_SURROGATE = /\p{Cs}/u;

/** Compiles a query; the parts that SQL cannot say exactly are in the residual, too. */
export function compileQuery(node: QueryNode, layout: Layout): CompiledQuery {
  const conditions: Condition[] = [];
  const rest: QueryNode[] = [];
  for (const part of conjunctsOf(node)) {
    const condition = compileNode(part, layout);
    if (condition !== ALL) conditions.push(condition);
    if (!condition.exact) rest.push(part);
  }
  return { where: joined(conditions, 'AND'), residual: rest.length === 0 ? undefined : allOf(rest) };
}

/** What comes after a place in an order; undefined for an order by paths. */
export function compileAfter(sort: Sort, keys: SortKeys, layout: Layout): CompiledQuery | undefined {
  const query = afterQuery(sort, keys);
  if (query === undefined) return undefined;
  const compiled = compileQuery(query, layout);
  const first = sort[0];
  const value = keys[0];
  // A bound on the first field, which an index can use; SQLite sees none in a row of alternatives.
  if (first === undefined || first.descending || value === null || value === undefined) return compiled;
  const bound = compileQuery(
    { kind: 'test', field: first.field, comparison: { op: '$gte', value } },
    layout,
  ).where;
  return { ...compiled, where: joined([bound, compiled.where], 'AND') };
}

/** The order of an answer; undefined when it has to be made in JavaScript. */
export function compileSort(sort: Sort | undefined, layout: Layout): string | undefined {
  if (sort === undefined) return 't.rowid';
  const terms: string[] = [];
  for (const { field, descending } of sort) {
    const kind = TASK_COLUMNS[field.column];
    if (field.path.length > 0 || kind === 'dict' || kind === 'buffers') return undefined;
    terms.push(`${layout.comparable(field.column)}${descending ? ' DESC' : ''}`);
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
  const whole = compileJunction(node, layout);
  return whole.depth > MOST_DEPTH ? OPEN : whole;
}

function compileJunction({ kind, nodes }: Exclude<QueryNode, { kind: 'test' }>, layout: Layout): Condition {
  const parts = nodes.map((child) => compileNode(child, layout));
  if (kind === 'and') return joined(parts, 'AND');
  if (kind === 'or') return joined(parts, 'OR');
  // What is only a part of the truth says nothing once it is denied.
  const sure = parts.filter(({ exact }) => exact);
  const denied = sure.length === 0 ? ALL : negated(joined(sure, 'OR'));
  return { ...denied, exact: sure.length === parts.length };
}

function compileColumn(column: TaskKey, comparison: Comparison, layout: Layout): Condition {
  const kind = TASK_COLUMNS[column];
  if (comparison.op === '$not') {
    const parts = comparison.comparisons.map((part) => compileColumn(column, part, layout));
    const whole = joined(parts, 'AND');
    return whole.exact ? negated(whole) : OPEN;
  }
  if (comparison.op === '$exists') return comparison.value ? ALL : NONE;
  if (kind === 'buffers') return compileBuffers(column, comparison, layout);
  if (kind === 'dict') return compileDict(layout.column(column), comparison);
  return compileScalar(layout.comparable(column), comparison);
}

/** A column of texts or dates. */
function compileScalar(expr: string, comparison: Comparison): Condition {
  const { op } = comparison;
  switch (op) {
    case '$eq':
    case '$ne': {
      const { value } = comparison;
      if (value === null) return plain(`${expr} IS ${op === '$eq' ? '' : 'NOT '}NULL`);
      const bound = textOf(value);
      if (bound === undefined) return op === '$eq' ? NONE : ALL;
      return plain(`${expr} ${op === '$eq' ? '=' : 'IS NOT'} ?`, bound);
    }
    case '$gt':
    case '$gte':
    case '$lt':
    case '$lte': {
      const { value } = comparison;
      if (value === null) return op === '$gte' || op === '$lte' ? plain(`${expr} IS NULL`) : NONE;
      const bound = textOf(value);
      if (bound === undefined) return OPEN;
      const sign = { $gt: '>', $gte: '>=', $lt: '<', $lte: '<=' }[op];
      return plain(`${expr} ${sign} ?`, bound);
    }
    case '$in':
      return listed(expr, comparison.values);
    case '$nin':
      return negated(listed(expr, comparison.values));
    case '$glob': {
      const prefix = globPrefix(comparison.pattern);
      const end = LONE_SURROGATE.test(prefix) ? undefined : endOf(prefix);
      if (end === undefined) return { ...plain(`${expr} IS NOT NULL`), exact: false };
      return { sql: `(${expr} >= ? AND ${expr} < ?)`, params: [prefix, end], exact: false, depth: 1 };
    }
    case '$regex':
      return { ...plain(`${expr} IS NOT NULL`), exact: false };
    default:
      return OPEN;
  }
}

function listed(expr: string, values: readonly unknown[]): Condition {
  const texts = values.flatMap((value) => (value === null ? [] : (textOf(value) ?? [])));
  const parts: Condition[] = values.includes(null) ? [plain(`${expr} IS NULL`)] : [];
  if (texts.length > SHORT_LIST) {
    parts.push(plain(`${expr} IN (SELECT value FROM json_each(?))`, JSON.stringify(texts)));
  } else if (texts.length > 0) {
    parts.push(plain(`${expr} IN (${texts.map(() => '?').join(', ')})`, ...texts));
  }
  return joined(parts, 'OR');
}

// A query can ask for buffers by null only.
function compileBuffers(column: TaskKey, comparison: Comparison, layout: Layout): Condition {
  const missing = plain(`${layout.column(column)} IS NULL`);
  switch (comparison.op) {
    case '$eq':
    case '$gte':
    case '$lte':
      return comparison.value === null ? missing : NONE;
    case '$ne':
      return comparison.value === null ? negated(missing) : ALL;
    case '$in':
      return comparison.values.includes(null) ? missing : NONE;
    case '$nin':
      return comparison.values.includes(null) ? negated(missing) : ALL;
    default:
      return OPEN;
  }
}

function compileDict(expr: string, comparison: Comparison): Condition {
  const filled = plain(`${expr} IS NOT NULL`);
  switch (comparison.op) {
    case '$eq':
      return comparison.value === null ? plain(`${expr} IS NULL`) : { ...filled, exact: false };
    case '$ne':
      return comparison.value === null ? filled : OPEN;
    case '$gt':
    case '$lt':
      return comparison.value === null ? NONE : { ...filled, exact: false };
    case '$gte':
    case '$lte':
      return comparison.value === null ? plain(`${expr} IS NULL`) : { ...filled, exact: false };
    default:
      return OPEN;
  }
}

/** A path inside a dict: what must be there for a match, since the values are in a text of JSON. */
function compilePath(column: TaskKey, comparison: Comparison, layout: Layout): Condition {
  const expr = layout.column(column);
  const filled: Condition = { ...plain(`${expr} IS NOT NULL`), exact: false };
  switch (comparison.op) {
    case '$eq':
      return containing(expr, [comparison.value]) ?? filled;
    case '$in':
      return containing(expr, comparison.values) ?? OPEN;
    case '$gt':
    case '$gte':
    case '$lt':
    case '$lte':
      return comparison.value === null ? OPEN : filled;
    case '$regex':
    case '$glob':
    case '$mod':
    case '$size':
    case '$elemMatch':
      return filled;
    case '$exists':
      return comparison.value ? filled : OPEN;
    default:
      return OPEN;
  }
}

/** Printable ASCII that JSON writes as it is, whoever writes it. */
const PLAIN_JSON = /^[ !#-[\]-~]*$/;

/** Rows that have one of the values somewhere in their JSON; undefined where that cannot be said. */
function containing(expr: string, values: readonly unknown[]): Condition | undefined {
  if (values.includes(null)) return OPEN;
  if (values.length > SHORT_LIST) return undefined;
  const texts: string[] = [];
  for (const value of values) {
    if (typeof value !== 'string' || !PLAIN_JSON.test(value)) return undefined;
    texts.push(`"${value}"`);
  }
  const parts = texts.map((text) => plain(`instr(${expr}, ?) > 0`, text));
  return { ...joined(parts, 'OR'), exact: false };
}

/** A value as it is compared; undefined for what no row can hold. */
function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return LONE_SURROGATE.test(value) ? undefined : value;
  if (!(value instanceof Date)) return undefined;
  const year = value.getUTCFullYear();
  // Dates have four digits on disk: what lies beyond sorts behind or before all of them.
  if (year > 9999) return ':';
  if (year < 0) return ' ';
  return value.toISOString().slice(0, 23);
}

/** The least text that is greater than all that begin with a prefix. */
function endOf(prefix: string): string | undefined {
  const points = [...prefix];
  for (let last = points.pop(); last !== undefined; last = points.pop()) {
    const code = last.codePointAt(0) ?? 0;
    if (code === 0x10ffff) continue;
    return points.join('') + String.fromCodePoint(code === 0xd7ff ? 0xe000 : code + 1);
  }
  return undefined;
}

function plain(sql: string, ...params: readonly (string | null)[]): Condition {
  return { sql, params, exact: true, depth: 1 };
}

// A comparison with NULL is neither true nor false.
function negated(condition: Condition): Condition {
  return { ...condition, sql: `(${condition.sql}) IS NOT TRUE`, depth: condition.depth + 1 };
}

function joined(parts: readonly Condition[], word: 'AND' | 'OR'): Condition {
  const [only] = parts;
  if (only === undefined) return word === 'AND' ? ALL : NONE;
  if (parts.length === 1) return only;
  if (parts.length > ROW) {
    const size = Math.ceil(parts.length / ROW);
    const rows: Condition[] = [];
    for (let at = 0; at < parts.length; at += size) rows.push(joined(parts.slice(at, at + size), word));
    return joined(rows, word);
  }
  return {
    sql: `(${parts.map(({ sql }) => sql).join(` ${word} `)})`,
    params: parts.flatMap(({ params }) => params),
    exact: parts.every(({ exact }) => exact),
    depth: Math.max(...parts.map(({ depth }) => depth)) + 1,
  };
}
