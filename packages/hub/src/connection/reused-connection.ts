import { readFile } from 'node:fs/promises';
import {
  ConnectionFileError,
  parseConnectionFile,
  UsageError,
  validateClientConnectionInfo,
  validateEngineConnectionInfo,
} from '@ipyparallel-js/protocol';
import type { Logger } from '@ipyparallel-js/wire';
import type { ResolvedControllerOptions } from '../options/controller-options.js';

/** The contents of the connection files of a previous run, as options of a controller. */
export interface ReusedConnection {
  readonly ip: string;
  readonly location: string;
  readonly sshServer: string;
  readonly engineSshServer: string;
  readonly key: string;
  readonly pack: string;
  readonly unpack: string;
  readonly signatureScheme: string;
  /** The port of each socket, by the name of the socket. */
  readonly ports: ReadonlyMap<string, number>;
  readonly broadcastLeaves: number;
}

/** The fields that must be equal in both files. */
const COMMON_FIELDS = [
  'interface',
  'registration',
  'key',
  'pack',
  'unpack',
  'signature_scheme',
  'curve_serverkey',
] as const;

/**
 * Reads the connection files of a previous run. Mirrors ipyparallel's `--reuse`.
 * @returns undefined if the files do not exist or cannot be used, which is logged
 * @throws {UsageError} when they have another CURVE key
 */
export async function readReusedConnection(
  files: { readonly clientFile: string; readonly engineFile: string },
  options: Pick<ResolvedControllerOptions, 'curve'>,
  log: Logger,
): Promise<ReusedConnection | undefined> {
  try {
    const client = validateClientConnectionInfo(await read(files.clientFile), files.clientFile);
    const engine = validateEngineConnectionInfo(await read(files.engineFile), files.engineFile);
    for (const name of COMMON_FIELDS) {
      if (client[name] !== engine[name])
        throw new ConnectionFileError(files.engineFile, `"${name}" differs from the client's file`);
    }
    const { ip } = /^tcp:\/\/(?<ip>.+)$/.exec(client.interface)?.groups ?? {};
    if (ip === undefined)
      throw new ConnectionFileError(
        files.clientFile,
        `"interface" must be a TCP address, got ${client.interface}`,
      );
    checkCurve(client.curve_serverkey, options, files.clientFile);
    const { broadcast: leaves } = engine;
    const ports = new Map([
      ['registration', client.registration],
      ['engine control', engine.control],
      ['engine mux', engine.mux],
      ['engine task', engine.task],
      ['engine iopub', engine.iopub],
      ['heartbeat ping', engine.hb_ping],
      ['heartbeat pong', engine.hb_pong],
      ...leaves.map((port, i) => [`engine broadcast ${i}`, port] as const),
      ['control', client.control],
      ['mux', client.mux],
      ['task', client.task],
      ['iopub', client.iopub],
      ['notification', client.notification],
      ...(client.broadcast === undefined ? [] : [['broadcast', client.broadcast] as const]),
    ]);
    return {
      ...{ ip, location: client.location, sshServer: client.ssh, engineSshServer: engine.ssh },
      ...{ key: client.key, pack: client.pack, unpack: client.unpack },
      ...{ signatureScheme: client.signature_scheme, ports, broadcastLeaves: leaves.length },
    };
  } catch (error) {
    if (isMissing(error)) log.info('found no connection files to reuse; writing new ones');
    else if (error instanceof ConnectionFileError)
      log.error('cannot reuse the connection files; replacing them', error);
    else throw error;
    return undefined;
  }
}

function checkCurve(
  publicKey: string | null,
  { curve }: Pick<ResolvedControllerOptions, 'curve'>,
  path: string,
): void {
  if ((curve?.publicKey ?? null) === publicKey) return;
  throw new UsageError(
    publicKey === null
      ? `${path} is from a controller without CURVE; to reuse it, start this controller without CURVE`
      : `${path} is from a controller with another CURVE key; to reuse it, start this controller with the same keys (IPP_ENABLE_CURVE=1, IPP_CURVE_PUBLICKEY, IPP_CURVE_SECRETKEY)`,
  );
}

async function read(path: string): Promise<unknown> {
  return parseConnectionFile(await readFile(path, 'utf8'), path);
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
