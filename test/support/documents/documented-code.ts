// Extracts each block marked ts from the readmes and docs/ into a file.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../repository.js';

/** A block and the position of its first line. */
export interface CodeBlock {
  readonly file: string;
  readonly line: number;
  readonly code: string;
}

export function documentedCode(): CodeBlock[] {
  const pages = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'));
  const packages = readdirSync(join(root, 'packages')).map((name) => `packages/${name}/README.md`);
  const files = ['README.md', ...pages.map((name) => `docs/${name}`), ...packages].filter((file) =>
    existsSync(join(root, file)),
  );
  return files.flatMap((file) => {
    const lines = readFileSync(join(root, file), 'utf8').split('\n');
    return lines.flatMap((text, at) => {
      if (text !== '```ts') return [];
      const end = lines.indexOf('```', at);
      return [{ file, line: at + 2, code: lines.slice(at + 1, end).join('\n') }];
    });
  });
}

/** Creates a directory inside the project, so that its programs resolve packages by name, like a user's program. */
export function codeDirectory(): string {
  const parent = join(root, '.tmp');
  mkdirSync(parent, { recursive: true });
  return mkdtempSync(join(parent, 'documented-code-'));
}

/** The output of a program, line by line, and its end. */
export interface ProgramRun {
  readonly code: number | null;
  readonly lines: readonly string[];
  readonly errors: string;
}

/** Runs a block as a TypeScript program. */
export async function runBlock(
  directory: string,
  { code }: CodeBlock,
  env: NodeJS.ProcessEnv,
): Promise<ProgramRun> {
  const file = join(directory, 'program.ts');
  writeFileSync(file, code);
  writeFileSync(join(directory, 'package.json'), '{ "type": "module" }');
  const child = spawn(process.execPath, ['--import', 'tsx', file], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 100_000,
  });
  let output = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const ended = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code: ended, lines: output.trim().split('\n'), errors };
}
