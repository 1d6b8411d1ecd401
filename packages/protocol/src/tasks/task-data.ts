import { type Dict, getOwn, isDict } from '../common/dict.js';
import { MalformedMessageError } from '../common/errors.js';
import { isJsContent, type JsPayload } from '../javascript/js-call.js';
import { checkedBuffers, digest, packValue, unpackBuffers } from '../javascript/packed-values.js';
import { unpackResult, writePickle } from '../pickle/index.js';

// A task publishes data in a data_message, as Python engines do. The first buffer is a pickled dict, the only one that
// Python's client reads. A JavaScript engine adds the packed values after it.

/** The values that a generator yielded since the previous message; published under `partial`. */
export interface PartialResults {
  /** The number of values before these. */
  readonly from: number;
  readonly values: readonly unknown[];
}

/**
 * Encodes published data as a `data_message`.
 * @throws {UsageError} when a value cannot be packed
 */
export function encodeTaskData(data: Readonly<Record<string, unknown>>): JsPayload {
  const { buffers, digests } = packValue(data, 'the published data', { views: true });
  const pickled = pickleForPython(data);
  return {
    content: {
      keys: Object.keys(data),
      language: 'javascript',
      buffer_digests: [digest(pickled), ...digests],
    },
    buffers: [pickled, ...buffers],
  };
}

/** Pickles the values that any Python can read, because one unreadable value would end the message loop of Python's client. */
function pickleForPython(data: Readonly<Record<string, unknown>>): Buffer {
  const readable = Object.entries(data).filter(([, value]) => isPlain(value));
  return writePickle(new Map(readable));
}

const MAX_DEPTH = 20;
/** Longer bytes are left out of the pickle, because a message carries the values twice. */
const MAX_BYTES = 65_536;

/** Whether Python can read a value without numpy: JSON values, dates, bigints and bytes. */
function isPlain(value: unknown, depth = 0): boolean {
  if (typeof value !== 'object' || value === null) return value !== undefined;
  if (value instanceof Date) return !Number.isNaN(value.getTime());
  if (value instanceof Uint8Array) return value.byteLength <= MAX_BYTES;
  const prototype: unknown = Object.getPrototypeOf(value);
  const dict = prototype === Object.prototype || prototype === null;
  if (depth > MAX_DEPTH || !(dict || Array.isArray(value))) return false;
  return Object.values(value).every((each) => isPlain(each, depth + 1));
}

/**
 * Decodes the data of a `data_message` from a JavaScript or a Python engine.
 * @returns the values by name
 * @throws {MalformedMessageError} when the data is not a dict
 * @throws {UnpickleError} when the pickle of a Python engine cannot be read
 */
export function decodeTaskData(content: Dict, buffers: readonly Uint8Array[]): Dict {
  const data = isJsContent(content)
    ? unpackBuffers(checkedBuffers(content, buffers).slice(1))
    : unpackResult(buffers.map((buffer) => Buffer.from(buffer.buffer, buffer.byteOffset, buffer.byteLength)))
        .value;
  if (isDict(data)) return data;
  // Python code may use keys that are not strings.
  if (data instanceof Map) return Object.fromEntries([...data].map(([name, value]) => [String(name), value]));
  throw new MalformedMessageError('published data must be a dict');
}

/** Reads the yielded values from published data; undefined when it has none. */
export function partialResults(data: Dict): PartialResults | undefined {
  const partial = getOwn(data, 'partial');
  if (!isDict(partial)) return undefined;
  const from = getOwn(partial, 'from');
  const values = getOwn(partial, 'values');
  return typeof from === 'number' && Array.isArray(values) ? { from, values } : undefined;
}
