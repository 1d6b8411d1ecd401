import {
  type AnyMessage,
  channelAddress,
  DELIMITER,
  type EngineConnectionInfo,
  newId,
  type Session,
  UsageError,
} from '@ipyparallel-js/protocol';
import {
  createLogger,
  createSession,
  curveKeys,
  type Deadline,
  type DropReason,
  Intake,
  type LinkState,
  type Logger,
  MessageSocket,
  pause,
  reachableInterface,
  startDeadline,
  thisMachine,
  timeoutError,
  watchParent,
  type ZmqSocket,
} from '@ipyparallel-js/wire';
import { VERSION } from './common/version.js';
import { type LoadedInfo, loadConnectionInfo } from './connection/connection-info.js';
import { Heart } from './connection/heart.js';
import { Links } from './connection/links.js';
import { Reunion } from './connection/re-registration.js';
import { type Registration, register } from './connection/registration.js';
import { SocketFactory } from './connection/sockets.js';
import type { Farewell } from './kernel/messages.js';
import { type EngineOptions, type ResolvedEngineOptions, resolveEngineOptions } from './options/options.js';
import { ControlHandler } from './tasks/control.js';
import type { EngineStats } from './tasks/engine-stats.js';
import { KernelProcess } from './tasks/kernel-process.js';
import { LostWork } from './tasks/lost-work.js';
import { Publisher } from './tasks/publisher.js';
import { TaskRunner } from './tasks/task-runner.js';

/** Why an engine has ended. */
export interface EngineEnd {
  readonly reason: 'stopped' | 'shutdown' | 'kernel-died' | 'controller-lost' | 'parent-gone';
  /** The same in words. */
  readonly detail: string;
}

type WorkChannel = 'mux' | 'task' | 'broadcast';

/** How long what is queued may take to leave when the engine ends, in ms. */
const FLUSH_TIMEOUT = 500;

/** How long the controller's first subscription to our output may take, in ms. */
const SUBSCRIPTION_WAIT = 10_000;

/**
 * A JavaScript engine: registered with a controller, it runs `execute` and `apply` in a process of its own, whose
 * context persists. Works with stock `ipcontroller`s from 7.1 on.
 */
export class Engine {
  /** The engine's uuid: its routing id and session id. */
  readonly uuid: string = newId();
  /** Resolves with the reason when the engine has ended, however it did. */
  readonly closed: Promise<EngineEnd>;
  readonly #options: ResolvedEngineOptions;
  readonly #info: EngineConnectionInfo;
  /** The info's interface, with a host that can be reached from here. */
  readonly #interface: string;
  readonly #log: Logger;
  readonly #session: Session;
  readonly #intake: Intake;
  readonly #sockets: SocketFactory;
  readonly #links: MessageSocket[] = [];
  readonly #state: Links;
  readonly #work = new Map<string, MessageSocket>();
  readonly #dropped: { -readonly [R in DropReason]: number } = { malformed: 0, forged: 0, replayed: 0 };
  readonly #cleanups: (() => void)[] = [];
  #registrar: MessageSocket | undefined;
  #registration: Registration | undefined;
  #reunion: Reunion | undefined;
  #lostWork: LostWork | undefined;
  #runner: TaskRunner | undefined;
  #control: ControlHandler | undefined;
  #ending: Promise<void> | undefined;
  #resolveClosed: (end: EngineEnd) => void = () => {};

