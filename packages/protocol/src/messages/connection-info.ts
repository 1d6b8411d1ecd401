import { type Dict, isDict } from '../common/dict.js';
import { ConnectionFileError } from '../common/errors.js';

/** The fields of both connection files; numbers are ports. */
interface CommonConnectionInfo {
  /** Where the controller listens, for example `tcp://127.0.0.1`, `tcp://*` or `ipc:///path`. */
  readonly interface: string;
  readonly registration: number;
  readonly control: number;
  readonly mux: number;
  readonly task: number;
  readonly iopub: number;
  /** HMAC key; empty under CURVE, where messages are not signed. */
  readonly key: string;
  /** Public key of the CURVE server in Z85; null without CURVE. */
  readonly curve_serverkey: string | null;
  /** Host name or address of the controller's machine; used when the interface is a wildcard. */
  readonly location: string;
  readonly pack: string;
  readonly unpack: string;
  readonly signature_scheme: string;
  /** `user@host` of an ssh server to tunnel through; empty for none. */
  readonly ssh: string;
}

/** The content of `ipcontroller-client.json`. */
export interface ClientConnectionInfo extends CommonConnectionInfo {
  readonly notification: number;
  /** Undefined for controllers before ipyparallel 7. */
  readonly broadcast: number | undefined;
  readonly task_scheme: string;
}

/** The content of `ipcontroller-engine.json`. */
export interface EngineConnectionInfo extends CommonConnectionInfo {
  readonly hb_ping: number;
  readonly hb_pong: number;
  /** Ports of the broadcast scheduler's leaves; an engine connects to the one at its id modulo their number. */
  readonly broadcast: readonly number[];
}

/** The channels of a client; each is a port in its connection file. */
export type ClientChannel =
  | 'registration'
  | 'control'
  | 'mux'
  | 'task'
  | 'broadcast'
  | 'iopub'
  | 'notification';

const FOREIGN_FILE_HINT = 'is this a connection file of ipyparallel?';

function fieldReader(raw: Dict, path: string) {
  const fail = (problem: string): never => {
    throw new ConnectionFileError(path, problem);
  };
  const port = (name: string): number => {
    const value = raw[name];
    if (value === undefined) return fail(`field "${name}" is missing; ${FOREIGN_FILE_HINT}`);
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > 65_535) {
      return fail(`field "${name}" must be a port from 1 to 65535, got ${JSON.stringify(value)}`);
    }
    return value;
  };
  const text = (name: string, fallback?: string): string => {
    const value = raw[name] ?? fallback;
    if (value === undefined) return fail(`field "${name}" is missing; ${FOREIGN_FILE_HINT}`);
    if (typeof value !== 'string')
      return fail(`field "${name}" must be a string, got ${JSON.stringify(value)}`);
    return value;
  };
  return { fail, port, text };
}

function commonFields(raw: Dict, path: string): CommonConnectionInfo {
  const { fail, port, text } = fieldReader(raw, path);
  const url = text('interface');
  if (!/^(tcp|ipc):\/\/.+/.test(url)) {
    fail(`field "interface" must be a tcp:// or ipc:// address, got ${JSON.stringify(url)}`);
  }
  const curve = raw['curve_serverkey'] ?? null;
  if (curve !== null && (typeof curve !== 'string' || curve.length !== 40)) {
    fail(`field "curve_serverkey" must be a Z85 key of 40 characters, got ${JSON.stringify(curve)}`);
  }
  return {
    interface: url,
    registration: port('registration'),
    control: port('control'),
    mux: port('mux'),
    task: port('task'),
    iopub: port('iopub'),
    key: text('key'),
    curve_serverkey: curve as string | null,
    location: text('location', ''),
    pack: text('pack', 'json'),
    unpack: text('unpack', 'json'),
    signature_scheme: text('signature_scheme', 'hmac-sha256'),
    ssh: text('ssh', ''),
  };
}

function asDict(raw: unknown, path: string): Dict {
  if (!isDict(raw)) throw new ConnectionFileError(path, 'must contain a JSON object');
  return raw;
}

/**
 * Validates the content of a client connection file.
 * @param path the path of the file, for error messages
 * @throws {ConnectionFileError} when a field is missing or invalid
 */
export function validateClientConnectionInfo(value: unknown, path: string): ClientConnectionInfo {
  const raw = asDict(value, path);
  if (raw['hb_ping'] !== undefined) {
    throw new ConnectionFileError(
      path,
      'is for engines; a client needs the file whose name ends in -client.json',
    );
  }
  const { port, text } = fieldReader(raw, path);
  return {
    ...commonFields(raw, path),
    notification: port('notification'),
    broadcast: raw['broadcast'] === undefined ? undefined : port('broadcast'),
    task_scheme: text('task_scheme', 'leastload'),
  };
}

/**
 * Validates the content of an engine connection file.
 * @param path the path of the file, for error messages
 * @throws {ConnectionFileError} when a field is missing or invalid
 */
export function validateEngineConnectionInfo(value: unknown, path: string): EngineConnectionInfo {
  const raw = asDict(value, path);
  if (raw['notification'] !== undefined) {
    throw new ConnectionFileError(
      path,
      'is for clients; an engine needs the file whose name ends in -engine.json',
    );
  }
  const { fail, port } = fieldReader(raw, path);
  const leaves = raw['broadcast'] ?? [];
  const ports = Array.isArray(leaves) ? leaves : [leaves];
  if (!ports.every((p) => typeof p === 'number' && Number.isInteger(p) && p > 0 && p < 65_536)) {
    fail(`field "broadcast" must be a list of ports, got ${JSON.stringify(leaves)}`);
  }
  return { ...commonFields(raw, path), hb_ping: port('hb_ping'), hb_pong: port('hb_pong'), broadcast: ports };
}

/**
 * Parses the text of a connection file.
 * @param path the path of the file, for error messages
 * @throws {ConnectionFileError} when the text is empty or not JSON
 */
export function parseConnectionFile(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const problem =
      text.trim() === '' ? 'is empty' : 'is not JSON; it may be truncated or still being written';
    throw new ConnectionFileError(path, problem, { cause });
  }
}

/** The ZeroMQ address of one port: `tcp://host:port` or `ipc://path-port`. */
export function channelAddress(interfaceUrl: string, port: number): string {
  return interfaceUrl.startsWith('ipc://') ? `${interfaceUrl}-${port}` : `${interfaceUrl}:${port}`;
}
