import { readFile } from 'node:fs/promises';
import {
  ConnectionFileError,
  type EngineConnectionInfo,
  parseConnectionFile,
  validateEngineConnectionInfo,
} from '@ipyparallel-js/protocol';
import type { ConnectionSource } from './options.js';

const POLL = 50;

/**
 * Reads and checks the connection information. A file that is not there yet, or not yet whole, is waited for.
 * @throws ConnectionFileError naming the file and what is wrong, after `timeout` ms at the latest; the signal's reason
 */
export async function loadConnectionInfo(
  source: ConnectionSource,
  timeout: number,
  signal?: AbortSignal,
): Promise<EngineConnectionInfo> {
  if (source.kind === 'info') return validateEngineConnectionInfo(source.info, source.name);
  if (source.kind === 'text') {
    return validateEngineConnectionInfo(parseConnectionFile(source.text, source.name), source.name);
  }
  const { path } = source;
  const deadline = performance.now() + timeout;
  for (;;) {
    let problem: ConnectionFileError;
    try {
      return validateEngineConnectionInfo(parseConnectionFile(await readFile(path, 'utf8'), path), path);
    } catch (error) {
      problem = asFileError(error, path, timeout);
    }
    signal?.throwIfAborted();
    if (performance.now() + POLL > deadline) throw problem;
    await new Promise((resolve) => setTimeout(resolve, POLL));
  }
}

function asFileError(error: unknown, path: string, timeout: number): ConnectionFileError {
  if (error instanceof ConnectionFileError) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
  const problem =
    code === 'ENOENT'
      ? `did not appear within ${timeout} ms; is a controller running for this profile and cluster id?`
      : `cannot be read: ${code}`;
  return new ConnectionFileError(path, problem, { cause: error });
}
