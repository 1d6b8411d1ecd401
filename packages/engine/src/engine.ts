import { type EngineConnectionInfo, newId, UsageError } from '@ipyparallel-js/protocol';
import {
  createLogger,
  curveKeys,
  type Deadline,
  type Logger,
  type MessageSocket,
  pause,
  reachableInterface,
  startDeadline,
  thisMachine,
  watchParent,
} from '@ipyparallel-js/wire';
import { VERSION } from './common/version.js';
import { loadConnectionInfo } from './connection/connection-info.js';
import { ControllerLinks, type EngineStats } from './connection/controller-links.js';
import { Heart } from './connection/heart.js';
import { ReRegistration } from './connection/re-registration.js';
import { Registrar } from './connection/registrar.js';
import type { Registration } from './connection/registration.js';
import { type EngineOptions, type ResolvedEngineOptions, resolveEngineOptions } from './options/options.js';
import { ControlHandler } from './tasks/control-handler.js';
import { KernelProcess } from './tasks/kernel-process.js';
import { LostTaskDetector } from './tasks/lost-tasks.js';
import { Publisher } from './tasks/publisher.js';
import { TaskRunner } from './tasks/task-runner.js';

/** Why an engine has ended. */
export interface EngineEnd {
  readonly reason: 'stopped' | 'shutdown' | 'kernel-died' | 'controller-lost' | 'parent-gone';
  /** A description of the reason, for example "was stopped" or "its kernel process exited with code 1". */
  readonly detail: string;
}

type WorkChannel = 'mux' | 'task' | 'broadcast';

/** How long queued messages may take to be sent when the engine ends, in ms. */
const FLUSH_TIMEOUT = 500;

/** How long to wait for the controller's first subscription to iopub, in ms. */
const SUBSCRIPTION_WAIT = 10_000;

/**
 * A JavaScript engine: registers with a controller and runs `execute` and `apply` requests in a separate process, whose
 * context persists. Works with Python's `ipcontroller` from 7.1 on.
 */
export class Engine {
  /** The engine's uuid, which is also its routing id and session id. */
  readonly uuid: string;
  /** Resolves with the reason when the engine has ended for any reason. */
  readonly closed: Promise<EngineEnd>;
  readonly #options: ResolvedEngineOptions;
  readonly #info: EngineConnectionInfo;
  readonly #links: ControllerLinks;
  readonly #registrar: Registrar;
  readonly #log: Logger;
  readonly #workLinks = new Map<string, MessageSocket>();
  readonly #cleanups: (() => void)[] = [];
  #registration: Registration | undefined;
  #runner: TaskRunner | undefined;
  #control: ControlHandler | undefined;
  #endPromise: Promise<void> | undefined;
  #resolveClosed: (end: EngineEnd) => void = () => {};

  private constructor(
    options: ResolvedEngineOptions,
    info: EngineConnectionInfo,
    uuid: string,
    links: ControllerLinks,
    log: Logger,
  ) {
    this.#options = options;
    this.#info = info;
    this.uuid = uuid;
    this.#links = links;
    this.#registrar = new Registrar(links, info.registration);
    this.#log = log;
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
  }

  /**
   * Registers with the controller of a connection file and starts to work. Resolves when every socket is connected; the
   * hub announces the engine at its next heartbeat. Mirrors `ipengine`.
   * @throws {UsageError} when an option is invalid.
   * @throws {ConnectionFileError} when the connection file is missing or invalid.
   * @throws {AuthenticationError} when the controller uses another key.
   * @throws {HubError} when the hub refuses the registration.
   * @throws {TimeoutError} when the controller does not reply in time; the message names its address.
   */
  static async start(options: EngineOptions = {}): Promise<Engine> {
    const resolved = resolveEngineOptions(options);
    const log = createLogger(resolved.logLevel, resolved.log);
    const deadline = (): Deadline =>
      startDeadline(resolved.signal === undefined ? {} : { signal: resolved.signal }, resolved.timeout);
    const { info, path } = await loadConnectionInfo(resolved.source, deadline(), log);
    if (info.ssh !== '') {
      throw new UsageError(
        `the connection file requires an ssh tunnel through ${info.ssh}, which the JavaScript engine does not open; forward its ports yourself, or start the controller without --enginessh`,
      );
    }
    const interfaceUrl = await reachableInterface(info, path, thisMachine, deadline());
    const uuid = newId();
    const curve = curveKeys(info, path, resolved.env);
    const links = new ControllerLinks({ info, reachableInterface: interfaceUrl, uuid, curve, log });
    const engine = new Engine(resolved, info, uuid, links, log);
    try {
      await engine.#open(deadline());
    } catch (error) {
      await engine.#end({ reason: 'stopped', detail: 'did not start' });
      throw error;
    }
    return engine;
  }

