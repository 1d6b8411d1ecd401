import {
  type ClientChannel,
  type ClientConnectionInfo,
  ConnectionFileError,
  channelAddress,
  type TransportError,
  UsageError,
  validateClientConnectionInfo,
} from '@ipyparallel-js/protocol';
import { isDict } from '@ipyparallel-js/protocol/internal';
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

/** Which cluster, and how to reach it. Without any option the one of the default profile, as in Python. */
export interface ConnectionOptions extends Omit<ConnectionFileOptions, 'connectionFile'> {
  /** Path of ipcontroller-client.json (`~` is the home directory), or what it holds. Goes before all that follows. */
  readonly connectionFile?: string | URL | ClientConnectionInfo | Readonly<Record<string, unknown>>;
  /** `user@host[:port]` to tunnel through; by default the file's own `ssh` when the controller is elsewhere. */
  readonly sshServer?: string;
  /** Path of the private key for the tunnel; ssh's own choice by default. Alone it does not open a tunnel. */
  readonly sshKey?: string;
  /** More `-o` values for the ssh of the tunnel: `['UserKnownHostsFile=/path', 'ProxyJump=gateway']`. */
  readonly sshOptions?: readonly string[];
}

/** The address of each socket; `broadcast` is undefined for controllers before 7. */
export type ChannelAddresses = { readonly [C in Exclude<ClientChannel, 'broadcast'>]: string } & {
  readonly broadcast: string | undefined;
};

/** Everything that is needed to open a client's sockets, and the tunnel that they go through. */
export interface Connection {
  readonly info: ClientConnectionInfo;
  /** The file, or `(object)`; for messages. */
  readonly path: string;
  /** Addresses that can be connected to from here. */
  readonly addresses: ChannelAddresses;
  /** Whether an address is an IPv6 one: sockets then need the option `ipv6`. */
  readonly ipv6: boolean;
  readonly curve: CurveKeys | null;
  readonly tunnelled: boolean;
  /** Why the controller may be silent: a loopback address of elsewhere, what ssh complains about. Empty when unknown. */
  hint(): string;
  /** Calls back once when the tunnel breaks. Gives what takes the listener away. */
  onTunnelLost(listener: (error: TransportError) => void): () => void;
  /** Ends the tunnel. May be called again. */
  close(): Promise<void>;
}

/**
 * Finds the connection file, waits for it, and gives the addresses to connect to, through an ssh tunnel where one is
 * asked for (mirrors the first half of ipyparallel's Client.__init__).
 * @throws ConnectionFileError, UsageError, TransportError, TimeoutError; `signal.reason` on abort
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
  const place = listeningHost(info, path);

  const server = givenServer ?? (await serverOfFile(info, path, place, machine, deadline));
  if (server === undefined) {
    const base = await reachableInterface(info, path, machine, deadline);
    return {
      ...common(info, path, curve, (port) => channelAddress(base, port)),
      tunnelled: false,
      hint: () => (place === undefined ? '' : unreachableHint(place, path, machine)),
      onTunnelLost: () => () => undefined,
      close: () => Promise.resolve(),
    };
  }

  if (place === undefined) {
    throw new UsageError(
      `an ssh tunnel leads to tcp addresses; connection file ${path} has ${info.interface}`,
    );
  }
  const tunnel: SshTunnel = await openSshTunnel(
    {
      server,
      host: await hostBehindTunnel(place, path, machine, deadline),
      ports: portsOf(info),
      key: sshKey,
      options: sshOptions,
      env,
    },
    deadline,
  );
  return {
    ...common(info, path, curve, (port) => `tcp://127.0.0.1:${tunnel.localPorts.get(port)}`),
    tunnelled: true,
    hint: () => (tunnel.complaints() === '' ? '' : `ssh said: ${tunnel.complaints()}`),
    onTunnelLost: tunnel.onLost,
    close: tunnel.close,
  };
}

/** What the connection file says, once it is there. */
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
    throw new UsageError('connectionFile is a path, a file: URL, or an object with what the file holds');
  }
  const path = '(object)';
  return { info: validateClientConnectionInfo(connectionFile, path), path };
}

function common(
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

/** The file's own ssh server counts only where the controller is not on this machine. */
async function serverOfFile(
  info: ClientConnectionInfo,
  path: string,
  place: ListeningHost | undefined,
  machine: Machine,
  deadline: Deadline,
): Promise<SshServer | undefined> {
  if (info.ssh === '' || place === undefined) return undefined;
  if (await isOnThisMachine(place.location, machine, deadline)) return undefined;
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
  const wrong = options.find((option) => typeof option !== 'string' || !/^[A-Za-z]+\s*[= ]/.test(option));
  if (wrong !== undefined || options.some((option) => /\p{Cc}/u.test(option))) {
    throw new UsageError('sshOptions are texts like "UserKnownHostsFile=/path", as ssh -o takes them');
  }
  return options;
}
