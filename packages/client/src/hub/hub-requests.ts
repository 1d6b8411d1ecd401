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

/** A successful reply of the hub: its content without the error alternative, and its buffers. */
export interface HubReply<C> {
  readonly content: C;
  readonly buffers: readonly Buffer[];
}

type RequestType = Extract<MsgType, `${string}_request`>;
type ReplyType<T extends RequestType> = T extends `${infer Name}_request`
  ? Extract<MsgType, `${Name}_reply`>
  : never;
/** The content of a request's reply when it is no error. */
export type OkContent<T extends RequestType> = Extract<
  MessageContents[ReplyType<T>],
  { readonly status: 'ok' }
>;

interface Pending {
  readonly msgType: MsgType;
  readonly content: Dict;
  /** Asked to find out whether there is a connection: it belongs to one life of it, and leaves without a connection. */
  readonly opening: boolean;
  readonly resolve: (message: AnyMessage) => void;
  readonly reject: (reason: unknown) => void;
  /** What it was sent as; undefined while it waits for a connection. */
  msgId: string | undefined;
}

/** What changes nothing at the hub, so that it may be asked again. */
const READS: ReadonlySet<MsgType> = new Set<MsgType>([
  'connection_request',
  'queue_request',
  'result_request',
  'history_request',
  'db_request',
  'load_request',
]);

/** After this long without an answer, it is asked whether the key is wrong. */
const PROBE_AFTER_MS = 1_000;

/**
 * Requests to the hub on its query socket: correlation, deadlines, errors, and the probe for a wrong key. Asked while
 * there is no connection, they wait for it; those that only read are asked again on the next one.
 */
export class HubRequests {
  /** The time-out of a request that names none, in ms. */
  readonly defaultTimeout: number;
  readonly #transport: Transport;
  readonly #pending = new Set<Pending>();
  readonly #sent = new Map<string, Pending>();
  #connected = false;
  /** Whether a reply of this hub has ever verified: then the key is right. */
  #trusted = false;

  constructor(transport: Transport, defaultTimeout: number) {
    this.#transport = transport;
    this.defaultTimeout = defaultTimeout;
  }

  /** Asks the hub. `msgIds` are those the request is about, to name them in an error. */
  async request<T extends RequestType>(
    msgType: T,
    content: MessageContents[T],
    options: WaitOptions & { readonly msgIds?: readonly string[]; readonly opening?: boolean } = {},
  ): Promise<HubReply<OkContent<T>>> {
    const deadline = startDeadline(options, this.defaultTimeout);
    if (this.#transport.closed) throw new ConnectionClosedError('the client is closed');
    const opening = options.opening === true;
    const reply = await waitFor<AnyMessage>(
      deadline,
      (waited) => this.#timedOut(msgType, waited),
      (resolve, reject) => {
        const pending: Pending = {
          ...{ msgType, content: content as Dict, opening, resolve, reject, msgId: undefined },
        };
        this.#pending.add(pending);
        const probe = opening && !this.#trusted ? this.#probeForWrongKey(reject) : undefined;
        if (this.#connected || opening) this.#send(pending);
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

  /** Says something that has no reply; not at all while there is no connection. */
  tell<T extends MsgType>(msgType: T, content: MessageContents[T]): void {
    if (this.#connected && !this.#transport.closed)
      this.#transport.send('registration', this.#transport.session.message(msgType, content));
  }

  /** A deadline for several requests in a row. */
  deadline(options: WaitOptions): Deadline {
    return startDeadline(options, this.defaultTimeout);
  }

  /** Takes a message of the query socket; false when nothing waits for it. */
  settle(message: AnyMessage): boolean {
    this.#trusted = true;
    const id = parentId(message);
    const pending = id === undefined ? undefined : this.#sent.get(id);
    if (pending === undefined) return false;
    pending.resolve(message);
    return true;
  }

  /** There is a connection: what waits for one is asked. */
  onConnected(): void {
    this.#connected = true;
    for (const pending of [...this.#pending]) {
      if (pending.msgId === undefined) this.#send(pending);
    }
  }

  /** The connection broke: what only reads waits for the next one, the rest fails. */
  onDisconnected(): void {
    this.#connected = false;
    // The next connection may be another controller's.
    this.#trusted = false;
    for (const pending of [...this.#pending]) {
      if (pending.msgId === undefined || pending.opening) continue;
      this.#sent.delete(pending.msgId);
      pending.msgId = undefined;
      if (READS.has(pending.msgType)) continue;
      pending.reject(
        new ConnectionClosedError(
          `the connection to the hub at ${this.#transport.address('registration')} broke before its answer to ${pending.msgType} came; whether that took place is unknown`,
        ),
      );
    }
  }

  /** Fails everything that waits; what asks whether there is a connection goes on. */
  failAll(error: Error): void {
    for (const pending of [...this.#pending]) if (!pending.opening) pending.reject(error);
  }

  #send(pending: Pending): void {
    const message = this.#transport.session.rawMessage(pending.msgType, pending.content);
    pending.msgId = message.msg_id;
    this.#sent.set(message.msg_id, pending);
    this.#transport.send('registration', message);
  }

  #timedOut(msgType: string, waited: number): Error {
    const at = this.#transport.address('registration');
    if (this.#transport.handshakeRefused) {
      return new AuthenticationError(
        `the hub at ${at} refused the security handshake (waited ${formatMs(waited)}); the CURVE key of the connection file is not the hub's, or only one side uses CURVE`,
      );
    }
    const cause = this.#transport.hubLinked
      ? 'something accepts connections there but does not answer; the hub may be stopped or busy with a long query'
      : 'nothing accepts connections there; is the controller running, and is this its connection file?';
    const known = this.#transport.connection.hint();
    const hint = known === '' ? cause : `${cause} ${known}`;
    return timeoutError(`no answer to ${msgType} from the hub at ${at}`, waited, hint);
  }

  // A stock hub never answers a message whose signature is wrong, but it answers a lone delimiter with an error
  // signed with its own key. If that does not verify, our key is wrong.
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
              `the hub at ${this.#transport.address('registration')} signs with another key than ${path} has; is the file of an earlier controller?`,
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

/** A reply's content as a dict, for the keys that depend on the request (engine ids, msg_ids). */
export function asDict(content: object): Dict {
  return content as Dict;
}
