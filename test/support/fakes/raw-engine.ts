// An engine of bare sockets and a Session, with replies that a test scripts, for tests of a controller.
import { readFileSync } from 'node:fs';
import {
  type AnyMessage,
  channelAddress,
  type Dict,
  type EngineConnectionInfo,
  newId,
  type Session,
  validateEngineConnectionInfo,
} from '@ipyparallel-js/protocol';
import { createSession } from '@ipyparallel-js/wire';
import { Dealer, Router, Subscriber, XPublisher } from 'zeromq';
import { waitFor } from '../wait-for.js';

export interface RawTask {
  readonly message: AnyMessage;
  /** Replies with this content; the metadata defaults to that of a real engine. */
  reply(content?: Dict, parts?: { metadata?: Dict; buffers?: readonly Uint8Array[] }): void;
}

export interface RawEngineOptions {
  /** Handles a task. Without it, tasks only collect in `tasks`. */
  readonly onTask?: (task: RawTask, engine: RawEngine) => void;
  readonly uuid?: string;
  /** The id to request. */
  readonly id?: number;
  /** Whether to answer heartbeats; true by default. */
  readonly beats?: boolean;
}

/** Replies to every task at once with status ok. */
export const answerAll = (task: RawTask): void => task.reply({ status: 'ok' });

export class RawEngine {
  readonly uuid: string;
  readonly session: Session;
  readonly info: EngineConnectionInfo;
  /** All received tasks, in order. */
  readonly tasks: RawTask[] = [];
  /** Requests on the control socket. */
  readonly controls: AnyMessage[] = [];
  /** The number of rejected messages. */
  refused = 0;
  readonly #options: RawEngineOptions;
  readonly #shell: Router;
  readonly #control: Router;
  readonly #iopub: XPublisher;
  readonly #ping: Subscriber;
  readonly #pong: Dealer;
  readonly #registration: Dealer;
  #sending: Promise<unknown> = Promise.resolve();
  #publishing: Promise<unknown> = Promise.resolve();
  #id: number | undefined;
  #beats: boolean;
  /** The number of connections of the sockets for tasks, control and heartbeats. */
  #links = 0;

  constructor(info: EngineConnectionInfo, options: RawEngineOptions = {}) {
    this.info = info;
    this.#options = options;
    this.#beats = options.beats ?? true;
    this.uuid = options.uuid ?? newId();
    this.session = createSession(info, { session: this.uuid });
    const named = { linger: 0, routingId: this.uuid };
    this.#shell = new Router(named);
    this.#control = new Router(named);
    this.#iopub = new XPublisher({ linger: 100 });
    this.#ping = new Subscriber({ linger: 0 });
    this.#pong = new Dealer(named);
    // No identity, because a second engine that claims this uuid must receive its reply too.
    this.#registration = new Dealer({ linger: 0 });
  }

  /** Registers an engine and waits for the reply, but not for its first heartbeat. */
  static async start(file: string, options: RawEngineOptions = {}): Promise<RawEngine> {
    const info = validateEngineConnectionInfo(JSON.parse(readFileSync(file, 'utf8')), file);
    const engine = new RawEngine(info, options);
    await engine.#register();
    return engine;
  }

