import { readFile, stat } from 'node:fs/promises';
import { ConnectionFileError, type Dict } from '@ipyparallel-js/protocol';
import { isDict } from '@ipyparallel-js/protocol/internal';
import { type Deadline, formatMs, pause, startDeadline, withinDeadline } from '../waiting/wait.js';
import { type ConnectionFileLocation, missingFileHint } from './locate-file.js';

/** The maximum size of a connection file. Real ones have less than 1,000 bytes. */
const MAX_BYTES = 1_000_000;
const FIRST_PAUSE_MS = 10;
const MAX_PAUSE_MS = 250;
/** The minimum time for reading the file, so that an expired deadline still allows one attempt. */
const MIN_READ_MS = 1_000;

/**
 * Reads the connection file, and waits until the deadline for it to appear and to be complete. It polls, because fs.watch
 * reports nothing on network file systems, where clusters often have their profiles.
 * @param onWaiting called with the reason when the wait begins and when the reason changes
 * @throws {ConnectionFileError} when the file does not appear in time, or at once when it cannot become a connection file
 */
export async function readConnectionFile(
  location: ConnectionFileLocation,
  deadline: Deadline,
  onWaiting: (problem: string) => void = () => undefined,
): Promise<Dict> {
  const { path } = location;
  let reported = '';
  for (let interval = FIRST_PAUSE_MS; ; interval = Math.min(2 * interval, MAX_PAUSE_MS)) {
    deadline.signal?.throwIfAborted();
    const readDeadline = startDeadline(
      deadline.signal === undefined ? {} : { signal: deadline.signal },
      Math.max(deadline.remaining(), MIN_READ_MS),
    );
    const text = await withinDeadline(
      readDeadline,
      readIfExists(path),
      (waited) => new ConnectionFileError(path, `could not be read within ${formatMs(waited)}`),
    );
    if (text !== undefined && !isIncomplete(text)) return parse(text, path);
    const problem = text === undefined ? 'does not exist yet' : 'is not complete yet';
    if (problem !== reported) onWaiting(problem);
    reported = problem;
    if (deadline.remaining() === 0) throw await timeoutErrorFor(location, text, deadline.elapsed());
    await pause(Math.min(interval, deadline.remaining()), deadline.signal);
  }
}

/** Reads the text of the file; undefined when it does not exist. */
async function readIfExists(path: string): Promise<string | undefined> {
  try {
    const stats = await stat(path);
    if (stats.isDirectory()) throw new ConnectionFileError(path, 'is a directory');
    // Opening a pipe would block until its writer opens it.
    if (!stats.isFile()) throw new ConnectionFileError(path, 'is not a regular file');
    if (stats.size > MAX_BYTES) {
      throw new ConnectionFileError(
        path,
        `is too large: ${stats.size} bytes, at most ${MAX_BYTES} are allowed`,
      );
    }
    return await readFile(path, 'utf8');
  } catch (cause) {
    if (cause instanceof ConnectionFileError) throw cause;
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    const problem =
      code === 'EACCES' || code === 'EPERM'
        ? `cannot be read: permission denied (${code})`
        : `cannot be read: ${message}`;
    throw new ConnectionFileError(path, problem, { cause });
  }
}

/** Controllers write the file in place, so a partly written file is empty, or an object without its end. */
function isIncomplete(text: string): boolean {
  const trimmed = withoutByteOrderMark(text).trim();
  return trimmed === '' || (trimmed.startsWith('{') && !trimmed.endsWith('}'));
}

async function timeoutErrorFor(
  location: ConnectionFileLocation,
  text: string | undefined,
  waitedMs: number,
): Promise<Error> {
  const waited = `waited ${formatMs(waitedMs)}`;
  if (text === undefined) {
    return new ConnectionFileError(
      location.path,
      `no such file (${waited}); ${await missingFileHint(location)}`,
    );
  }
  const problem =
    text.trim() === ''
      ? `is empty (${waited} for its content)`
      : `is truncated: its JSON breaks off after ${text.length} characters (${waited} for the rest)`;
  return new ConnectionFileError(location.path, problem);
}

function parse(text: string, path: string): Dict {
  let raw: unknown;
  try {
    raw = JSON.parse(withoutByteOrderMark(text));
  } catch (cause) {
    throw new ConnectionFileError(path, 'is not JSON; is this a connection file of ipyparallel?', { cause });
  }
  if (!isDict(raw)) throw new ConnectionFileError(path, 'must contain a JSON object');
  const cluster = raw.cluster;
  if (isDict(cluster) && raw.registration === undefined) {
    const options = [
      `profileDir ${JSON.stringify(cluster.profile_dir)}`,
      `clusterId ${JSON.stringify(cluster.cluster_id)}`,
    ].join(' and ');
    throw new ConnectionFileError(path, `describes a Cluster, not a connection; connect with ${options}`);
  }
  return raw;
}

/** Removes the byte order mark that some editors write before the JSON. */
function withoutByteOrderMark(text: string): string {
  return text.replace(/^\uFEFF/, '');
}
