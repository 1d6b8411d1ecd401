// Generates random queries about given records, with every operator of the language.
import type { StoredTask } from '@ipyparallel-js/hub/internal';
import type { Dict } from '@ipyparallel-js/protocol';
import { isDict } from '@ipyparallel-js/protocol/internal';
import type { Random } from '../operator-queries.js';
import { BASE, INNER_KEYS, randomDict, randomScalar, randomText, randomValue } from './generate-tasks.js';
import type { PagedQuery } from './subject.js';

const TEXT_KEYS = [
  ...['msg_id', 'client_uuid', 'engine_uuid', 'resubmitted', 'queue'],
  ...['execute_input', 'pyin', 'stdout', 'stderr', 'label'],
] as const;
const DATE_KEYS = ['submitted', 'started', 'completed', 'received'] as const;
const DICT_KEYS = [
  ...['header', 'metadata', 'content', 'result_header', 'result_metadata', 'result_content'],
  ...['execute_result', 'error', 'pyout', 'pyerr', 'display_data'],
] as const;
const BUFFER_KEYS = ['buffers', 'result_buffers'] as const;
const ALIASES: { readonly [name: string]: string } = {
  pyin: 'execute_input',
  pyout: 'execute_result',
  pyerr: 'error',
};

const TYPES = [
  ...['null', 'string', 'object', 'array', 'bool', 'date', 'number', 'int', 'double', 'long', 'binData'],
  ...[1, 2, 3, 4, 8, 9, 10, 16, 18],
] as const;

const PATTERNS = [
  ...['', '.', '^', '$', '^a', 'b$', '^ab?c*$', 'a|b', '[a-c]+', '[^a-z]', '\\d', '^\\d+$', '\\s', '\\w+\\W'],
  ...[
    '^\\s*$',
    '(a)(b)',
    '(?:x|y)',
    '\\.',
    '\\*',
    '\\(x\\|y\\)',
    '\\[',
    '\\^',
    '\\$',
    '\\\\',
    '{',
    'é',
    'É',
    '^.$',
  ],
  ...[
    '😀',
    '^😀+$',
    '日.語',
    '\\bprint\\b',
    'line.two',
    '^line',
    'one$',
    '\\n',
    '(?i)AB',
    'ß',
    'ss',
    'k',
    'S',
    '\\x41',
  ],
] as const;
const FLAGS = ['', '', '', 'i', 'i', 'm', 's', 'im', 'is', 'ims'] as const;

const GLOBS = [
  ...[
    '*',
    '',
    '?',
    '??',
    'a*',
    '*a',
    '*b*',
    'a?c',
    '[a-c]*',
    '[!a-c]*',
    '[]]',
    '[[]*',
    '*[0-9]',
    '[!0-9]*',
    '*_?',
  ],
  ...[
    '*.*',
    '(*)',
    '^*$',
    '*\\*',
    '*%*',
    '*_*',
    'É*',
    '😀',
    '?😀*',
    '*\n*',
    "*'*",
    '[a-',
    '[z-a]',
    '*[*]*',
    '5e55_*',
  ],
] as const;

// Two names of one operator cannot be in the same object, because some subjects know only one of them.
const TWINS: { readonly [operator: string]: string } = {
  ...{ $ge: '$gt', $gt: '$ge', $le: '$lt', $lt: '$le', $glob: '$regex', $regex: '$glob' },
};

/** The operators for a field. */
interface OperatorChoice {
  readonly pattern?: () => string;
  readonly glob?: () => string;
  /** Whether operators of lists and numbers are possible. */
  readonly allOperators?: boolean;
  /** Operators that are likely to match. */
  readonly likely?: readonly string[] | undefined;
}

type Operators = { [operator: string]: unknown };

/** `i` is the number of the query; every 200th one is of a kind that random choice seldom generates. */
export function generatePagedQuery(random: Random, tasks: readonly StoredTask[], i = 0): PagedQuery {
  if (i % 200 === 17) return { query: new QueryGenerator(random, tasks).longList() };
  const query = new QueryGenerator(random, tasks).query(random.pick([0, 0, 0, 1, 1, 2, 3]));
  if (random.next() < 0.75) return { query };
  const sort = random.next() < 0.7 ? generateSort(random) : undefined;
  const paged = random.next() < 0.7;
  return {
    query,
    ...(sort === undefined ? {} : { sort }),
    ...(paged && random.next() < 0.6 ? { skip: random.pick([0, 1, 2, 5, 1_000]) } : {}),
    ...(paged ? { limit: random.pick([1, 2, 3, 10, 1_000]) } : {}),
  };
}

