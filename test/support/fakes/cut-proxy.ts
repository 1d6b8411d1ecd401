// A network that tests can cut: a TCP forwarder on loopback for every port of a connection file.
import { writeFile } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';

const host = '127.0.0.1';
const portFields = [
  'registration',
  'control',
  'mux',
  'task',
  'broadcast',
  'iopub',
  'notification',
  'hb_ping',
  'hb_pong',
];

/** The content of a connection file, for a client or an engine. */
export type ConnectionFileContent = Readonly<Record<string, unknown>>;

/** One accepted connection, and the connection to the real port once it exists. */
class Pair {
  readonly #near: Socket;
  #far: Socket | undefined;
  readonly #port: number;
  #paused = false;
  /** The ends of connections that occurred while the network was cut. They are forwarded when it resumes. */
  readonly #heldEnds: (() => void)[] = [];

  constructor(near: Socket, port: number, paused: boolean, onGone: () => void) {
    this.#near = near;
    this.#port = port;
    this.#paused = paused;
    near.setNoDelay(true);
    near.on('error', () => undefined);
    near.on('close', () =>
      this.#whenOpen(() => {
        this.#far?.destroy();
        onGone();
      }),
    );
    near.pause();
    this.#whenOpen(() => this.#dial());
  }

  pause(): void {
    this.#paused = true;
    this.#near.pause();
    this.#far?.pause();
  }

  resume(): void {
    this.#paused = false;
    for (const step of this.#heldEnds.splice(0)) step();
    this.#far?.resume();
    this.#near.resume();
  }

  reset(): void {
    this.#heldEnds.length = 0;
    this.#near.resetAndDestroy();
    this.#far?.resetAndDestroy();
  }

  #whenOpen(step: () => void): void {
    if (this.#paused) this.#heldEnds.push(step);
    else step();
  }

  #dial(): void {
    if (this.#near.destroyed) return;
    const far = connect({ host, port: this.#port, noDelay: true });
    this.#far = far;
    far.on('error', () => undefined);
    far.on('close', () => this.#whenOpen(() => this.#near.destroy()));
    this.#near.on('data', (data) => far.write(data));
    far.on('data', (data) => this.#near.write(data));
    this.#near.on('end', () => this.#whenOpen(() => far.end()));
    far.on('end', () => this.#whenOpen(() => this.#near.end()));
    this.#near.resume();
  }
}

/**
 * Forwards between a client or an engine and a controller on this machine. `info` is the connection file with the ports of
 * the proxy.
 */
export class CutProxy implements AsyncDisposable {
  /** The connection file for peers that connect through the proxy. */
  readonly info: ConnectionFileContent;
  readonly #servers: readonly Server[];
  readonly #pairs: Set<Pair>;
  readonly #gate: { paused: boolean; accepted: number };

  private constructor(
    info: ConnectionFileContent,
    servers: readonly Server[],
    pairs: Set<Pair>,
    gate: { paused: boolean; accepted: number },
  ) {
    this.info = info;
    this.#servers = servers;
    this.#pairs = pairs;
    this.#gate = gate;
  }

  /** Listens on a free port for each port of the connection file. */
  static async start(info: ConnectionFileContent): Promise<CutProxy> {
    const pairs = new Set<Pair>();
    const gate = { paused: false, accepted: 0 };
    const servers = new Map<number, Server>();
    const forward = async (port: unknown): Promise<number> => {
      const to = Number(port);
      const server = servers.get(to) ?? (await listen(to, pairs, gate));
      servers.set(to, server);
      const address = server.address();
      if (address === null || typeof address === 'string') throw new Error('the proxy has no port');
      return address.port;
    };
    const through: Record<string, unknown> = { ...info, interface: `tcp://${host}`, location: '' };
    for (const field of portFields) {
      const port = info[field];
      if (Array.isArray(port)) {
        const ports: number[] = [];
        for (const one of port) ports.push(await forward(one));
        through[field] = ports;
      } else if (port !== undefined && port !== null) through[field] = await forward(port);
    }
    return new CutProxy(through, [...servers.values()], pairs, gate);
  }

  /** Writes {@link info} as a connection file. */
  async write(path: string): Promise<string> {
    await writeFile(path, JSON.stringify(this.info), { mode: 0o600 });
    return path;
  }

  /** The number of connections accepted so far. */
  get accepted(): number {
    return this.#gate.accepted;
  }

  /** Acts like an unplugged cable: forwards neither data nor ends of connections, and notifies no peer. */
  pause(): void {
    this.#gate.paused = true;
    for (const pair of this.#pairs) pair.pause();
  }

  /** Forwards what was held back, and everything after it. */
  resume(): void {
    this.#gate.paused = false;
    for (const pair of this.#pairs) pair.resume();
  }

  /** Resets every connection (RST) on both sides; accepts new ones. */
  reset(): void {
    for (const pair of this.#pairs) pair.reset();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = this.#servers.map((server) => new Promise((resolve) => server.close(resolve)));
    this.reset();
    await Promise.all(closed);
  }
}

async function listen(
  to: number,
  pairs: Set<Pair>,
  gate: { readonly paused: boolean; accepted: number },
): Promise<Server> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (near) => {
    gate.accepted++;
    const pair: Pair = new Pair(near, to, gate.paused, () => pairs.delete(pair));
    pairs.add(pair);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port: 0 }, resolve);
  });
  return server;
}
