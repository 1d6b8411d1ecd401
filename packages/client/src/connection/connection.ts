import {
  type ClientChannel,
  type ClientConnectionInfo,
  ConnectionFileError,
  channelAddress,
  type TransportError,
  UsageError,
  validateClientConnectionInfo,
} from '@ipyparallel-js/protocol';
import { describe, isDict } from '@ipyparallel-js/protocol/internal';
import type { Deadline } from '@ipyparallel-js/wire';
import {
  type ConnectionFileOptions,
  type CurveKeys,
  curveKeys,
  expandPath,
  hostBehindTunnel,
  isOnThisMachine,
  type ListeningHost,
  listeningHost,
  locateConnectionFile,
  type Machine,
  reachableInterface,
  readConnectionFile,
  thisMachine,
  unreachableHint,
} from '@ipyparallel-js/wire';
import { parseSshServer, type SshServer } from './ssh-server.js';
import { openSshTunnel, type SshTunnel } from './ssh-tunnel.js';

/** Selects a cluster and how to reach it; by default the cluster of the default profile, as in Python. */
export interface ConnectionOptions extends Omit<ConnectionFileOptions, 'connectionFile'> {
  /** The path of ipcontroller-client.json (`~` is the home directory), or its content. It overrides all other options. */
  readonly connectionFile?: string | URL | ClientConnectionInfo | Readonly<Record<string, unknown>>;
  /** The ssh server `user@host[:port]` of a tunnel; by default the file's `ssh` if the controller is on another machine. */
  readonly sshServer?: string;
  /** The path of the private key for the tunnel; by default ssh chooses. Without an ssh server it has no effect. */
  readonly sshKey?: string;
  /** Additional `-o` values for ssh: `['UserKnownHostsFile=/path', 'ProxyJump=gateway']`. */
  readonly sshOptions?: readonly string[];
}

/** The address of each channel; `broadcast` is undefined for controllers before version 7. */
export type ChannelAddresses = { readonly [C in Exclude<ClientChannel, 'broadcast'>]: string } & {
  readonly broadcast: string | undefined;
};

/** The information for opening a client's sockets, and their ssh tunnel. */
export interface Connection {
  readonly info: ClientConnectionInfo;
  /** The path of the file, or `(object)`; for error messages. */
  readonly path: string;
  /** The addresses to connect to from this machine. */
  readonly addresses: ChannelAddresses;
  /** Whether the addresses are IPv6 addresses, which need the socket option `ipv6`. */
  readonly ipv6: boolean;
  readonly curve: CurveKeys | null;
  readonly tunnelled: boolean;
  /** Explains why the controller may not reply: a loopback address of another machine, or errors of ssh; else empty. */
  hint(): string;
  /** Calls `listener` once if the tunnel breaks. Returns a function that removes it. */
  onTunnelLost(listener: (error: TransportError) => void): () => void;
  /** Closes the tunnel; idempotent. */
  close(): Promise<void>;
}

/**
 * Locates the connection file, waits for it, opens an ssh tunnel if required, and returns the addresses to connect to.
 * Mirrors the first half of ipyparallel's `Client.__init__`.
 * @throws {ConnectionFileError} when the file is invalid
 * @throws {UsageError} when an option is invalid
 * @throws {TransportError} when the tunnel cannot be opened
 * @throws {TimeoutError} when the file or the tunnel is not ready in time
 */
