import { type Dict, Session } from '@ipyparallel-js/protocol';
import { createLogger, type Logger, RefusalCounter } from '@ipyparallel-js/wire';
import { systemClock } from './common/clock.js';
import { ConnectionFiles, connectionFilePaths, makePrivateDirectory } from './connection/connection-files.js';
import { type ReusedConnection, readReusedConnection } from './connection/reused-connection.js';
import { HubThread } from './hub/thread/hub-thread.js';
import {
  type ControllerOptions,
  type ResolvedControllerOptions,
  resolveControllerOptions,
} from './options/controller-options.js';
import { Traffic } from './traffic/traffic.js';

/**
 * A controller: schedulers and relays in this thread, a hub in another thread, and the two connection files for clients
 * and engines. It serves the clients and engines of ipyparallel as well as those of this project.
 */
export class Controller {
  /** The path of the connection file for clients. */
  readonly clientFile: string;
  /** The path of the connection file for engines. */
  readonly engineFile: string;
  /** Resolves when the controller has stopped by {@link stop} or by request of a client; rejects when its hub has failed. */
  readonly closed: Promise<void>;
  readonly #traffic: Traffic;
  readonly #hub: HubThread;
  readonly #files: ConnectionFiles;
  readonly #keepFiles: boolean;
  readonly #log: Logger;
  #stopPromise: Promise<void> | undefined;

  private constructor(
    { traffic, hub }: { readonly traffic: Traffic; readonly hub: HubThread },
    files: ConnectionFiles,
    keepFiles: boolean,
    log: Logger,
  ) {
    this.#traffic = traffic;
    this.#hub = hub;
    this.#files = files;
    this.#keepFiles = keepFiles;
    this.#log = log;
    this.clientFile = files.clientFile;
    this.engineFile = files.engineFile;
    this.closed = this.#stopOnRequest();
    this.closed.catch(() => {});
  }

  /**
   * Starts a controller; resolves when it serves and both connection files exist.
   * @throws {UsageError} when an option is invalid or an address cannot be bound
   */
  static async start(options: ControllerOptions = {}): Promise<Controller> {
    const base = resolveControllerOptions(options, process.env);
    const log = createLogger(base.logLevel, base.log);
    await makePrivateDirectory(base.securityDir);
    const paths = connectionFilePaths(base.securityDir, base.clusterId);
    const reused = base.reuse ? await readReusedConnection(paths, base, log) : undefined;
    const resolved = { ...base, ...reused, ports: base.ports };
    const ports = [...resolved.ports];
    const nextPort = (name: string): number => reused?.ports.get(name) ?? ports.shift() ?? 0;
    const hub = await openHub(resolved, nextPort, log);
    let traffic: Traffic | undefined;
    try {
      traffic = await bindTraffic(resolved, { nextPort, registrationPort: hub.port }, reused, log);
      const infos = connectionInfos(resolved, traffic);
      const files = new ConnectionFiles(paths, infos);
      await hub.begin({ interface: `tcp://${resolved.ip}`, ...traffic.enginePorts }, traffic);
      traffic.start(hub.monitor);
      if (reused === undefined) await files.write();
      log.info(`serving; connection files ${files.clientFile} and ${files.engineFile}`);
      return new Controller({ traffic, hub }, files, base.reuse, log);
    } catch (error) {
      await hub.stop();
      await traffic?.stop();
      throw error;
    }
  }

  async #stopOnRequest(): Promise<void> {
    try {
      await Promise.race([this.#traffic.shutdownRequested, this.#hub.ended]);
    } catch (error) {
      this.#log.error('the hub has failed; stopping the controller', error);
      await this.stop();
      throw error;
    }
    await this.stop();
  }

  /** Stops the controller and removes the connection files, unless `reuse` keeps them. Idempotent. */
  stop(): Promise<void> {
    this.#stopPromise ??= this.#stop();
    return this.#stopPromise;
  }

  async #stop(): Promise<void> {
    if (!this.#keepFiles) await this.#files.remove();
    await this.#hub.stop();
    await this.#traffic.stop();
    this.#log.info('stopped');
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

interface Ports {
  /** Returns the port for a socket by its name; 0 for any free port. */
  readonly nextPort: (name: string) => number;
  readonly registrationPort: number;
}

function bindTraffic(
  options: ResolvedControllerOptions,
  { nextPort, registrationPort }: Ports,
  reused: ReusedConnection | undefined,
  log: Logger,
): Promise<Traffic> {
  const clock = systemClock();
  const { curve } = options;
  return Traffic.bind(
    {
      interface: `tcp://${options.ip}`,
      nextPort,
      ...(curve === undefined ? {} : { curveSecretKey: curve.secretKey }),
      log,
    },
    {
      registrationPort,
      session: new Session({ ...sessionOptions(options), now: clock.now, pid: process.pid }),
      taskScheme: options.taskScheme,
      ...(reused === undefined ? {} : { broadcastLeaves: reused.broadcastLeaves }),
      hwm: options.hwm,
      strandedDelay: options.strandedDelay,
      hbPeriod: options.hbPeriod,
      maxHeartbeatMisses: options.maxHeartbeatMisses,
      log,
      refusals: new RefusalCounter(log),
      clock,
    },
  );
}

function openHub(
  options: ResolvedControllerOptions,
  nextPort: Ports['nextPort'],
  log: Logger,
): Promise<HubThread> {
  return HubThread.open(
    {
      ...sessionOptions(options),
      bind: {
        interface: `tcp://${options.ip}`,
        port: nextPort('registration'),
        curveSecretKey: options.curve?.secretKey,
      },
      hbPeriod: options.hbPeriod,
      registrationTimeout: options.registrationTimeout,
      subscriptions: options.liveQueries,
      db: options.db,
      engineStateFile: options.engineStateFile,
      reuse: options.reuse,
      restore: options.restore,
      logLevel: options.logLevel,
    },
    log,
    options.log,
  );
}

function sessionOptions({ key, pack, unpack, signatureScheme }: ResolvedControllerOptions) {
  return { key, pack, unpack, signatureScheme };
}

function connectionInfos(
  options: ResolvedControllerOptions,
  traffic: Traffic,
): { client: Dict; engine: Dict } {
  const { key, curve, location, pack, unpack, signatureScheme } = options;
  const address = { interface: `tcp://${options.ip}` };
  const common = {
    key,
    curve_serverkey: curve?.publicKey ?? null,
    location,
    pack,
    unpack,
    signature_scheme: signatureScheme,
  };
  return {
    client: {
      ssh: options.sshServer,
      ...address,
      ...traffic.clientPorts,
      task_scheme: options.taskScheme,
      ...common,
    },
    engine: { ssh: options.engineSshServer, ...address, ...traffic.enginePorts, ...common },
  };
}
