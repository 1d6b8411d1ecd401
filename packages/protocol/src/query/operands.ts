import { describe } from '../common/describe.js';
import { isDict } from '../common/dict.js';
import { InvalidQueryError } from '../common/errors.js';
import { didYouMean } from '../common/suggest.js';
import { translateRegExp } from './regex.js';
import type { Comparison } from './tree.js';
import { TYPE_NAMES } from './type-names.js';

// Validates the operands that are not plain values, by the rules of MongoDB. `subject` names the operator and the field
// in errors, for example `$mod of "content.v"`.

const INT64_BOUND = 2 ** 63;

/** Parses `[divisor, remainder]`; fractions are truncated. */
export function parseMod(operand: unknown, subject: string): Comparison {
  if (!Array.isArray(operand) || operand.length !== 2) {
    throw new InvalidQueryError(
      `${subject} must be an array of two numbers, [divisor, remainder], got ${describe(operand)}`,
    );
  }
  const [divisor, remainder] = Array.from(operand as unknown[], (value, i) => {
    if (typeof value !== 'number' || !(value >= -INT64_BOUND && value < INT64_BOUND)) {
      throw new InvalidQueryError(
        `${subject}: the ${i === 0 ? 'divisor' : 'remainder'} must be a 64-bit number, got ${describe(value)}`,
      );
    }
    return Math.trunc(value) + 0;
  }) as [number, number];
  if (divisor === 0) throw new InvalidQueryError(`${subject}: the divisor must not be 0`);
  return { op: '$mod', divisor, remainder };
}

export function parseSize(operand: unknown, subject: string): Comparison {
  if (typeof operand !== 'number' || !Number.isSafeInteger(operand) || operand < 0)
    throw new InvalidQueryError(`${subject} must be a non-negative integer, got ${describe(operand)}`);
  return { op: '$size', size: operand + 0 };
}

/** Parses a boolean; like MongoDB, accepts a number, which is true unless it is 0. */
export function parseExists(operand: unknown, subject: string): boolean {
  if (typeof operand === 'number') return operand !== 0;
  if (typeof operand !== 'boolean')
    throw new InvalidQueryError(`${subject} must be true or false, got ${describe(operand)}`);
  return operand;
}

/** Parses the name or number of a type, or a list of them. */
export function parseTypes(operand: unknown, subject: string): string[] {
  const list: unknown[] = Array.isArray(operand) ? Array.from(operand as unknown[]) : [operand];
  if (list.length === 0)
    throw new InvalidQueryError(`${subject} must have at least one type, got an empty array`);
  const names = list.map((type) => {
    if (typeof type === 'number') {
      for (const [name, code] of TYPE_NAMES) if (code === type) return name;
      throw new InvalidQueryError(`${subject}: unknown type number ${type}`);
    }
    if (typeof type !== 'string')
      throw new InvalidQueryError(
        `${subject} must be the name or number of a type, or an array of them, got ${describe(type)}`,
      );
    if (TYPE_NAMES.has(type)) return type;
    throw new InvalidQueryError(
      `${subject}: unknown type ${describe(type)}${didYouMean(type.slice(0, 60), TYPE_NAMES.keys())}`,
    );
  });
  return [...new Set(names)];
}

/** A regular expression in RE2 syntax. */
export interface Pattern {
  readonly pattern: string;
  /** The flags among `i`, `m` and `s`, in the order `ims`. */
  readonly flags: string;
}

/** Parses a JavaScript RegExp, or `$regex` with its `$options`. */
export function parsePattern(regex: unknown, options: unknown, subject: string): Pattern {
  if (regex instanceof RegExp) {
    if (regex.flags !== '' && options !== undefined)
      throw new InvalidQueryError(
        `${subject}: flags are set in both $regex and $options; set them in one of them`,
      );
    const flags = parseFlags(options ?? regex.flags, subject);
    // The translation keeps syntax that RE2 does not support; compiling the pattern rejects it.
    return { pattern: checkPattern(translateRegExp(regex.source), subject), flags };
  }
  if (typeof regex !== 'string')
    throw new InvalidQueryError(
      `${subject} must be a string or a regular expression, got ${describe(regex)}`,
    );
  return { pattern: checkPattern(regex, subject), flags: parseFlags(options ?? '', subject) };
}

function checkPattern(pattern: string, subject: string): string {
  if (pattern.includes('\0')) throw new InvalidQueryError(`${subject} must not contain a null byte`);
  return pattern;
}

function parseFlags(flags: unknown, subject: string): string {
  if (typeof flags !== 'string')
    throw new InvalidQueryError(
      `${subject}: $options must be a string of the flags i, m and s, got ${describe(flags)}`,
    );
  const unsupported = [...flags].find((flag) => !'ims'.includes(flag));
  if (unsupported !== undefined) {
    throw new InvalidQueryError(
      `${subject}: flag ${describe(unsupported)} is not supported; the supported flags are i, m and s`,
    );
  }
  return [...'ims'].filter((flag) => flags.includes(flag)).join('');
}

/** Rejects an operator as an item of a list; MongoDB would not apply it. */
export function checkListed(value: unknown, subject: string): void {
  if (isDict(value) && Object.keys(value).some((key) => key.startsWith('$')))
    throw new InvalidQueryError(`${subject} must be a value, got an operator`);
}
