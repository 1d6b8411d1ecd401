import { RE2JS, RE2JSException } from 're2js';
import { InvalidQueryError } from '../common/errors.js';

/** A regular expression in RE2's syntax, compiled: matching takes time linear in the text. */
export interface Regex {
  /** Whether the pattern is found anywhere in a text. */
  test(text: string): boolean;
  programSize(): number;
}

const FLAGS = { i: RE2JS.CASE_INSENSITIVE, m: RE2JS.MULTILINE, s: RE2JS.DOTALL } as const;

// A query is compiled where it is checked and again where it runs; the second time it is found here.
const compiled = new Map<string, Regex>();
const CACHED = 16;

/** What one pattern may remember of its states, in bytes; beyond it, matching forgets or goes a slower, still linear way. */
const STATE_BYTES = 1 << 20;

/**
 * Compiles a pattern; flags are among `i`, `m` and `s`.
 * @throws InvalidQueryError that says what RE2 does not know
 */
export function compileRegex(pattern: string, flags: string): Regex {
  const key = `${flags}/${pattern}`;
  let regex = compiled.get(key);
  if (regex === undefined) {
    regex = compile(pattern, flags);
    const [oldest] = compiled.keys();
    if (compiled.size >= CACHED && oldest !== undefined) compiled.delete(oldest);
    compiled.set(key, regex);
  }
  return regex;
}

function compile(pattern: string, flags: string): Regex {
  let bits = 0;
  for (const flag of flags) bits |= FLAGS[flag as keyof typeof FLAGS];
  try {
    const regex = RE2JS.compile(pattern, bits);
    // The library's 8 MiB are much for a query of hundreds of patterns.
    const { dfa } = regex.re2();
    dfa.stateBudget = STATE_BYTES;
    dfa.memBudget = STATE_BYTES;
    return regex;
  } catch (error) {
    if (!(error instanceof RE2JSException)) throw error;
    throw new InvalidQueryError(
      `${reason(pattern, error.message)} (patterns are RE2's, which never backtracks)`,
    );
  }
}

function reason(pattern: string, message: string): string {
  const said = message.replace(/^error parsing regexp: /, '');
  const short = said.length > 200 ? `${said.slice(0, 200)}…` : said;
  if (/\(\?<?[=!]/.test(pattern)) return `lookaround is not supported: ${short}`;
  if (/\\[1-9]|\\k<|\(\?P=/.test(pattern)) return `back-references are not supported: ${short}`;
  if (/\\u/.test(pattern)) return `write \\x{1F600} for a code point: ${short}`;
  return short;
}

/** What a JavaScript RegExp is called in RE2's syntax. */
export function translateRegExp(source: string): string {
  return RE2JS.translateRegExp(source);
}

/** One pattern that matches what any of several matches. */
export function anyPattern(
  patterns: readonly { readonly pattern: string; readonly flags: string }[],
): string {
  return patterns.map(({ pattern, flags }) => `(?${flags}:${pattern})`).join('|');
}

const SPECIAL = new Set('.*+?()[]{}|^$\\');

/** The literal text that every match of a pattern begins with; empty when nothing is known. */
export function regexPrefix(pattern: string, flags: string): string {
  if (!pattern.startsWith('^') || pattern.includes('|') || /[im]/.test(flags)) return '';
  const chars = [...pattern.slice(1)];
  const literal: string[] = [];
  let i = 0;
  for (; i < chars.length; i++) {
    const char = chars[i] as string;
    if (char === '\\') {
      const next = chars[i + 1];
      if (next === undefined || !SPECIAL.has(next)) break;
      literal.push(next);
      i++;
    } else if (SPECIAL.has(char)) break;
    else literal.push(char);
  }
  // `ab*` begins with `a` only.
  if (['*', '?', '{'].includes(chars[i] ?? '')) literal.pop();
  return literal.join('');
}
