import { readFile, stat } from 'node:fs/promises';
import { ConnectionFileError, type Dict } from '@ipyparallel-js/protocol';
import { isDict } from '@ipyparallel-js/protocol/internal';
import { type Deadline, formatMs, pause, startDeadline, withinDeadline } from '../waiting/wait.js';
import { type ConnectionFileLocation, describeAbsence } from './locate-file.js';

/** A connection file has less than 1,000 bytes. */
const mostBytes = 1_000_000;
const firstPauseMs = 10;
const longestPauseMs = 250;
/** Even a deadline that has passed leaves time to look once. */
const oneLookMs = 1_000;

/**
 * Reads the connection file, and waits for it to appear and to be whole within the deadline. By polling: fs.watch says
 * nothing on network file systems, where clusters keep their profiles.
 * `onWaiting` is told why, at each change. @throws ConnectionFileError when it does not appear, or at once when it can never be a connection file
 */
export async function readConnectionFile(
  place: ConnectionFileLocation,
  deadline: Deadline,
  onWaiting: (problem: string) => void = () => undefined,
): Promise<Dict> {
  const { path } = place;
  let said = '';
  for (let interval = firstPauseMs; ; interval = Math.min(2 * interval, longestPauseMs)) {
    deadline.signal?.throwIfAborted();
    const look = startDeadline(
      deadline.signal === undefined ? {} : { signal: deadline.signal },
      Math.max(deadline.remaining(), oneLookMs),
    );
    const text = await withinDeadline(
      look,
      readIfThere(path),
      (waited) => new ConnectionFileError(path, `could not be read within ${formatMs(waited)}`),
    );
    if (text !== undefined && !mayGrow(text)) return parse(text, path);
    const problem = text === undefined ? 'is not there yet' : 'is not whole yet';
    if (problem !== said) onWaiting(problem);
    said = problem;
    if (deadline.remaining() === 0) throw await tooLate(place, text, deadline.elapsed());
    await pause(Math.min(interval, deadline.remaining()), deadline.signal);
  }
}

/** The text, or undefined when there is no such file yet. */
async function readIfThere(path: string): Promise<string | undefined> {
  try {
    const stats = await stat(path);
    if (stats.isDirectory()) throw new ConnectionFileError(path, 'is a directory');
    // Opening a pipe would wait for its writer.
    if (!stats.isFile()) throw new ConnectionFileError(path, 'is not a regular file');
    if (stats.size > mostBytes) throw new ConnectionFileError(path, `is too large: ${stats.size} bytes`);
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

/** Controllers write the file in place: until they have finished it is empty, or an object without its end. */
function mayGrow(text: string): boolean {
  const trimmed = withoutMark(text).trim();
  return trimmed === '' || (trimmed.startsWith('{') && !trimmed.endsWith('}'));
}

async function tooLate(
  place: ConnectionFileLocation,
  text: string | undefined,
  waitedMs: number,
): Promise<Error> {
  const waited = `waited ${formatMs(waitedMs)}`;
  if (text === undefined) {
    return new ConnectionFileError(place.path, `no such file (${waited}); ${await describeAbsence(place)}`);
  }
  const problem =
    text.trim() === ''
      ? `is empty (${waited} for its content)`
      : `is truncated: its JSON breaks off after ${text.length} characters (${waited} for the rest)`;
  return new ConnectionFileError(place.path, problem);
}

function parse(text: string, path: string): Dict {
  let raw: unknown;
  try {
    raw = JSON.parse(withoutMark(text));
  } catch (cause) {
    throw new ConnectionFileError(path, 'is not JSON; is it a connection file of ipyparallel?', { cause });
  }
  if (!isDict(raw)) throw new ConnectionFileError(path, 'does not hold a JSON object');
  const cluster = raw.cluster;
  if (isDict(cluster) && raw.registration === undefined) {
    const found = [
      `profileDir ${JSON.stringify(cluster.profile_dir)}`,
      `clusterId ${JSON.stringify(cluster.cluster_id)}`,
    ].join(' and ');
    throw new ConnectionFileError(path, `describes a Cluster, not a connection; connect with its ${found}`);
  }
  return raw;
}

/** Some editors put a byte order mark before the JSON. */
function withoutMark(text: string): string {
  return text.replace(/^\uFEFF/, '');
}
