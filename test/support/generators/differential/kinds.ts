// Classifies queries about given records, so that a run can report how often it tested each kind.
import type { StoredTask } from '@ipyparallel-js/hub/internal';
import type { Dict } from '@ipyparallel-js/protocol';
import { isDict } from '@ipyparallel-js/protocol/internal';
import type { PagedQuery } from './subject.js';

/** All kinds that a complete run must contain. */
export const KINDS: readonly string[] = [
  ...['$eq', '$ne', '$gt', '$gte', '$ge', '$lt', '$lte', '$le', '$in', '$nin', '$exists', '$mod', '$all'],
  ...['$regex', '$options', '$not', '$and', '$or', '$nor', '$size', '$type', '$elemMatch', '$glob'],
  'a plain value',
  'a RegExp',
  'an older name of a key',
  'three levels of sub-queries',
  'null',
  'a key that no record has',
  'a key that some records lack',
  'a date one millisecond from a record’s',
  'a date with two records a microsecond apart',
  'a date with another record a millisecond from one',
  'unicode beyond ASCII',
  'unicode beyond 16 bits',
  'metacharacters of patterns in a value',
  'metacharacters in a pattern',
  'a number as text',
  'an empty list',
  'a list of 5,000 values',
  '__proto__',
  'a sort',
  'a sort by a path',
  'skip',
  'limit',
];

const DATES = ['submitted', 'started', 'completed', 'received'] as const;
const OLDER_NAME = /^(pyin|pyout|pyerr)(\.|$)/;

/** The records and their dates, prepared for the classification of queries. */
export interface RecordKinds {
  readonly tasks: readonly StoredTask[];
  /** Dates in microseconds, by column. */
  readonly moments: ReadonlyMap<string, ReadonlySet<number>>;
}

export function kindsOfRecords(tasks: readonly StoredTask[]): RecordKinds {
  const moments = DATES.map((key) => {
    const texts = tasks.map((task) => task[key]).filter((text) => text !== null);
    return [key, new Set(texts.map(microsOf))] as const;
  });
  return { tasks, moments: new Map(moments) };
}

/** Returns the kinds of a query. */
export function kindsOf({ query, sort, skip, limit }: PagedQuery, records: RecordKinds): ReadonlySet<string> {
  const kinds = new Set<string>();
  if (sort !== undefined) kinds.add('a sort');
  if (sort?.some(([name]) => name.includes('.'))) kinds.add('a sort by a path');
  if (skip !== undefined) kinds.add('skip');
  if (limit !== undefined) kinds.add('limit');
  addQueryKinds(query, 0, kinds, records);
  return kinds;
}

function addQueryKinds(query: Dict, depth: number, kinds: Set<string>, records: RecordKinds): void {
  if (depth >= 3) kinds.add('three levels of sub-queries');
  for (const [name, condition] of Object.entries(query)) {
    if (name.startsWith('$') && Array.isArray(condition)) {
      kinds.add(name);
      for (const branch of condition) addQueryKinds(branch as Dict, depth + 1, kinds, records);
      continue;
    }
    if (OLDER_NAME.test(name)) kinds.add('an older name of a key');
    if (name.includes('__proto__')) kinds.add('__proto__');
    if (name.includes('.')) {
      const having = records.tasks.filter((task) => hasPath(task, name.split('.'))).length;
      if (having === 0) kinds.add('a key that no record has');
      else if (having < records.tasks.length) kinds.add('a key that some records lack');
    }
    addConditionKinds(name, condition, kinds, records);
  }
}

