// The engine's side of a controller, with real sockets: registers engines, sends heartbeats and tasks.
import {
  type AnyMessage,
  type Dict,
  type EngineConnectionInfo,
  type NewMessage,
  newId,
  parentId,
  Session,
} from '@ipyparallel-js/protocol';
import { curveKeyPair, Publisher, Router, Subscriber } from 'zeromq';
import { waitFor } from '../wait-for.js';

export interface FakeControllerOptions {
  /** In ms; 100 by default. */
  hbPeriod?: number;
  curve?: boolean;
  pack?: 'json' | 'msgpack';
  /** The number of broadcast leaves; 2 by default. */
  leaves?: number;
  /** The reply to a registration_request; status ok with ids from 0 by default, no reply for undefined. */
  register?: (request: AnyMessage) => Dict | undefined;
  /** The key of the replies; the connection file's key by default. */
  answerKey?: string;
}

export interface FromEngine {
  readonly channel: string;
  readonly message: AnyMessage;
}

export class FakeController {
  readonly session: Session;
  /** All verified messages, in order; heartbeats are in `pongs`. */
  readonly received: FromEngine[] = [];
  readonly pongs: string[] = [];
  /** The routing ids of engines that have sent a registration_request. */
  readonly registered: string[] = [];
  beating = true;
  readonly #options: FakeControllerOptions;
  readonly #curve: { publicKey: string; secretKey: string } | undefined;
  readonly #replySession: Session;
  readonly #routers = new Map<string, Router>();
  readonly #ports = new Map<string, number>();
  readonly #iopub: Subscriber;
  readonly #ping: Publisher;
  #sending: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #beats = 0;

  private constructor(options: FakeControllerOptions) {
    this.#options = options;
    this.#curve = options.curve === true ? curveKeyPair() : undefined;
    const key = this.#curve === undefined ? newId() : '';
    const common = { pack: options.pack ?? 'json', now: () => new Date(), pid: process.pid };
    this.session = new Session({ ...common, key });
    this.#replySession = new Session({ ...common, key: options.answerKey ?? key });
    this.key = key;
    this.#iopub = new Subscriber({ ...this.#server() });
    this.#ping = new Publisher({ ...this.#server() });
  }

  readonly key: string;

  static async start(options: FakeControllerOptions = {}): Promise<FakeController> {
    const controller = new FakeController(options);
    await controller.#bind();
    return controller;
  }

