/** Longest pattern that is sent, in characters. MongoDB refuses patterns longer than 32,764 bytes. */
const MAX_PATTERN = 32_000;

/** Maximum number of `*` in a pattern that is sent, because each one multiplies the attempts of a backtracking matcher. */
const MAX_STARS = 3;

/**
 * Converts a pattern of Python's fnmatch to a regular expression with the same meaning in PCRE and RE2. It matches the
 * complete text, line breaks included. Returns undefined if the server may need too long or the pattern is too large.
 */
export function regexOfGlob(glob: string): string | undefined {
  const chars = [...glob];
  let stars = 0;
  let regex = '^';
  for (let i = 0; i < chars.length; i++) {
    const char = chars[i] ?? '';
    if (char === '*') {
      if (chars[i - 1] !== '*') {
        regex += '(?s:.*)';
        stars++;
      }
    } else if (char === '?') {
      regex += '(?s:.)';
    } else if (char === '[') {
      // A `]` directly after `[` or `[!` is a member. Without a closing `]`, `[` is a literal.
      const negated = chars[i + 1] === '!';
      const start = i + (negated ? 2 : 1);
      const end = chars.indexOf(']', start + 1);
      if (end === -1) {
        regex += escapeLiteral('[');
      } else {
        regex += characterSet(chars.slice(start, end), negated);
        i = end;
      }
    } else {
      regex += escapeLiteral(char);
    }
  }
  if (stars > MAX_STARS || regex.length > MAX_PATTERN || /\p{Cs}/u.test(glob)) return undefined;
  return `${regex}\\z`;
}

function characterSet(members: readonly string[], negated: boolean): string {
  let ranges = '';
  for (let i = 0; i < members.length; i++) {
    const low = members[i]?.codePointAt(0) ?? 0;
    let high = low;
    if (members[i + 1] === '-' && i + 2 < members.length) {
      high = members[i + 2]?.codePointAt(0) ?? 0;
      i += 2;
    }
    // A descending range is empty.
    if (low <= high) ranges += `${escapeCode(low)}-${escapeCode(high)}`;
  }
  if (ranges === '') return negated ? '(?s:.)' : `[^${escapeCode(0)}-${escapeCode(0x10ffff)}]`;
  return `[${negated ? '^' : ''}${ranges}]`;
}

/** Escapes a character so that it is a literal in PCRE and RE2. */
function escapeLiteral(char: string): string {
  return /^[A-Za-z0-9_]$/.test(char) ? char : escapeCode(char.codePointAt(0) ?? 0);
}

function escapeCode(code: number): string {
  return `\\x{${code.toString(16)}}`;
}

// Literal letters, digits and punctuation; escaped punctuation; `.`; simple classes. `^` may begin, `*+?` may repeat.
const PLAIN_ATOM = String.raw`(?:[A-Za-z0-9 _,:;@#%&=<>"'\/~\x60!-]|\\[.^$*+?()[\]{}|\\\/-]|\.|\[[A-Za-z0-9_]+(?:-[A-Za-z0-9_]+)?\])`;
const PLAIN_PATTERN = new RegExp(`^\\^?(?:${PLAIN_ATOM}[*+?]?)*$`);
const REPETITION = /[^\\][*+?]/g;
const CHARACTER_RANGE = /([A-Za-z0-9_])-([A-Za-z0-9_])/g;

/**
 * Whether a pattern has the same meaning in RE2 and in MongoDB's PCRE, and PCRE matches it quickly. The store evaluates
 * all other patterns itself, because the two differ in classes, case, `$` and backtracking.
 */
export function isPlainRegex(pattern: string, flags: string): boolean {
  if (flags !== '' || pattern.length > 1000 || !PLAIN_PATTERN.test(pattern)) return false;
  if ((pattern.match(REPETITION)?.length ?? 0) > 2) return false;
  return [...pattern.matchAll(CHARACTER_RANGE)].every(([, low = '', high = '']) => low <= high);
}
