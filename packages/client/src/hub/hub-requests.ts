import {
  type AnyMessage,
  AuthenticationError,
  ConnectionClosedError,
  type Dict,
  type MessageContents,
  type MsgType,
  parentId,
  SignatureError,
} from '@ipyparallel-js/protocol';
import { hubError } from '@ipyparallel-js/protocol/internal';
import {
  type Deadline,
  formatMs,
  startDeadline,
  timeoutError,
  type WaitOptions,
  waitFor,
} from '@ipyparallel-js/wire';
import type { Transport } from '../connection/transport.js';

/** A successful reply of the hub: the content without the error alternative, and the buffers. */
export interface HubReply<C> {
  readonly content: C;
  readonly buffers: readonly Buffer[];
}

type RequestType = Extract<MsgType, `${string}_request`>;
type ReplyType<T extends RequestType> = T extends `${infer Name}_request`
  ? Extract<MsgType, `${Name}_reply`>
  : never;
/** The content of a successful reply to a request. */
export type OkContent<T extends RequestType> = Extract<
  MessageContents[ReplyType<T>],
  { readonly status: 'ok' }
>;

interface Pending {
  readonly msgType: MsgType;
  readonly content: Dict;
  /** Whether the request establishes the connection: it is sent before the client is connected, and never repeated. */
  readonly handshake: boolean;
  readonly resolve: (message: AnyMessage) => void;
  readonly reject: (reason: unknown) => void;
  /** The id of the sent message; undefined while the request waits for a connection. */
  msgId: string | undefined;
}

/** Requests that change nothing at the hub, so they may be repeated after a reconnection. */
const READ_REQUESTS: ReadonlySet<MsgType> = new Set<MsgType>([
  'connection_request',
  'queue_request',
  'result_request',
  'history_request',
  'db_request',
  'load_request',
]);

/** How long to wait for the first reply before probing for a wrong key. */
const PROBE_AFTER_MS = 1_000;

/**
 * Sends requests to the hub on its query socket, matches the replies, and applies deadlines. Requests made without a
 * connection wait for one; requests that only read are repeated on the next connection.
 */
export class HubRequests {
  /** The timeout of a request that specifies none, in ms. */
  readonly defaultTimeout: number;
  readonly #transport: Transport;
  readonly #pending = new Set<Pending>();
  readonly #sent = new Map<string, Pending>();
  #isConnected = false;
  /** Whether the signature of any message of this hub was valid, which proves that the key is right. */
  #hasValidSignature = false;

  constructor(transport: Transport, defaultTimeout: number) {
    this.#transport = transport;
    this.defaultTimeout = defaultTimeout;
  }