  private constructor(
    options: ResolvedEngineOptions,
    { info, path }: LoadedInfo,
    reachable: string,
    log: Logger,
  ) {
    this.#options = options;
    this.#info = info;
    this.#interface = reachable;
    this.#log = log;
    this.#session = createSession(info, { session: this.uuid });
    this.#intake = new Intake(this.#session, (reason, channel, error) => {
      if (this.#dropped[reason]++ > 0) return;
      log.warn(`dropped a ${reason} message on ${channel}: ${error.message}; later ones are only counted`);
    });
    this.#sockets = new SocketFactory(
      this.uuid,
      curveKeys(info, path, options.env),
      reachable.startsWith('tcp://['),
    );
    this.#state = new Links(info.interface, log, (links) => this.#reunion?.linksAre(links));
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
  }

  /**
   * Registers with the controller of a connection file and starts to work. Mirrors `ipengine`. Resolves when every
   * socket is connected; the hub announces the engine at the first heartbeat after that.
   * @throws ConnectionFileError, TimeoutError naming the address, AuthenticationError, HubError, UsageError
   */
  static async start(options: EngineOptions = {}): Promise<Engine> {
    const resolved = resolveEngineOptions(options);
    const log = createLogger(resolved.logLevel, resolved.log);
    const deadline = (): Deadline =>
      startDeadline(resolved.signal === undefined ? {} : { signal: resolved.signal }, resolved.timeout);
    const loaded = await loadConnectionInfo(resolved.source, deadline(), log);
    const { info, path } = loaded;
    if (info.ssh !== '') {
      throw new UsageError(
        `the connection file asks for an ssh tunnel through ${info.ssh}, which this engine does not make; tunnel its ports yourself, or start the controller without --enginessh`,
      );
    }
    const reachable = await reachableInterface(info, path, thisMachine, deadline());
    const engine = new Engine(resolved, loaded, reachable, log);
    try {
      await engine.#open(deadline());
    } catch (error) {
      await engine.#end({ reason: 'stopped', detail: 'did not start' });
      throw error;
    }
    return engine;
  }

  /** The id that the hub gave. */
  get id(): number {
    return this.#registration?.id ?? -1;
  }

  /** Process id of the kernel, which runs the code; another one after a `clear`. */
  get kernelPid(): number {
    return this.#runner?.kernelPid ?? 0;
  }

  /** What was dropped so far. */
  get stats(): EngineStats {
    return { ...this.#dropped };
  }

  /** Answers what is outstanding with an EngineError, unregisters and ends the kernel; idempotent. */
  async stop(): Promise<void> {
    await this.#end({ reason: 'stopped', detail: 'was stopped' });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #open(deadline: Deadline): Promise<void> {
    const { timeout, signal, id: wantedId } = this.#options;
    this.#registration = await this.#register(wantedId, deadline);
    const { id, hbPeriod } = this.#registration;
    if (wantedId !== undefined && wantedId !== id)
      this.#log.warn(`asked for id ${wantedId}, was given ${id}`);

    let subscribed = (): void => {};
    const subscription = new Promise<void>((resolve) => {
      subscribed = resolve;
    });
    const iopub = this.#link('iopub', this.#sockets.publisher(), this.#info.iopub, () => subscribed());
    const publisher = new Publisher(this.#session, iopub, id);
    const engine = { id, uuid: this.uuid };
    this.#runner = await TaskRunner.start({
      session: this.#session,
      publisher,
      engine,
      log: this.#log,
      now: () => new Date(),
      startKernel: (events) =>
        KernelProcess.start({
          cwd: this.#options.cwd,
          nodeArgs: this.#options.nodeArgs,
          farewell: this.#farewell(id),
          timeout,
          events,
        }),
      onKernelDeath: (how) => void this.#end({ reason: 'kernel-died', detail: `its kernel process ${how}` }),
    });
    signal?.throwIfAborted();
    this.#control = new ControlHandler({
      session: this.#session,
      publisher,
      engine,
      runner: this.#runner,
      log: this.#log,
      version: VERSION,
      onShutdown: () => void this.#end({ reason: 'shutdown', detail: 'was asked to shut down' }),
    });

    const links = [iopub, this.#openControl(), ...this.#openWork(id)];
    const pong = this.#link('hb_pong', this.#sockets.dealer(), this.#info.hb_pong, () => {});
    await Promise.all([...links, pong].map((link) => connected(link, deadline)));
    const late = pause(SUBSCRIPTION_WAIT, signal).then(() => 'late');
    if ((await Promise.race([subscription, late])) === 'late') {
      signal?.throwIfAborted();
      this.#log.warn(
        `the controller has not subscribed to iopub at ${iopub.address}; first output may be lost`,
      );
    }
    this.#startHeart(pong, hbPeriod);
    this.#awaitRestarts(id, hbPeriod);
    this.#watchParent();
    this.#log.info(`registered as engine ${id} (${this.uuid}) with ${this.#info.interface}`);
  }

  async #register(id: number | undefined, deadline: Deadline): Promise<Registration> {
    let take = (_message: AnyMessage | undefined): void => {};
    const receive = (frames: Buffer[]): void => {
      const message = this.#intake.decode('registration', frames);
      if (message === undefined || message.msg_type === 'registration_reply') take(message);
      if (message === undefined) return;
      this.#reunion?.take(message);
      this.#lostWork?.take(message);
    };
    const port = this.#info.registration;
    const link = this.#link('registration', this.#sockets.dealer(), port, receive);
    this.#registrar = link;
    return await register({
      session: this.#session,
      link,
      id,
      // A bare delimiter draws a hub_error, signed with the hub's own key, from every hub.
      probe: () => this.#link('probe', this.#sockets.anonymous(), port, receive).send([DELIMITER]),
      deadline,
      nextMessage: () =>
        new Promise((resolve) => {
          take = resolve;
        }),
    });
  }

  /** Made anew for each kernel: a hub takes each message once. */
  #farewell(id: number): Farewell {
    return {
      address: this.#address(this.#info.registration),
      frames: this.#session.encode(this.#session.message('unregistration_request', { id })),
      socket: this.#sockets.curve,
    };
  }

  #openWork(id: number): MessageSocket[] {
    const { mux, task, broadcast } = this.#info;
    const leaf = broadcast[id % Math.max(1, broadcast.length)];
    const ports: [WorkChannel, number | undefined][] = [
      ['mux', mux],
      ['task', task],
      ['broadcast', leaf],
    ];
    return ports.flatMap(([name, port]) => (port === undefined ? [] : [this.#openWorkLink(name, port)]));
  }

  #openWorkLink(name: WorkChannel, port: number): MessageSocket {
    const link = this.#link(name, this.#sockets.dealer(), port, (frames) => {
      const request = this.#intake.decode(name, frames);
      if (request === undefined) return;
      const reply = (answer: Buffer[]): void => link.send(answer);
      switch (request.msg_type) {
        case 'execute_request':
        case 'apply_request':
          this.#runner?.push({ request, reply });
          break;
        case 'kernel_info_request':
          this.#control?.kernelInfo(request, reply);
          break;
        default:
          this.#log.debug(`ignored a ${request.msg_type} on ${name}`);
      }
    });
    this.#work.set(name, link);
    return link;
  }

  #openControl(): MessageSocket {
    const link = this.#link('control', this.#sockets.dealer(), this.#info.control, (frames) => {
      const request = this.#intake.decode('control', frames);
      if (request !== undefined) void this.#control?.handle(request, (answer) => link.send(answer));
    });
    return link;
  }

  #startHeart(pong: MessageSocket, period: number): void {
    const heart = new Heart(pong, {
      period,
      maxMisses: this.#options.maxHeartbeatMisses,
      onMiss: (misses, ms) =>
        this.#log.warn(`no heartbeat of the controller for ${ms} ms, ${misses} times in a row`),
      onSilence: (ms) => {
        const detail = `lost its controller: no heartbeat from ${this.#info.interface} for ${ms} ms`;
        void this.#end({ reason: 'controller-lost', detail });
      },
    });
    this.#cleanups.push(() => heart.stop());
    this.#link('hb_ping', this.#sockets.subscriber(), this.#info.hb_ping, (frames) =>
      heart.beat(frames, this.#state.mayBeat),
    );
  }

  /** From now on a controller that starts anew on the same ports gets this engine back. */
  #awaitRestarts(id: number, hbPeriod: number): void {
    const link = this.#registrar;
    if (link === undefined) return;
    const common = { session: this.#session, id, link, log: this.#log };
    const lostWork = new LostWork({
      ...common,
      missing: (msgIds) => this.#runner?.missing(msgIds) ?? [],
      fail: (queue, request) => {
        const work = this.#work.get(queue);
        if (work !== undefined) this.#runner?.giveUp(request, (frames) => work.send(frames));
      },
    });
    this.#lostWork = lostWork;
    const reunion = new Reunion({
      ...common,
      onBack: (stock) => {
        // Our own controller sees to it by itself.
        if (stock) lostWork.look();
      },
      onOtherId: (given) => {
        // So that it is this id that is given back.
        this.#registration = { id: given, hbPeriod };
        const detail = `lost its controller: the one that took its place has given id ${id} to another engine`;
        void this.#end({ reason: 'controller-lost', detail });
      },
    });
    this.#reunion = reunion;
    this.#cleanups.push(
      () => reunion.stop(),
      () => lostWork.stop(),
    );
  }

  #watchParent(): void {
    const { parentPid } = this.#options;
    if (parentPid === undefined) return;
    const gone = (): void =>
      void this.#end({ reason: 'parent-gone', detail: `lost its parent process ${parentPid}` });
    this.#cleanups.push(watchParent(parentPid, gone));
  }

  #link(name: string, socket: ZmqSocket, port: number, onFrames: (frames: Buffer[]) => void): MessageSocket {
    const link = new MessageSocket(name, socket, {
      onFailure: (doing, error) => this.#log.error(`${doing} at ${link.address} failed`, error),
      // A link that never was is not one that broke.
      onLink: (state: LinkState) => {
        if (this.#registration !== undefined && name !== 'probe') this.#state.set(name, state);
      },
    });
    link.connect(this.#address(port));
    link.read(onFrames);
    this.#links.push(link);
    return link;
  }

  #address(port: number): string {
    return channelAddress(this.#interface, port);
  }

  #end(end: EngineEnd): Promise<void> {
    this.#ending ??= this.#close(end);
    return this.#ending;
  }

  async #close(end: EngineEnd): Promise<void> {
    if (this.#registration !== undefined) {
      const line = `engine ${this.id} (${this.uuid}) ends: ${end.detail}`;
      if (end.reason === 'kernel-died' || end.reason === 'controller-lost') this.#log.error(line);
      else this.#log.info(line);
    }
    for (const cleanup of this.#cleanups.splice(0)) cleanup();
    this.#runner?.stop(end.detail);
    if (this.#registration !== undefined) {
      const farewell = this.#session.message('unregistration_request', { id: this.#registration.id });
      this.#registrar?.send(this.#session.encode(farewell));
    }
    await Promise.all([this.#runner?.dispose(), ...this.#links.map((link) => link.flush(FLUSH_TIMEOUT))]);
    await Promise.all(this.#links.map((link) => link.close()));
    this.#resolveClosed(end);
  }
}

function connected(link: MessageSocket, deadline: Deadline): Promise<void> {
  return link.waitUntilLinked(deadline, (waited) =>
    timeoutError(
      `no connection to the controller's ${link.name} socket at ${link.address}`,
      waited,
      'is it running, and is its CURVE key right?',
    ),
  );
}
