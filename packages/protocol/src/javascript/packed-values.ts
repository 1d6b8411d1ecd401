import { createHash, timingSafeEqual } from 'node:crypto';
import { Packr } from 'msgpackr';
import { type Dict, getOwn } from '../common/dict.js';
import { MalformedMessageError, UsageError } from '../common/errors.js';
import { attachLarge, detachLarge, isLarge } from './large-views.js';

// JavaScript values are sent in buffers. Signatures do not cover buffers, so the signed content holds their digests.

// useRecords distinguishes plain objects from Maps; structuredClone preserves Sets, Maps, typed arrays, errors and shared
// references.
const packr = new Packr({ structuredClone: true, useBigIntExtension: true, useRecords: true });

/** Packed values and their digests. */
export interface PackedValues {
  readonly buffers: readonly Buffer[];
  /** SHA-256 of each buffer, in hexadecimal. */
  readonly digests: readonly string[];
}

/**
 * Packs any value that structured clone accepts. Large binary data is in separate buffers: copies, or with `views` the
 * data itself, which must not change until it is sent. `what` names the value in error messages.
 * @throws {UsageError} when the value cannot be packed
 */
export function packValue(
  value: unknown,
  what: string,
  options: { readonly views?: boolean } = {},
): PackedValues {
  const large = checkPackable(value, what);
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
  // No data was detached: the large data is in an object that detachLarge does not copy, such as a Set.
  if (buffers.length === 0) return [packr.pack(value)];
  return [packr.pack(packed), ...(views ? buffers : buffers.map((buffer) => Buffer.from(buffer)))];
}

/**
 * Unpacks a value after checking its buffers against the `buffer_digests` of a signed content.
 * @throws {MalformedMessageError} when a buffer does not match its signed digest, or does not hold a packed value
 */
export function unpackValue(content: Dict, buffers: readonly Uint8Array[]): unknown {
  return unpackBuffers(checkedBuffers(content, buffers));
}

/**
 * Unpacks a value whose buffers were already checked.
 * @throws {MalformedMessageError} when the buffers do not hold a packed value
 */
export function unpackBuffers([buffer, ...large]: readonly Uint8Array[]): unknown {
  if (buffer === undefined) throw new MalformedMessageError('the message has no packed value');
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

/**
 * Returns the buffers after checking them against the `buffer_digests` of a signed content.
 * @throws {MalformedMessageError} when a buffer does not match its signed digest
 */
export function checkedBuffers(content: Dict, buffers: readonly Uint8Array[]): readonly Uint8Array[] {
  const digests = getOwn(content, 'buffer_digests');
  if (!Array.isArray(digests) || digests.length !== buffers.length) {
    throw new MalformedMessageError('the message must have one signed digest per buffer');
  }
  for (const [i, buffer] of buffers.entries()) {
    const signed = Buffer.from(String(digests[i]), 'latin1');
    const actual = Buffer.from(digest(buffer), 'latin1');
    if (signed.length !== actual.length || !timingSafeEqual(signed, actual)) {
      throw new MalformedMessageError('a buffer does not match its signed digest');
    }
  }
  return buffers;
}

/** SHA-256 in hexadecimal. */
export function digest(buffer: Uint8Array): string {
  return createHash('sha256').update(buffer).digest('hex');
}

/**
 * Checks that a value can be packed. Functions and symbols are refused, because msgpackr silently packs undefined instead.
 * @returns whether the value contains large binary data
 * @throws {UsageError} when the value contains a function, a symbol or a property named `__proto__`
 */
function checkPackable(root: unknown, what: string): boolean {
  let large = false;
  const seen = new Set<object>();
  const queue: unknown[] = [root];
  for (let value = queue.pop(); value !== undefined || queue.length > 0; value = queue.pop()) {
    if (typeof value === 'function' || typeof value === 'symbol') {
      throw new UsageError(
        `${what} cannot be sent because it contains a ${typeof value}: ${String(value).slice(0, 60)}`,
      );
    }
    if (typeof value !== 'object' || value === null || seen.has(value)) continue;
    large ||= isLarge(value);
    if (ArrayBuffer.isView(value)) continue;
    seen.add(value);
    // msgpackr silently renames this property.
    if (Object.hasOwn(value, '__proto__')) {
      throw new UsageError(
        `${what} cannot be sent because it contains a property named __proto__; use a Map instead`,
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