  get id(): number {
    if (this.#id === undefined) throw new Error('the engine is not registered');
    return this.#id;
  }

  async #register(): Promise<void> {
    const reply = await this.request('registration_request', {
      uuid: this.uuid,
      ...(this.#options.id === undefined ? {} : { id: this.#options.id }),
    });
    if (reply.content.status !== 'ok')
      throw new Error(`registration refused: ${String(reply.content.evalue)}`);
    this.#id = Number(reply.content.id);
    const at = (port: number) => channelAddress(this.info.interface, port);
    const leaves = this.info.broadcast;
    // These sockets count their links. The shell socket has three.
    for (const socket of [this.#shell, this.#control, this.#pong]) {
      socket.events.on('handshake', () => this.#links++);
      socket.events.on('disconnect', () => this.#links--);
    }
    let subscribed = false;
    void this.#each(this.#iopub, () => {
      subscribed = true;
    });
    this.#shell.connect(at(this.info.mux));
    this.#shell.connect(at(this.info.task));
    this.#shell.connect(at(leaves[this.id % leaves.length] ?? 0));
    this.#control.connect(at(this.info.control));
    this.#iopub.connect(at(this.info.iopub));
    // An engine without heartbeats needs no heart socket. Its uuid then stays free for another engine, because a ROUTER
    // accepts each name once.
    if (this.#beats) this.#pong.connect(at(this.info.hb_pong));
    const expectedLinks = this.#beats ? 5 : 4;
    void this.#each(this.#shell, (frames) => this.#onTask(frames));
    void this.#each(this.#control, (frames) => {
      const message = this.#decode(frames);
      if (message !== undefined) this.controls.push(message);
    });
    // The hub registers the engine at its first heartbeat. Messages from then on must arrive.
    await waitFor(() => this.#links >= expectedLinks && subscribed, {
      what: () =>
        `${expectedLinks} links and a subscription; there are ${this.#links} and ${subscribed ? 'one' : 'none'}`,
    });
    // The engine answers heartbeats only while all its links are up, also after its controller has restarted.
    void this.#each(
      this.#ping,
      (frames) => this.#beats && this.#links >= expectedLinks && this.#pong.send(frames),
    );
    this.#ping.subscribe();
    this.#ping.connect(at(this.info.hb_ping));
  }

  /** Sends on the registration socket and waits for the reply. */
  async request(msgType: string, content: Dict): Promise<AnyMessage> {
    this.#registration.connect(channelAddress(this.info.interface, this.info.registration));
    await this.#registration.send(this.session.encode(this.session.rawMessage(msgType, content)));
    return this.session.decode(await this.#registration.receive());
  }

  #decode(frames: Buffer[]): AnyMessage | undefined {
    try {
      return this.session.decode(frames);
    } catch {
      this.refused++;
      return undefined;
    }
  }

  #onTask(frames: Buffer[]): void {
    const message = this.#decode(frames);
    if (message === undefined) return;
    const task: RawTask = {
      message,
      reply: (content = { status: 'ok' }, parts = {}) => {
        const type = message.msg_type.replace('_request', '_reply');
        const { is_broadcast = false, is_coalescing = false, original_msg_id = '' } = message.metadata;
        const metadata = parts.metadata ?? {
          ...{ started: new Date().toISOString(), dependencies_met: true, engine: this.uuid },
          ...{ is_broadcast, is_coalescing, original_msg_id, status: content.status },
        };
        const reply = this.session.rawMessage(type, content, {
          ...{ parent: message.header, metadata },
          ...(parts.buffers === undefined ? {} : { buffers: parts.buffers }),
        });
        this.sendFrames(this.session.encode(reply, message.idents));
      },
    };
    this.tasks.push(task);
    this.#options.onTask?.(task, this);
  }

  /** Sends frames unchanged on the socket for tasks. */
  sendFrames(frames: readonly Buffer[]): void {
    this.#sending = this.#sending.then(() => this.#shell.send([...frames]));
  }

  /** Publishes on iopub. */
  async publish(msgType: string, content: Dict, parent: Dict = {}): Promise<void> {
    const message = this.session.rawMessage(msgType, content, { parent, metadata: { engine: this.uuid } });
    const frames = this.session.encode(message, [`engine.${this.id}.${msgType}`]);
    this.#publishing = this.#publishing.then(() => this.#iopub.send(frames));
    await this.#publishing;
  }

  /** Waits for the nth task, from 1. */
  async task(n = 1): Promise<RawTask> {
    return await waitFor(() => this.tasks[n - 1], { what: `task ${n} of engine ${this.#id}` });
  }

  /** Unregisters as a nanny does, without closing its sockets. */
  async unregister(): Promise<void> {
    const message = this.session.rawMessage('unregistration_request', { id: this.id });
    await this.#registration.send(this.session.encode(message));
  }

  /** Waits until all links are down: messages sent from then on arrive after the next link, and none is lost. */
  async unlinked(): Promise<void> {
    await waitFor(() => this.#links === 0, { what: () => `the end of ${this.#links} links` });
  }

  /** Stops answering heartbeats. */
  die(): void {
    this.#beats = false;
  }

  /** Answers heartbeats again. */
  revive(): void {
    this.#beats = true;
  }

  close(): void {
    for (const socket of this.#sockets) socket.close();
  }

  /** Closes all sockets and waits until ZeroMQ has released them: another engine may then have this uuid. */
  async release(): Promise<void> {
    const released = this.#sockets.map(
      (socket) => new Promise<void>((resolve) => socket.events.on('end', () => resolve())),
    );
    this.close();
    await Promise.all(released);
  }

  get #sockets(): readonly (Router | XPublisher | Subscriber | Dealer)[] {
    return [this.#shell, this.#control, this.#iopub, this.#ping, this.#pong, this.#registration];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  async #each(
    socket: Router | Subscriber | XPublisher,
    handle: (frames: Buffer[]) => unknown,
  ): Promise<void> {
    try {
      for await (const frames of socket) await handle(frames);
    } catch (error) {
      if (!socket.closed) throw error;
    }
  }
}
