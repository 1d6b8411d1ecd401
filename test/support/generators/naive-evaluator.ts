// An independent, simple evaluator of queries: it evaluates the query object directly, on lists of values, with JavaScript's
// regular expressions. It is slow and uses no code of the library under test.
import type { Dict } from '@ipyparallel-js/protocol';

const MISSING_VALUE = Symbol('missing');

const ALIASES: { readonly [name: string]: string } = {
  pyin: 'execute_input',
  pyout: 'execute_result',
  pyerr: 'error',
};
const OPTIONAL_COLUMNS = ['label', 'display_data'];

type Plain = { readonly [key: string]: unknown };

const isPlain = (value: unknown): value is Plain =>
  typeof value === 'object' &&
  value !== null &&
  [Object.prototype, null].includes(Object.getPrototypeOf(value));

/** Whether a record with `Date`s matches a query. */
export function naivelyMatches(query: Dict, record: Plain): boolean {
  const fields = Object.fromEntries(
    Object.entries(record).filter(([key, v]) => v !== null || !OPTIONAL_COLUMNS.includes(key)),
  );
  return matchesQuery(query, fields, (name) =>
    name.split('.').map((step, i) => (i === 0 ? (ALIASES[step] ?? step) : step)),
  );
}

function matchesQuery(query: Plain, root: unknown, stepsOf: (name: string) => string[]): boolean {
  return Object.entries(query).every(([name, condition]) => {
    const branches = () => (condition as Plain[]).map((branch) => matchesQuery(branch, root, stepsOf));
    if (name === '$and') return branches().every(Boolean);
    if (name === '$or') return branches().some(Boolean);
    if (name === '$nor') return !branches().some(Boolean);
    return matchesCondition(condition, (items) => valuesAt(root, stepsOf(name), items, true));
  });
}

/** Returns the values of a field, with or without the items of a list at its end. */
type Values = (items: boolean) => unknown[];

function matchesCondition(condition: unknown, values: Values): boolean {
  if (condition instanceof RegExp) return matchesOperator('$regex', condition, { $regex: condition }, values);
  if (!isPlain(condition) || !Object.keys(condition).some((key) => key.startsWith('$')))
    return matchesOperator('$eq', condition, {}, values);
  return Object.entries(condition).every(([op, operand]) => matchesOperator(op, operand, condition, values));
}

function matchesOperator(op: string, operand: unknown, all: Plain, values: Values): boolean {
  const some = (test: (value: unknown) => boolean, items = true): boolean => values(items).some(test);
  const inList = (value: unknown): boolean =>
    (operand as unknown[]).some((item) =>
      item instanceof RegExp ? matchesRegex(item, '', value) : equal(value, item),
    );
  switch (op) {
    case '$eq':
      return some((value) => equal(value, operand));
    case '$ne':
      return !some((value) => equal(value, operand));
    case '$gt':
    case '$ge':
      return some((value) => comparable(value, operand) && compare(value, operand) > 0);
    case '$gte':
      return some((value) => comparable(value, operand) && compare(value, operand) >= 0);
    case '$lt':
    case '$le':
      return some((value) => comparable(value, operand) && compare(value, operand) < 0);
    case '$lte':
      return some((value) => comparable(value, operand) && compare(value, operand) <= 0);
    case '$in':
      return some(inList);
    case '$nin':
      return !some(inList);
    case '$exists':
      return some((value) => value !== MISSING_VALUE) === operand;
    case '$not':
      return !matchesCondition(operand, values);
    case '$all': {
      const list = operand as unknown[];
      if (list.length === 0) return false;
      return list.every((item) =>
        matchesCondition(
          isPlain(item) && '$elemMatch' in item ? item : item instanceof RegExp ? item : { $eq: item },
          values,
        ),
      );
    }
    case '$size':
      return some((value) => Array.isArray(value) && value.length === operand, false);
    case '$mod': {
      const [divisor = 1, remainder] = (operand as number[]).map(Math.trunc);
      return some(
        (value) =>
          typeof value === 'number' && Math.abs(value) < 2 ** 63 && Math.trunc(value) % divisor === remainder,
      );
    }
    case '$type': {
      const wanted = (Array.isArray(operand) ? operand : [operand]) as (string | number)[];
      return some((value) => typesOf(value).some((type) => wanted.includes(type)));
    }
    case '$regex':
      return some((value) => matchesRegex(operand as string | RegExp, (all.$options ?? '') as string, value));
    case '$options':
      return true;
    case '$glob':
      return some((value) => typeof value === 'string' && matchesGlob([...(operand as string)], [...value]));
    case '$elemMatch': {
      const first = Object.keys(operand as Plain)[0];
      const ofItem = first?.startsWith('$') === true && !['$and', '$or', '$nor'].includes(first);
      return some(
        (value) =>
          Array.isArray(value) &&
          value.some((item: unknown) => {
            if (ofItem) return matchesCondition(operand, () => [item]);
            if (!isPlain(item) && !Array.isArray(item)) return false;
            const keyed = Array.isArray(item) ? Object.fromEntries(Object.entries(item)) : item;
            return matchesQuery(operand as Plain, keyed, (name) => name.split('.'));
          }),
        false,
      );
    }
  }
  throw new Error(`the naive evaluator does not support the operator ${op}`);
}

