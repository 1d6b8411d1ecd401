import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { cleanEnv, requirePythonEnv, type StockVersion } from '../test/support/python.js';
import type { Samples } from './measure.js';

/** What the Python client is to do: a method of it and its arguments; a `Date` becomes a datetime. */
export interface PythonAction {
  readonly action: 'queue_status' | 'db_query';
  readonly args?: readonly unknown[];
}

/** Samples, how long the last answer was, and the most memory the client ever had, in bytes. */
export type PythonSamples = Samples & { readonly size: number; readonly peak: number };

/** ipyparallel's own client in a process of its own, timed by its own clock. */
export interface PythonClient extends AsyncDisposable {
  /** Runs an action `count` times. */
  time(name: string, action: PythonAction, count: number): Promise<PythonSamples>;
}

export async function startPythonClient(
  version: StockVersion,
  connectionFile: string,
): Promise<PythonClient> {
  const script = fileURLToPath(new URL('python-client.py', import.meta.url));
  const child = spawn(requirePythonEnv(version).python, [script, connectionFile], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: cleanEnv(),
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async (): Promise<unknown> => {
    const { value, done } = await lines.next();
    if (done) throw new Error('the Python client has ended; its error is above');
    return JSON.parse(value);
  };
  await answer();
  return {
    async time(name, { action, args = [] }, count) {
      child.stdin.write(`${JSON.stringify({ action, count, args: marked(args) })}\n`);
      return { name, ...((await answer()) as Omit<PythonSamples, 'name'>) };
    },
    async [Symbol.asyncDispose]() {
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.stdin.end();
      await exited;
    },
  };
}

/** Dates as the script reads them. */
function marked(value: unknown): unknown {
  if (value instanceof Date) return { $date: value.toISOString().replace('Z', '+00:00') };
  if (Array.isArray(value)) return value.map(marked);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, marked(item)]));
}
