// The documented programs that start their own cluster run unchanged and print the output that their comments show.
import { rmSync } from 'node:fs';
import { expect, test } from 'vitest';
import { codeDirectory, documentedCode, runBlock } from '../support/documents/documented-code.js';
import { cleanEnv } from '../support/environment.js';

const programs = documentedCode().filter(({ code }) => code.includes('Cluster.start('));

async function run(file: string) {
  const directory = codeDirectory();
  try {
    const block = programs.find((program) => program.file === file) ?? expect.unreachable();
    return await runBlock(directory, block, cleanEnv());
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test('the documented programs that start a cluster are all run here', () => {
  expect(programs.map(({ file }) => file).sort()).toEqual([
    'README.md',
    'docs/getting-started.md',
    'packages/cluster/README.md',
  ]);
});

test("the README's first program maps, watches, queries and ends", { timeout: 120_000 }, async () => {
  const program = programs.find(({ file }) => file === 'README.md');
  expect(program?.code.split('\n').length).toBeLessThanOrEqual(10);
  const { code, lines, errors } = await run('README.md');
  expect(errors).toBe('');
  expect(code).toBe(0);
  expect(lines).toContain('4 of 4 done');
  expect(lines.find((line) => line.startsWith('[ 1, 4, 9, 16 ]'))).toBeDefined();
  expect(lines.filter((line) => line.includes('msg_id:'))).toHaveLength(4);
});

test.each(['docs/getting-started.md', 'packages/cluster/README.md'])(
  'the program of %s prints its result and ends',
  { timeout: 120_000 },
  async (file) => {
    expect(await run(file)).toEqual({ code: 0, lines: ['144'], errors: '' });
  },
);
