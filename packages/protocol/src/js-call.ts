import { createHash, timingSafeEqual } from 'node:crypto';
import vm from 'node:vm';
import { Packr } from 'msgpackr';
import { type Dict, own, ownString } from './dict.js';
import { MalformedMessageError, UsageError } from './errors.js';

// A JavaScript call is an apply_request whose signed content holds the function's source and the digests of the
// buffers, which no signature covers. The digests stand in the content and not in the metadata because a stock
// hub drops a task's metadata when it resubmits it.

/** The content of an `apply_request` for a JavaScript engine. */
export interface JsCall {
  readonly language: 'javascript';
  /** An expression that evaluates to the function. */
  readonly source: string;
  /** The function's name, for tracebacks; may be empty. */
  readonly name: string;
  /** Calls the function for each place of its arguments, which are lists, as a map does; gives the list of results. */
  readonly each?: true;
  /** SHA-256 of each buffer, in hexadecimal. */
  readonly buffer_digests: readonly string[];
}

/** A signed content and the buffers it vouches for. */
export interface JsPayload<C extends Dict = Dict> {
  readonly content: C;
  readonly buffers: readonly Buffer[];
}

// Records tell plain objects from Maps; structuredClone keeps Sets, Maps, typed arrays, errors and shared references.
const packr = new Packr({ structuredClone: true, useBigIntExtension: true, useRecords: true });

/**
 * Encodes a call of a JavaScript function. The function travels as its source: what it closes over does not.
 * Arguments may be anything that structured clone takes, functions excepted.
 * @throws UsageError when the source does not stand alone (native, bound), or an argument cannot be packed
 */
export function encodeJsCall(
  fn: (...args: never[]) => unknown,
  args: readonly unknown[],
  options: { readonly each?: boolean } = {},
): JsPayload<JsCall & Dict> {
  const source = functionSource(fn);
  const buffers = [packValue(args, 'the arguments')];
  return {
    content: {
      language: 'javascript',
      source,
      name: fn.name,
      ...(options.each === true ? { each: true } : {}),
      buffer_digests: buffers.map(digest),
    },
    buffers,
  };
}

/** Whether an `apply_request` or `apply_reply` content is JavaScript's. */
export function isJsContent(content: Dict): boolean {
  return own(content, 'language') === 'javascript';
}

/** Reads a call. @throws MalformedMessageError when a buffer is not the one whose digest was signed */
export function decodeJsCall(
  content: Dict,
  buffers: readonly Uint8Array[],
): {
  readonly source: string;
  readonly name: string;
  readonly each: boolean;
  readonly args: readonly unknown[];
} {
  const source = ownString(content, 'source');
  if (!isJsContent(content) || source === undefined) {
    throw new MalformedMessageError('the apply_request carries no JavaScript function');
  }
  const args = unpackValue(checkedBuffer(content, buffers));
  if (!Array.isArray(args)) throw new MalformedMessageError('the arguments are not a list');
  return { source, name: ownString(content, 'name') ?? '', each: own(content, 'each') === true, args };
}

/** Encodes what a JavaScript function returned. @throws UsageError when it cannot be packed */
export function encodeJsResult(value: unknown): JsPayload {
  const buffers = [packValue(value, 'the result')];
  return { content: { status: 'ok', language: 'javascript', buffer_digests: buffers.map(digest) }, buffers };
}

/** Reads what a JavaScript function returned. @throws MalformedMessageError when a buffer was altered */
export function decodeJsResult(content: Dict, buffers: readonly Uint8Array[]): unknown {
  return unpackValue(checkedBuffer(content, buffers));
}

function checkedBuffer(content: Dict, buffers: readonly Uint8Array[]): Uint8Array {
  const digests = own(content, 'buffer_digests');
  const [buffer] = buffers;
  if (!Array.isArray(digests) || digests.length !== 1 || buffers.length !== 1 || buffer === undefined) {
    throw new MalformedMessageError('buffers and their signed digests do not match in number');
  }
  const signed = Buffer.from(String(digests[0]), 'latin1');
  const actual = Buffer.from(digest(buffer), 'latin1');
  if (signed.length !== actual.length || !timingSafeEqual(signed, actual)) {
    throw new MalformedMessageError('a buffer is not the one whose digest was signed');
  }
  return buffer;
}

function digest(buffer: Uint8Array): string {
  return createHash('sha256').update(buffer).digest('hex');
}

function packValue(value: unknown, what: string): Buffer {
  refuseFunctions(value, what);
  try {
    return packr.pack(value);
  } catch (cause) {
    throw new UsageError(
      `${what} cannot be sent: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
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

function unpackValue(buffer: Uint8Array): unknown {
  try {
    return packr.unpack(buffer);
  } catch (cause) {
    throw new MalformedMessageError('a buffer does not hold a packed value', { cause });
  }
}

function compiles(source: string): boolean {
  try {
    new vm.Script(source);
    return true;
  } catch {
    return false;
  }
}

/**
 * An expression that evaluates to the function: its own text, or that of a method made to stand alone.
 * @throws UsageError for native and bound functions, whose text is not to be had
 */
export function functionSource(fn: (...args: never[]) => unknown): string {
  const text = Function.prototype.toString.call(fn);
  if (/\{\s*\[native code\]\s*\}\s*$/.test(text)) {
    throw new UsageError(
      `${fn.name === '' ? 'a native or bound function' : `function "${fn.name}"`} has no source to send; wrap it: (...args) => …`,
    );
  }
  if (compiles(`(${text})`)) return text;
  // A method's text, `name(…) { … }`, stands only inside an object.
  const key = JSON.stringify(fn.name);
  const method = `({ ${text} })[${key}]`;
  if (compiles(method)) return method;
  throw new UsageError(`the source of function "${fn.name}" does not stand alone`);
}
