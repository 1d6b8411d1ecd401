import { type Dict, isDict } from '../common/dict.js';
import { ConnectionFileError } from '../common/errors.js';

interface CommonConnectionInfo {
  /** `tcp://127.0.0.1`, `tcp://*`, `ipc:///path`. */
  readonly interface: string;
  readonly registration: number;
  readonly control: number;
  readonly mux: number;
  readonly task: number;
  readonly iopub: number;
  /** HMAC key; empty under CURVE. */
  readonly key: string;
  /** Z85 public key of a CURVE server, or null. */
  readonly curve_serverkey: string | null;
  /** Host name or address of the controller's machine, for when the interface is a wildcard. */
  readonly location: string;
  readonly pack: string;
  readonly unpack: string;
  readonly signature_scheme: string;
  /** `user@host` of an ssh server to tunnel through; empty for none. */
  readonly ssh: string;
}

/** What `ipcontroller-client.json` says. */
export interface ClientConnectionInfo extends CommonConnectionInfo {
  readonly notification: number;
  /** Undefined for controllers before 7. */
  readonly broadcast: number | undefined;
  readonly task_scheme: string;
}

/** What `ipcontroller-engine.json` says. */
export interface EngineConnectionInfo extends CommonConnectionInfo {
  readonly hb_ping: number;
  readonly hb_pong: number;
  /** The broadcast scheduler's leaves; an engine's id modulo their number picks one. */
  readonly broadcast: readonly number[];
}

/** The sockets of a client's connection file. */
export type ClientChannel =
  | 'registration'
  | 'control'
  | 'mux'
  | 'task'
  | 'broadcast'
  | 'iopub'
  | 'notification';

function fieldReader(raw: Dict, path: string) {
  const fail = (problem: string): never => {
    throw new ConnectionFileError(path, problem);
  };
  const port = (name: string): number => {
    const value = raw[name];
    if (value === undefined)
      return fail(`field "${name}" is missing; is it a connection file of ipyparallel?`);
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > 65_535) {
      return fail(`field "${name}" is not a port: ${JSON.stringify(value)}`);
    }
    return value;
  };
  const text = (name: string, fallback?: string): string => {
    const value = raw[name] ?? fallback;
    if (value === undefined)
      return fail(`field "${name}" is missing; is it a connection file of ipyparallel?`);
    if (typeof value !== 'string') return fail(`field "${name}" is not a text: ${JSON.stringify(value)}`);
    return value;
  };
  return { fail, port, text };
}

function common(raw: Dict, path: string): CommonConnectionInfo {
  const { fail, port, text } = fieldReader(raw, path);
  const url = text('interface');
  if (!/^(tcp|ipc):\/\/.+/.test(url)) {
    fail(`field "interface" is not a tcp:// or ipc:// address: ${JSON.stringify(url)}`);
  }
  const curve = raw['curve_serverkey'] ?? null;
  if (curve !== null && (typeof curve !== 'string' || curve.length !== 40)) {
    fail('field "curve_serverkey" is not a Z85 key of 40 characters');
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
  if (!isDict(raw)) throw new ConnectionFileError(path, 'does not hold a JSON object');
  return raw;
}

/**
 * Checks what a client connection file holds. `path` is only for the error.
 * @throws ConnectionFileError naming the field that is missing or wrong
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
    ...common(raw, path),
    notification: port('notification'),
    broadcast: raw['broadcast'] === undefined ? undefined : port('broadcast'),
    task_scheme: text('task_scheme', 'leastload'),
  };
}

/** Checks what an engine connection file holds. @throws ConnectionFileError */
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
    fail('field "broadcast" is not a list of ports');
  }
  return { ...common(raw, path), hb_ping: port('hb_ping'), hb_pong: port('hb_pong'), broadcast: ports };
}

/** Parses a connection file's text. @throws ConnectionFileError when it is truncated or not JSON */
export function parseConnectionFile(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const problem =
      text.trim() === '' ? 'is empty' : 'is not JSON; it may be truncated or still being written';
    throw new ConnectionFileError(path, problem, { cause });
  }
}

/** The address of one port: `tcp://host:port`, or `ipc://path-port`. */
export function channelAddress(interfaceUrl: string, port: number): string {
  return interfaceUrl.startsWith('ipc://') ? `${interfaceUrl}-${port}` : `${interfaceUrl}:${port}`;
}
