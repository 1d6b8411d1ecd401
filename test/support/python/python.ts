// Runs scripts in the Python environments that scripts/python-envs.mjs creates.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { cleanEnv } from '../environment.js';
import { root } from '../repository.js';

/** The ipyparallel releases that tests run against: 7.1.0, 8.8.0 and the newest 9. */
export const stockVersions = ['7.1', '8.8', '9'] as const;
export type StockVersion = (typeof stockVersions)[number];

export interface PythonEnv {
  version: StockVersion;
  directory: string;
  python: string;
}

/** The environment of one ipyparallel, or the reason in one line why there is none. */
export function pythonEnv(version: StockVersion): PythonEnv | { missing: string } {
  const directory = join(root, `.venv-ipp-${version}`);
  const python = join(directory, 'bin', 'python');
  // The stamp is written last; without it, the installation is incomplete.
  if (existsSync(join(directory, '.stamp')) && existsSync(python)) return { version, directory, python };
  return {
    missing: `no .venv-ipp-${version} with ipyparallel ${version}: make it with node scripts/python-envs.mjs`,
  };
}

/** Like pythonEnv(), but throws when the environment is missing. */
export function requirePythonEnv(version: StockVersion): PythonEnv {
  const env = pythonEnv(version);
  if ('missing' in env) throw new Error(env.missing);
  return env;
}

export interface RunPythonOptions {
  /** In ms; 240,000 by default, which is less than the timeout of an interop test. */
  timeout?: number;
  env?: NodeJS.ProcessEnv;
  cwd?: string;
}

// The script runs in __main__, as a file would, so that functions defined in it can be sent to engines. On Linux it
// dies with this process.
const boot = `
import sys, linecache
if sys.platform.startswith('linux'):
    import ctypes
    ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
import __main__
source = sys.argv.pop(1)
linecache.cache['<script>'] = (len(source), None, source.splitlines(True), '<script>')
exec(compile(source, '<script>', 'exec'), __main__.__dict__)
`;

/**
 * Runs the text of a Python script in the environment of one ipyparallel, and returns the last line of its output that is
 * JSON, parsed. `args` are `sys.argv[1:]`; the script can import modules of test/support/python.
 * @throws {Error} with the script's standard error when it fails or exceeds the timeout
 */
export async function runPython<T = unknown>(
  version: StockVersion,
  script: string,
  args: readonly string[] = [],
  options: RunPythonOptions = {},
): Promise<T> {
  const { python } = requirePythonEnv(version);
  const timeout = options.timeout ?? 240_000;
  const child = spawn(python, ['-c', boot, dedent(script), ...args], {
    env: { ...cleanEnv(options.env), PYTHONPATH: import.meta.dirname, PYTHONDONTWRITEBYTECODE: '1' },
    cwd: options.cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout,
    killSignal: 'SIGKILL',
  });
  let output = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const ending = await new Promise<string | undefined>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (signal === 'SIGKILL') resolve(`was killed (the time limit is ${timeout} ms)`);
      else resolve(code === 0 ? undefined : `failed (${signal ?? `exit code ${code}`})`);
    });
  });
  if (ending !== undefined) throw new Error(`Python script ${ending}:\n${errors.trim()}`);
  // A thread of ipyparallel's Client prints lines too ("got unknown result").
  for (const line of output.trim().split('\n').reverse()) {
    try {
      return JSON.parse(line) as T;
    } catch {
      // This line is not JSON.
    }
  }
  throw new Error(`Python script printed no line of JSON: ${output.trim()}\n${errors.trim()}`);
}

/** Removes the indentation of the first line from every line, so that scripts can be indented like their test. */
function dedent(text: string): string {
  const lines = text.replace(/^\s*\n/, '').split('\n');
  const indentation = /^[ \t]*/.exec(lines[0] ?? '')?.[0] ?? '';
  return lines
    .map((line) => (line.startsWith(indentation) ? line.slice(indentation.length) : line))
    .join('\n');
}
