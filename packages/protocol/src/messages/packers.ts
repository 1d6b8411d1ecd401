import { Packr } from 'msgpackr';
import { MalformedMessageError, UnsupportedPackerError } from '../common/errors.js';

/** Converts the four dicts of a message to frames and back. */
export interface Packer {
  readonly name: 'json' | 'msgpack';
  /** Packs a JSON-like value; dates become ISO 8601 strings. */
  pack(value: unknown): Buffer;
  /**
   * Unpacks one frame.
   * @throws {MalformedMessageError} when the frame has another format or nests too deep
   */
  unpack(frame: Uint8Array): unknown;
}

/** The maximum nesting of a frame. Real messages stay far below; the limit protects recursive code. */
const MAX_DEPTH = 200;

const OPEN_BRACE = 0x7b;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACE = 0x7d;
const CLOSE_BRACKET = 0x5d;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

function jsonDepthWithin(frame: Uint8Array, limit: number): boolean {
  // Fast path: a frame with few opening brackets, counted in strings too, cannot nest too deep.
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
      throw new MalformedMessageError('a frame is not valid JSON', { cause });
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

/** Converts a value as JSON would, and large integers to bigint because msgpackr writes them as floats otherwise. */
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
    throw new MalformedMessageError('msgpack extension types are not supported');
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
      throw new MalformedMessageError('a frame is not valid msgpack', { cause });
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
 * Returns the packer for `pack` and `unpack` of a connection file: `json`, `orjson`, `msgpack`, or
 * `msgpack.packb` and `msgpack.unpackb`.
 * @throws {UnsupportedPackerError} when a name is unknown, the two are different formats, or the packer is `pickle`,
 * which can run code
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
        `packer "${name}" is not supported because unpickling a message can run any code; start the controller with --Session.packer=json`,
      );
    }
    throw new UnsupportedPackerError(`unknown packer "${name}"; json, orjson and msgpack are supported`);
  }
  if (packer === undefined || packer !== unpacker) {
    throw new UnsupportedPackerError(
      `pack and unpack must be the same format, got "${pack}" and "${unpack}"`,
    );
  }
  return packer;
}
