import type { StockVersion } from '../../test/support/python/python.js';
import type { Submit } from '../lib/submit.js';
import { startPython } from './python-process.js';

/** ipyparallel's client in a separate process: waits for tasks of other clients and submits tasks. */
export interface PythonLive extends AsyncDisposable {
  /** Returns the time from a task's end to the return of `AsyncHubResult.wait`, in ms. */
  wait(msgId: string): Promise<number>;
  /** Submits calls or a map and waits for all results. */
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
      await python.request({ wait: msgId });
      return Number(await python.nextReply());
    },
    async submit(amount) {
      const reply = (await python.request(amount)) as Record<string, unknown>;
      return { elapsed: Number(reply['elapsed']), client: Number(reply['client']) };
    },
    [Symbol.asyncDispose]: () => python[Symbol.asyncDispose](),
  };
}
