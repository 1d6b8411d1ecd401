// Every link and every path of a source file in the documents names something that exists.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('../../..', import.meta.url));
// The changelog also names files as they were.
const HISTORY = 'CHANGELOG.md';

/** Folders that builds, installations and test runs make. */
const GENERATED_FOLDERS = /^(node_modules|dist|coverage|\.git|\.tmp|\.tools|\.venv-.*|__pycache__)$/;

function listFiles(folder = ''): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    if (GENERATED_FOLDERS.test(entry.name)) return [];
    const path = posix.join(folder, entry.name);
    return entry.isDirectory() ? listFiles(path) : [path];
  });
}

const files = listFiles();
const documents = files.filter((path) => path.endsWith('.md') && path !== HISTORY);

/** Removes code blocks: they show programs and outputs, not links. */
function prose(document: string): string {
  return readFileSync(join(root, document), 'utf8').replace(/^```[\s\S]*?^```$/gm, '');
}

function brokenLinks(document: string): string[] {
  const targets = [...prose(document).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target);
  return targets.filter((target) => {
    if (/^[a-z]+:/.test(target) || target.startsWith('#')) return false;
    const [path = ''] = target.split('#');
    return !existsSync(join(root, dirname(document), path));
  });
}

/** A path in backticks may be relative to any folder, as long as a file of the repository ends with it. */
function missingPaths(document: string): string[] {
  const paths = [
    ...prose(document).matchAll(/`([\w@.-]+(?:\/[\w@.-]+)+\.(?:ts|mjs|py|md|sh|json|txt|svg))`/g),
  ]
    .map(([, path = '']) => posix.normalize(path))
    .filter((path) => !path.startsWith('.') && !path.includes('dist/'));
  return paths.filter((path) => !files.some((file) => file === path || file.endsWith(`/${path}`)));
}

test('there are documents with links and paths to check', () => {
  expect(documents).toContain('ARCHITECTURE.md');
  expect(documents.length).toBeGreaterThan(60);
});

test('every relative link of a document leads to a file', () => {
  const broken = documents.flatMap((document) => brokenLinks(document).map((link) => `${document}: ${link}`));
  expect(broken).toEqual([]);
});

test('every path of a source file in a document exists', () => {
  const missing = documents.flatMap((document) =>
    missingPaths(document).map((path) => `${document}: ${path}`),
  );
  expect(missing).toEqual([]);
});