function generateSort(random: Random): [string, 1 | -1][] {
  const names = new Map<string, 1 | -1>();
  for (let n = random.pick([1, 1, 2, 3]); n > 0; n--) {
    const roll = random.next();
    let name: string = random.pick(TEXT_KEYS);
    if (roll < 0.5) name = random.pick(DATE_KEYS);
    else if (roll < 0.6) name = `${random.pick(DICT_KEYS)}.${random.pick(INNER_KEYS)}`;
    const [root = '', ...path] = name.split('.');
    names.set([ALIASES[root] ?? root, ...path].join('.'), random.next() < 0.5 ? 1 : -1);
  }
  return [...names];
}

class QueryGenerator {
  readonly #random: Random;
  readonly #tasks: readonly StoredTask[];

  constructor(random: Random, tasks: readonly StoredTask[]) {
    this.#random = random;
    this.#tasks = tasks;
  }

  query(depth: number): Dict {
    const query: Operators = {};
    // Few conditions, because most queries should have matches.
    const sizes = depth > 0 ? [0, 0, 0, 0, 1, 1, 2] : [0, 1, 1, 1, 1, 1, 1, 2, 2, 3];
    for (let n = this.#random.pick(sizes); n > 0; n--) {
      const [name, condition] = this.#condition();
      query[name] = condition;
    }
    if (depth > 0) {
      const operator = this.#random.pick(['$and', '$or', '$or', '$nor']);
      const length = this.#random.pick([1, 2, 2, 3]);
      query[operator] = Array.from({ length }, () => this.query(depth - 1));
    }
    return query;
  }

  /** A list of 5,000 values, most of which no record has. */
  longList(): Dict {
    const random = this.#random;
    const key = random.pick([...TEXT_KEYS, ...DATE_KEYS]);
    const isDate = (DATE_KEYS as readonly string[]).includes(key);
    const stored = Array.from({ length: 5 }, () => this.#stored(key));
    const values = Array.from({ length: 4_995 }, (_, i) =>
      isDate ? new Date(BASE + i * 1_000) : `filler ${i}`,
    );
    const known = stored.map((value) =>
      isDate && typeof value === 'string' ? new Date(Date.parse(value)) : value,
    );
    const list = random.next() < 0.5 ? [...known, ...values] : [...values, ...known];
    return { [key]: { [random.pick(['$in', '$in', '$nin'])]: list } };
  }

  #condition(): [string, unknown] {
    const random = this.#random;
    const roll = random.next();
    if (roll < 0.4) return this.#text(random.pick(TEXT_KEYS));
    if (roll < 0.6) return this.#date(random.pick(DATE_KEYS));
    if (roll < 0.68) return this.#dict(random.pick(DICT_KEYS));
    if (roll < 0.71) return [random.pick(BUFFER_KEYS), random.pick([null, { $ne: null }, { $eq: null }])];
    return this.#path();
  }

