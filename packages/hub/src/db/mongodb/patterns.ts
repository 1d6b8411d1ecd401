/** MongoDB refuses patterns longer than 32,764 bytes. */
const MAX_PATTERN = 32_000;

/** Each `*` multiplies what a backtracking matcher may try; beyond this a pattern is finished in the store. */
const MAX_STARS = 3;

/**
 * A pattern of Python's fnmatch as a regular expression for MongoDB, which means the same to PCRE and to RE2; undefined
 * when the server had better not try. The whole text must match, line breaks included.
 */
export function regexOfGlob(glob: string): string | undefined {
  const chars = [...glob];
  let stars = 0;
  let out = '^';
  for (let i = 0; i < chars.length; i++) {
    const char = chars[i] ?? '';
    if (char === '*') {
      if (chars[i - 1] !== '*') {
        out += '(?s:.*)';
        stars++;
      }
    } else if (char === '?') {
      out += '(?s:.)';
    } else if (char === '[') {
      // A `]` right after the opening (or its negation) is a member; without a closing one, `[` is itself.
      const negated = chars[i + 1] === '!';
      const start = i + (negated ? 2 : 1);
      const end = chars.indexOf(']', start + 1);
      if (end === -1) {
        out += literal('[');
      } else {
        out += characterSet(chars.slice(start, end), negated);
        i = end;
      }
    } else {
      out += literal(char);
    }
  }
  if (stars > MAX_STARS || out.length > MAX_PATTERN || /\p{Cs}/u.test(glob)) return undefined;
  return `${out}\\z`;
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
    // A range that runs backwards has no members.
    if (low <= high) ranges += `${hex(low)}-${hex(high)}`;
  }
  if (ranges === '') return negated ? '(?s:.)' : `[^${hex(0)}-${hex(0x10ffff)}]`;
  return `[${negated ? '^' : ''}${ranges}]`;
}

/** A character that stands for itself in both languages. */
function literal(char: string): string {
  return /^[A-Za-z0-9_]$/.test(char) ? char : hex(char.codePointAt(0) ?? 0);
}

function hex(code: number): string {
  return `\\x{${code.toString(16)}}`;
}

// Letters, digits and a few signs that mean themselves; escaped signs; `.`; plain classes; a start; a repetition.
const ATOM = String.raw`(?:[A-Za-z0-9 _,:;@#%&=<>"'\/~\x60!-]|\\[.^$*+?()[\]{}|\\\/-]|\.|\[[A-Za-z0-9_]+(?:-[A-Za-z0-9_]+)?\])`;
const PLAIN = new RegExp(`^\\^?(?:${ATOM}[*+?]?)*$`);
const REPEATED = /[^\\][*+?]/g;
const RANGE = /([A-Za-z0-9_])-([A-Za-z0-9_])/g;

/**
 * Whether a pattern of RE2's language means the same to MongoDB's PCRE and can be matched there in harmless time. All
 * else is finished in the store: the two differ in classes, case, `$` and in what they do with much backtracking.
 */
export function isPlainRegex(pattern: string, flags: string): boolean {
  if (flags !== '' || pattern.length > 1000 || !PLAIN.test(pattern)) return false;
  if ((pattern.match(REPEATED)?.length ?? 0) > 2) return false;
  return [...pattern.matchAll(RANGE)].every(([, low = '', high = '']) => low <= high);
}
