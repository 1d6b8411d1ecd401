import { isDict } from '../common/dict.js';
import { InvalidQueryError } from '../common/errors.js';
import { didYouMean } from '../common/suggest.js';
import { describe } from './describe.js';
import { translateRegExp } from './regex.js';
import type { Comparison } from './tree.js';
import { TYPE_NAMES } from './type-names.js';

// What operators take besides values, checked as MongoDB checks it. `at` says in messages which operator of which field.

const LONG = 2 ** 63;

/** `[divisor, remainder]`; what lies past the decimal point is cut off. */
export function parseMod(operand: unknown, at: string): Comparison {
  if (!Array.isArray(operand) || operand.length !== 2) {
    throw new InvalidQueryError(
      `${at} takes a list of two numbers, [divisor, remainder], not ${describe(operand)}`,
    );
  }
  const [divisor, remainder] = Array.from(operand as unknown[], (value, i) => {
    if (typeof value !== 'number' || !(value >= -LONG && value < LONG)) {
      throw new InvalidQueryError(
        `${at}: the ${i === 0 ? 'divisor' : 'remainder'} is a number of 64 bits, not ${describe(value)}`,
      );
    }
    return Math.trunc(value) + 0;
  }) as [number, number];
  if (divisor === 0) throw new InvalidQueryError(`${at}: the divisor cannot be 0`);
  return { op: '$mod', divisor, remainder };
}

export function parseSize(operand: unknown, at: string): Comparison {
  if (typeof operand !== 'number' || !Number.isSafeInteger(operand) || operand < 0)
    throw new InvalidQueryError(`${at} takes a whole number that is not negative, not ${describe(operand)}`);
  return { op: '$size', size: operand + 0 };
}

/** True or false; a number stands for true unless it is 0. */
export function parseExists(operand: unknown, at: string): boolean {
  if (typeof operand === 'number') return operand !== 0;
  if (typeof operand !== 'boolean')
    throw new InvalidQueryError(`${at} takes true or false, not ${describe(operand)}`);
  return operand;
}

/** Names or numbers of types, one or a list. */
export function parseTypes(operand: unknown, at: string): string[] {
  const list: unknown[] = Array.isArray(operand) ? Array.from(operand as unknown[]) : [operand];
  if (list.length === 0) throw new InvalidQueryError(`${at} takes at least one type`);
  const names = list.map((type) => {
    if (typeof type === 'number') {
      for (const [name, code] of TYPE_NAMES) if (code === type) return name;
      throw new InvalidQueryError(`${at}: there is no type of the number ${type}`);
    }
    if (typeof type !== 'string')
      throw new InvalidQueryError(
        `${at} takes the name or number of a type, or a list of them, not ${describe(type)}`,
      );
    if (TYPE_NAMES.has(type)) return type;
    throw new InvalidQueryError(
      `${at}: there is no type ${describe(type)}${didYouMean(type.slice(0, 60), TYPE_NAMES.keys())}`,
    );
  });
  return [...new Set(names)];
}

/** A regular expression as a query has it, with flags in the order `ims`. */
export interface Pattern {
  readonly pattern: string;
  readonly flags: string;
}

/** A JavaScript RegExp, or `$regex` with its `$options`. */
export function parsePattern(regex: unknown, options: unknown, at: string): Pattern {
  if (regex instanceof RegExp) {
    if (regex.flags !== '' && options !== undefined)
      throw new InvalidQueryError(`${at}: options are set in both $regex and $options`);
    const flags = parseFlags(options ?? regex.flags, at);
    // A pattern that RE2 has no word for is left as it is, and refused when it is compiled.
    return { pattern: checkPattern(translateRegExp(regex.source), at), flags };
  }
  if (typeof regex !== 'string')
    throw new InvalidQueryError(`${at} takes a text or a regular expression, not ${describe(regex)}`);
  return { pattern: checkPattern(regex, at), flags: parseFlags(options ?? '', at) };
}

function checkPattern(pattern: string, at: string): string {
  if (pattern.includes('\0')) throw new InvalidQueryError(`${at} cannot contain a null byte`);
  return pattern;
}

function parseFlags(flags: unknown, at: string): string {
  if (typeof flags !== 'string')
    throw new InvalidQueryError(`${at}: options are a text of i, m and s, not ${describe(flags)}`);
  const foreign = [...flags].find((flag) => !'ims'.includes(flag));
  if (foreign !== undefined) {
    throw new InvalidQueryError(
      `${at}: the flag ${describe(foreign)} is not supported; i, m and s are, on every store`,
    );
  }
  return [...'ims'].filter((flag) => flags.includes(flag)).join('');
}

/** Refuses an operator among the values of a list, which MongoDB would not look into. */
export function checkListed(value: unknown, at: string): void {
  if (isDict(value) && Object.keys(value).some((key) => key.startsWith('$')))
    throw new InvalidQueryError(`${at}: a list holds values, not operators`);
}
