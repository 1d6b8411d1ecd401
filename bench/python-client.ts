import type { StockVersion } from '../test/support/python/python.js';
import type { Samples } from './measure.js';
import { startPython } from './python-process.js';

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
  const python = await startPython(version, 'python-client.py', [connectionFile]);
  return {
    async time(name, { action, args = [] }, count) {
      const taken = await python.ask({ action, count, args: marked(args) });
      return { name, ...(taken as Omit<PythonSamples, 'name'>) };
    },
    [Symbol.asyncDispose]: () => python[Symbol.asyncDispose](),
  };
}

/** Dates as the script reads them. */
function marked(value: unknown): unknown {
  if (value instanceof Date) return { $date: value.toISOString().replace('Z', '+00:00') };
  if (Array.isArray(value)) return value.map(marked);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, marked(item)]));
}