  /** Returns the value of a column in a random record. */
  #stored(key: string): unknown {
    const task: StoredTask | undefined = this.#random.pick(this.#tasks);
    return task?.[(ALIASES[key] ?? key) as keyof StoredTask] ?? null;
  }

  #text(key: string): [string, unknown] {
    const random = this.#random;
    const value = (): string | null => {
      const roll = random.next();
      if (roll < 0.08) return null;
      if (roll < 0.3) return randomText(random);
      const text = this.#stored(key);
      if (typeof text !== 'string') return random.next() < 0.5 ? null : randomText(random);
      if (roll < 0.4) return prefix(text, random);
      return roll < 0.45 ? text + randomText(random) : text;
    };
    const pattern = (): string => {
      const text = this.#stored(key);
      if (typeof text !== 'string' || random.next() < 0.6) return random.pick(PATTERNS);
      const literal = text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
      return random.pick([literal, `^${literal}`, `${literal}$`, `^${literal}$`]);
    };
    const glob = (): string => {
      const text = this.#stored(key);
      if (typeof text !== 'string' || random.next() < 0.6) return random.pick(GLOBS);
      return `${prefix(text, random)}*`;
    };
    if (random.next() < 0.15) return [key, value()];
    return [key, this.#operators(value, (i) => `filler ${i}`, { pattern, glob })];
  }

  #date(key: string): [string, unknown] {
    const random = this.#random;
    const value = (): Date | null => {
      const roll = random.next();
      if (roll < 0.08) return null;
      if (roll < 0.15) return new Date(random.pick([0, -1, 8.64e15, -8.64e15, BASE, BASE + 1]));
      const text = this.#stored(key);
      if (typeof text !== 'string') return random.next() < 0.5 ? null : new Date(BASE);
      return new Date(Date.parse(text) + random.pick([-1, 0, 0, 0, 1]));
    };
    if (random.next() < 0.15) return [key, value()];
    return [key, this.#operators(value, (i) => new Date(BASE + i * 1_000), {})];
  }

  #dict(key: string): [string, unknown] {
    const random = this.#random;
    const value = (): unknown => {
      const roll = random.next();
      if (roll < 0.25) return null;
      if (roll < 0.35) return {};
      if (roll < 0.5) return withoutDollars(randomDict(random, 1));
      return withoutDollars(this.#stored(key));
    };
    if (random.next() < 0.15) return [key, value()];
    return [key, this.#operators(value, (i) => ({ filler: i }), {})];
  }

  #path(): [string, unknown] {
    const random = this.#random;
    const column = random.pick(DICT_KEYS);
    const steps: string[] = [column];
    let stored = this.#stored(column);
    // Usually a path that a record has, else a random one.
    for (let n = random.pick([1, 1, 1, 2, 2, 3]); n > 0; n--) {
      const known = typeof stored === 'object' && stored !== null ? Object.keys(stored) : [];
      const step: string =
        known.length > 0 && random.next() < 0.8 ? random.pick(known) : random.pick(INNER_KEYS);
      // In a list, the path may contain or omit the index of the item.
      if (!Array.isArray(stored) || steps.length === 1 || random.next() < 0.5) steps.push(step);
      stored = ownValue(stored, step);
    }
    const value = (): unknown => {
      const roll = random.next();
      if (roll < 0.5 && stored !== undefined) {
        if (Array.isArray(stored) && random.next() < 0.6)
          return withoutDollars(random.pick([...stored, null]));
        return withoutDollars(stored);
      }
      if (roll < 0.6) return null;
      return withoutDollars(roll < 0.85 ? randomScalar(random) : randomValue(random, 2));
    };
    const name = steps.join('.');
    const plain = value();
    if (random.next() < 0.15 && !(isDict(plain) && Object.keys(plain).length === 0)) return [name, plain];
    const pattern = (): string => random.pick(PATTERNS);
    const glob = (): string => random.pick(GLOBS);
    return [
      name,
      this.#operators(value, (i) => i, {
        pattern,
        glob,
        allOperators: true,
        likely: likelyOperators(stored),
      }),
    ];
  }

  #operators(
    value: () => unknown,
    filler: (i: number) => unknown,
    choice: OperatorChoice,
    depth = 2,
  ): Operators | RegExp {
    const random = this.#random;
    const operators: Operators = {};
    if (depth === 2 && choice.pattern !== undefined && random.next() < 0.03)
      return regExp(choice.pattern(), random);
    for (let n = random.pick([1, 1, 1, 1, 1, 1, 2, 2, 3]); n > 0; n--) {
      const likely =
        choice.likely !== undefined && random.next() < 0.5 ? random.pick(choice.likely) : undefined;
      const usual = random.pick([
        ...['$eq', '$ne', '$gt', '$gte', '$lt', '$lte', '$in', '$nin'],
        ...['$eq', '$ne', '$gt', '$gte', '$lt', '$lte', '$in', '$nin'],
        ...['$ge', '$le', '$exists', '$type', '$all'],
        ...(depth > 0 ? ['$not', '$not'] : []),
        ...(choice.pattern ? ['$regex', '$regex', '$regex'] : []),
        ...(choice.glob ? ['$glob', '$glob'] : []),
        ...(choice.allOperators
          ? ['$exists', '$type', '$all', '$size', '$size', '$mod', '$mod', '$elemMatch', '$elemMatch']
          : []),
      ]);
      const operator = likely ?? usual;
      const twin = TWINS[operator];
      if (twin !== undefined && Object.hasOwn(operators, twin)) continue;
      operators[operator] = this.#operand(operator, value, filler, choice, depth);
      if (operator === '$regex') {
        const flags = random.pick(FLAGS);
        if (flags !== '') operators['$options'] = flags;
      }
    }
    return operators;
  }

  #operand(
    operator: string,
    value: () => unknown,
    filler: (i: number) => unknown,
    choice: OperatorChoice,
    depth: number,
  ): unknown {
    const random = this.#random;
    switch (operator) {
      case '$in':
      case '$nin': {
        const values = Array.from({ length: random.pick([0, 1, 1, 2, 3, 5]) }, value);
        if (random.next() < 0.015) {
          const more = random.pick([899, 900, 901, 999, 1_000, 5_000]);
          for (let i = 0; i < more; i++) values.push(filler(i));
        }
        return values;
      }
      case '$all':
        return Array.from({ length: random.pick([0, 1, 1, 2, 3]) }, value);
      case '$exists':
        return random.next() < 0.5;
      case '$type':
        return random.next() < 0.7
          ? random.pick(TYPES)
          : Array.from({ length: 1 + random.below(3) }, () => random.pick(TYPES));
      case '$size':
        return random.pick([0, 0, 1, 1, 2, 3, 10]);
      case '$mod':
        return [random.pick([1, 2, 3, 5, 10, -3]), random.pick([0, 0, 1, 2, -1])];
      case '$regex':
        return choice.pattern?.() ?? '';
      case '$glob':
        return choice.glob?.() ?? '';
      case '$not':
        if (choice.pattern !== undefined && random.next() < 0.15) return regExp(choice.pattern(), random);
        return this.#operators(value, filler, choice, depth - 1);
      case '$elemMatch':
        return random.next() < 0.5
          ? this.#operators(value, filler, choice, Math.min(depth, 1))
          : this.#element();
      default:
        return value();
    }
  }

  /** A query on an item of a list. */
  #element(): Operators {
    const random = this.#random;
    const conditions = Array.from({ length: random.pick([1, 1, 2]) }, () => {
      const plain = random.next() < 0.3 ? randomScalar(random) : undefined;
      const operators = () =>
        this.#operators(
          () => randomScalar(random),
          (i) => i,
          { allOperators: true },
          1,
        );
      return [random.pick(INNER_KEYS), plain ?? operators()] as const;
    });
    // Not by assignment, because `__proto__` is one of the keys.
    return Object.fromEntries(conditions);
  }
}

