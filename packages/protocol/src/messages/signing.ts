import { createHmac, createSecretKey, getHashes, timingSafeEqual } from 'node:crypto';
import { ProtocolError } from '../common/errors.js';

/** Signs and checks the four dict frames of a message. An empty key signs nothing, as under CURVE. */
export interface Signer {
  readonly enabled: boolean;
  sign(frames: readonly Uint8Array[]): Buffer;
  verify(signature: Uint8Array, frames: readonly Uint8Array[]): boolean;
}

const EMPTY = Buffer.alloc(0);

/**
 * A signer for a connection file's `key` and `signature_scheme` (`hmac-sha256` by default).
 * @throws ProtocolError for a scheme that is not `hmac-` and a hash that Node knows.
 */
export function createSigner(key: string, scheme = 'hmac-sha256'): Signer {
  if (key === '') return { enabled: false, sign: () => EMPTY, verify: () => true };
  const hash = scheme.startsWith('hmac-') ? scheme.slice('hmac-'.length) : '';
  if (!getHashes().includes(hash)) {
    throw new ProtocolError(`unknown signature scheme "${scheme}"; expected hmac-sha256 or its like`);
  }
  // Made once: of a text a key is made for each signature, which takes longer than signing a small message.
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
