import { Packr } from 'msgpackr';
import { MalformedMessageError, UnsupportedPackerError } from '../common/errors.js';

/** How the four dict frames of a message become bytes and come back. */
export interface Packer {
  /** The name family: `json` or `msgpack`. */
  readonly name: 'json' | 'msgpack';
  /** Packs a JSON-like value; dates become ISO text. */
  pack(value: unknown): Buffer;
  /** Unpacks one frame. @throws MalformedMessageError when it is not this format or nests too deep. */
  unpack(frame: Uint8Array): unknown;
}

/** Deeper nesting than this is refused: nothing real nests so, and recursive code must stay safe. */
export const MAX_DEPTH = 200;

const OPEN_BRACE = 0x7b;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACE = 0x7d;
const CLOSE_BRACKET = 0x5d;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

function jsonDepthWithin(frame: Uint8Array, limit: number): boolean {
  // A frame with few openings, wherever they stand, needs no careful reading.
  let openings = 0;
  for (let i = 0; i < frame.length && openings <= limit; i++) {
    const byte = frame[i];
    if (byte === OPEN_BRACE || byte === OPEN_BRACKET) openings++;
  }
  if (openings <= limit) return true;
  let depth = 0;
  let inString = false;
  for (let i = 0; i < frame.length; i++) {
    const byte = frame[i];
    if (inString) {
      if (byte === BACKSLASH) i++;
      else if (byte === QUOTE) inString = false;
    } else if (byte === QUOTE) inString = true;
    else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      if (++depth > limit) return false;
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) depth--;
  }
  return true;
}

const jsonPacker: Packer = {
  name: 'json',
  pack(value) {
    return Buffer.from(JSON.stringify(value), 'utf8');
  },
  unpack(frame) {
    if (!jsonDepthWithin(frame, MAX_DEPTH)) {
      throw new MalformedMessageError(`JSON nests deeper than ${MAX_DEPTH} levels`);
    }
    const buffer = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
    try {
      return JSON.parse(buffer.toString('utf8'));
    } catch (cause) {
      throw new MalformedMessageError('a frame is not JSON', { cause });
    }
  },
};

const packr = new Packr({
  useRecords: false,
  mapsAsObjects: true,
  moreTypes: false,
  variableMapSize: true,
  int64AsType: 'number',
});

/** What JSON would carry: dates as text, integers past 32 bits as integers (msgpackr alone writes floats). */
function toPlain(value: unknown, depth: number): unknown {
  if (depth > MAX_DEPTH) throw new MalformedMessageError(`a value nests deeper than ${MAX_DEPTH} levels`);
  if (typeof value === 'number') {
    return Number.isInteger(value) && Math.abs(value) > 0x7fffffff && Math.abs(value) < 2 ** 63
      ? BigInt(value)
      : value;
  }
  if (typeof value !== 'object' || value === null) return value;
  if ('toJSON' in value && typeof value.toJSON === 'function') return toPlain(value.toJSON(), depth + 1);
  if (Array.isArray(value)) return value.map((item) => toPlain(item ?? null, depth + 1));
  const plain: Record<string, unknown> = Object.create(null);
  for (const [key, item] of Object.entries(value)) {
    if (item !== undefined) plain[key] = toPlain(item, depth + 1);
  }
  return plain;
}

function assertPlain(value: unknown, depth: number): void {
  if (depth > MAX_DEPTH) throw new MalformedMessageError(`msgpack nests deeper than ${MAX_DEPTH} levels`);
  if (typeof value !== 'object' || value === null) return;
  if (Array.isArray(value)) {
    for (const item of value) assertPlain(item, depth + 1);
    return;
  }
  if (value instanceof Uint8Array) return;
  const proto: unknown = Object.getPrototypeOf(value);
  if (proto !== Object.prototype && proto !== null) {
    throw new MalformedMessageError('msgpack carries an extension type, and this wire has none');
  }
  for (const item of Object.values(value)) assertPlain(item, depth + 1);
}

const msgpackPacker: Packer = {
  name: 'msgpack',
  pack(value) {
    return packr.pack(toPlain(value, 0));
  },
  unpack(frame) {
    let value: unknown;
    try {
      value = packr.unpack(frame);
    } catch (cause) {
      throw new MalformedMessageError('a frame is not msgpack', { cause });
    }
    assertPlain(value, 0);
    return value;
  },
};

const PACKERS: ReadonlyMap<string, Packer> = new Map([
  ['json', jsonPacker],
  ['orjson', jsonPacker],
  ['jupyter_client.session.json_packer', jsonPacker],
  ['jupyter_client.session.json_unpacker', jsonPacker],
  ['jupyter_client.session.orjson_packer', jsonPacker],
  ['jupyter_client.session.orjson_unpacker', jsonPacker],
  ['msgpack', msgpackPacker],
  ['msgpack.packb', msgpackPacker],
  ['msgpack.unpackb', msgpackPacker],
  ['jupyter_client.session.msgpack_packer', msgpackPacker],
  ['jupyter_client.session.msgpack_unpacker', msgpackPacker],
]);

/**
 * The packer that a connection file's `pack` and `unpack` name: `json`, `orjson`, `msgpack`,
 * `msgpack.packb`/`msgpack.unpackb`.
 * @throws UnsupportedPackerError for `pickle` (it would run code) and for names not known here.
 */
export function packerFor(pack = 'json', unpack = pack): Packer {
  const packer = PACKERS.get(pack);
  const unpacker = PACKERS.get(unpack);
  for (const [name, found] of [
    [pack, packer],
    [unpack, unpacker],
  ] as const) {
    if (found !== undefined) continue;
    if (/pickle/i.test(name)) {
      throw new UnsupportedPackerError(
        `packer "${name}" is refused: unpickling a message can run any code. Start the controller with --Session.packer=json`,
      );
    }
    throw new UnsupportedPackerError(`unknown packer "${name}"; this side speaks json, orjson and msgpack`);
  }
  if (packer === undefined || packer !== unpacker) {
    throw new UnsupportedPackerError(`pack "${pack}" and unpack "${unpack}" are not one format`);
  }
  return packer;
}
