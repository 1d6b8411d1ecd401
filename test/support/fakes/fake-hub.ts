// The sockets that a controller offers to clients, with replies that a test scripts, valid or not.
import {
  type AnyMessage,
  type Dict,
  MalformedMessageError,
  type NewMessage,
  newId,
  Session,
  SignatureError,
} from '@ipyparallel-js/protocol';
import { pause } from '@ipyparallel-js/wire';
import { Router, XPublisher } from 'zeromq';
import { PortBlock } from '../clusters/ports.js';
import { waitFor } from '../wait-for.js';

/** How long a stopping hub waits for a subscriber to its published messages, in ms. */
const SUBSCRIBERS_MS = 2_000;

const requestChannels = ['registration', 'control', 'mux', 'task', 'broadcast'] as const;
const publishChannels = ['iopub', 'notification'] as const;
type RequestChannel = (typeof requestChannels)[number];
type PublishChannel = (typeof publishChannels)[number];

/** A request with a valid signature. */
export interface Request {
  readonly channel: RequestChannel;
  readonly ident: Buffer;
  readonly message: AnyMessage;
}

/** The handler of a request: undefined for the default reply, false for none. */
export type Answer = (request: Request, hub: FakeHub) => Dict | false | undefined;

export interface FakeHubOptions {
  /** The key with which the hub signs, if it differs from its connection file. */
  readonly signingKey?: string;
  readonly answer?: Answer;
  /** Whether the hub replies to a lone delimiter; true by default. */
  readonly answersProbes?: boolean;
  /** A stopped hub whose ports and key this one reuses. */
  readonly like?: FakeHub;
}

export class FakeHub {
  readonly key: string;
  /** Creates and signs the messages of the hub. */
  readonly session: Session;
  readonly requests: Request[] = [];
  /** The number of received lone delimiters. */
  probes = 0;
  readonly #reading: Session;
  readonly #options: FakeHubOptions;
  readonly #routers = new Map<RequestChannel, Router>();
  readonly #publishers = new Map<PublishChannel, XPublisher>();
  /** Resolves when a client has subscribed; earlier messages reach nobody. */
  readonly #subscriptions = new Map<PublishChannel, Promise<void>>();
  readonly #ports = new Map<RequestChannel | PublishChannel, number>();
  #sending: Promise<void> = Promise.resolve();

  private constructor(options: FakeHubOptions) {
    this.#options = options;
    this.key = options.like?.key ?? newId();
    const now = (): Date => new Date();
    this.session = new Session({ key: options.signingKey ?? this.key, now });
    this.#reading = new Session({ key: this.key, now });
  }

