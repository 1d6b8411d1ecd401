import { createHmac, createSecretKey, getHashes, timingSafeEqual } from 'node:crypto';
import { ProtocolError } from '../common/errors.js';

/** Signs and verifies the four dict frames of a message. */
export interface Signer {
  /** False for an empty key, as under CURVE: signatures are then empty and every message passes. */
  readonly enabled: boolean;
  sign(frames: readonly Uint8Array[]): Buffer;
  verify(signature: Uint8Array, frames: readonly Uint8Array[]): boolean;
}

const EMPTY_BUFFER = Buffer.alloc(0);

/**
 * Creates a signer for the `key` and `signature_scheme` of a connection file.
 * @throws {ProtocolError} when the scheme is not `hmac-` and the name of a hash that Node supports
 */
export function createSigner(key: string, scheme = 'hmac-sha256'): Signer {
  if (key === '') return { enabled: false, sign: () => EMPTY_BUFFER, verify: () => true };
  const hash = scheme.startsWith('hmac-') ? scheme.slice('hmac-'.length) : '';
  if (!getHashes().includes(hash)) {
    throw new ProtocolError(
      `unknown signature scheme "${scheme}"; it must be hmac- and a hash, such as hmac-sha256`,
    );
  }
  // A string key would be converted for each signature, which takes longer than signing a small message.
  const secret = createSecretKey(Buffer.from(key, 'utf8'));
  const sign = (frames: readonly Uint8Array[]): Buffer => {
    const hmac = createHmac(hash, secret);
    for (const frame of frames) hmac.update(frame);
    return Buffer.from(hmac.digest('hex'), 'latin1');
  };
  return {
    enabled: true,
    sign,
    verify(signature, frames) {
      const expected = sign(frames);
      return signature.byteLength === expected.byteLength && timingSafeEqual(signature, expected);
    },
  };
}
