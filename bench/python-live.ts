import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { cleanEnv, requirePythonEnv, type StockVersion } from '../test/support/python.js';
import type { Submit } from './rates.js';

/** ipyparallel's own client in a process of its own: it waits for tasks of others and submits tasks. */
export interface PythonLive extends AsyncDisposable {
  /** Ms from a task's end to that of `AsyncHubResult.wait`. */
  wait(msgId: string): Promise<number>;
  /** Submits calls, or a map, and waits for all of the results. */
  submit: Submit;
}

export async function startPythonLive(
  version: StockVersion,
  connectionFile: string,
  engines: number,
): Promise<PythonLive> {
  const script = fileURLToPath(new URL('python-live.py', import.meta.url));
  const child = spawn(requirePythonEnv(version).python, [script, connectionFile, String(engines)], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: cleanEnv(),
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async (): Promise<unknown> => {
    const { value, done } = await lines.next();
    if (done) throw new Error('the Python client has ended; its error is above');
    return JSON.parse(value);
  };
  const ask = async (request: object): Promise<unknown> => {
    child.stdin.write(`${JSON.stringify(request)}\n`);
    return await answer();
  };
  await answer();
  return {
    async wait(msgId) {
      await ask({ wait: msgId });
      return Number(await answer());
    },
    async submit(amount) {
      const taken = (await ask(amount)) as Record<string, unknown>;
      return { elapsed: Number(taken['elapsed']), client: Number(taken['client']) };
    },
    async [Symbol.asyncDispose]() {
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.stdin.end();
      await exited;
    },
  };
}
