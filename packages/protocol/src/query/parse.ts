import { parseWireDate } from '../dates.js';
import { type Dict, isDict } from '../dict.js';
import { InvalidQueryError } from '../errors.js';
import { didYouMean } from '../suggest.js';
import {
  isKeyAlias,
  isTaskKey,
  KEY_ALIASES,
  type ProjectedKey,
  TASK_COLUMNS,
  TASK_KEYS,
  type TaskKey,
} from '../task-record.js';
import type { Comparison, Field, QueryNode } from './tree.js';

/** How much a query may hold. */
export interface QueryLimits {
  /** Conditions in all; 1,000 by default. */
  readonly conditions: number;
  /** Nesting of a value; 100 by default. */
  readonly depth: number;
  /** Values of one `$in` or `$nin`; 100,000 by default. */
  readonly listLength: number;
}

const DEFAULT_LIMITS: QueryLimits = { conditions: 1_000, depth: 100, listLength: 100_000 };

/** Length of a key with its path: messages and queries quote it. */
const MAX_NAME = 2_000;

/** How the dates of a query are written: `date` in this process, `text` (ISO 8601) in a message. */
export type DateForm = 'date' | 'text';

const OPERATORS = ['$eq', '$ne', '$gt', '$gte', '$lt', '$lte', '$in', '$nin', '$glob', '$ge', '$le'] as const;
type Operator = (typeof OPERATORS)[number];

const isOperator = (name: string): name is Operator => (OPERATORS as readonly string[]).includes(name);

/**
 * Validates a query and turns it into a tree; nothing is sent or read before this has passed.
 * @throws InvalidQueryError naming the nearest key or operator, the wrong value, or the limit exceeded
 */
export function parseQuery(
  query: unknown,
  options: { dates?: DateForm; limits?: Partial<QueryLimits> } = {},
): QueryNode {
  if (!isDict(query)) throw new InvalidQueryError(`a query is an object, not ${describe(query)}`);
  return new Parser(options.dates ?? 'date', { ...DEFAULT_LIMITS, ...options.limits }).query(query);
}

/** Validates a projection: the keys asked for, `msg_id` first, each once. @throws InvalidQueryError */
export function parseKeys(keys: unknown): ProjectedKey[] {
  const list: unknown = typeof keys === 'string' ? [keys] : keys;
  if (!Array.isArray(list))
    throw new InvalidQueryError(`keys are a key or a list of keys, not ${describe(keys)}`);
  const names = new Set(['msg_id']);
  for (const key of list) {
    if (typeof key !== 'string') throw new InvalidQueryError(`keys holds ${describe(key)}, not a key`);
    names.add(key);
  }
  return [...names].map((name) => ({ name, column: columnOf(name) }));
}

/** The column that a key or one of the older names stands for. @throws InvalidQueryError */
export function columnOf(name: string): TaskKey {
  if (isTaskKey(name)) return name;
  if (isKeyAlias(name)) return KEY_ALIASES[name];
  throw new InvalidQueryError(`unknown TaskRecord key "${clip(name)}"${didYouMean(clip(name), TASK_KEYS)}`);
}

class Parser {
  readonly #dates: DateForm;
  readonly #limits: QueryLimits;
  #conditions = 0;

  constructor(dates: DateForm, limits: QueryLimits) {
    this.#dates = dates;
    this.#limits = limits;
  }

  query(query: Dict): QueryNode {
    const nodes: QueryNode[] = [];
    for (const [name, condition] of Object.entries(query)) {
      if (name.startsWith('$')) {
        throw new InvalidQueryError(
          `operator "${clip(name)}" cannot stand at the top level of a query; conditions are keyed by TaskRecord keys`,
        );
      }
      const field = parseField(name);
      for (const comparison of this.#condition(field, condition)) {
        if (++this.#conditions > this.#limits.conditions) {
          throw new InvalidQueryError(`more than ${this.#limits.conditions} conditions in one query`);
        }
        nodes.push({ kind: 'test', field, comparison });
      }
    }
    return { kind: 'and', nodes };
  }

