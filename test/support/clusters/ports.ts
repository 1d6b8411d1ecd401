import { connect, createServer, type Server } from 'node:net';

const host = '127.0.0.1';
/** The lowest port of all blocks. Blocks end below the ephemeral range, from which systems assign ports to other processes. */
const LOWEST_PORT = 16_384;
/** The sizes of blocks. Each size has its own range of ports, so that blocks never overlap. */
const SIZES = [
  { size: 24, from: LOWEST_PORT, to: LOWEST_PORT + 8_192 },
  { size: 64, from: LOWEST_PORT + 8_192, to: 2 * LOWEST_PORT },
] as const;

/** The number of ports of a controller of this project. */
export const CONTROLLER_PORTS = 15;

/**
 * A random block of free TCP ports on loopback, for programs that receive their ports as arguments, and for controllers that
 * are restarted on their ports: another program could take a port that the system assigned. The first port stays bound
 * while the block is in use, so that two test runs on one machine never share a block. It is released with this process at
 * the latest.
 */
export class PortBlock {
  readonly #firstServer: Server;
  readonly #first: number;

  private constructor(firstServer: Server, first: number) {
    this.#firstServer = firstServer;
    this.#first = first;
  }

  /** Reserves a block with at least `ports` ports. */
  static async reserve(ports: number): Promise<PortBlock> {
    const range = SIZES.find(({ size }) => size >= ports);
    if (range === undefined)
      throw new Error(`a block must have at most ${SIZES.at(-1)?.size} ports, got ${ports}`);
    const { size, from, to } = range;
    const blocks = Math.floor((to - from) / size);
    for (let attempt = 0; attempt < 100; attempt++) {
      const first = from + Math.floor(Math.random() * blocks) * size;
      const firstServer = await listen(first);
      if (firstServer === undefined) continue;
      const others = await Promise.all(Array.from({ length: size - 1 }, (_, i) => listen(first + 1 + i)));
      await Promise.all(others.map((server) => server && close(server)));
      if (others.every((server) => server !== undefined)) return new PortBlock(firstServer, first);
      await close(firstServer);
    }
    throw new Error(`found no ${size} free ports in a row between ${from} and ${to}`);
  }

  /** The ports from one offset to another, both included; offset 0 is the bound port. */
  range(from: number, to: number): { from: number; to: number } {
    return { from: this.#first + from, to: this.#first + to };
  }

  async release(): Promise<void> {
    await close(this.#firstServer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }
}

/** Whether a process listens on each of these ports on loopback. */
export async function acceptConnections(ports: readonly number[]): Promise<boolean> {
  const answers = await Promise.all(ports.map(acceptsConnections));
  return answers.every(Boolean);
}

function acceptsConnections(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const settle = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => settle(true));
    socket.once('error', () => settle(false));
  });
}

function listen(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', () => resolve(undefined));
    // The bound port alone must not keep the process running.
    server.listen({ host, port, exclusive: true }, () => resolve(server.unref()));
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
  });
}
