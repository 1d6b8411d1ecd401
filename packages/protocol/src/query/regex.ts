import { RE2JS, RE2JSException } from 're2js';
import { InvalidQueryError } from '../common/errors.js';

/** A compiled regular expression in RE2 syntax; matching takes time linear in the length of the text. */
export interface Regex {
  /** Whether the pattern matches anywhere in a text. */
  test(text: string): boolean;
  /** The number of instructions of the compiled pattern. */
  programSize(): number;
}

const FLAGS = { i: RE2JS.CASE_INSENSITIVE, m: RE2JS.MULTILINE, s: RE2JS.DOTALL } as const;

// A cache, because each pattern is compiled twice: when the query is validated and when it runs.
const cachedRegexes = new Map<string, Regex>();
const CACHE_SIZE = 16;

/** The memory for the cached states of one pattern, in bytes. Beyond it, matching is slower but still linear. */
const STATE_BYTES = 1 << 20;

/**
 * Compiles a pattern with the flags `i`, `m` and `s`.
 * @throws {InvalidQueryError} when the pattern is not valid in RE2 syntax
 */
export function compileRegex(pattern: string, flags: string): Regex {
  const key = `${flags}/${pattern}`;
  let regex = cachedRegexes.get(key);
  if (regex === undefined) {
    regex = compile(pattern, flags);
    const [oldest] = cachedRegexes.keys();
    if (cachedRegexes.size >= CACHE_SIZE && oldest !== undefined) cachedRegexes.delete(oldest);
    cachedRegexes.set(key, regex);
  }
  return regex;
}

function compile(pattern: string, flags: string): Regex {
  let bits = 0;
  for (const flag of flags) bits |= FLAGS[flag as keyof typeof FLAGS];
  try {
    const regex = RE2JS.compile(pattern, bits);
    // The default of 8 MiB is too much for a query with hundreds of patterns.
    const { dfa } = regex.re2();
    dfa.stateBudget = STATE_BYTES;
    dfa.memBudget = STATE_BYTES;
    return regex;
  } catch (error) {
    if (!(error instanceof RE2JSException)) throw error;
    throw new InvalidQueryError(
      `${reason(pattern, error.message)} (patterns use RE2 syntax, which has no backtracking)`,
    );
  }
}

function reason(pattern: string, message: string): string {
  const detail = message.replace(/^error parsing regexp: /, '');
  const short = detail.length > 200 ? `${detail.slice(0, 200)}…` : detail;
  if (/\(\?<?[=!]/.test(pattern)) return `lookaround is not supported: ${short}`;
  if (/\\[1-9]|\\k<|\(\?P=/.test(pattern)) return `back-references are not supported: ${short}`;
  if (/\\u/.test(pattern)) return `\\u is not supported, write a code point as \\x{1F600}: ${short}`;
  return short;
}

/** Translates the source of a JavaScript RegExp to RE2 syntax. */
export function translateRegExp(source: string): string {
  return RE2JS.translateRegExp(source);
}

/** Combines patterns into one that matches when any of them does. */
export function anyPattern(
  patterns: readonly { readonly pattern: string; readonly flags: string }[],
): string {
  return patterns.map(({ pattern, flags }) => `(?${flags}:${pattern})`).join('|');
}

const SPECIAL_CHARACTERS = new Set('.*+?()[]{}|^$\\');

/** The literal prefix of every text that matches a pattern; empty when it is unknown. */
export function regexPrefix(pattern: string, flags: string): string {
  if (!pattern.startsWith('^') || pattern.includes('|') || /[im]/.test(flags)) return '';
  const chars = [...pattern.slice(1)];
  const literal: string[] = [];
  let i = 0;
  for (; i < chars.length; i++) {
    const char = chars[i] as string;
    if (char === '\\') {
      const next = chars[i + 1];
      if (next === undefined || !SPECIAL_CHARACTERS.has(next)) break;
      literal.push(next);
      i++;
    } else if (SPECIAL_CHARACTERS.has(char)) break;
    else literal.push(char);
  }
  // The prefix of `ab*` is `a`.
  if (['*', '?', '{'].includes(chars[i] ?? '')) literal.pop();
  return literal.join('');
}
