import { v4 as uuid } from 'uuid';
import { formatWireDate } from '../common/dates.js';
import type { Dict } from '../common/dict.js';
import { type Codec, decodeMessage, encodeMessage, type OutgoingMessage } from './codec.js';
import type { AnyMessage, Header, MessageContents, MsgType } from './messages.js';
import { packerFor } from './packers.js';
import { ReplayHistory } from './replay-history.js';
import { createSigner } from './signing.js';

/** The version of the Jupyter messaging protocol that our headers carry. */
export const PROTOCOL_VERSION = '5.3';

/** A fresh identifier in Jupyter's form: 8 and 24 hexadecimal digits, for sessions, engines and keys. */
export function newId(): string {
  const hex = uuid().replaceAll('-', '');
  return `${hex.slice(0, 8)}-${hex.slice(8)}`;
}

/** What a Session is made of. */
export interface SessionOptions {
  /** The HMAC key of the connection file; empty signs nothing, as under CURVE. */
  readonly key: string;
  /** `hmac-sha256` by default. */
  readonly signatureScheme?: string;
  /** Packer names of the connection file; `json` by default. */
  readonly pack?: string;
  readonly unpack?: string;
  /** The clock that dates messages. */
  readonly now: () => Date;
  /** Session id; a fresh one by default. */
  readonly session?: string;
  readonly username?: string;
  /** Process id that msg_ids carry, 0 by default. */
  readonly pid?: number;
}

/** A message that this side made and has not yet sent. */
export interface NewMessage<T extends string = string> extends OutgoingMessage {
  readonly header: Header & { readonly msg_type: T };
  readonly msg_id: string;
  readonly msg_type: T;
}

/** What may stand beside a message's content. */
export interface MessageParts {
  readonly parent?: Header | Dict;
  readonly metadata?: Dict;
  readonly buffers?: readonly Uint8Array[];
  /** The content's bytes by this session's packer, instead of the content. */
  readonly packedContent?: Buffer;
}

/** A session identity: makes, signs and reads messages. Mirrors jupyter_client's `Session`, without its sockets. */
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

  /** How messages are packed and signed now. */
  get codec(): Codec {
    return this.#codec;
  }

  /** Packs and signs otherwise from now on, as a controller that came back with another key wants it. */
  changeSigning(signing: Pick<SessionOptions, 'key' | 'signatureScheme' | 'pack' | 'unpack'>): void {
    this.#codec = codecOf(signing);
  }

  /** The session id, by its other name. */
  get id(): string {
    return this.session;
  }

  /** A new message of a known type, with a fresh msg_id and the clock's date. */
  message<T extends MsgType>(msgType: T, content: MessageContents[T], parts?: MessageParts): NewMessage<T> {
    return this.rawMessage(msgType, content as Dict, parts);
  }

  /** A new message of any type; for relays and tests. */
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

  /** A fresh header of this session. */
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

  /** The frames of a message, behind the given identities. */
  encode(message: OutgoingMessage, idents?: readonly (Uint8Array | string)[]): Buffer[] {
    return encodeMessage(this.#codec, message, idents);
  }

  /** Reads and verifies a message; pass one history per receiver. @throws ProtocolError */
  decode(frames: readonly Buffer[], history?: ReplayHistory): AnyMessage {
    return decodeMessage(this.#codec, frames, history);
  }

  /** A new history for one receiver. */
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