  /** The id that the hub assigned. */
  get id(): number {
    return this.#registration?.id ?? -1;
  }

  /** The process id of the kernel, which runs the code. A `clear` replaces that process. */
  get kernelPid(): number {
    return this.#runner?.kernelPid ?? 0;
  }

  /** The number of messages dropped so far. */
  get stats(): EngineStats {
    return this.#links.dropCounts;
  }

  /** Fails outstanding tasks with an EngineError, unregisters and ends the kernel process; idempotent. */
  async stop(): Promise<void> {
    await this.#end({ reason: 'stopped', detail: 'was stopped' });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #open(deadline: Deadline): Promise<void> {
    const { signal, id: requestedId } = this.#options;
    this.#registration = await this.#registrar.register(requestedId, deadline);
    this.#links.trackStates();
    const { id, hbPeriod } = this.#registration;
    if (requestedId !== undefined && requestedId !== id)
      this.#log.warn(`requested id ${requestedId}, but the hub assigned ${id}`);

    let resolveSubscription = (): void => {};
    const subscription = new Promise<void>((resolve) => {
      resolveSubscription = resolve;
    });
    const { sockets } = this.#links;
    const iopub = this.#links.open('iopub', sockets.publisher(), this.#info.iopub, () =>
      resolveSubscription(),
    );
    await this.#startKernel(new Publisher(this.#links.session, iopub, id), id);
    signal?.throwIfAborted();