function valuesAt(value: unknown, steps: readonly string[], items: boolean, expand: boolean): unknown[] {
  const [step, ...rest] = steps;
  if (step === undefined) return items && expand && Array.isArray(value) ? [...value, value] : [value];
  if (isPlain(value))
    return Object.hasOwn(value, step) ? valuesAt(value[step], rest, items, true) : [MISSING_VALUE];
  if (!Array.isArray(value)) return [MISSING_VALUE];
  const found: unknown[] = [];
  if (/^(0|[1-9]\d*)$/.test(step) && Number(step) < value.length) {
    const item: unknown = value[Number(step)];
    if (rest.length === 0 || isPlain(item) || Array.isArray(item))
      found.push(...valuesAt(item, rest, items, false));
  }
  for (const item of value) if (isPlain(item)) found.push(...valuesAt(item, steps, items, true));
  return found;
}

function typesOf(value: unknown): (string | number)[] {
  if (value === null) return ['null', 10];
  if (typeof value === 'string') return ['string', 2];
  if (typeof value === 'boolean') return ['bool', 8];
  if (Array.isArray(value)) return ['array', 4];
  if (value instanceof Date) return ['date', 9];
  if (isPlain(value)) return ['object', 3];
  if (typeof value !== 'number') return [];
  if (Number.isInteger(value) && Math.abs(value) < 2 ** 31) return ['number', 'int', 16];
  if (Number.isInteger(value) && Math.abs(value) < 2 ** 63)
    return value === -(2 ** 31) ? ['number', 'int', 16] : ['number', 'long', 18];
  return ['number', 'double', 1];
}

const ORDER = ['null', 'number', 'string', 'object', 'array', 'bool', 'date'];
const rank = (value: unknown): number =>
  value === MISSING_VALUE ? 0 : ORDER.findIndex((type) => typesOf(value).includes(type));
const comparable = (a: unknown, b: unknown): boolean => rank(a) === rank(b);
const equal = (a: unknown, b: unknown): boolean => comparable(a, b) && compare(a, b) === 0;

function compare(a: unknown, b: unknown): number {
  if (rank(a) !== rank(b)) return rank(a) - rank(b);
  if (rank(a) === 0) return 0;
  if (typeof a === 'string') return Buffer.compare(Buffer.from(a), Buffer.from(b as string));
  if (Array.isArray(a)) return compareItems(a, b as unknown[], compare);
  if (isPlain(a))
    return compareItems(
      Object.entries(a),
      Object.entries(b as Plain),
      ([ak, av], [bk, bv]) => rank(av) - rank(bv) || compare(ak, bk) || compare(av, bv),
    );
  return Number(a) - Number(b);
}

function compareItems<T>(a: readonly T[], b: readonly T[], order: (x: T, y: T) => number): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const difference = order(a[i] as T, b[i] as T);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

function matchesRegex(pattern: string | RegExp, options: string, value: unknown): boolean {
  if (typeof value !== 'string') return false;
  const source = pattern instanceof RegExp ? pattern.source : pattern;
  const flags = pattern instanceof RegExp && pattern.flags !== '' ? pattern.flags : options;
  const inline = /^\(\?([ims]+)\)/.exec(source);
  const bare = inline === null ? source : source.slice(inline[0].length);
  // A brace that begins no repetition is a literal, which JavaScript's `u` mode requires to be escaped.
  const exact = bare.replace(/(?<![\\dpPx])\{(?!\d)/g, '\\{');
  const all = new Set([...flags, ...(inline?.[1] ?? ''), 'u']);
  return new RegExp(exact, [...all].join('')).test(value);
}

function matchesGlob(pattern: readonly string[], text: readonly string[]): boolean {
  const [head, ...rest] = pattern;
  if (head === undefined) return text.length === 0;
  if (head === '*')
    return text.length > 0
      ? matchesGlob(rest, text) || matchesGlob(pattern, text.slice(1))
      : matchesGlob(rest, text);
  const [char, ...more] = text;
  if (char === undefined) return false;
  const not = pattern[1] === '!';
  const start = not ? 2 : 1;
  const end = head === '[' ? pattern.indexOf(']', start + 1) : -1;
  if (end === -1) return (head === '?' || head === char) && matchesGlob(rest, more);
  const set = pattern.slice(start, end);
  let member = false;
  for (let i = 0; i < set.length; i++) {
    const range = set[i + 1] === '-' && i + 2 < set.length;
    const [low, high] = [set[i], set[range ? i + 2 : i]].map((c) => c?.codePointAt(0) ?? 0) as [
      number,
      number,
    ];
    const code = char.codePointAt(0) ?? 0;
    if (code >= low && code <= high) member = true;
    if (range) i += 2;
  }
  return member !== not && matchesGlob(pattern.slice(end + 1), more);
}
