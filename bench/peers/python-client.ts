import type { StockVersion } from '../../test/support/python/python.js';
import type { Samples } from '../lib/samples.js';
import { startPython } from './python-process.js';

/** A method of the Python client and its arguments. A `Date` becomes a datetime. */
export interface PythonAction {
  readonly action: 'queue_status' | 'db_query';
  readonly args?: readonly unknown[];
}

/** Samples, the length of the last result, and the client's peak memory in bytes. */
export type PythonSamples = Samples & { readonly size: number; readonly peak: number };

/** ipyparallel's client in a separate process, measured with that process's clock. */
export interface PythonClient extends AsyncDisposable {
  /** Measures an action `count` times. */
  time(name: string, action: PythonAction, count: number): Promise<PythonSamples>;
}

export async function startPythonClient(
  version: StockVersion,
  connectionFile: string,
): Promise<PythonClient> {
  const python = await startPython(version, 'python-client.py', [connectionFile]);
  return {
    async time(name, { action, args = [] }, count) {
      const reply = await python.request({ action, count, args: encodeDates(args) });
      return { name, ...(reply as Omit<PythonSamples, 'name'>) };
    },
    [Symbol.asyncDispose]: () => python[Symbol.asyncDispose](),
  };
}

/** Encodes dates as the script decodes them. */
function encodeDates(value: unknown): unknown {
  if (value instanceof Date) return { $date: value.toISOString().replace('Z', '+00:00') };
  if (Array.isArray(value)) return value.map(encodeDates);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, encodeDates(item)]));
}
