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

/** What two connection files of an earlier run say, in a controller's terms. */
export interface ReusedConnection {
  readonly ip: string;
  readonly location: string;
  readonly sshServer: string;
  readonly engineSshServer: string;
  readonly key: string;
  readonly pack: string;
  readonly unpack: string;
  readonly signatureScheme: string;
  /** The port of each socket, by the name under which it is bound. */
  readonly ports: ReadonlyMap<string, number>;
  readonly broadcastLeaves: number;
}

/** What must be the same in both files. */
const COMMON = [
  'interface',
  'registration',
  'key',
  'pack',
  'unpack',
  'signature_scheme',
  'curve_serverkey',
] as const;

/**
 * Reads the connection files that an earlier controller left; undefined where there are none, or none that can be used,
 * which is told. Mirrors ipyparallel's `--reuse`.
 * @throws UsageError when they are of another CURVE key
 */
export async function readReusedConnection(
  files: { readonly clientFile: string; readonly engineFile: string },
  options: Pick<ResolvedControllerOptions, 'curve'>,
  log: Logger,
): Promise<ReusedConnection | undefined> {
  try {
    const client = validateClientConnectionInfo(await read(files.clientFile), files.clientFile);
    const engine = validateEngineConnectionInfo(await read(files.engineFile), files.engineFile);
    for (const name of COMMON) {
      if (client[name] !== engine[name])
        throw new ConnectionFileError(files.engineFile, `"${name}" is not that of the client's file`);
    }
    const { ip } = /^tcp:\/\/(?<ip>.+)$/.exec(client.interface)?.groups ?? {};
    if (ip === undefined)
      throw new ConnectionFileError(files.clientFile, `${client.interface} is no address to listen on`);
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
    if (isMissing(error)) log.info('there are no connection files to reuse; they are made');
    else if (error instanceof ConnectionFileError)
      log.error('the connection files cannot be reused; new ones take their place', error);
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
      ? `${path} is of a controller without CURVE; to reuse it, start this one without`
      : `${path} is of a controller with another CURVE key; to reuse it, give this one that controller's keys (IPP_ENABLE_CURVE=1, IPP_CURVE_PUBLICKEY, IPP_CURVE_SECRETKEY)`,
  );
}

async function read(path: string): Promise<unknown> {
  return parseConnectionFile(await readFile(path, 'utf8'), path);
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
