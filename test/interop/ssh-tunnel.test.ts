import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { Client } from '@ipyparallel-js/client';
import { type Connection, type ConnectionOptions, openConnection } from '@ipyparallel-js/client/internal';
import { TimeoutError, TransportError } from '@ipyparallel-js/protocol';
import { type Machine, startDeadline, thisMachine } from '@ipyparallel-js/wire';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Dealer, Router } from 'zeromq';
import { PortBlock } from '../support/clusters/ports.js';
import { findSshd, Sshd } from '../support/clusters/sshd.js';
import { FakeHub } from '../support/fakes/fake-hub.js';
import { describeRequiring } from '../support/requirements.js';
import { waitFor } from '../support/wait-for.js';

const channels = ['registration', 'control', 'mux', 'task', 'broadcast', 'iopub', 'notification'] as const;

/** Opens a ROUTER for each channel and sends back every message. */
class EchoController implements AsyncDisposable {
  readonly #routers: Router[] = [];
  readonly #loops: Promise<void>[] = [];
  readonly ports: Record<string, number> = {};

  static async start(): Promise<EchoController> {
    const controller = new EchoController();
    for (const channel of channels) {
      const router = new Router({ linger: 0 });
      await router.bind('tcp://127.0.0.1:*');
      controller.#routers.push(router);
      controller.#loops.push(echo(router, channel));
      controller.ports[channel] = Number(router.lastEndpoint?.split(':').at(-1));
    }
    return controller;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const router of this.#routers) router.close();
    await Promise.all(this.#loops);
  }
}

async function echo(router: Router, channel: string): Promise<void> {
  for await (const [identity = '', ...frames] of router) {
    await router.send([identity, channel, ...frames]);
  }
}

async function ask(address: string | undefined): Promise<string[]> {
  const dealer = new Dealer({ linger: 0, receiveTimeout: 60_000 });
  try {
    dealer.connect(String(address));
    await dealer.send(['hello']);
    return (await dealer.receive()).map(String);
  } finally {
    dealer.close();
  }
}

const info = {
  interface: 'tcp://127.0.0.1',
  key: 'k',
  location: 'elsewhere.invalid',
  ssh: '',
  task_scheme: 'leastload',
};

const missing = findSshd();

describeRequiring(typeof missing === 'string' ? undefined : missing.missing, 'an ssh tunnel', () => {
  let sshd: Sshd;
  let controller: EchoController;
  let file: Record<string, unknown>;
  let options: ConnectionOptions;

  beforeAll(async () => {
    sshd = await Sshd.start();
    controller = await EchoController.start();
  });
  afterAll(async () => {
    await controller?.[Symbol.asyncDispose]();
    await sshd?.[Symbol.asyncDispose]();
  });
  beforeEach(async () => {
    file = { ...info, ...controller.ports };
    options = {
      connectionFile: file,
      sshServer: sshd.server,
      sshKey: sshd.key,
      sshOptions: sshd.options,
    };
    await gone();
  });

  /** Waits until no ssh is connected. */
  const gone = async (): Promise<void> => {
    await waitFor(() => sshd.connections === 0, { what: 'ssh to end' });
  };

  const open = (
    change: ConnectionOptions = {},
    wait: { timeout?: number; signal?: AbortSignal } = {},
    machine: Machine = thisMachine,
    env: NodeJS.ProcessEnv = process.env,
  ): Promise<Connection> =>
    openConnection({ ...options, ...change }, startDeadline(wait, 60_000), env, machine);

  it('carries all sockets in one ssh process', async () => {
    const exitListeners = process.listenerCount('exit');
    const connection = await open();
    expect(connection.tunnelled).toBe(true);
    expect(sshd.connections).toBe(1);
    for (const channel of channels) {
      const address = connection.addresses[channel];
      expect(address).toMatch(/^tcp:\/\/127\.0\.0\.1:\d+$/);
      expect(address).not.toContain(`:${controller.ports[channel]}`);
      expect(await ask(address)).toEqual([channel, 'hello']);
    }
    expect(connection.hint()).toBe('');
    await Promise.all([connection.close(), connection.close()]);
    await connection.close();
    await gone();
    expect(process.listenerCount('exit')).toBe(exitListeners);
  });

  it("opens to the ssh server and the controller's host in the connection file", async () => {
    // The host name "localhost" is the controller's machine, because the ssh server resolves it.
    const elsewhere: Machine = { ...thisMachine, hostname: () => 'laptop', addresses: () => [] };
    const rest = { sshKey: sshd.key, sshOptions: sshd.options };
    const connection = await openConnection(
      { connectionFile: { ...file, ssh: sshd.server }, ...rest },
      startDeadline({}, 60_000),
      process.env,
      { ...elsewhere, lookUp: () => Promise.reject(new Error('unknown')) },
    );
    expect(connection.tunnelled).toBe(true);
    expect(await ask(connection.addresses.task)).toEqual(['task', 'hello']);
    await connection.close();
  });

  it('reports when it breaks', async () => {
    const connection = await open();
    const lost: Error[] = [];
    connection.onTunnelLost((error) => lost.push(error));
    const off = connection.onTunnelLost(() => lost.push(new Error('the listener was removed')));
    off();
    sshd.breakConnections();
    await waitFor(() => lost.length > 0, { what: 'the notification' });
    expect(lost).toHaveLength(1);
    expect(lost[0]).toBeInstanceOf(TransportError);
    expect((lost[0] as TransportError).code).toBe('SSH_TUNNEL');
    expect(lost[0]?.message).toContain(`the ssh tunnel through ${sshd.server} ended: exit code 255`);
    const late: Error[] = [];
    connection.onTunnelLost((error) => late.push(error));
    expect(late).toEqual(lost);
    await connection.close();
  });

  it('is reopened when it breaks while a client uses it', async () => {
    await using hub = await FakeHub.start();
    await using rc = await Client.connect({
      ...options,
      connectionFile: { ...hub.info, location: '' },
      timeout: 60_000,
    });
    const states: string[] = [];
    rc.connection$.subscribe(({ state }) => states.push(state));
    sshd.breakConnections();
    await waitFor(() => states.length >= 3, { timeout: 60_000, what: () => states.join() });
    expect(states).toEqual(['connected', 'disconnected', 'connected']);
    expect(await rc.hubHistory({ timeout: 60_000 })).toEqual([]);
    // The ssh process of a failed attempt may still be ending.
    await waitFor(() => sshd.connections === 1, {
      what: () => `one connection; ${sshd.connections} are open`,
    });
  });

  it('makes connect fail when it breaks before the hub has replied', async () => {
    await using hub = await FakeHub.start({ answer: () => false });
    const connecting = Client.connect({ ...options, connectionFile: hub.info, timeout: 60_000 }).catch(
      (reason: unknown) => reason,
    );
    await waitFor(() => hub.requests.length > 0, { timeout: 60_000, what: 'the request' });
    sshd.breakConnections();
    expect(await connecting).toMatchObject({ code: 'SSH_TUNNEL' });
  });

  it('reports nothing when it is closed', async () => {
    const connection = await open();
    const lost: Error[] = [];
    connection.onTunnelLost((error) => lost.push(error));
    await connection.close();
    await gone();
    expect(lost).toEqual([]);
  });

  it('reports a rejected key', async () => {
    const error: unknown = await open({ sshKey: sshd.strangeKey }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(TransportError);
    expect((error as TransportError).code).toBe('SSH_TUNNEL');
    expect((error as TransportError).message).toMatch(/Permission denied.*set sshKey/s);
  });

  it('reports an unknown host', async () => {
    const unknown = ['UserKnownHostsFile=/dev/null', 'GlobalKnownHostsFile=/dev/null'];
    const error: unknown = await open({ sshOptions: [...unknown, ...sshd.options.slice(1)] }).catch(
      (reason: unknown) => reason,
    );
    expect((error as Error).message).toMatch(/Host key verification failed.*log in once by hand/s);
  });

  it('reports that no server listens at the port', async () => {
    const ports = await PortBlock.reserve(2);
    const error: unknown = await open({ sshServer: `me@127.0.0.1:${ports.range(1, 1).from}` }).catch(
      (reason: unknown) => reason,
    );
    await ports.release();
    expect(error).toBeInstanceOf(TransportError);
    expect((error as Error).message).toMatch(/Connection refused/);
  });

  it('hints at a missing controller', async () => {
    const connection = await open({ connectionFile: { ...file, mux: 1 } });
    await waitFor(() => /connect failed: Connection refused/.test(connection.hint()), {
      what: () => `the hint; got: ${connection.hint()}`,
    });
    expect(connection.hint()).toMatch(/connect failed: Connection refused/);
    await connection.close();
  });

  describe('to a server that is silent', () => {
    it('ends with the deadline', async () => {
      await using silent = await SilentServer.start();
      const error: unknown = await open({ sshServer: silent.server }, { timeout: 300 }).catch(
        (reason: unknown) => reason,
      );
      expect(error).toBeInstanceOf(TimeoutError);
      expect((error as TimeoutError).message).toContain(silent.server);
      await waitFor(() => silent.connections === 0, { what: 'ssh to end' });
    });

    it('ends with the signal', async () => {
      await using silent = await SilentServer.start();
      const controller = new AbortController();
      const reason = new Error('enough');
      const opening = open({ sshServer: silent.server }, { signal: controller.signal });
      const settled = opening.catch((error: unknown) => error);
      await waitFor(() => silent.connections === 1, { what: 'ssh to connect' });
      controller.abort(reason);
      expect(await settled).toBe(reason);
      await waitFor(() => silent.connections === 0, { what: 'ssh to end' });
    });
  });

  it('uses other ports when its ports are taken', async () => {
    // This ssh reports at its first attempt that the ports are taken.
    const path = join(sshd.directory, 'bin');
    const counter = join(sshd.directory, 'tries');
    mkdirSync(path, { recursive: true });
    writeFileSync(
      join(path, 'ssh'),
      `#!/bin/sh\necho try >>'${counter}'\nif [ "$(wc -l <'${counter}')" -lt 2 ]; then\n` +
        `echo 'bind [127.0.0.1]:1: Address already in use' >&2; exit 255; fi\nPATH=$REAL_PATH exec ssh "$@"\n`,
      { mode: 0o755 },
    );
    const real = process.env.PATH ?? '';
    const env = { ...process.env, REAL_PATH: real, PATH: `${path}${delimiter}${real}` };
    const connection = await open({}, {}, thisMachine, env);
    expect(await ask(connection.addresses.mux)).toEqual(['mux', 'hello']);
    expect(readFileSync(counter, 'utf8')).toBe('try\ntry\n');
    await connection.close();
    rmSync(path, { recursive: true });
  });

  describe('of a process', () => {
    async function start(then: string): Promise<ChildProcess> {
      const program = `
        import { openConnection } from '@ipyparallel-js/client/internal';
        import { startDeadline } from '@ipyparallel-js/wire';
        await openConnection(${JSON.stringify(options)}, startDeadline({}, 60_000));
        console.log('open');
        ${then}
      `;
      const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const [said] = await once(child.stdout, 'data');
      expect(String(said)).toContain('open');
      return child;
    }

    it('ends with the process, and does not keep it running', async () => {
      const child = await start('');
      const [code] = child.exitCode === null ? await once(child, 'exit') : [child.exitCode];
      expect(code).toBe(0);
      await gone();
    });

    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      it(`ends when the process gets ${signal}`, async () => {
        const child = await start('setInterval(() => {}, 1000);');
        expect(sshd.connections).toBe(1);
        child.kill(signal);
        await once(child, 'exit');
        await gone();
      });
    }
  });
});

/** Accepts connections and sends nothing. */
class SilentServer implements AsyncDisposable {
  connections = 0;
  server = '';
  readonly #tcp = createServer((socket) => {
    this.connections++;
    socket.on('error', () => undefined);
    socket.on('close', () => this.connections--);
    socket.resume();
  });

  static async start(): Promise<SilentServer> {
    const silent = new SilentServer();
    silent.#tcp.listen(0, '127.0.0.1');
    await once(silent.#tcp, 'listening');
    const { port } = silent.#tcp.address() as { port: number };
    silent.server = `me@127.0.0.1:${port}`;
    return silent;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise((resolve) => this.#tcp.close(resolve));
  }
}
