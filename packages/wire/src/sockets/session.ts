import { type ClientConnectionInfo, Session } from '@ipyparallel-js/protocol';

/** The session of this process with the controller of a connection file: its key, packer and scheme; our clock and pid. */
export function createSession(
  info: Pick<ClientConnectionInfo, 'key' | 'signature_scheme' | 'pack' | 'unpack'>,
  own: { readonly session?: string; readonly username?: string } = {},
): Session {
  return new Session({
    key: info.key,
    signatureScheme: info.signature_scheme,
    pack: info.pack,
    unpack: info.unpack,
    now: () => new Date(),
    pid: process.pid,
    ...own,
  });
}
