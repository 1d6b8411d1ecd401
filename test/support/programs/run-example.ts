import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { root } from '../repository.js';

/** The examples of the documentation: all scripts of `examples/` except `main-job` and `run-all`. */
export const examples = readdirSync(join(root, 'examples', 'src'))
  .filter((name) => name.endsWith('.ts'))
  .map((name) => basename(name, '.ts'))
  .filter((name) => name !== 'main-job' && name !== 'run-all')
  .sort();

export interface ExampleRun {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The output of both streams. */
  readonly output: string;
}

export interface RunExampleOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** In ms; 110,000 by default. */
  readonly timeout?: number;
  /** Called with the output so far and the process. */
  readonly onOutput?: (output: string, child: ChildProcess) => void;
}

/** Runs a built example as a separate program. */
export function runExample(
  name: string,
  args: readonly string[] = [],
  options: RunExampleOptions = {},
): Promise<ExampleRun> {
  return runScript(join(root, 'examples', 'dist', `${name}.js`), args, options);
}

/** Runs the script of `npm start`. */
export function runStart(args: readonly string[] = [], options: RunExampleOptions = {}): Promise<ExampleRun> {
  return runScript(join(root, 'scripts', 'start.mjs'), args, options);
}

function runScript(file: string, args: readonly string[], options: RunExampleOptions): Promise<ExampleRun> {
  const child = spawn(process.execPath, [file, ...args], {
    env: { ...process.env, NO_COLOR: '1', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: options.timeout ?? 110_000,
    killSignal: 'SIGKILL',
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      options.onOutput?.(output, child);
    });
  }
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal, output }));
  });
}
