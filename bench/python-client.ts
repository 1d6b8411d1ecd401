import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { requirePythonEnv, type StockVersion } from '../test/support/python.js';
import type { Samples } from './measure.js';

/** ipyparallel's own client in a process of its own, timed by its own clock. */
export interface PythonClient extends AsyncDisposable {
  /** Runs an action `count` times; also how long its last answer was. */
  time(
    name: string,
    action: 'queue_status' | 'db_query',
    count: number,
  ): Promise<Samples & { readonly size: number }>;
}

export async function startPythonClient(
  version: StockVersion,
  connectionFile: string,
): Promise<PythonClient> {
  const script = fileURLToPath(new URL('python-client.py', import.meta.url));
  const child = spawn(requirePythonEnv(version).python, [script, connectionFile], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async (): Promise<unknown> => {
    const { value, done } = await lines.next();
    if (done) throw new Error('the Python client has ended; its error is above');
    return JSON.parse(value);
  };
  await answer();
  return {
    async time(name, action, count) {
      child.stdin.write(`${action} ${count}\n`);
      const { ms, size } = (await answer()) as { ms: number[]; size: number };
      return { name, ms, size };
    },
    async [Symbol.asyncDispose]() {
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.stdin.end();
      await exited;
    },
  };
}
