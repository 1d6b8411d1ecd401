import { type Dict, getOwn, isDict } from '../common/dict.js';
import { MalformedMessageError } from '../common/errors.js';
import { isJsContent, type JsPayload } from '../javascript/js-call.js';
import { checkedBuffers, digest, packValue, unpackBuffers } from '../javascript/packed-values.js';
import { unpackResult, writePickle } from '../pickle/index.js';

// Data that a task publishes is a data_message, as of Python's engines. Its first buffer is a pickled dict, which is
// all that Python's client reads; from a JavaScript engine the packed values follow it.

/** What a generator has yielded since the last such message; published under `partial`. */
export interface PartialResults {
  /** How many values came before these. */
  readonly from: number;
  readonly values: readonly unknown[];
}

/** Encodes published data as a `data_message`. @throws UsageError when it cannot be packed */
export function encodeTaskData(data: Readonly<Record<string, unknown>>): JsPayload {
  const { buffers, digests } = packValue(data, 'the published data', { views: true });
  const pickled = forPython(data);
  return {
    content: {
      keys: Object.keys(data),
      language: 'javascript',
      buffer_digests: [digest(pickled), ...digests],
    },
    buffers: [pickled, ...buffers],
  };
}

/** What Python's client gets: the names whose values any Python can read. One that it cannot would end its loop. */
function forPython(data: Readonly<Record<string, unknown>>): Buffer {
  const readable = Object.entries(data).filter(([, value]) => isPlain(value));
  return writePickle(new Map(readable));
}

const MAX_DEPTH = 20;
/** Bytes that are as many twice would be too many. */
const MAX_BYTES = 65_536;

/** Whether a value is what JSON could say, or a date, a bigint or bytes: no numpy is needed to read it. */
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
 * The data of a `data_message`, by name; of JavaScript's and of Python's engines.
 * @throws MalformedMessageError, UnpickleError
 */
export function decodeTaskData(content: Dict, buffers: readonly Uint8Array[]): Dict {
  const data = isJsContent(content)
    ? unpackBuffers(checkedBuffers(content, buffers).slice(1))
    : unpackResult(buffers.map((buffer) => Buffer.from(buffer.buffer, buffer.byteOffset, buffer.byteLength)))
        .value;
  if (isDict(data)) return data;
  // What Python's names are is up to its code.
  if (data instanceof Map) return Object.fromEntries([...data].map(([name, value]) => [String(name), value]));
  throw new MalformedMessageError('published data is no dict');
}

/** The yielded values that published data carries, if it does. */
export function partialResults(data: Dict): PartialResults | undefined {
  const partial = getOwn(data, 'partial');
  if (!isDict(partial)) return undefined;
  const from = getOwn(partial, 'from');
  const values = getOwn(partial, 'values');
  return typeof from === 'number' && Array.isArray(values) ? { from, values } : undefined;
}