  get connectionInfo(): EngineConnectionInfo {
    const port = (name: string): number => this.#ports.get(name) ?? 0;
    const pack = this.#options.pack ?? 'json';
    return {
      interface: 'tcp://127.0.0.1',
      registration: port('registration'),
      control: port('control'),
      mux: port('mux'),
      task: port('task'),
      iopub: port('iopub'),
      hb_ping: port('hb_ping'),
      hb_pong: port('hb_pong'),
      broadcast: [...this.#ports.keys()].filter((name) => name.startsWith('leaf-')).map(port),
      key: this.key,
      curve_serverkey: this.#curve?.publicKey ?? null,
      location: '',
      pack,
      unpack: pack,
      signature_scheme: 'hmac-sha256',
      ssh: '',
    };
  }

  /** Sends a request to an engine; resolves with its msg_id. */
  submit(channel: string, uuid: string, msgType: string, content: Dict, metadata: Dict = {}): string {
    const message = this.session.rawMessage(msgType, content, { metadata });
    this.sendFrames(channel, uuid, this.frames(message));
    return message.msg_id;
  }

  /** The frames of a request as an engine receives them, after a client's identity. */
  frames(message: NewMessage): Buffer[] {
    return this.session.encode(message, ['the-client']);
  }

  sendFrames(channel: string, uuid: string, frames: Buffer[]): void {
    const router = this.#routers.get(channel);
    if (router === undefined) throw new Error(`no channel ${channel}`);
    this.#sending = this.#sending.then(() => router.send([uuid, ...frames]));
  }

  async replyTo(msgId: string, timeout = 45_000): Promise<FromEngine> {
    return await waitFor(
      () => this.received.find(({ channel, message }) => channel !== 'iopub' && parentId(message) === msgId),
      { timeout, what: `the reply to ${msgId}` },
    );
  }

  async content(channel: string, uuid: string, msgType: string, content: Dict): Promise<Dict> {
    return (await this.replyTo(this.submit(channel, uuid, msgType, content))).message.content;
  }

  published(msgId: string, msgType?: string): AnyMessage[] {
    return this.received
      .filter(({ channel, message }) => channel === 'iopub' && parentId(message) === msgId)
      .map(({ message }) => message)
      .filter((message) => msgType === undefined || message.msg_type === msgType);
  }

  /** The messages of one type from engines, for example `unregistration_request`. */
  of(msgType: string): AnyMessage[] {
    return this.received.filter(({ message }) => message.msg_type === msgType).map(({ message }) => message);
  }

  stop(): void {
    clearInterval(this.#timer);
    for (const socket of [...this.#routers.values(), this.#iopub, this.#ping]) socket.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop();
  }

  #server(): { linger: number; curveServer?: boolean; curveSecretKey?: string } {
    const linger = 0;
    return this.#curve === undefined
      ? { linger }
      : { linger, curveServer: true, curveSecretKey: this.#curve.secretKey };
  }

  async #bind(): Promise<void> {
    const leaves = Array.from({ length: this.#options.leaves ?? 2 }, (_, i) => `leaf-${i}`);
    for (const name of ['registration', 'mux', 'task', 'control', 'hb_pong', ...leaves]) {
      const router = new Router({ ...this.#server() });
      this.#routers.set(name, router);
      await router.bind('tcp://127.0.0.1:*');
      this.#ports.set(name, portOf(router.lastEndpoint));
      void this.#read(name, router);
    }
    for (const [name, socket] of [
      ['iopub', this.#iopub],
      ['hb_ping', this.#ping],
    ] as const) {
      await socket.bind('tcp://127.0.0.1:*');
      this.#ports.set(name, portOf(socket.lastEndpoint));
    }
    this.#iopub.subscribe('');
    void this.#read('iopub', this.#iopub);
    this.#timer = setInterval(() => {
      // A socket allows one send at a time, so a heartbeat is dropped while the previous one is being sent.
      if (this.beating) void this.#ping.send(String(this.#beats++)).catch(() => {});
    }, this.#options.hbPeriod ?? 100);
  }

  async #read(channel: string, socket: Router | Subscriber): Promise<void> {
    try {
      for await (const frames of socket) this.#receive(channel, frames);
    } catch (error) {
      if (!socket.closed) throw error;
    }
  }

  #receive(channel: string, frames: Buffer[]): void {
    if (channel === 'hb_pong') {
      this.pongs.push(frames.map(String).join(' '));
      return;
    }
    const [uuid] = frames;
    if (channel === 'registration' && frames.length === 2 && uuid !== undefined) {
      const reply = this.#replySession.rawMessage('hub_error', { status: 'error', ename: 'ValueError' });
      this.#sendReply(uuid, reply);
      return;
    }
    const message = this.session.decode(frames);
    this.received.push({ channel, message });
    if (message.msg_type === 'registration_request' && uuid !== undefined) {
      const id = this.registered.length;
      const content =
        this.#options.register === undefined
          ? { status: 'ok', id, hb_period: this.#options.hbPeriod ?? 100, connection_info: {} }
          : this.#options.register(message);
      this.registered.push(uuid.toString());
      if (content !== undefined)
        this.#sendReply(uuid, this.#replySession.rawMessage('registration_reply', content));
    }
  }

  #sendReply(ident: Buffer, message: NewMessage): void {
    this.#sending = this.#sending.then(() =>
      this.#routers.get('registration')?.send(this.#replySession.encode(message, [ident])),
    );
  }
}

function portOf(endpoint: string | null): number {
  return Number(endpoint?.split(':').at(-1));
}
