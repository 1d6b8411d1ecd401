// Comments and documents begin with their subject: CONTRIBUTING.md, "Style". The test finds only the faults that a pattern
// can find.
import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const FOLDERS = ['packages', 'examples', 'test', 'bench', 'scripts'];
const GENERATED_PATHS = /(^|\/)(node_modules|dist|fixtures)(\/|$)/;
const COMMENT = /^\s*(?:\/\*\*|\*|\/\/|#)\s*(.*)$/;
/** A relative clause or a genitive in front of the subject. */
const FORBIDDEN_BEGINNING = /^(?:What|Of|So|Whose|Whom|How it is)\b/;
const FORBIDDEN_WORDS =
  /\b(?:anew|for ever|hence|save to|in kind|beside|(?:is|are|was|were|be|been) (?:asked|told|heard|said))\b/i;
const FORBIDDEN_PATTERNS = [FORBIDDEN_BEGINNING, FORBIDDEN_WORDS];

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

/** Returns the lines of a document with such words; code blocks show programs and their output. */
function findingsInDocument(text: string): string[] {
  const prose = text.replace(/^```[\s\S]*?^```$/gm, '');
  return prose
    .split('\n')
    .filter((line) => FORBIDDEN_WORDS.test(line) || /^\s*- (?:What|Whose|Whom)\b/.test(line));
}

function documentsBelow(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => posix.join(folder, name.replaceAll('\\', '/')))
    .filter((name) => name.endsWith('.md') && !GENERATED_PATHS.test(name));
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

test('no document has such words', () => {
  const folders = [...FOLDERS, 'docs'].flatMap(documentsBelow);
  const documents = [...readdirSync(root).filter((name) => name.endsWith('.md')), ...folders];
  expect(documents.length).toBeGreaterThan(60);
  expect(findingsInDocument('The hub is asked anew.\n- What a reader wants\n```\nbeside\n```')).toHaveLength(
    2,
  );
  const found = documents.flatMap((file) =>
    findingsInDocument(readFileSync(join(root, file), 'utf8')).map((line) => `${file}: ${line}`),
  );
  expect(found).toEqual([]);
});
