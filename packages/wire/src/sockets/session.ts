import { type ClientConnectionInfo, Session } from '@ipyparallel-js/protocol';

/** Creates a session with the key and packer of a connection file, and the clock and pid of this process. */
export function createSession(
  info: Pick<ClientConnectionInfo, 'key' | 'signature_scheme' | 'pack' | 'unpack'>,
  identity: { readonly session?: string; readonly username?: string } = {},
): Session {
  return new Session({
    key: info.key,
    signatureScheme: info.signature_scheme,
    pack: info.pack,
    unpack: info.unpack,
    now: () => new Date(),
    pid: process.pid,
    ...identity,
  });
}
