// A real ssh server: an sshd on a free port of 127.0.0.1 with its own keys, behind a relay that counts connections and
// can break them.
//
//     await using sshd = await Sshd.start();
//     Client.connect({ sshServer: sshd.server, sshKey: sshd.key, sshOptions: sshd.options, … });
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { delimiter, join } from 'node:path';
import { waitFor } from '../wait-for.js';
import { PortBlock } from './ports.js';

/** The ssh server's program, or the reason in one line why there is none. */
export function findSshd(): string | { missing: string } {
  const incomplete = ['ssh', 'ssh-keygen'].find((name) => spawnSync(name, ['-V']).error !== undefined);
  if (incomplete !== undefined)
    return { missing: `no ${incomplete}: install it with scripts/ci-packages.sh` };
  const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin', '/sbin'];
  for (const program of directories.map((directory) => join(directory, 'sshd'))) {
    try {
      accessSync(program, constants.X_OK);
      return program;
    } catch {}
  }
  return { missing: 'no sshd: install it with scripts/ci-packages.sh' };
}

export class Sshd {
  /** `user@127.0.0.1:port` */
  readonly server: string;
  /** The private key that the server accepts. */
  readonly key: string;
  /** A private key that the server rejects. */
  readonly strangeKey: string;
  /** Values for `-o` that make ssh trust the server. */
  readonly options: readonly string[];
  readonly directory: string;
  readonly #child: ChildProcess;
  readonly #relay: Server;
  readonly #relayed: Set<Socket>;
  readonly #ports: PortBlock;

  private constructor(
    directory: string,
    child: ChildProcess,
    relay: Server,
    relayed: Set<Socket>,
    ports: PortBlock,
  ) {
    const { port } = relay.address() as AddressInfo;
    this.directory = directory;
    this.server = `${userInfo().username}@127.0.0.1:${port}`;
    this.key = join(directory, 'key');
    this.strangeKey = join(directory, 'strange-key');
    const [type, hostKey] = readFileSync(join(directory, 'host-key.pub'), 'utf8').split(' ');
    const knownHosts = join(directory, 'known-hosts');
    writeFileSync(knownHosts, `[127.0.0.1]:${port} ${type} ${hostKey}\n`);
    this.options = [
      `UserKnownHostsFile=${knownHosts}`,
      'StrictHostKeyChecking=yes',
      'IdentitiesOnly=yes',
      'IdentityAgent=none',
    ];
    this.#child = child;
    this.#relay = relay;
    this.#relayed = relayed;
    this.#ports = ports;
  }

  static async start(): Promise<Sshd> {
    const program = findSshd();
    if (typeof program !== 'string') throw new Error(program.missing);
    // sshd needs this directory when root runs it, and only the system service creates it.
    if (process.geteuid?.() === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
    const directory = mkdtempSync(join(tmpdir(), 'ipp-sshd-'));
    const ports = await PortBlock.reserve(2);
    try {
      for (const name of ['host-key', 'key', 'strange-key']) makeKey(join(directory, name));
      const { from: port } = ports.range(1, 1);
      const child = spawn(program, ['-D', '-e', '-f', writeConfig(directory, port)], {
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      let log = '';
      child.stderr?.setEncoding('utf8').on('data', (text: string) => {
        log += text;
      });
      try {
        await waitFor(
          () => {
            if (child.exitCode !== null) throw new Error(`sshd ended: ${log}`);
            return acceptsConnection(port);
          },
          { what: () => `sshd to listen: ${log}` },
        );
        const relayed = new Set<Socket>();
        return new Sshd(directory, child, await startRelay(port, relayed), relayed, ports);
      } catch (error) {
        child.kill('SIGKILL');
        throw error;
      }
    } catch (error) {
      await ports.release();
      rmSync(directory, { recursive: true, force: true });
      throw error;
    }
  }

  /** The number of open ssh connections. */
  get connections(): number {
    return this.#relayed.size;
  }

  /** Breaks all connections, like a network failure. */
  breakConnections(): void {
    for (const socket of this.#relayed) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.breakConnections();
    await new Promise((resolve) => this.#relay.close(resolve));
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill('SIGTERM');
      await once(this.#child, 'exit');
    }
    await this.#ports.release();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function makeKey(file: string): void {
  const { status, stderr, error } = spawnSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`ssh-keygen failed: ${error?.message ?? stderr}`);
}

function writeConfig(directory: string, port: number): string {
  const authorized = join(directory, 'authorized-keys');
  writeFileSync(authorized, readFileSync(join(directory, 'key.pub')), { mode: 0o600 });
  const file = join(directory, 'sshd-config');
  const lines = [
    'ListenAddress 127.0.0.1',
    `Port ${port}`,
    `HostKey ${join(directory, 'host-key')}`,
    `AuthorizedKeysFile ${authorized}`,
    'PidFile none',
    'UsePAM no',
    'StrictModes no',
    'PermitRootLogin yes',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'AllowTcpForwarding local',
  ];
  writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
}

async function startRelay(port: number, relayed: Set<Socket>): Promise<Server> {
  const relay = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    relayed.add(near);
    near.pipe(far).pipe(near);
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      socket.on('error', () => other.destroy());
      socket.on('close', () => other.destroy());
    }
    near.on('close', () => relayed.delete(near));
  });
  relay.listen(0, '127.0.0.1');
  await once(relay, 'listening');
  return relay;
}

async function acceptsConnection(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).on('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
