import { readFile } from 'node:fs/promises';
import {
  ConnectionFileError,
  type EngineConnectionInfo,
  parseConnectionFile,
  validateEngineConnectionInfo,
} from '@ipyparallel-js/protocol';
import type { Logger } from './log.js';
import type { ConnectionSource } from './options.js';

const POLL = 50;

/**
 * Reads and checks the connection information. A file that is not there yet, or not yet whole, is waited for.
 * @throws ConnectionFileError naming the file and what is wrong, after `timeout` ms at the latest; the signal's reason
 */
export async function loadConnectionInfo(
  source: ConnectionSource,
  timeout: number,
  log: Logger,
  signal?: AbortSignal,
): Promise<EngineConnectionInfo> {
  if (source.kind === 'info') return validateEngineConnectionInfo(source.info, source.name);
  if (source.kind === 'text') {
    return validateEngineConnectionInfo(parseConnectionFile(source.text, source.name), source.name);
  }
  const { path } = source;
  const deadline = performance.now() + timeout;
  let said = '';
  for (;;) {
    let problem: Problem;
    try {
      return validateEngineConnectionInfo(parseConnectionFile(await readFile(path, 'utf8'), path), path);
    } catch (error) {
      problem = problemOf(error, path, timeout);
    }
    signal?.throwIfAborted();
    if (performance.now() + POLL > deadline) throw problem.error;
    if (problem.now !== said) log.info(`waiting for ${path}, which ${problem.now}`);
    said = problem.now;
    await new Promise((resolve) => setTimeout(resolve, POLL));
  }
}

interface Problem {
  readonly error: ConnectionFileError;
  /** The same for the log, while there is hope. */
  readonly now: string;
}

function problemOf(error: unknown, path: string, timeout: number): Problem {
  if (error instanceof ConnectionFileError) return { error, now: 'is not whole yet' };
  const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
  const missing = code === 'ENOENT';
  const words = missing
    ? `did not appear within ${timeout} ms; is a controller running for this profile and cluster id?`
    : `cannot be read: ${code}`;
  return {
    error: new ConnectionFileError(path, words, { cause: error }),
    now: missing ? 'is not there yet' : words,
  };
}
