// The programs of the readmes that start a cluster of their own do what their comments say.
import { rmSync } from 'node:fs';
import { expect, test } from 'vitest';
import { codeDirectory, documentedCode, runBlock } from '../support/documents/documented-code.js';
import { cleanEnv } from '../support/environment.js';

const programs = documentedCode().filter(({ code }) => code.includes('Cluster.start('));

test('there are such programs', () => {
  expect(programs.map(({ file }) => file)).toEqual(['README.md', 'packages/cluster/README.md']);
});

test.each(programs)('$file, line $line', { timeout: 120_000 }, async (block) => {
  const directory = codeDirectory();
  try {
    expect(await runBlock(directory, block, cleanEnv())).toEqual({ code: 0, lines: ['144'], errors: '' });
  } finally {
    rmSync(directory, { recursive: true });
  }
});
