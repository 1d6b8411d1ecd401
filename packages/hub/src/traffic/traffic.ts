import type { ClientConnectionInfo, EngineConnectionInfo, Session } from '@ipyparallel-js/protocol';
import type { Frames, Logger, MessageSocket, RefusalCounter } from '@ipyparallel-js/wire';
import type { Clock } from '../common/clock.js';
import {
  type BindOptions,
  type BoundSocket,
  bindSocket,
  type SocketType,
} from '../sockets/socket-factory.js';
import type { Monitor, Schedulers } from '../thread-link/schedulers.js';
import { BroadcastScheduler } from './broadcast-scheduler.js';
import { HeartMonitor } from './heart-monitor.js';
import { relayDirect, relayOutput, relayTasks } from './relays.js';
import type { TaskScheme } from './tasks/schemes.js';
import { TaskScheduler } from './tasks/task-scheduler.js';

export interface TrafficOptions {
  /** The port of the hub's query socket, for the connection files. */
  readonly registrationPort: number;
  readonly session: Session;
  readonly taskScheme: TaskScheme;
  /** The number of sockets over which engines are distributed for broadcasts. */
  readonly broadcastLeaves?: number;
  readonly hwm: number;
  readonly strandedDelay: number;
  readonly hbPeriod: number;
  readonly maxHeartbeatMisses: number;
  readonly log: Logger;
  readonly refusals: RefusalCounter;
  readonly clock: Clock;
}

/** The ports of a connection file. */
export type EnginePorts = Pick<
  EngineConnectionInfo,
  'registration' | 'control' | 'mux' | 'task' | 'iopub' | 'hb_ping' | 'hb_pong' | 'broadcast'
>;
export type ClientPorts = Pick<
  ClientConnectionInfo,
  'registration' | 'control' | 'mux' | 'task' | 'iopub' | 'notification'
> & { readonly broadcast: number };

/** The default number of broadcast sockets, as in a Python controller of depth 1. */
const BROADCAST_LEAVES = 2;

/** How long queued messages may take to be sent when the controller ends, in ms. */
const FLUSH_TIMEOUT = 300;

/**
 * All sockets of a controller except the query socket, with relays, task queue, broadcasts and heartbeats. They work
 * without the hub, which receives copies. Notifications are published here, after the schedulers have carried out the
 * calls that they announce.
 */
export class Traffic implements Schedulers {
  readonly enginePorts: EnginePorts;
  readonly clientPorts: ClientPorts;
  /** Resolves when the hub ends the controller by {@link shutdown}. */
  readonly shutdownRequested: Promise<void>;
  readonly #sockets: TrafficSockets;
  readonly #options: TrafficOptions;
  readonly #hearts: HeartMonitor;
  readonly #broadcast: BroadcastScheduler;
  #tasks: TaskScheduler | undefined;
  #monitor: Monitor | undefined;
  #requestShutdown: () => void = () => {};