    const links = [iopub, this.#openControl(), ...this.#openWork(id)];
    const pong = this.#links.open('hb_pong', sockets.dealer(), this.#info.hb_pong, () => {});
    await this.#links.waitUntilConnected([...links, pong], deadline);
    const timedOut = pause(SUBSCRIPTION_WAIT, signal).then(() => 'timed out');
    if ((await Promise.race([subscription, timedOut])) === 'timed out') {
      signal?.throwIfAborted();
      this.#log.warn(
        `the controller has not subscribed to iopub at ${iopub.address}; the first output may be lost`,
      );
    }
    this.#startHeart(pong, hbPeriod);
    this.#watchRestarts(id, hbPeriod);
    this.#watchParent();
    this.#log.info(`registered as engine ${id} (${this.uuid}) with ${this.#links.controller}`);
  }

  async #startKernel(publisher: Publisher, id: number): Promise<void> {
    const { session, sockets } = this.#links;
    const engine = { id, uuid: this.uuid };
    const common = { session, publisher, engine, log: this.#log };
    this.#runner = await TaskRunner.start({
      ...common,
      now: () => new Date(),
      startKernel: (events) =>
        KernelProcess.start({
          cwd: this.#options.cwd,
          nodeArgs: this.#options.nodeArgs,
          unregistration: { ...this.#registrar.unregistrationRequest(id), socket: sockets.curve },
          timeout: this.#options.timeout,
          events,
        }),
      onKernelDeath: (how) => void this.#end({ reason: 'kernel-died', detail: `its kernel process ${how}` }),
    });
    this.#control = new ControlHandler({
      ...common,
      runner: this.#runner,
      version: VERSION,
      onShutdown: () => void this.#end({ reason: 'shutdown', detail: 'received a shutdown request' }),
    });
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
    const { intake, sockets } = this.#links;
    const link = this.#links.open(name, sockets.dealer(), port, (frames) => {
      const request = intake.decode(name, frames);
      if (request === undefined) return;
      const reply = (frames: Buffer[]): void => link.send(frames);
      switch (request.msg_type) {
        case 'execute_request':
        case 'apply_request':
          this.#runner?.push({ request, reply });
          break;
        case 'kernel_info_request':
          this.#control?.replyKernelInfo(request, reply);
          break;
        default:
          this.#log.debug(`ignored a ${request.msg_type} on ${name}`);
      }
    });
    this.#workLinks.set(name, link);
    return link;
  }

  #openControl(): MessageSocket {
    const { intake, sockets } = this.#links;
    const link = this.#links.open('control', sockets.dealer(), this.#info.control, (frames) => {
      const request = intake.decode('control', frames);
      if (request !== undefined) void this.#control?.handle(request, (reply) => link.send(reply));
    });
    return link;
  }

  #startHeart(pong: MessageSocket, period: number): void {
    const { sockets, states, controller } = this.#links;
    const heart = new Heart(pong, {
      period,
      maxMisses: this.#options.maxHeartbeatMisses,
      onMiss: (misses, ms) =>
        this.#log.warn(`received no heartbeat from the controller for ${ms} ms, ${misses} times in a row`),
      onControllerLost: (ms) => {
        const detail = `lost its controller: no heartbeat from ${controller} for ${ms} ms`;
        void this.#end({ reason: 'controller-lost', detail });
      },
    });
    this.#cleanups.push(() => heart.stop());
    this.#links.open('hb_ping', sockets.subscriber(), this.#info.hb_ping, (frames) =>
      heart.beat(frames, states.mayReplyToHeartbeats),
    );
  }

  /** Makes this engine register again with a controller that is restarted on the same ports. */
  #watchRestarts(id: number, hbPeriod: number): void {
    const common = { id, registrar: this.#registrar, log: this.#log };
    const lostTasks = new LostTaskDetector({
      ...common,
      findUnreceived: (msgIds) => this.#runner?.findUnreceived(msgIds) ?? [],
      failTask: (queue, request) => {
        const work = this.#workLinks.get(queue);
        if (work !== undefined) this.#runner?.failLost(request, (frames) => work.send(frames));
      },
    });
    const reRegistration = new ReRegistration({
      ...common,
      uuid: this.uuid,
      onReconnect: (isStockHub) => {
        // Controllers of this project detect lost tasks themselves.
        if (isStockHub) lostTasks.check();
      },
      onIdMismatch: (assigned) => {
        // The engine must unregister under the id that the hub has assigned now.
        this.#registration = { id: assigned, hbPeriod };
        const detail = `lost its controller: the restarted controller has assigned id ${id} to another engine`;
        void this.#end({ reason: 'controller-lost', detail });
      },
    });
    this.#links.states.onChange((states) => reRegistration.handleLinkChange(states));
    this.#registrar.onMessage((message) => {
      reRegistration.handleMessage(message);
      lostTasks.handleMessage(message);
    });
    this.#cleanups.push(
      () => reRegistration.stop(),
      () => lostTasks.stop(),
    );
  }

  #watchParent(): void {
    const { parentPid } = this.#options;
    if (parentPid === undefined) return;
    const onExit = (): void =>
      void this.#end({ reason: 'parent-gone', detail: `lost its parent process ${parentPid}` });
    this.#cleanups.push(watchParent(parentPid, onExit));
  }

  #end(end: EngineEnd): Promise<void> {
    this.#endPromise ??= this.#close(end);
    return this.#endPromise;
  }

  async #close(end: EngineEnd): Promise<void> {
    const registration = this.#registration;
    if (registration !== undefined) {
      const line = `engine ${this.id} (${this.uuid}) ends: ${end.detail}`;
      if (end.reason === 'kernel-died' || end.reason === 'controller-lost') this.#log.error(line);
      else this.#log.info(line);
    }
    for (const cleanup of this.#cleanups.splice(0)) cleanup();
    this.#runner?.stop(end.detail);
    if (registration !== undefined) this.#registrar.unregister(registration.id);
    await Promise.all([this.#runner?.dispose(), this.#links.flush(FLUSH_TIMEOUT)]);
    await this.#links.close();
    this.#resolveClosed(end);
  }
}
