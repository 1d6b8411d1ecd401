import { createHash, timingSafeEqual } from 'node:crypto';
import { Packr } from 'msgpackr';
import { type Dict, own } from './dict.js';
import { MalformedMessageError, UsageError } from './errors.js';

// Values of JavaScript travel in buffers that no signature covers: the signed content has their digests.

// Records tell plain objects from Maps; structuredClone keeps Sets, Maps, typed arrays, errors and shared references.
const packr = new Packr({ structuredClone: true, useBigIntExtension: true, useRecords: true });

/** Packed values, and the digests that vouch for them. */
export interface PackedValues {
  readonly buffers: readonly Buffer[];
  /** SHA-256 of each buffer, in hexadecimal. */
  readonly digests: readonly string[];
}

/** Packs what structured clone takes, functions excepted. `what` begins the error. @throws UsageError */
export function packValue(value: unknown, what: string): PackedValues {
  refuseFunctions(value, what);
  try {
    const buffers = [packr.pack(value)];
    return { buffers, digests: buffers.map(digest) };
  } catch (cause) {
    throw new UsageError(
      `${what} cannot be sent: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
}

/**
 * Reads packed values, checked against `buffer_digests` of a signed content.
 * @throws MalformedMessageError when a buffer is not the one whose digest was signed
 */
export function unpackValue(content: Dict, buffers: readonly Uint8Array[]): unknown {
  return unpackBuffers(checkedBuffers(content, buffers));
}

/** Reads packed values whose buffers were checked. @throws MalformedMessageError */
export function unpackBuffers([buffer, ...more]: readonly Uint8Array[]): unknown {
  if (buffer === undefined || more.length > 0) {
    throw new MalformedMessageError('buffers and packed values do not match in number');
  }
  try {
    return packr.unpack(buffer);
  } catch (cause) {
    throw new MalformedMessageError('a buffer does not hold a packed value', { cause });
  }
}

/** The buffers, each being the one whose digest was signed. @throws MalformedMessageError when one is not */
export function checkedBuffers(content: Dict, buffers: readonly Uint8Array[]): readonly Uint8Array[] {
  const digests = own(content, 'buffer_digests');
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

// msgpackr would silently send undefined for a function or a symbol.
function refuseFunctions(root: unknown, what: string): void {
  const seen = new Set<object>();
  const queue: unknown[] = [root];
  for (let value = queue.pop(); value !== undefined || queue.length > 0; value = queue.pop()) {
    if (typeof value === 'function' || typeof value === 'symbol') {
      throw new UsageError(
        `${what} cannot be sent: they hold the ${typeof value} ${String(value).slice(0, 60)}`,
      );
    }
    if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value) || seen.has(value)) continue;
    seen.add(value);
    for (const item of members(value)) queue.push(item);
  }
}

function* members(value: object): Generator<unknown> {
  if (value instanceof Map) for (const [key, item] of value) yield* [key, item];
  else if (value instanceof Set || Array.isArray(value)) yield* value;
  else yield* Object.values(value);
}
