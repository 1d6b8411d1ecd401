import { access } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { TransportError, UsageError } from '@ipyparallel-js/protocol';
import { type Deadline, timeoutError, waitFor, withBrackets } from '@ipyparallel-js/wire';
import { describeEnd, type SshEnd, SshProcess } from './ssh-process.js';
import { formatSshServer, type SshServer } from './ssh-server.js';

export interface SshTunnelOptions {
  readonly server: SshServer;
  /** The host that the ssh server connects to. */
  readonly host: string;
  /** The ports of that host. */
  readonly ports: readonly number[];
  /** The path of a private key. */
  readonly key: string | undefined;
  /** Values of `-o`; they override the user's ssh configuration. */
  readonly options: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

/** An ssh process that forwards ports of 127.0.0.1. */
export interface SshTunnel {
  /** The local port of each remote port. */
  readonly localPorts: ReadonlyMap<number, number>;
  /** The errors that ssh has printed, without warnings: for example that nothing listens at the remote port. */
  errorOutput(): string;
  /** Calls `listener` once if ssh ends other than by close(). Returns a function that removes it. */
  onLost(listener: (error: TransportError) => void): () => void;
  /** Stops ssh; resolves when the process has ended. */
  close(): Promise<void>;
}

/** Attempts are repeated, because another process may bind a chosen port before ssh does. */
const MAX_ATTEMPTS = 3;
const PROBE_PAUSE_MS = 25;

/**
 * Starts the system's ssh with one forward for each port, and resolves when all of them accept connections. ssh runs
 * without prompts: keys and known hosts come from the ssh configuration, the agent and the options.
 * @throws {TransportError} (`SSH_TUNNEL`) with the output of ssh when it fails
 * @throws {TimeoutError} when the tunnel is not open in time
 */
export async function openSshTunnel(options: SshTunnelOptions, deadline: Deadline): Promise<SshTunnel> {
  await checkKey(options.key);
  for (let attempt = 1; ; attempt++) {
    deadline.signal?.throwIfAborted();
    const localPorts = await freePorts(options.ports);
    const ssh = new SshProcess(sshArguments(options, localPorts, deadline), options.env);
    try {
      await untilForwarding(ssh, options.server, localPorts, deadline);
      return tunnelOf(ssh, options.server, localPorts);
    } catch (error) {
      await ssh.stop();
      const portTaken = /address already in use|cannot listen to port/i.test(ssh.output);
      if (!portTaken || attempt === MAX_ATTEMPTS || !(error instanceof TransportError)) throw error;
    }
  }
}

function sshArguments(
  { server, host, key, options }: SshTunnelOptions,
  localPorts: ReadonlyMap<number, number>,
  deadline: Deadline,
): string[] {
  const connectTimeout = Math.min(Math.max(1, Math.ceil(deadline.remaining() / 1_000)), 3_600);
  const fixed = [
    'BatchMode=yes',
    'ExitOnForwardFailure=yes',
    // A shared connection would take over the forwards and keep them after the end of this process.
    'ControlMaster=no',
    'ControlPath=none',
    'ForkAfterAuthentication=no',
    'PermitLocalCommand=no',
  ];
  const replaceable = ['ServerAliveInterval=15', 'ServerAliveCountMax=3', `ConnectTimeout=${connectTimeout}`];
  return [
    '-N',
    '-T',
    ...[...fixed, ...options, ...replaceable].flatMap((value) => ['-o', value]),
    ...(key === undefined ? [] : ['-i', key]),
    ...(server.port === undefined ? [] : ['-p', String(server.port)]),
    ...(server.user === undefined ? [] : ['-l', server.user]),
    ...[...localPorts].flatMap(([remote, local]) => [
      '-L',
      `127.0.0.1:${local}:${withBrackets(host)}:${remote}`,
    ]),
    '--',
    server.host,
  ];
}

async function untilForwarding(
  ssh: SshProcess,
  server: SshServer,
  localPorts: ReadonlyMap<number, number>,
  deadline: Deadline,
): Promise<void> {
  const createTimeoutError = (waited: number): Error => tunnelTimeoutError(server, waited, ssh.output);
  for (const port of localPorts.values()) {
    while (!ssh.hasEnded && !(await accepts(port))) {
      if (deadline.remaining() === 0) throw createTimeoutError(deadline.elapsed());
      await waitFor<void>(deadline, createTimeoutError, (resolve) => {
        const timer = setTimeout(resolve, PROBE_PAUSE_MS);
        void ssh.ended.then(() => resolve());
        return () => clearTimeout(timer);
      });
    }
  }
  // If ssh has ended, another process accepted the connections.
  if (ssh.hasEnded) throw endedError(await ssh.ended, server, ssh.output);
}

function tunnelOf(ssh: SshProcess, server: SshServer, localPorts: ReadonlyMap<number, number>): SshTunnel {
  const listeners = new Set<(error: TransportError) => void>();
  let closing: Promise<void> | undefined;
  let lost: TransportError | undefined;
  void ssh.ended.then((end) => {
    if (closing !== undefined) return;
    lost = endedError(end, server, ssh.output);
    for (const listener of listeners) listener(lost);
    listeners.clear();
  });
  return {
    localPorts,
    errorOutput: () =>
      ssh.output
        .split(/\r?\n/)
        .filter((line) => !/^(warning:|\*\*)/i.test(line))
        .join('\n'),
    onLost: (listener) => {
      if (lost === undefined) listeners.add(listener);
      else listener(lost);
      return () => void listeners.delete(listener);
    },
    close: () => {
      closing ??= ssh.stop();
      listeners.clear();
      return closing;
    },
  };
}

function endedError(end: SshEnd, server: SshServer, output: string): TransportError {
  const options = { code: 'SSH_TUNNEL', cause: end.cause };
  const what = `the ssh tunnel through ${formatSshServer(server)}`;
  if (end.cause?.code === 'ENOENT') {
    return new TransportError(`${what} needs the program ssh (OpenSSH), which is not on the PATH`, options);
  }
  const hint = hints.find(([pattern]) => pattern.test(output))?.[1];
  const ending = describeEnd(end, output);
  return new TransportError(`${what} ended: ${ending}${hint === undefined ? '' : `; ${hint}`}`, options);
}

const hints: readonly (readonly [RegExp, string])[] = [
  [
    /host key verification failed/i,
    'ssh does not know this host; log in once by hand, or set sshOptions: ["UserKnownHostsFile=…"]',
  ],
  [/permission denied/i, 'a password cannot be entered; set sshKey, or load a key into the ssh agent'],
];

function tunnelTimeoutError(server: SshServer, waitedMs: number, output: string): Error {
  const what = `the ssh tunnel through ${formatSshServer(server)} was not open`;
  return timeoutError(
    what,
    waitedMs,
    output === '' ? 'ssh has printed nothing yet' : `ssh printed: ${output}`,
  );
}

async function checkKey(key: string | undefined): Promise<void> {
  if (key === undefined) return;
  try {
    await access(key);
  } catch (cause) {
    throw new UsageError(`sshKey cannot be read: ${(cause as Error).message}`, { cause });
  }
}

/** Finds a free port of 127.0.0.1 for each given port. */
async function freePorts(ports: readonly number[]): Promise<Map<number, number>> {
  const servers: Server[] = [];
  const found = new Map<number, number>();
  try {
    for (const port of new Set(ports)) {
      const server = createServer();
      servers.push(server);
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(0, '127.0.0.1', resolve);
      });
      const address = server.address();
      if (address === null || typeof address === 'string')
        throw new TransportError('the operating system assigned no local port for the ssh tunnel; try again');
      found.set(port, address.port);
    }
  } finally {
    // Closed together at the end, so that no port is chosen twice.
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }
  return found;
}

async function accepts(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', timeout: 1_000 });
    const finish = (accepted: boolean): void => {
      socket.destroy();
      resolve(accepted);
    };
    socket.once('connect', () => finish(true));
    socket.once('timeout', () => finish(false));
    socket.on('error', () => finish(false));
  });
}
