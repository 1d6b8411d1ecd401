// Our controller in this process, in a temporary directory, with raw clients and engines.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Controller, type ControllerOptions } from '@ipyparallel-js/hub';
import { RawClient } from '../fakes/raw-client.js';
import { RawEngine, type RawEngineOptions } from '../fakes/raw-engine.js';
import { waitFor } from '../wait-for.js';

export class TestController {
  readonly directory: string;
  readonly controller: Controller;
  /** The lines of its log. */
  readonly log: readonly string[];
  readonly #peers: (RawClient | RawEngine)[] = [];

  private constructor(directory: string, controller: Controller, log: readonly string[]) {
    this.directory = directory;
    this.controller = controller;
    this.log = log;
  }

  static async start(options: ControllerOptions = {}): Promise<TestController> {
    const directory = mkdtempSync(join(tmpdir(), 'ippjs-controller-'));
    const log: string[] = [];
    try {
      const controller = await Controller.start({
        ...{ securityDir: join(directory, 'security'), clusterId: '', hbPeriod: 200, logLevel: 'info' },
        // 30 s, so that the controller does not declare a peer in this busy process dead.
        maxHeartbeatMisses: 150,
        log: (_level, line) => {
          log.push(line);
        },
        ...options,
      });
      return new TestController(directory, controller, log);
    } catch (error) {
      rmSync(directory, { recursive: true, force: true });
      throw error;
    }
  }

  /** A client whose sockets are connected and whose hub has replied, so that it receives every later notification. */
  async client(): Promise<RawClient> {
    const client = RawClient.fromFile(this.controller.clientFile);
    this.#peers.push(client);
    await client.engines();
    return client;
  }

  /** An engine that the hub has registered. */
  async engine(options: RawEngineOptions = {}): Promise<RawEngine> {
    const engine = await this.registering(options);
    const client = await this.client();
    await waitFor(async () => (await client.engines()).get(engine.id) === engine.uuid, {
      what: `engine ${engine.id} to be registered`,
    });
    return engine;
  }

  /** An engine that has its id, perhaps before its first heartbeat. */
  async registering(options: RawEngineOptions = {}): Promise<RawEngine> {
    const engine = await RawEngine.start(this.controller.engineFile, options);
    this.#peers.push(engine);
    return engine;
  }

  async stop(): Promise<void> {
    for (const peer of this.#peers) peer.close();
    await this.controller.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** The notifications of one type that a client has received. */
export function notices(client: RawClient, type: string): unknown[] {
  return client.received
    .filter(({ channel, message }) => channel === 'notification' && message.msg_type === type)
    .map(({ message }) => message.content);
}