export async function openConnection(
  options: ConnectionOptions,
  deadline: Deadline,
  env: NodeJS.ProcessEnv = process.env,
  machine: Machine = thisMachine,
): Promise<Connection> {
  deadline.signal?.throwIfAborted();
  const givenServer = serverOption(options.sshServer);
  const sshKey = options.sshKey === undefined ? undefined : expandPath(options.sshKey, env);
  const sshOptions = checkSshOptions(options.sshOptions);
  const { info, path } = await readInfo(options, deadline, env);
  const curve = curveKeys(info, path, env);
  const listening = listeningHost(info, path);

  const server = givenServer ?? (await serverOfFile(info, path, listening, machine, deadline));
  if (server === undefined) {
    const base = await reachableInterface(info, path, machine, deadline);
    return {
      ...commonFields(info, path, curve, (port) => channelAddress(base, port)),
      tunnelled: false,
      hint: () => (listening === undefined ? '' : unreachableHint(listening, path, machine)),
      onTunnelLost: () => () => undefined,
      close: () => Promise.resolve(),
    };
  }

  if (listening === undefined) {
    throw new UsageError(`an ssh tunnel needs a tcp address; connection file ${path} has ${info.interface}`);
  }
  const tunnel: SshTunnel = await openSshTunnel(
    {
      server,
      host: await hostBehindTunnel(listening, path, machine, deadline),
      ports: portsOf(info),
      key: sshKey,
      options: sshOptions,
      env,
    },
    deadline,
  );
  return {
    ...commonFields(info, path, curve, (port) => `tcp://127.0.0.1:${tunnel.localPorts.get(port)}`),
    tunnelled: true,
    hint: () => (tunnel.errorOutput() === '' ? '' : `ssh printed: ${tunnel.errorOutput()}`),
    onTunnelLost: tunnel.onLost,
    close: tunnel.close,
  };
}

/** Waits for the connection file and reads it. */
export async function readInfo(
  options: ConnectionOptions,
  deadline: Deadline,
  env: NodeJS.ProcessEnv = process.env,
): Promise<{ info: ClientConnectionInfo; path: string }> {
  const { connectionFile, ...choice } = options;
  if (connectionFile === undefined || typeof connectionFile === 'string' || connectionFile instanceof URL) {
    const file = locateConnectionFile(
      connectionFile === undefined ? choice : { ...choice, connectionFile },
      env,
    );
    const raw = await readConnectionFile(file, deadline);
    return { info: validateClientConnectionInfo(raw, file.path), path: file.path };
  }
  if (!isDict(connectionFile)) {
    throw new UsageError(
      `connectionFile must be a path, a file: URL, or an object with the content of the file, got ${String(connectionFile)}`,
    );
  }
  const path = '(object)';
  return { info: validateClientConnectionInfo(connectionFile, path), path };
}

function commonFields(
  info: ClientConnectionInfo,
  path: string,
  curve: CurveKeys | null,
  address: (port: number) => string,
): Pick<Connection, 'info' | 'path' | 'addresses' | 'ipv6' | 'curve'> {
  const addresses: ChannelAddresses = {
    registration: address(info.registration),
    control: address(info.control),
    mux: address(info.mux),
    task: address(info.task),
    broadcast: info.broadcast === undefined ? undefined : address(info.broadcast),
    iopub: address(info.iopub),
    notification: address(info.notification),
  };
  return { info, path, addresses, ipv6: addresses.registration.startsWith('tcp://['), curve };
}

function portsOf(info: ClientConnectionInfo): number[] {
  const { registration, control, mux, task, broadcast, iopub, notification } = info;
  const ports = [registration, control, mux, task, iopub, notification];
  return broadcast === undefined ? ports : [...ports, broadcast];
}

/** Returns the ssh server of the file, unless the controller runs on this machine. */
async function serverOfFile(
  info: ClientConnectionInfo,
  path: string,
  listening: ListeningHost | undefined,
  machine: Machine,
  deadline: Deadline,
): Promise<SshServer | undefined> {
  if (info.ssh === '' || listening === undefined) return undefined;
  if (await isOnThisMachine(listening.location, machine, deadline)) return undefined;
  return parseSshServer(info.ssh, (problem) => {
    throw new ConnectionFileError(path, `field "ssh": ${problem}`);
  });
}

function serverOption(server: string | undefined): SshServer | undefined {
  if (server === undefined) return undefined;
  return parseSshServer(String(server), (problem) => {
    throw new UsageError(`sshServer ${problem}`);
  });
}

function checkSshOptions(options: readonly string[] = []): readonly string[] {
  const isValid = (option: unknown): boolean =>
    typeof option === 'string' && /^[A-Za-z]+\s*[= ]/.test(option) && !/\p{Cc}/u.test(option);
  if (!options.every(isValid)) {
    const invalid = options.find((option) => !isValid(option));
    throw new UsageError(
      `sshOptions must be strings such as "UserKnownHostsFile=/path", in the form of ssh -o, got ${describe(invalid)}`,
    );
  }
  return options;
}
