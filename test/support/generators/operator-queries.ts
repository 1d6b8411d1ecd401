// Generates random queries, and evaluates them without code of the library under test.
import type { TaskQuery } from '@ipyparallel-js/protocol';
import type { PlainRecord } from '../suites/operators/plain-record.js';

/** A small, seedable random number generator: mulberry32. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** In [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  below(n: number): number {
    return Math.floor(this.next() * n);
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined && items.length === 0) throw new Error('nothing to pick from');
    return item as T;
  }
}

const textKeys = [
  'msg_id',
  'client_uuid',
  'engine_uuid',
  'resubmitted',
  'queue',
  'execute_input',
  'stdout',
  'stderr',
  'label',
] as const;
const dateKeys = ['submitted', 'started', 'completed', 'received'] as const;
const dictKeys = ['content', 'result_content', 'error'] as const;
const pathKeys = [
  'content.code',
  'content.silent',
  'result_content.status',
  'error.evalue',
  'header.no.such',
] as const;

type Condition = { readonly [operator: string]: unknown } | string | null | Date | boolean;

const patterns: readonly (readonly [string, RegExp])[] = [
  ['*', /^/],
  ['', /^$/],
  ['task*', /^task/],
  ['*o*', /o/],
  ['?a*', /^[\s\S]a/],
  ['[a-m]*', /^[a-m]/],
  ['[!a-m]*', /^[^a-m]/],
  ['session-of-*', /^session-of-/],
  ['*[0-9]', /[0-9]$/],
];

const oddTexts = [
  '',
  'zzzz',
  'A',
  '😀',
  '\ud800',
  '\u0000',
  '٢٠٢٦-٠١-١٥T١٠:٠٠:٠٠Z',
  '2026-01-15T10:00:00Z',
  '2026-01-15T10:00:00.123456Z',
  '2026-13-45T99:99:99Z',
  '2026-01-15 10:00:00',
  '%s',
  "'; --",
];
const oddDates = [
  0, -1, 8.64e15, -8.64e15, -62_135_596_800_000, 253_402_300_799_999, 253_402_300_800_000,
].map((ms) => new Date(ms));

/** Yields an unlimited number of queries about these records. */
export function* generateQueries(records: readonly PlainRecord[], random: Random): Generator<TaskQuery> {
  const texts = new Map<string, (string | null)[]>(
    textKeys.map((key) => [key, records.map((record) => record[key])]),
  );
  const text = (key: string): string | null => {
    const roll = random.next();
    if (roll < 0.1) return null;
    if (roll < 0.2) return random.pick(oddTexts);
    const value = random.pick(texts.get(key) ?? ['x']);
    if (roll > 0.9) return `${(value ?? '').slice(0, 1 + random.below(6))}`;
    return roll > 0.85 ? `${value ?? ''}x` : value;
  };
  const date = (key: (typeof dateKeys)[number]): Date | null => {
    const roll = random.next();
    if (roll < 0.1) return null;
    if (roll < 0.2) return random.pick(oddDates);
    const stored = random.pick(records)[key];
    return stored === null ? null : new Date(Math.floor(stored / 1_000) + random.pick([-1, 0, 0, 1]));
  };
  const list = <T>(item: () => T, filler: (i: number) => T): T[] => {
    const length = random.pick([0, 1, 1, 2, 3, 5]);
    const values = Array.from({ length }, item);
    if (random.next() < 0.04) {
      for (let i = random.pick([880, 899, 900, 999, 1_000, 2_000]); i > 0; i--) values.push(filler(i));
    }
    return values;
  };
  const condition = <T>(item: () => T, filler: (i: number) => T, isText: boolean): Condition => {
    if (random.next() < 0.2) return item() as Condition;
    const operators: { [operator: string]: unknown } = {};
    for (let n = random.pick([1, 1, 1, 2, 3, 4]); n > 0; n--) {
      const operator = random.pick([
        ...['$eq', '$ne', '$gt', '$gte', '$lt', '$lte', '$ge', '$le', '$in', '$nin', '$in', '$nin'],
        ...(isText ? ['$glob'] : []),
      ]);
      if (operator === '$in' || operator === '$nin') operators[operator] = list(item, filler);
      else operators[operator] = operator === '$glob' ? random.pick(patterns)[0] : item();
    }
    return operators;
  };
  for (;;) {
    const query: { [key: string]: Condition } = {};
    for (let n = random.pick([0, 1, 1, 1, 2, 2, 3, 5]); n > 0; n--) {
      const kind = random.next();
      if (kind < 0.5) {
        const key = random.pick(textKeys);
        query[key] = condition(
          () => text(key),
          (i) => `filler ${i}`,
          true,
        );
      } else if (kind < 0.8) {
        const key = random.pick(dateKeys);
        query[key] = condition(
          () => date(key),
          (i) => new Date(i * 1_000),
          false,
        );
      } else if (kind < 0.9) {
        const key = random.pick(dictKeys);
        const value = random.next() < 0.5 ? null : (random.pick(records)[key] as unknown);
        query[key] = random.pick<Condition>([
          { $eq: value },
          { $ne: value },
          { $in: [value, { no: 1 }] },
          { $nin: [value] },
        ]);
      } else {
        const key = random.pick(pathKeys);
        query[key] = condition(
          () => random.pick([null, true, 'ok', 'error', 'aborted', '6 * 7', 'bad luck', 5]) as string,
          (i) => `filler ${i}`,
          true,
        );
      }
    }
    yield query as TaskQuery;
  }
}