function ownValue(value: unknown, step: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined;
  return (value as Dict)[step];
}

/** Removes keys that begin with a dollar sign, which are operators in a query. */
function withoutDollars(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutDollars);
  if (!isDict(value)) return value;
  const entries = Object.entries(value).filter(([key]) => !key.startsWith('$'));
  return Object.fromEntries(entries.map(([key, item]) => [key, withoutDollars(item)]));
}

/** Returns a random prefix of a text, in complete code points. */
function prefix(text: string, random: Random): string {
  const chars = Array.from(text);
  return chars.slice(0, random.below(chars.length + 1)).join('');
}

/** Returns the pattern as a RegExp, or a fixed one if JavaScript cannot parse it. */
function regExp(pattern: string, random: Random): RegExp {
  try {
    return new RegExp(pattern, random.pick(FLAGS));
  } catch {
    return /a.c/;
  }
}

/** Returns the operators that apply to a value of this type. */
function likelyOperators(value: unknown): readonly string[] | undefined {
  if (Array.isArray(value))
    return ['$size', '$size', '$all', '$elemMatch', '$elemMatch', '$in', '$eq', '$type'];
  if (typeof value === 'number') return ['$mod', '$gt', '$gte', '$lt', '$lte', '$in', '$nin', '$type'];
  if (typeof value === 'string') return ['$regex', '$glob', '$in', '$gte', '$lt'];
  return undefined;
}