  static async start(options: FakeHubOptions = {}): Promise<FakeHub> {
    const hub = new FakeHub(options);
    const { like } = options;
    const ports = like === undefined ? await claimPorts() : like.#ports;
    for (const [channel, port] of ports) hub.#ports.set(channel, port);
    for (const channel of requestChannels) {
      const router = new Router({ linger: 0 });
      hub.#routers.set(channel, router);
      await bind(router, hub.#ports.get(channel));
      void hub.#read(channel, router);
    }
    for (const channel of publishChannels) {
      const publisher = new XPublisher({ linger: 0 });
      hub.#publishers.set(channel, publisher);
      hub.#subscriptions.set(channel, hub.#untilSubscribed(publisher));
      await bind(publisher, hub.#ports.get(channel));
    }
    return hub;
  }

  /** The content of its connection file. */
  get info(): { readonly [key: string]: unknown } {
    return {
      ...Object.fromEntries(this.#ports),
      ...{ interface: 'tcp://127.0.0.1', location: '', ssh: '', key: this.key, curve_serverkey: null },
      ...{ pack: 'json', unpack: 'json', signature_scheme: 'hmac-sha256', task_scheme: 'leastload' },
    };
  }

  get address(): string {
    return `tcp://127.0.0.1:${this.#ports.get('registration')}`;
  }

  /** Creates the frames of a reply, without the identity. */
  reply(request: Request, content: Dict, msgType = replyType(request)): Buffer[] {
    const message = this.session.rawMessage(msgType, content, { parent: request.message.header });
    return this.session.encode(message);
  }

  /** Sends frames to the peer of a request. */
  send(request: Request, frames: readonly (Buffer | string)[]): void {
    this.#queue(this.#routers.get(request.channel), [request.ident, ...frames]);
  }

  /** Replies to a task as an engine does: publishes that the engine is idle, so that the client expects no output. */
  finish(request: Request, content: Dict): void {
    this.send(request, this.reply(request, content));
    const { header } = request.message;
    const idle = this.session.rawMessage('status', { execution_state: 'idle' }, { parent: header });
    this.publish('iopub', this.session.encode(idle, ['topic']));
  }

  /** Publishes frames, once there is a subscriber. */
  publish(channel: PublishChannel, frames: readonly (Buffer | string)[]): void {
    this.#sending = this.#sending.then(() => this.#subscriptions.get(channel));
    this.#queue(this.#publishers.get(channel), [...frames]);
  }

  notify(message: NewMessage): void {
    this.publish('notification', this.session.encode(message, ['topic']));
  }

  async stop(): Promise<void> {
    const timer = new AbortController();
    await Promise.race([this.#sending, pause(SUBSCRIBERS_MS, timer.signal)]);
    timer.abort();
    for (const socket of [...this.#routers.values(), ...this.#publishers.values()]) socket.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #queue(socket: Router | XPublisher | undefined, frames: (Buffer | string)[]): void {
    if (socket === undefined) throw new Error('no such socket');
    this.#sending = this.#sending.then(() => (socket.closed ? undefined : socket.send(frames)));
  }

  async #untilSubscribed(publisher: XPublisher): Promise<void> {
    try {
      await publisher.receive();
    } catch (error) {
      if (!publisher.closed) throw error;
    }
  }

  async #read(channel: RequestChannel, router: Router): Promise<void> {
    try {
      for await (const frames of router) this.#take(channel, frames);
    } catch (error) {
      if (!router.closed) throw error;
    }
  }

  #take(channel: RequestChannel, frames: Buffer[]): void {
    const [ident = Buffer.alloc(0), second] = frames;
    if (frames.length === 2 && String(second) === '<IDS|MSG>') {
      this.probes++;
      if (this.#options.answersProbes === false) return;
      const error = this.session.rawMessage('hub_error', {
        status: 'error',
        ename: 'ValueError',
        evalue: '',
      });
      this.#queue(this.#routers.get(channel), [ident, ...this.session.encode(error)]);
      return;
    }
    let message: AnyMessage;
    try {
      message = this.#reading.decode(frames);
    } catch (error) {
      // Like a stock hub, it ignores messages with an invalid signature.
      if (error instanceof SignatureError || error instanceof MalformedMessageError) return;
      throw error;
    }
    const request = { channel, ident, message };
    this.requests.push(request);
    const content = this.#options.answer?.(request, this);
    if (content === false) return;
    const reply = content ?? defaultReply(message);
    if (reply === undefined) return;
    if (/^(?:execute|apply)_request$/.test(message.msg_type)) this.finish(request, reply);
    else this.send(request, this.reply(request, reply));
  }
}

function replyType({ message }: Request): string {
  return message.msg_type.replace(/_request$/, '_reply');
}

function defaultReply(message: AnyMessage): Dict | undefined {
  switch (message.msg_type) {
    case 'connection_request':
      return { status: 'ok', engines: {} };
    case 'db_request':
      return { status: 'ok', records: [], buffer_lens: null, result_buffer_lens: null };
    case 'history_request':
      return { status: 'ok', history: [] };
    default:
      return undefined;
  }
}

/** Claims a port for each channel. They stay claimed after the hub has stopped: no other program takes them meanwhile. */
async function claimPorts(): Promise<ReadonlyMap<RequestChannel | PublishChannel, number>> {
  const channels = [...requestChannels, ...publishChannels];
  const block = await PortBlock.reserve(channels.length + 1);
  const { from } = block.range(1, channels.length);
  return new Map(channels.map((channel, i) => [channel, from + i]));
}

/** Binds a port, which another hub may have released a moment ago, so that it is not free yet. */
async function bind(socket: Router | XPublisher, port: number | undefined): Promise<void> {
  await waitFor(
    async () => {
      try {
        await socket.bind(`tcp://127.0.0.1:${port}`);
        return true;
      } catch {
        return false;
      }
    },
    { what: `port ${port} to be free` },
  );
}
