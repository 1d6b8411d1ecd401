import { v4 as uuid } from 'uuid';
import { formatWireDate } from '../common/dates.js';
import type { Dict } from '../common/dict.js';
import { type Codec, decodeMessage, encodeMessage, type OutgoingMessage } from './codec.js';
import type { AnyMessage, Header, MessageContents, MsgType } from './messages.js';
import { packerFor } from './packers.js';
import { ReplayHistory } from './replay-history.js';
import { createSigner } from './signing.js';

/** The version of the Jupyter messaging protocol in the headers of this library. */
export const PROTOCOL_VERSION = '5.3';

/** Creates an identifier in Jupyter's format, 8 and 24 hexadecimal digits, for sessions, engines and keys. */
export function newId(): string {
  const hex = uuid().replaceAll('-', '');
  return `${hex.slice(0, 8)}-${hex.slice(8)}`;
}

/** Options of a {@link Session}. */
export interface SessionOptions {
  /** The HMAC key of the connection file. With an empty key, as under CURVE, messages are not signed. */
  readonly key: string;
  /** The signature scheme of the connection file; `hmac-sha256` by default. */
  readonly signatureScheme?: string;
  /** The name of the packer in the connection file; `json` by default. */
  readonly pack?: string;
  /** The name of the unpacker in the connection file; the value of `pack` by default. */
  readonly unpack?: string;
  /** The clock for the dates of messages. */
  readonly now: () => Date;
  /** The session id; a new one by default. */
  readonly session?: string;
  /** The user name in headers; `username` by default. */
  readonly username?: string;
  /** The process id in msg_ids; 0 by default. */
  readonly pid?: number;
}

/** A message created by {@link Session.message}, ready to be encoded. */
export interface NewMessage<T extends string = string> extends OutgoingMessage {
  readonly header: Header & { readonly msg_type: T };
  readonly msg_id: string;
  readonly msg_type: T;
}

/** The parts of a message other than its content. */
export interface MessageParts {
  /** The header of the request that this message replies to; empty by default. */
  readonly parent?: Header | Dict;
  readonly metadata?: Dict;
  readonly buffers?: readonly Uint8Array[];
  /** The content if this session's packer has already packed it; `content` is then ignored. */
  readonly packedContent?: Buffer;
}

/**
 * Creates, signs and verifies the messages of one session. It opens no socket.
 * Mirrors `Session` of jupyter_client.
 */
export class Session {
  /** The session id; the `client_uuid` of the tasks submitted under it. */
  readonly session: string;
  readonly username: string;
  #codec: Codec;
  readonly #now: () => Date;
  readonly #pid: number;
  #count = 0;

  constructor(options: SessionOptions) {
    this.session = options.session ?? newId();
    this.username = options.username ?? 'username';
    this.#codec = codecOf(options);
    this.#now = options.now;
    this.#pid = options.pid ?? 0;
  }

  /** The current packer and signer. */
  get codec(): Codec {
    return this.#codec;
  }

  /** Replaces the packer and the signer, for a controller that restarted with another key. */
  changeSigning(signing: Pick<SessionOptions, 'key' | 'signatureScheme' | 'pack' | 'unpack'>): void {
    this.#codec = codecOf(signing);
  }

  /** Same as {@link session}. */
  get id(): string {
    return this.session;
  }

  /** Creates a message of a known type, with a new msg_id and the current date. */
  message<T extends MsgType>(msgType: T, content: MessageContents[T], parts?: MessageParts): NewMessage<T> {
    return this.rawMessage(msgType, content as Dict, parts);
  }

  /** Creates a message of any type; for relays and tests. */
  rawMessage<T extends string>(msgType: T, content: Dict, parts: MessageParts = {}): NewMessage<T> {
    const header = this.header(msgType);
    return {
      header,
      msg_id: header.msg_id,
      msg_type: msgType,
      parent_header: parts.parent ?? {},
      metadata: parts.metadata ?? {},
      content,
      ...(parts.packedContent === undefined ? {} : { packedContent: parts.packedContent }),
      buffers: parts.buffers ?? [],
    };
  }

  /** Creates a header with a new msg_id and the current date. */
  header<T extends string>(msgType: T): Header & { readonly msg_type: T } {
    return {
      msg_id: `${this.session}_${this.#pid}_${this.#count++}`,
      msg_type: msgType,
      username: this.username,
      session: this.session,
      date: formatWireDate(this.#now()),
      version: PROTOCOL_VERSION,
    };
  }

  /** Encodes and signs a message; its frames follow the given identities. */
  encode(message: OutgoingMessage, idents?: readonly (Uint8Array | string)[]): Buffer[] {
    return encodeMessage(this.#codec, message, idents);
  }

  /**
   * Verifies and decodes a message.
   * @param history the history of this receiver; without it, replays are not detected
   * @throws {ProtocolError} when the message is malformed, has no valid signature or is a replay
   */
  decode(frames: readonly Buffer[], history?: ReplayHistory): AnyMessage {
    return decodeMessage(this.#codec, frames, history);
  }

  /** Creates a replay history for one receiver. */
  newHistory(size?: number): ReplayHistory {
    return new ReplayHistory(size);
  }
}

function codecOf({
  key,
  signatureScheme,
  pack,
  unpack,
}: Pick<SessionOptions, 'key' | 'signatureScheme' | 'pack' | 'unpack'>): Codec {
  return { packer: packerFor(pack, unpack), signer: createSigner(key, signatureScheme) };
}