/** Whether a record matches a query, by MongoDB's rules for records without lists. */
export function matchesQuery(query: TaskQuery, record: PlainRecord): boolean {
  return Object.entries(query).every(([key, condition]) => {
    const value = valueAt(record, key);
    if (!isOperators(condition)) return equalValues(value, condition);
    return Object.entries(condition).every(([operator, operand]) => compare(operator, value, operand));
  });
}

function valueAt(record: PlainRecord, key: string): unknown {
  const [column = '', ...path] = key.split('.');
  let value: unknown = (record as unknown as { [column: string]: unknown })[column];
  if ((dateKeys as readonly string[]).includes(column)) {
    return value === null ? null : new Date(Math.floor((value as number) / 1_000));
  }
  for (const step of path) value = (value as { [step: string]: unknown } | null | undefined)?.[step] ?? null;
  return value ?? null;
}

function isOperators(condition: unknown): condition is { [operator: string]: unknown } {
  return (
    typeof condition === 'object' &&
    condition !== null &&
    !(condition instanceof Date) &&
    Object.keys(condition).some((name) => name.startsWith('$'))
  );
}

function equalValues(value: unknown, wanted: unknown): boolean {
  if (value instanceof Date || wanted instanceof Date) {
    return value instanceof Date && wanted instanceof Date && value.getTime() === wanted.getTime();
  }
  if (typeof value !== typeof wanted) return false;
  return JSON.stringify(value) === JSON.stringify(wanted);
}

function order(value: unknown, bound: unknown): number | undefined {
  if (value === null && bound === null) return 0;
  if (value instanceof Date && bound instanceof Date) return value.getTime() - bound.getTime();
  if (typeof value === 'number' && typeof bound === 'number') return value - bound;
  if (typeof value === 'boolean' && typeof bound === 'boolean') return Number(value) - Number(bound);
  if (typeof value !== 'string' || typeof bound !== 'string') return undefined;
  const [a, b] = [Array.from(value), Array.from(bound)].map((text) =>
    text.map((char) => char.codePointAt(0) ?? 0),
  ) as [number[], number[]];
  const at = a.findIndex((code, i) => code !== b[i]);
  if (at === -1) return a.length - b.length;
  return at < b.length ? (a[at] ?? 0) - (b[at] ?? 0) : 1;
}

function compare(operator: string, value: unknown, operand: unknown): boolean {
  const ordered = order(value, operand);
  switch (operator) {
    case '$eq':
      return equalValues(value, operand);
    case '$ne':
      return !equalValues(value, operand);
    case '$gt':
    case '$ge':
      return ordered !== undefined && ordered > 0;
    case '$gte':
      return ordered !== undefined && ordered >= 0;
    case '$lt':
    case '$le':
      return ordered !== undefined && ordered < 0;
    case '$lte':
      return ordered !== undefined && ordered <= 0;
    case '$in':
      return (operand as unknown[]).some((wanted) => equalValues(value, wanted));
    case '$nin':
      return !(operand as unknown[]).some((wanted) => equalValues(value, wanted));
    case '$glob':
      return (
        typeof value === 'string' &&
        patterns.some(([pattern, expression]) => pattern === operand && expression.test(value))
      );
    default:
      throw new Error(`the generator makes no ${operator}`);
  }
}