function addConditionKinds(name: string, condition: unknown, kinds: Set<string>, records: RecordKinds): void {
  if (condition instanceof RegExp) {
    kinds.add('a RegExp');
    addPatternKinds(condition.source, kinds);
    return;
  }
  if (!isDict(condition) || !Object.keys(condition).some((key) => key.startsWith('$'))) {
    kinds.add('a plain value');
    addValueKinds(name, condition, kinds, records);
    return;
  }
  for (const [operator, operand] of Object.entries(condition)) {
    kinds.add(operator);
    if (operator === '$regex' || operator === '$glob') addPatternKinds(String(operand), kinds);
    else if (operator === '$not') addConditionKinds(name, operand, kinds, records);
    else if (operator === '$elemMatch' && isDict(operand)) {
      if (Object.keys(operand)[0]?.startsWith('$')) addConditionKinds(name, operand, kinds, records);
      else addQueryKinds(operand, 0, kinds, records);
    } else if ((operator === '$in' || operator === '$nin' || operator === '$all') && Array.isArray(operand)) {
      if (operand.length === 0) kinds.add('an empty list');
      if (operand.length >= 5000) kinds.add('a list of 5,000 values');
      for (const item of operand.slice(0, 10)) addValueKinds(name, item, kinds, records);
    } else if (!['$type', '$options', '$exists', '$size', '$mod'].includes(operator))
      addValueKinds(name, operand, kinds, records);
  }
}

function addValueKinds(name: string, value: unknown, kinds: Set<string>, records: RecordKinds): void {
  if (value === null) kinds.add('null');
  else if (value instanceof Date) addDateKinds(name, value.getTime(), kinds, records);
  else if (typeof value === 'string') {
    addTextKinds(value, kinds);
    if (/[\\^$.*+?()[\]{}|]/.test(value)) kinds.add('metacharacters of patterns in a value');
    if (/^[ -]?\d+(\.\d+|e\d+)?$/.test(value)) kinds.add('a number as text');
  } else if (Array.isArray(value)) for (const item of value) addValueKinds(name, item, kinds, records);
  else if (isDict(value)) {
    for (const [key, item] of Object.entries(value)) {
      if (key === '__proto__') kinds.add('__proto__');
      addTextKinds(key, kinds);
      addValueKinds(name, item, kinds, records);
    }
  }
}

function addTextKinds(text: string, kinds: Set<string>): void {
  for (const char of text) {
    const code = char.codePointAt(0) ?? 0;
    if (code > 0x7f) kinds.add('unicode beyond ASCII');
    if (code > 0xffff) kinds.add('unicode beyond 16 bits');
  }
}

function addPatternKinds(pattern: string, kinds: Set<string>): void {
  addTextKinds(pattern, kinds);
  if (/[\\^$.*+?()[\]{}|]/.test(pattern)) kinds.add('metacharacters in a pattern');
}

function addDateKinds(name: string, ms: number, kinds: Set<string>, { moments }: RecordKinds): void {
  const known = moments.get(name);
  if (known === undefined || !Number.isSafeInteger(ms * 1000)) return;
  for (let micros = ms * 1000 - 1000; micros < ms * 1000 + 2000; micros++) {
    if (!known.has(micros)) continue;
    if (Math.floor(micros / 1000) !== ms) kinds.add('a date one millisecond from a record’s');
    else {
      if (known.has(micros - 1) || known.has(micros + 1))
        kinds.add('a date with two records a microsecond apart');
      if (known.has(micros - 1000) || known.has(micros + 1000))
        kinds.add('a date with another record a millisecond from one');
    }
  }
}

/** Converts a stored date with any number of digits to microseconds since 1970. */
function microsOf(text: string): number {
  const fraction = /\.(\d+)/.exec(text)?.[1] ?? '';
  const seconds = Date.parse(text.replace(/\.\d+/, '')) / 1000;
  return seconds * 1_000_000 + Number(fraction.padEnd(6, '0').slice(0, 6));
}

function hasPath(value: unknown, path: readonly string[]): boolean {
  const [step, ...rest] = path;
  if (step === undefined) return true;
  if (Array.isArray(value) && value.some((item) => isDict(item) && hasPath(item, path))) return true;
  if (typeof value !== 'object' || value === null) return false;
  const name = ({ pyin: 'execute_input', pyout: 'execute_result', pyerr: 'error' } as Dict)[step];
  const key = typeof name === 'string' && !Object.hasOwn(value, step) ? name : step;
  return Object.hasOwn(value, key) && hasPath((value as Dict)[key], rest);
}