  private constructor(
    sockets: TrafficSockets,
    ports: { engine: EnginePorts; client: ClientPorts },
    options: TrafficOptions,
  ) {
    this.#sockets = sockets;
    this.enginePorts = ports.engine;
    this.clientPorts = ports.client;
    this.#options = options;
    this.shutdownRequested = new Promise((resolve) => {
      this.#requestShutdown = resolve;
    });
    this.#hearts = new HeartMonitor({
      period: options.hbPeriod,
      maxMisses: options.maxHeartbeatMisses,
      ping: (payload) => sockets.hbPing.send([payload]),
      onNewHeart: (uuid) => this.#monitor?.newHeart(uuid),
      onStoppedHeart: (uuid) => this.#monitor?.stoppedHeart(uuid),
    });
    this.#broadcast = new BroadcastScheduler({
      session: options.session,
      toClient: (frames) => sockets.broadcast.send(frames),
      toEngines: sockets.broadcastLeaves.map((leaf) => (frames: Frames) => leaf.send(frames)),
      refusals: options.refusals,
    });
  }

  /** Binds all sockets; start() begins to read from them. */
  static async bind(bind: BindOptions, options: TrafficOptions): Promise<Traffic> {
    const openSockets: MessageSocket[] = [];
    try {
      return await Traffic.#bindAll(async (name, type, routingId) => {
        const bound = await bindSocket(name, type, bind, routingId);
        openSockets.push(bound.socket);
        return bound;
      }, options);
    } catch (error) {
      await Promise.all(openSockets.map((socket) => socket.close()));
      throw error;
    }
  }

  static async #bindAll(
    bind: (name: string, type: SocketType, routingId?: string) => Promise<BoundSocket>,
    options: TrafficOptions,
  ): Promise<Traffic> {
    // Engines distinguish the senders of requests by these identities.
    const engineControl = await bind('engine control', 'router', 'control_out');
    const engineMux = await bind('engine mux', 'router', 'mux_out');
    const engineTask = await bind(
      'engine task',
      options.taskScheme === 'pure' ? 'dealer' : 'router',
      'task_out',
    );
    const engineIopub = await bind('engine iopub', 'sub');
    const hbPing = await bind('heartbeat ping', 'pub');
    const hbPong = await bind('heartbeat pong', 'router');
    const leaves: BoundSocket[] = [];
    for (let i = 0; i < (options.broadcastLeaves ?? BROADCAST_LEAVES); i++) {
      leaves.push(await bind(`engine broadcast ${i}`, 'router', `sub_scheduler_0${i}`));
    }
    const control = await bind('control', 'router', 'control_in');
    const mux = await bind('mux', 'router', 'mux_in');
    const task = await bind('task', 'router', 'task_in');
    const iopub = await bind('iopub', 'pub');
    const notification = await bind('notification', 'pub');
    const broadcast = await bind('broadcast', 'router', 'sub_scheduler_0');
    const sockets: TrafficSockets = {
      notification: notification.socket,
      control: { client: control.socket, engine: engineControl.socket },
      mux: { client: mux.socket, engine: engineMux.socket },
      task: { client: task.socket, engine: engineTask.socket },
      iopub: { client: iopub.socket, engine: engineIopub.socket },
      hbPing: hbPing.socket,
      hbPong: hbPong.socket,
      broadcast: broadcast.socket,
      broadcastLeaves: leaves.map(({ socket }) => socket),
    };
    const engine: EnginePorts = {
      registration: options.registrationPort,
      control: engineControl.port,
      mux: engineMux.port,
      task: engineTask.port,
      iopub: engineIopub.port,
      hb_ping: hbPing.port,
      hb_pong: hbPong.port,
      broadcast: leaves.map(({ port }) => port),
    };
    const client: ClientPorts = {
      registration: options.registrationPort,
      control: control.port,
      mux: mux.port,
      task: task.port,
      iopub: iopub.port,
      notification: notification.port,
      broadcast: broadcast.port,
    };
    return new Traffic(sockets, { engine, client }, options);
  }

  /** Starts to serve; the monitor receives copies and events. */
  start(monitor: Monitor): void {
    this.#monitor = monitor;
    const { control, mux, iopub, hbPong, broadcast, broadcastLeaves } = this.#sockets;
    const { refusals } = this.#options;
    relayDirect(control.client, control.engine, refusals);
    relayDirect(mux.client, mux.engine, refusals, {
      request: (frames) => monitor.directRequest(frames),
      reply: (frames) => monitor.directReply(frames),
    });
    relayOutput(iopub.engine, iopub.client, (frames) => monitor.output(frames));
    this.#startTasks(monitor);
    broadcast.read((frames) => this.#broadcast.submit(frames));
    for (const leaf of broadcastLeaves) leaf.read((frames) => this.#broadcast.reply(frames));
    hbPong.read(([uuid, payload]) => this.#hearts.handlePong(String(uuid), String(payload)));
    this.#hearts.start();
  }

  #startTasks(monitor: Monitor): void {
    const { client, engine } = this.#sockets.task;
    const { taskScheme: scheme, session, hwm, strandedDelay, refusals, log, clock } = this.#options;
    switch (scheme) {
      case 'none':
        break;
      case 'pure':
        relayTasks(client, engine, {
          request: (frames) => monitor.taskRequest(frames),
          reply: (frames) => monitor.taskReply(frames),
        });
        break;
      default: {
        const tasks = new TaskScheduler({
          ...{ session, scheme, hwm, strandedDelay, monitor, refusals, log, clock },
          toEngine: (frames) => engine.send(frames),
          toClient: (frames) => client.send(frames),
        });
        this.#tasks = tasks;
        client.read((frames) => tasks.submit(frames));
        engine.read((frames) => tasks.reply(frames));
      }
    }
  }

  notify(frames: Frames): void {
    this.#sockets.notification.send(frames);
  }

  awaitHeart(uuid: string): void {
    this.#hearts.awaitHeart(uuid);
  }

  forgetHeart(uuid: string): void {
    this.#hearts.forgetHeart(uuid);
  }

  addEngine(uuid: string): void {
    this.#tasks?.addEngine(uuid);
    this.#broadcast.addEngine(uuid);
  }

  removeEngine(uuid: string): void {
    this.#hearts.forgetHeart(uuid);
    this.#tasks?.removeEngine(uuid);
    this.#broadcast.removeEngine(uuid);
  }

  submitTask(frames: Frames): void {
    const copies = frames.map((frame) => (Buffer.isBuffer(frame) ? frame : Buffer.from(frame as Uint8Array)));
    if (this.#tasks !== undefined) {
      this.#tasks.submit(copies);
    } else if (this.#options.taskScheme === 'pure') {
      this.#monitor?.taskRequest(copies);
      this.#sockets.task.engine.send(copies);
    }
  }

  submitDirect(frames: Frames): void {
    this.#sockets.mux.engine.send(frames);
  }

  shutdown(): void {
    this.#requestShutdown();
  }

  /** Sends queued notifications within FLUSH_TIMEOUT ms, and closes all sockets. */
  async stop(): Promise<void> {
    this.#hearts.stop();
    this.#tasks?.stop();
    const { notification, ...rest } = this.#sockets;
    await notification.flush(FLUSH_TIMEOUT);
    const { control, mux, task, iopub, hbPing, hbPong, broadcast, broadcastLeaves } = rest;
    const pairs = [control, mux, task, iopub].flatMap(({ client, engine }) => [client, engine]);
    const sockets = [notification, ...pairs, hbPing, hbPong, broadcast, ...broadcastLeaves];
    await Promise.all(sockets.map((socket) => socket.close()));
  }
}

interface SocketPair {
  readonly client: MessageSocket;
  readonly engine: MessageSocket;
}

interface TrafficSockets {
  readonly notification: MessageSocket;
  readonly control: SocketPair;
  readonly mux: SocketPair;
  readonly task: SocketPair;
  readonly iopub: SocketPair;
  readonly hbPing: MessageSocket;
  readonly hbPong: MessageSocket;
  readonly broadcast: MessageSocket;
  readonly broadcastLeaves: readonly MessageSocket[];
}
