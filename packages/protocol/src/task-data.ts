import { type Dict, isDict, own } from './dict.js';
import { MalformedMessageError } from './errors.js';
import { isJsContent, type JsPayload } from './js-call.js';
import { checkedBuffers, digest, packValue, unpackBuffers } from './packed-values.js';
import { unpackResult } from './pickle/apply-message.js';

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
  const { buffers, digests } = packValue(data, 'the published data');
  const pickled = EMPTY_DICT;
  return {
    content: {
      keys: Object.keys(data),
      language: 'javascript',
      buffer_digests: [digest(pickled), ...digests],
    },
    buffers: [pickled, ...buffers],
  };
}

// Protocol 2: {}
const EMPTY_DICT = Buffer.from([0x80, 2, 0x7d, 0x2e]);

/**
 * The data of a `data_message`, by name; of JavaScript's and of Python's engines.
 * @throws MalformedMessageError, UnpickleError
 */
export function decodeTaskData(content: Dict, buffers: readonly Uint8Array[]): Dict {
  const data = isJsContent(content)
    ? unpackBuffers(checkedBuffers(content, buffers).slice(1))
    : unpackResult(buffers.map((buffer) => Buffer.from(buffer.buffer, buffer.byteOffset, buffer.byteLength)))
        .value;
  if (!isDict(data)) throw new MalformedMessageError('published data is no dict');
  return data;
}

/** The yielded values that published data carries, if it does. */
export function partialResults(data: Dict): PartialResults | undefined {
  const partial = own(data, 'partial');
  if (!isDict(partial)) return undefined;
  const from = own(partial, 'from');
  const values = own(partial, 'values');
  return typeof from === 'number' && Array.isArray(values) ? { from, values } : undefined;
}
