// Every block of TypeScript in the readmes and in docs/ compiles with the names that its page has introduced.
import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { codeDirectory, documentedCode } from '../../support/documents/documented-code.js';
import { root } from '../../support/repository.js';

/** The names that the text around the blocks has introduced. Names of the block itself take precedence. */
const DOCUMENT_GLOBALS = `
import type * as clientModule from '@ipyparallel-js/client';
import type * as files from 'node:fs/promises';
declare global {
  const rc: clientModule.Client;
  const view: clientModule.LoadBalancedView;
  const ar: clientModule.AsyncMapResult<number>;
  const first: clientModule.AsyncResult<number>;
  const hourAgo: Date;
  const now: Date;
  const numbers: readonly number[];
  const list: readonly number[];
  const many: readonly number[];
  const source: AsyncIterable<number>;
  const fn: () => number;
  const work: (n: number) => number;
  const convert: (file: string, options: { signal: AbortSignal }) => Promise<void>;
  const py: typeof clientModule.py;
  const kwargs: typeof clientModule.kwargs;
  const untilDone: typeof clientModule.untilDone;
  const progress: typeof clientModule.progress;
  const readFile: typeof files.readFile;
  const writeFile: typeof files.writeFile;
  type TaskQuery = clientModule.TaskQuery;
}
`;

const MODULE_SOURCE = 'export declare function resize(file: string, width: number): Promise<void>;\n';

const CONFIG = {
  extends: '../../tsconfig.base.json',
  compilerOptions: {
    noEmit: true,
    composite: false,
    declaration: false,
    declarationMap: false,
    sourceMap: false,
    // A block shows a part of a program, so it may declare names that it does not use.
    noUnusedLocals: false,
    noUnusedParameters: false,
  },
  include: ['*.ts'],
};

/** A block that starts with a brace lists queries, one on each line. */
function program(code: string): string {
  if (!code.startsWith('{')) return `${code}\nexport {};\n`;
  return `${code.replace(/^(\{.*\})/gm, 'void ($1 satisfies TaskQuery);')}\nexport {};\n`;
}

test('the code of the documentation compiles', { timeout: 120_000 }, () => {
  const blocks = documentedCode();
  expect(blocks.length).toBeGreaterThan(15);
  const directory = codeDirectory();
  try {
    writeFileSync(join(directory, 'tsconfig.json'), JSON.stringify(CONFIG));
    writeFileSync(join(directory, 'at-hand.ts'), DOCUMENT_GLOBALS);
    writeFileSync(join(directory, 'work.ts'), MODULE_SOURCE);
    for (const { file, line, code } of blocks) {
      // Preceded by empty lines, so that the compiler's messages have the line numbers of the page.
      const name = `${file.replaceAll('/', '-')}-${line}.ts`;
      writeFileSync(join(directory, name), '\n'.repeat(line - 1) + program(code));
    }
    const compiler = join(root, 'node_modules/typescript/bin/tsc');
    const { stdout } = spawnSync(process.execPath, [compiler, '-p', directory, '--pretty', 'false'], {
      encoding: 'utf8',
    });
    expect(stdout).toBe('');
  } finally {
    rmSync(directory, { recursive: true });
  }
});
