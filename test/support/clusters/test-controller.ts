// A controller of ours in this process, in a directory of its own, with raw clients and engines.
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
  /** What it logged. */
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
        // 30 s: no peer in this busy process is taken for dead.
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

  /** A client that has links and an answer from the hub, and so hears every notification from now on. */
  async client(): Promise<RawClient> {
    const client = RawClient.fromFile(this.controller.clientFile);
    this.#peers.push(client);
    await client.engines();
    return client;
  }

  /** An engine, once the hub counts it as registered. */
  async engine(options: RawEngineOptions = {}): Promise<RawEngine> {
    const engine = await this.registering(options);
    const client = await this.client();
    await waitFor(async () => (await client.engines()).get(engine.id) === engine.uuid, {
      what: `engine ${engine.id} to be registered`,
    });
    return engine;
  }

  /** An engine that has its id; its first beat may be to come. */
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

/** Notifications of one type that a client has had. */
export function notices(client: RawClient, type: string): unknown[] {
  return client.received
    .filter(({ channel, message }) => channel === 'notification' && message.msg_type === type)
    .map(({ message }) => message.content);
}
