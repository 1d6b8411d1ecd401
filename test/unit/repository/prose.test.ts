// Comments begin with their subject: CONTRIBUTING.md, "Style". The test finds only the faults that a pattern can find.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const FOLDERS = ['packages', 'examples', 'test', 'bench', 'scripts'];
const GENERATED_PATHS = /(^|\/)(node_modules|dist|fixtures)(\/|$)/;
const COMMENT = /^\s*(?:\/\*\*|\*|\/\/|#)\s*(.*)$/;
/** A relative clause or a genitive in front of the subject, and words that no colleague uses. */
const FORBIDDEN_PATTERNS = [/^(?:What|Of|So|Whose|Whom|How it is)\b/, /\b(?:anew|for ever|hence|in kind)\b/i];

function findings(text: string): string[] {
  return text.split('\n').flatMap((line) => {
    const [, comment] = COMMENT.exec(line) ?? [];
    return comment !== undefined && FORBIDDEN_PATTERNS.some((pattern) => pattern.test(comment))
      ? [comment]
      : [];
  });
}

function sourcesBelow(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => `${folder}/${name.replaceAll('\\', '/')}`)
    .filter((name) => /\.(?:ts|mjs|py)$/.test(name) && !GENERATED_PATHS.test(name));
}

test('a comment that begins with a relative clause is found', () => {
  expect(
    findings('/** What a reader works with. */\n// Of two tasks the first wins.\n// It starts anew.'),
  ).toHaveLength(3);
  expect(findings('/** The parts of a reader. */\nconst what = 1; // What')).toEqual([]);
});

test('no comment of the sources has such a fault', () => {
  const sources = FOLDERS.flatMap(sourcesBelow).filter((file) => !file.endsWith('repository/prose.test.ts'));
  expect(sources.length).toBeGreaterThan(500);
  const found = sources.flatMap((file) =>
    findings(readFileSync(join(root, file), 'utf8')).map((comment) => `${file}: ${comment}`),
  );
  expect(found).toEqual([]);
});
