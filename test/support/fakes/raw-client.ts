// A client of bare sockets and a Session, for tests of an engine or a controller.
import { readFileSync } from 'node:fs';
import {
  type AnyMessage,
  type ClientConnectionInfo,
  channelAddress,
  type Dict,
  type NewMessage,
  parentId,
  type Session,
  validateClientConnectionInfo,
} from '@ipyparallel-js/protocol';
import { createSession } from '@ipyparallel-js/wire';
import { curveKeyPair, Dealer, Subscriber } from 'zeromq';
import { waitFor } from '../wait-for.js';

type RequestChannel = 'registration' | 'mux' | 'task' | 'control' | 'broadcast';

export interface RawReply {
  /** The channel that received it. */
  readonly channel: RequestChannel | 'iopub' | 'notification';
  readonly message: AnyMessage;
}

export interface Submitted {
  readonly id: string;
  reply(timeout?: number): Promise<AnyMessage>;
}

export interface SubmitParts {
  readonly metadata?: Dict;
  readonly buffers?: readonly Uint8Array[];
}

export class RawClient {
  readonly session: Session;
  readonly info: ClientConnectionInfo;
  /** All received messages, in order. */
  readonly received: RawReply[] = [];
  /** The first reply to each request. */
  readonly #replies = new Map<string, AnyMessage>();
  readonly #dealers = new Map<RequestChannel, Dealer>();
  readonly #subscribers: Subscriber[] = [];
  /** Sockets that are not connected. */
  readonly #unlinked = new Set<RawReply['channel']>();
  #sending: Promise<void> = Promise.resolve();

  /** `routingId` defaults to the session; a client that reconnects uses another one. */
  constructor(info: ClientConnectionInfo, options: { session?: string; routingId?: string } = {}) {
    this.info = info;
    const { session } = options;
    this.session = createSession(info, session === undefined ? {} : { session });
    const routingId = options.routingId ?? this.session.session;
    const curve = info.curve_serverkey === null ? {} : curveOf(info.curve_serverkey);
    for (const channel of ['registration', 'mux', 'task', 'control', 'broadcast'] as const) {
      const port = info[channel];
      if (port === undefined) continue;
      const dealer = new Dealer({ linger: 0, routingId, ...curve });
      this.#awaitLink(channel, dealer);
      dealer.connect(channelAddress(info.interface, port));
      this.#dealers.set(channel, dealer);
      void this.#read(channel, dealer);
    }
    for (const channel of ['iopub', 'notification'] as const) {
      const subscriber = new Subscriber({ linger: 0, ...curve });
      subscriber.subscribe('');
      this.#awaitLink(channel, subscriber);
      subscriber.connect(channelAddress(info.interface, info[channel]));
      this.#subscribers.push(subscriber);
      void this.#read(channel, subscriber);
    }
  }

  static fromFile(path: string, options: { session?: string; routingId?: string } = {}): RawClient {
    return new RawClient(validateClientConnectionInfo(JSON.parse(readFileSync(path, 'utf8')), path), options);
  }

  /** Sends a request; `target` is the uuid of an engine, for mux and control. */
  submit(
    channel: RequestChannel,
    msgType: string,
    content: Dict,
    target?: string,
    parts: SubmitParts = {},
  ): Submitted {
    const message = this.session.rawMessage(msgType, content, parts);
    this.send(channel, message, target);
    return {
      id: message.msg_id,
      reply: (timeout) => this.replyTo(message.msg_id, timeout),
    };
  }

  send(channel: RequestChannel, message: NewMessage, target?: string): void {
    this.sendFrames(channel, this.session.encode(message, target === undefined ? [] : [target]));
  }

  sendFrames(channel: RequestChannel, frames: Buffer[]): void {
    const dealer = this.#dealers.get(channel);
    if (dealer === undefined) throw new Error(`no ${channel} socket`);
    this.#sending = this.#sending
      .then(() => dealer.send(frames))
      .catch((error: unknown) => {
        if (!dealer.closed) throw error;
      });
  }

  async replyTo(msgId: string, timeout = 45_000): Promise<AnyMessage> {
    return await waitFor(() => this.#replies.get(msgId), { timeout, what: `the reply to ${msgId}` });
  }

  async execute(target: string, code: string, options: Dict = {}): Promise<AnyMessage> {
    return await this.submit('mux', 'execute_request', executeContent(code, options), target).reply();
  }

  /** The messages that engines have published for one request so far. */
  published(msgId: string, msgType?: string): AnyMessage[] {
    return this.received
      .filter(({ channel, message }) => channel === 'iopub' && parentId(message) === msgId)
      .map(({ message }) => message)
      .filter((message) => msgType === undefined || message.msg_type === msgType);
  }

  /** The text of one stream of one request, after its engine has reported that it is idle. */
  async streamText(msgId: string, name: 'stdout' | 'stderr'): Promise<string> {
    await this.untilIdle(msgId);
    return this.published(msgId, 'stream')
      .filter(({ content }) => content.name === name)
      .map(({ content }) => String(content.text))
      .join('');
  }

  async untilIdle(msgId: string): Promise<void> {
    await waitFor(
      () => this.published(msgId, 'status').some(({ content }) => content.execution_state === 'idle'),
      { what: `the engine to be idle after ${msgId}` },
    );
  }

  /** Waits until every socket is connected: after the next reply, no published or sent message is lost. */
  async linked(): Promise<void> {
    await waitFor(() => this.#unlinked.size === 0, { what: () => `links of ${[...this.#unlinked].join()}` });
  }

  /** The uuids of the registered engines by id, after every socket has connected. */
  async engines(): Promise<Map<number, string>> {
    await this.linked();
    const reply = await this.submit('registration', 'connection_request', {}).reply();
    const engines = reply.content.engines as Record<string, string>;
    return new Map(Object.entries(engines).map(([id, uuid]) => [Number(id), uuid]));
  }

  /** The complete record of a task, without buffers. */
  async record(msgId: string): Promise<Dict | undefined> {
    const query = { msg_id: { $eq: msgId } };
    const reply = await this.submit('registration', 'db_request', { query, keys: null }).reply();
    return (reply.content.records as Dict[] | undefined)?.[0];
  }

  close(): void {
    for (const socket of [...this.#dealers.values(), ...this.#subscribers]) socket.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  #awaitLink(channel: RawReply['channel'], socket: Dealer | Subscriber): void {
    this.#unlinked.add(channel);
    socket.events.on('handshake', () => this.#unlinked.delete(channel));
    socket.events.on('disconnect', () => this.#unlinked.add(channel));
  }

  async #read(channel: RawReply['channel'], socket: Dealer | Subscriber): Promise<void> {
    try {
      for await (const frames of socket) {
        const message = this.session.decode(frames);
        this.received.push({ channel, message });
        const request = channel === 'iopub' ? undefined : parentId(message);
        if (request !== undefined && !this.#replies.has(request)) this.#replies.set(request, message);
      }
    } catch (error) {
      if (!socket.closed) throw error;
    }
  }
}

export function executeContent(code: string, options: Dict = {}): Dict {
  return { code, silent: false, user_expressions: {}, ...options };
}

function curveOf(curveServerKey: string): {
  curveServerKey: string;
  curvePublicKey: string;
  curveSecretKey: string;
} {
  const { publicKey, secretKey } = curveKeyPair();
  return { curveServerKey, curvePublicKey: publicKey, curveSecretKey: secretKey };
}
