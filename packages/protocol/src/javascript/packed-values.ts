import { createHash, timingSafeEqual } from 'node:crypto';
import { Packr } from 'msgpackr';
import { type Dict, getOwn } from '../common/dict.js';
import { MalformedMessageError, UsageError } from '../common/errors.js';
import { attachLarge, detachLarge, isLarge } from './large-views.js';

// Values of JavaScript travel in buffers that no signature covers: the signed content has their digests.

// Records tell plain objects from Maps; structuredClone keeps Sets, Maps, typed arrays, errors and shared references.
const packr = new Packr({ structuredClone: true, useBigIntExtension: true, useRecords: true });

/** Packed values, and the digests that vouch for them. */
export interface PackedValues {
  readonly buffers: readonly Buffer[];
  /** SHA-256 of each buffer, in hexadecimal. */
  readonly digests: readonly string[];
}

/**
 * Packs what structured clone takes, functions excepted. `what` begins the error. Large binary data stands in buffers of
 * its own: copies, or with `views` the data itself, which must not change until it is sent. @throws UsageError
 */
export function packValue(
  value: unknown,
  what: string,
  options: { readonly views?: boolean } = {},
): PackedValues {
  const large = lookThrough(value, what);
  try {
    const buffers = large ? packLarge(value, options.views === true) : [packr.pack(value)];
    return { buffers, digests: buffers.map(digest) };
  } catch (cause) {
    throw new UsageError(
      `${what} cannot be sent: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
}

function packLarge(value: unknown, views: boolean): Buffer[] {
  const { packed, buffers } = detachLarge(value);
  // It stands where nothing is taken out, as in a Set.
  if (buffers.length === 0) return [packr.pack(value)];
  return [packr.pack(packed), ...(views ? buffers : buffers.map((buffer) => Buffer.from(buffer)))];
}

/**
 * Reads packed values, checked against `buffer_digests` of a signed content.
 * @throws MalformedMessageError when a buffer is not the one whose digest was signed
 */
export function unpackValue(content: Dict, buffers: readonly Uint8Array[]): unknown {
  return unpackBuffers(checkedBuffers(content, buffers));
}

/** Reads packed values whose buffers were checked. @throws MalformedMessageError */
export function unpackBuffers([buffer, ...large]: readonly Uint8Array[]): unknown {
  if (buffer === undefined) throw new MalformedMessageError('there is no packed value');
  const packed = unpack(buffer);
  return large.length === 0 ? packed : attachLarge(packed, large);
}

function unpack(buffer: Uint8Array): unknown {
  try {
    return packr.unpack(buffer);
  } catch (cause) {
    throw new MalformedMessageError('a buffer does not hold a packed value', { cause });
  }
}

/** The buffers, each being the one whose digest was signed. @throws MalformedMessageError when one is not */
export function checkedBuffers(content: Dict, buffers: readonly Uint8Array[]): readonly Uint8Array[] {
  const digests = getOwn(content, 'buffer_digests');
  if (!Array.isArray(digests) || digests.length !== buffers.length) {
    throw new MalformedMessageError('buffers and their signed digests do not match in number');
  }
  for (const [i, buffer] of buffers.entries()) {
    const signed = Buffer.from(String(digests[i]), 'latin1');
    const actual = Buffer.from(digest(buffer), 'latin1');
    if (signed.length !== actual.length || !timingSafeEqual(signed, actual)) {
      throw new MalformedMessageError('a buffer is not the one whose digest was signed');
    }
  }
  return buffers;
}

/** SHA-256 in hexadecimal. */
export function digest(buffer: Uint8Array): string {
  return createHash('sha256').update(buffer).digest('hex');
}

/**
 * Tells whether there is large binary data in a value. @throws UsageError for a function or a symbol, for which msgpackr
 * would silently send undefined, and for a property that it would rename
 */
function lookThrough(root: unknown, what: string): boolean {
  let large = false;
  const seen = new Set<object>();
  const queue: unknown[] = [root];
  for (let value = queue.pop(); value !== undefined || queue.length > 0; value = queue.pop()) {
    if (typeof value === 'function' || typeof value === 'symbol') {
      throw new UsageError(
        `${what} cannot be sent because of a ${typeof value} inside: ${String(value).slice(0, 60)}`,
      );
    }
    if (typeof value !== 'object' || value === null || seen.has(value)) continue;
    large ||= isLarge(value);
    if (ArrayBuffer.isView(value)) continue;
    seen.add(value);
    // msgpackr would silently give it another name.
    if (Object.hasOwn(value, '__proto__')) {
      throw new UsageError(
        `${what} cannot be sent because of a property named __proto__ inside, which would be renamed; use a Map`,
      );
    }
    for (const item of members(value)) queue.push(item);
  }
  return large;
}

function* members(value: object): Generator<unknown> {
  if (value instanceof Map) for (const [key, item] of value) yield* [key, item];
  else if (value instanceof Set || Array.isArray(value)) yield* value;
  else yield* Object.values(value);
}
