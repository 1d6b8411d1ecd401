type Token = { readonly star: true } | { readonly star: false; readonly matches: (code: number) => boolean };

const BRACKET = 0x5b;

function tokens(pattern: string): Token[] {
  const chars = [...pattern];
  const out: Token[] = [];
  for (let i = 0; i < chars.length; i++) {
    const char = chars[i] as string;
    if (char === '*') {
      if (out.at(-1)?.star !== true) out.push({ star: true });
    } else if (char === '?') {
      out.push({ star: false, matches: () => true });
    } else if (char === '[') {
      // A `]` right after `[` or `[!` is a member of the set. A `[` without a closing `]` is a literal.
      const negated = chars[i + 1] === '!';
      const start = i + (negated ? 2 : 1);
      const end = chars.indexOf(']', start + 1);
      if (end === -1) {
        out.push({ star: false, matches: (code) => code === BRACKET });
      } else {
        const member = characterSet(chars.slice(start, end));
        out.push({ star: false, matches: negated ? (code) => !member(code) : member });
        i = end;
      }
    } else {
      const literal = codePoint(char);
      out.push({ star: false, matches: (code) => code === literal });
    }
  }
  return out;
}

function characterSet(members: readonly string[]): (code: number) => boolean {
  const ranges: [number, number][] = [];
  for (let i = 0; i < members.length; i++) {
    const low = codePoint(members[i]);
    if (members[i + 1] === '-' && i + 2 < members.length) {
      ranges.push([low, codePoint(members[i + 2])]);
      i += 2;
    } else {
      ranges.push([low, low]);
    }
  }
  return (code) => ranges.some(([low, high]) => code >= low && code <= high);
}

function codePoint(char: string | undefined): number {
  return char?.codePointAt(0) ?? -1;
}

/**
 * Compiles a pattern of Python's fnmatch (`*`, `?`, `[seq]`, `[!seq]`), case-sensitive. Matching backtracks to the last
 * `*` only, so its time is at most proportional to pattern length × text length.
 */
export function compileGlob(pattern: string): (text: string) => boolean {
  const program = tokens(pattern);
  const prefix = globPrefix(pattern);
  return (text) => {
    if (!text.startsWith(prefix)) return false;
    let t = 0;
    let p = 0;
    let starAt = -1;
    let resumeAt = 0;
    while (t < text.length) {
      const token = program[p];
      const code = text.codePointAt(t) as number;
      if (token?.star === true) {
        starAt = p++;
        resumeAt = t;
      } else if (token?.matches(code) === true) {
        p++;
        t += unitsOf(code);
      } else if (starAt >= 0) {
        p = starAt + 1;
        resumeAt += unitsOf(text.codePointAt(resumeAt) as number);
        t = resumeAt;
      } else {
        return false;
      }
    }
    while (program[p]?.star === true) p++;
    return p === program.length;
  };
}

const unitsOf = (code: number): number => (code > 0xffff ? 2 : 1);

/** The literal prefix of every text that matches a pattern. */
export function globPrefix(pattern: string): string {
  return pattern.slice(0, pattern.search(/[*?[]|$/));
}