  /**
   * Sends a request and waits for its reply. `msgIds` are the tasks that the request concerns, for error messages.
   * @throws {HubError} or a subclass when the hub replies with an error
   * @throws {TimeoutError} when the hub does not reply in time
   * @throws {ConnectionClosedError} when the client is closed, or the connection breaks during a request that changes something
   * @throws {AuthenticationError} when the hub signs with another key or refuses the CURVE handshake
   */
  async request<T extends RequestType>(
    msgType: T,
    content: MessageContents[T],
    options: WaitOptions & { readonly msgIds?: readonly string[]; readonly handshake?: boolean } = {},
  ): Promise<HubReply<OkContent<T>>> {
    const deadline = startDeadline(options, this.defaultTimeout);
    if (this.#transport.closed) throw new ConnectionClosedError('the client is closed');
    const handshake = options.handshake === true;
    const reply = await waitFor<AnyMessage>(
      deadline,
      (waited) => this.#timeoutError(msgType, waited),
      (resolve, reject) => {
        const pending: Pending = {
          ...{ msgType, content: content as Dict, handshake, resolve, reject, msgId: undefined },
        };
        this.#pending.add(pending);
        const probe = handshake && !this.#hasValidSignature ? this.#probeForWrongKey(reject) : undefined;
        if (this.#isConnected || handshake) this.#send(pending);
        return () => {
          this.#pending.delete(pending);
          if (pending.msgId !== undefined) this.#sent.delete(pending.msgId);
          probe?.();
        };
      },
    );
    if (reply.content.status !== 'ok') throw hubError(reply.content, options.msgIds ?? []);
    return { content: reply.content as unknown as OkContent<T>, buffers: reply.buffers };
  }

  /** Sends a message that has no reply, unless there is no connection. */
  notify<T extends MsgType>(msgType: T, content: MessageContents[T]): void {
    if (this.#isConnected && !this.#transport.closed)
      this.#transport.send('registration', this.#transport.session.message(msgType, content));
  }

  /** Starts a deadline that several requests share. */
  deadline(options: WaitOptions): Deadline {
    return startDeadline(options, this.defaultTimeout);
  }

  /** Resolves the request that a message of the query socket replies to. @returns false when no request waits for it */
  settle(message: AnyMessage): boolean {
    this.#hasValidSignature = true;
    const id = parentId(message);
    const pending = id === undefined ? undefined : this.#sent.get(id);
    if (pending === undefined) return false;
    pending.resolve(message);
    return true;
  }

  /** Sends the requests that waited for the connection. */
  onConnected(): void {
    this.#isConnected = true;
    for (const pending of [...this.#pending]) {
      if (pending.msgId === undefined) this.#send(pending);
    }
  }

  /** Keeps the requests that only read for the next connection, and rejects the others. */
  onDisconnected(): void {
    this.#isConnected = false;
    // The next connection may lead to another controller.
    this.#hasValidSignature = false;
    for (const pending of [...this.#pending]) {
      if (pending.msgId === undefined || pending.handshake) continue;
      this.#sent.delete(pending.msgId);
      pending.msgId = undefined;
      if (READ_REQUESTS.has(pending.msgType)) continue;
      pending.reject(
        new ConnectionClosedError(
          `the connection to the hub at ${this.#transport.address('registration')} broke before its reply to ${pending.msgType} arrived; whether the hub carried out the request is unknown`,
        ),
      );
    }
  }

  /** Rejects all pending requests except those that establish the connection. */
  failAll(error: Error): void {
    for (const pending of [...this.#pending]) if (!pending.handshake) pending.reject(error);
  }

  #send(pending: Pending): void {
    const message = this.#transport.session.rawMessage(pending.msgType, pending.content);
    pending.msgId = message.msg_id;
    this.#sent.set(message.msg_id, pending);
    this.#transport.send('registration', message);
  }

  #timeoutError(msgType: string, waited: number): Error {
    const at = this.#transport.address('registration');
    if (this.#transport.handshakeRefused) {
      return new AuthenticationError(
        `the hub at ${at} refused the security handshake (waited ${formatMs(waited)}); the connection file has another CURVE key than the hub, or only one side uses CURVE`,
      );
    }
    const cause = this.#transport.hubLinked
      ? 'something accepts connections there but does not reply; the hub may be stopped or busy with a long query'
      : 'nothing accepts connections there; is the controller running, and is this its connection file?';
    const connectionHint = this.#transport.connection.hint();
    const hint = connectionHint === '' ? cause : `${cause} ${connectionHint}`;
    return timeoutError(`no reply to ${msgType} from the hub at ${at}`, waited, hint);
  }

  // A Python hub ignores messages with an invalid signature, but it replies to a lone delimiter with an error that it
  // signs with its own key. If that signature is invalid here, this client has another key.
  #probeForWrongKey(reject: (reason: unknown) => void): () => void {
    let close = (): void => undefined;
    const timer = setTimeout(() => {
      const probe = this.#transport.openProbe((frames) => {
        void probe.close();
        try {
          this.#transport.session.decode(frames);
        } catch (cause) {
          if (!(cause instanceof SignatureError)) return;
          const { path } = this.#transport.connection;
          reject(
            new AuthenticationError(
              `the hub at ${this.#transport.address('registration')} signs with another key than ${path} has; is the file from a previous controller?`,
              { cause },
            ),
          );
        }
      });
      close = () => void probe.close();
      probe.send([Buffer.from('<IDS|MSG>')]);
    }, PROBE_AFTER_MS);
    return () => {
      clearTimeout(timer);
      close();
    };
  }
}
