import type { StockVersion } from '../test/support/python/python.js';
import { startPython } from './python-process.js';
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
  const python = await startPython(version, 'python-live.py', [connectionFile, String(engines)]);
  return {
    async wait(msgId) {
      await python.ask({ wait: msgId });
      return Number(await python.answer());
    },
    async submit(amount) {
      const taken = (await python.ask(amount)) as Record<string, unknown>;
      return { elapsed: Number(taken['elapsed']), client: Number(taken['client']) };
    },
    [Symbol.asyncDispose]: () => python[Symbol.asyncDispose](),
  };
}
