import { type Dict, isDict } from '../common/dict.js';
import { MalformedMessageError, ReplayError, SignatureError } from '../common/errors.js';
import type { AnyMessage, Header } from './messages.js';
import type { Packer } from './packers.js';
import type { ReplayHistory } from './replay-history.js';
import type { Signer } from './signing.js';

/** The frame that separates the routing identities from the message. */
export const DELIMITER: Buffer = Buffer.from('<IDS|MSG>', 'latin1');

const MAX_IDENTITIES = 16;

/** The frames of a multipart message, split at the delimiter. */
export interface SplitFrames {
  /** The routing identities, which precede the delimiter. */
  readonly idents: readonly Buffer[];
  /** signature, header, parent_header, metadata, content, ...buffers; a malformed message may have fewer. */
  readonly body: readonly Buffer[];
}

/**
 * Splits frames at the delimiter.
 * @throws {MalformedMessageError} when there is no delimiter
 */
export function splitFrames(frames: readonly Buffer[]): SplitFrames {
  const end = Math.min(frames.length, MAX_IDENTITIES + 1);
  for (let i = 0; i < end; i++) {
    const frame = frames[i];
    if (frame !== undefined && frame.length === DELIMITER.length && frame.equals(DELIMITER)) {
      return { idents: frames.slice(0, i), body: frames.slice(i + 1) };
    }
  }
  throw new MalformedMessageError(`none of the ${frames.length} frames is the delimiter <IDS|MSG>`);
}

/** How the messages of a connection are packed and signed. */
export interface Codec {
  readonly packer: Packer;
  readonly signer: Signer;
}

/** A message to be encoded by {@link encodeMessage}. */
export interface OutgoingMessage {
  readonly header: Header;
  readonly parent_header: Header | Dict;
  readonly metadata: Dict;
  readonly content: Dict;
  /** The content if it is already packed; `content` is then ignored. */
  readonly packedContent?: Buffer;
  readonly buffers: readonly Uint8Array[];
}

/** Encodes a message as identities, delimiter, signature, four dicts and buffers. The signature does not cover buffers. */
export function encodeMessage(
  codec: Codec,
  message: OutgoingMessage,
  idents: readonly (Uint8Array | string)[] = [],
): Buffer[] {
  const dicts = [
    codec.packer.pack(message.header),
    codec.packer.pack(message.parent_header),
    codec.packer.pack(message.metadata),
    message.packedContent ?? codec.packer.pack(message.content),
  ];
  return [
    ...idents.map(toBuffer),
    DELIMITER,
    codec.signer.sign(dicts),
    ...dicts,
    ...message.buffers.map(toBuffer),
  ];
}

/**
 * Decodes one message: counts the frames, verifies the signature, checks for a replay and only then parses.
 * @param history the signatures accepted so far; without it, replays are not detected
 * @throws {MalformedMessageError} when the frames do not form a message
 * @throws {SignatureError} when the signature is missing or wrong
 * @throws {ReplayError} when `history` already has the signature
 */
export function decodeMessage(codec: Codec, frames: readonly Buffer[], history?: ReplayHistory): AnyMessage {
  const { idents, body } = splitFrames(frames);
  const [signature, header, parent, metadata, content, ...buffers] = body;
  if (
    signature === undefined ||
    header === undefined ||
    parent === undefined ||
    metadata === undefined ||
    content === undefined
  ) {
    throw new MalformedMessageError(`expected at least 5 frames after the delimiter, got ${body.length}`);
  }
  if (codec.signer.enabled) {
    if (signature.length === 0) throw new SignatureError('the message is not signed');
    if (!codec.signer.verify(signature, [header, parent, metadata, content])) {
      throw new SignatureError('the signature does not match the key');
    }
    if (history !== undefined && !history.remember(signature.toString('latin1'))) {
      throw new ReplayError('a message with this signature was already received');
    }
  }
  return {
    idents,
    ...headerParts(codec.packer.unpack(header)),
    parent_header: dictPart(codec, parent, 'parent_header'),
    metadata: dictPart(codec, metadata, 'metadata'),
    content: dictPart(codec, content, 'content'),
    buffers,
  };
}

function headerParts(header: unknown): { header: Header; msg_id: string; msg_type: string } {
  if (!isDict(header)) throw new MalformedMessageError('the header must be an object');
  const { msg_id, msg_type, session, date, username, version } = header;
  if (typeof msg_id !== 'string' || typeof msg_type !== 'string') {
    throw new MalformedMessageError('the header must have a msg_id and a msg_type, both strings');
  }
  return {
    header: {
      ...header,
      msg_id,
      msg_type,
      session: typeof session === 'string' ? session : '',
      username: typeof username === 'string' ? username : '',
      date: typeof date === 'string' ? date : '',
      version: typeof version === 'string' ? version : '',
    },
    msg_id,
    msg_type,
  };
}

function dictPart(codec: Codec, frame: Buffer, name: string): Dict {
  const value = codec.packer.unpack(frame);
  if (!isDict(value)) throw new MalformedMessageError(`${name} must be an object`);
  return value;
}

function toBuffer(bytes: Uint8Array | string): Buffer {
  if (typeof bytes === 'string') return Buffer.from(bytes, 'utf8');
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