  #condition(field: Field, condition: unknown): Comparison[] {
    if (condition === undefined) {
      throw new InvalidQueryError(
        `the value of "${field.name}" is undefined; use null to find what is missing`,
      );
    }
    if (!isDict(condition)) return [{ op: '$eq', value: this.#value(field, condition) }];
    const names = Object.keys(condition);
    const operators = names.filter((name) => name.startsWith('$'));
    if (operators.length === 0) {
      if (names.length === 0 && TASK_COLUMNS[field.column] !== 'dict') {
        throw new InvalidQueryError(`the condition of "${field.name}" is empty`);
      }
      return [{ op: '$eq', value: this.#value(field, condition) }];
    }
    if (operators.length !== names.length) {
      throw new InvalidQueryError(`the condition of "${field.name}" mixes operators with plain keys`);
    }
    return names.map((name) => this.#comparison(field, name, condition[name]));
  }

  #comparison(field: Field, name: string, operand: unknown): Comparison {
    if (!isOperator(name)) {
      throw new InvalidQueryError(
        `unknown operator "${clip(name)}" on "${field.name}"${didYouMean(clip(name), OPERATORS)}`,
      );
    }
    const at = `${name} of "${field.name}"`;
    switch (name) {
      case '$in':
      case '$nin': {
        if (!Array.isArray(operand))
          throw new InvalidQueryError(`${at} takes a list, not ${describe(operand)}`);
        if (operand.length > this.#limits.listLength) {
          throw new InvalidQueryError(
            `${at} lists ${operand.length} values, more than ${this.#limits.listLength}`,
          );
        }
        return {
          op: name,
          values: Array.from(operand, (value, i) => this.#listed(field, value, `${at}, item ${i}`)),
        };
      }
      case '$glob': {
        if (typeof operand !== 'string')
          throw new InvalidQueryError(`${at} takes a text, not ${describe(operand)}`);
        if (field.path.length === 0 && TASK_COLUMNS[field.column] !== 'text') {
          throw new InvalidQueryError(`${at}: a pattern can only match a text key`);
        }
        return { op: '$glob', pattern: operand };
      }
      case '$ge':
        return { op: '$gt', value: this.#value(field, operand) };
      case '$le':
        return { op: '$lt', value: this.#value(field, operand) };
      default:
        return { op: name, value: this.#value(field, operand) };
    }
  }

  #listed(field: Field, value: unknown, at: string): unknown {
    if (value === undefined) {
      const why = field.column === 'engine_uuid' ? '; is there no engine of that id?' : '';
      throw new InvalidQueryError(`${at} is undefined${why}`);
    }
    return this.#value(field, value);
  }

  #value(field: Field, value: unknown): unknown {
    if (value === null) return null;
    if (value === undefined) throw new InvalidQueryError(`the value of "${field.name}" is undefined`);
    if (field.path.length > 0) return this.#anyValue(field, value, 0);
    const wrong = (wanted: string): never => {
      throw new InvalidQueryError(
        `"${field.name}" is ${wanted}; it cannot be compared with ${describe(value)}`,
      );
    };
    switch (TASK_COLUMNS[field.column]) {
      case 'text':
        return typeof value === 'string' ? value : wrong('a text');
      case 'date': {
        if (this.#dates === 'text' && typeof value === 'string') {
          return dateOfText(value) ?? wrong('a date, in a message an ISO 8601 text');
        }
        if (!(value instanceof Date))
          return wrong('a date: pass a Date, for example new Date(Date.now() - 3_600_000)');
        if (Number.isNaN(value.getTime())) return wrong('a date, and this Date is invalid');
        return new Date(value);
      }
      case 'dict':
        return isDict(value) ? this.#anyValue(field, value, 0) : wrong('a dict');
      case 'buffers':
        return wrong('a list of buffers, which can only be compared with null');
    }
  }

  // Copied: a query means what it meant at the call, whatever is done to its parts afterwards.
  #anyValue(field: Field, value: unknown, depth: number): unknown {
    if (depth > this.#limits.depth) {
      throw new InvalidQueryError(
        `the value of "${field.name}" nests deeper than ${this.#limits.depth} levels`,
      );
    }
    if (
      value === null ||
      typeof value === 'string' ||
      typeof value === 'boolean' ||
      // JSON, in which records travel, has no other numbers.
      Number.isFinite(value)
    ) {
      return value;
    }
    if (Array.isArray(value)) return Array.from(value, (item) => this.#anyValue(field, item, depth + 1));
    if (value instanceof Date) {
      throw new InvalidQueryError(
        `the value of "${field.name}" holds a Date; dates inside dicts are texts: compare with date.toISOString()`,
      );
    }
    if (isDict(value)) {
      return Object.fromEntries(
        Object.entries(value).map(([key, item]) => [key, this.#anyValue(field, item, depth + 1)]),
      );
    }
    throw new InvalidQueryError(
      `the value of "${field.name}" holds ${describe(value)}, which no record can hold`,
    );
  }
}

/** A key or a dotted path, older names replaced. @throws InvalidQueryError */
export function parseField(name: string): Field {
  if (name.length > MAX_NAME)
    throw new InvalidQueryError(`"${clip(name)}" is longer than ${MAX_NAME} characters`);
  const [root = '', ...path] = name.split('.');
  const column = columnOf(root);
  const canonical = [column, ...path].join('.');
  if (path.length > 0) {
    if (TASK_COLUMNS[column] !== 'dict') {
      throw new InvalidQueryError(`"${name}": "${root}" is no dict, so it has no path inside`);
    }
    if (path.includes('')) throw new InvalidQueryError(`"${name}" has an empty step in its path`);
    if (path.length > 100) throw new InvalidQueryError(`the path "${clip(name)}" has more than 100 steps`);
  }
  return { name: canonical, column, path };
}

// How JavaScript writes years that have more than four digits; no record has one, but a bound may.
const FAR_DATE = /^[+-]\d{6}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/;

function dateOfText(text: string): Date | undefined {
  if (!FAR_DATE.test(text)) return parseWireDate(text)?.date;
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? undefined : date;
}

/** What a value is, in the words of a message. */
export function describe(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'an invalid Date' : 'a Date';
  if (typeof value === 'string') return `the text ${JSON.stringify(clip(value))}`;
  if (typeof value === 'number' || typeof value === 'boolean') return `the ${typeof value} ${value}`;
  if (typeof value === 'object')
    return isDict(value) ? 'an object' : `a ${value.constructor?.name ?? 'class instance'}`;
  return `a value of type ${typeof value}`;
}

/** A text short enough for a message. */
export function clip(text: string): string {
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
