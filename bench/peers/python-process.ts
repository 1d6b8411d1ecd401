import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { cleanEnv } from '../../test/support/environment.js';
import { requirePythonEnv, type StockVersion } from '../../test/support/python/python.js';

/** A script of this folder in a Python process. Requests and replies are lines of JSON. */
export interface PythonProcess extends AsyncDisposable {
  /** Sends a request and waits for the next reply. */
  request(request: object): Promise<unknown>;
  /** Waits for the next reply. */
  nextReply(): Promise<unknown>;
}

/** Starts a script and waits for the line that reports that it is ready. */
export async function startPython(
  version: StockVersion,
  script: string,
  args: readonly string[],
): Promise<PythonProcess> {
  const file = fileURLToPath(new URL(script, import.meta.url));
  const child = spawn(requirePythonEnv(version).python, [file, ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: cleanEnv(),
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const nextReply = async (): Promise<unknown> => {
    const { value, done } = await lines.next();
    if (done) throw new Error('the Python client has ended; see its error above');
    return JSON.parse(value);
  };
  await nextReply();
  return {
    async request(request) {
      child.stdin.write(`${JSON.stringify(request)}\n`);
      return await nextReply();
    },
    nextReply,
    async [Symbol.asyncDispose]() {
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.stdin.end();
      await exited;
    },
  };
}
