import { isIP, isIPv4, isIPv6 } from 'node:net';
import { ConnectionFileError, TransportError } from '@ipyparallel-js/protocol';
import { type Deadline, timeoutError, withinDeadline } from '../waiting/wait.js';
import { isAddressOf, isLoopback, isNameOf, type Machine } from './machine.js';

/** Where the TCP sockets of a controller listen, according to its connection file. */
export interface ListeningHost {
  /** The host without brackets; undefined when the controller listens on every address (`tcp://*`). */
  readonly host: string | undefined;
  /** The name or address of the controller's machine; empty when the file has none. */
  readonly location: string;
}

/**
 * Reads the TCP host of a connection file; undefined for ipc.
 * @throws {ConnectionFileError} when the interface has no valid host
 */
export function listeningHost(
  info: { readonly interface: string; readonly location: string },
  path: string,
): ListeningHost | undefined {
  if (info.interface.startsWith('ipc://')) return undefined;
  const host = withoutBrackets(info.interface.replace(/^tcp:\/\//, ''));
  const location = withoutBrackets(info.location);
  const isWildcard = ['*', '0.0.0.0', '::'].includes(host);
  if (!isWildcard && !isHost(host)) {
    throw new ConnectionFileError(
      path,
      `field "interface" must have a host, such as tcp://127.0.0.1, got ${JSON.stringify(info.interface)}`,
    );
  }
  return { host: isWildcard ? undefined : host, location };
}

/** Whether the controller is known to run on this machine. Resolves the location unless it is a name of this machine. */
export async function isOnThisMachine(
  location: string,
  machine: Machine,
  deadline: Deadline,
): Promise<boolean> {
  if (location === '') return false;
  if (isIP(location) !== 0) return isAddressOf(machine, location);
  if (isNameOf(machine, location)) return true;
  // A name that cannot be resolved does not belong to this machine.
  const addresses = await lookUp(location, machine, deadline).catch((error: unknown) => {
    if (error instanceof TransportError) return [];
    throw error;
  });
  return addresses.some((address) => isAddressOf(machine, address));
}

/**
 * Determines the host to connect to: the host on which the controller listens. If it listens on every address, the host
 * is 127.0.0.1 on the controller's machine and the controller's location elsewhere.
 * Mirrors `disambiguate_ip_address` of ipyparallel.
 * @throws {TransportError} when the name cannot be resolved
 */
async function reachableHost(
  listening: ListeningHost,
  path: string,
  machine: Machine,
  deadline: Deadline,
): Promise<string> {
  const { location } = listening;
  if (listening.host !== undefined)
    return await resolvableHost(listening.host, 'interface', path, machine, deadline);
  if (location === '' || (await isOnThisMachine(location, machine, deadline))) return '127.0.0.1';
  return await resolvableHost(checkedLocation(location, path), 'location', path, machine, deadline);
}

/** Determines the host for `-L` of ssh. Names stay unresolved, because the ssh server resolves them. */
export async function hostBehindTunnel(
  listening: ListeningHost,
  path: string,
  machine: Machine,
  deadline: Deadline,
): Promise<string> {
  const { host, location } = listening;
  if (host !== undefined) return host;
  if (location === '' || (await isOnThisMachine(location, machine, deadline))) return '127.0.0.1';
  return checkedLocation(location, path);
}

/** Validates the location only when it is used, because controllers write any name that their machine has. */
function checkedLocation(location: string, path: string): string {
  if (isHost(location)) return location;
  throw new ConnectionFileError(
    path,
    `field "location" must be a host name or address, got ${JSON.stringify(location)}`,
  );
}

/** Explains why a controller that does not reply may be unreachable; empty when there is no known reason. */
export function unreachableHint(listening: ListeningHost, path: string, machine: Machine): string {
  const { host, location } = listening;
  if (host === undefined || !isLoopback(host) || location === '') return '';
  if (isNameOf(machine, location) || isAddressOf(machine, location)) return '';
  return (
    `according to ${path} the controller listens on ${host} of ${location}, which does not seem to be this machine: ` +
    `connect with sshServer: 'user@${location}', or start the controller with --ip='*'`
  );
}

/** Joins host and port, with an IPv6 address in brackets. */
export function withPort(host: string, port: number): string {
  return `${withBrackets(host)}:${port}`;
}

/** Puts an IPv6 address in brackets; returns any other host unchanged. */
export function withBrackets(host: string): string {
  return isIPv6(host) ? `[${host}]` : host;
}

/** Whether a text is an IP address or a host name; rejects characters that have a meaning in URLs or command lines. */
export function isHost(text: string): boolean {
  return isIP(text) !== 0 || /^[a-z0-9_](?:[a-z0-9_.-]{0,252})$/i.test(text);
}

async function resolvableHost(
  host: string,
  field: string,
  path: string,
  machine: Machine,
  deadline: Deadline,
): Promise<string> {
  if (isIP(host) !== 0) return host;
  let addresses: string[];
  try {
    addresses = await lookUp(host, machine, deadline);
  } catch (cause) {
    if (!(cause instanceof TransportError)) throw cause;
    throw new TransportError(
      `connection file ${path} has the host ${host} in its field "${field}", and ${cause.message}; ` +
        `start the controller with --location=ADDRESS or --ip=ADDRESS, or connect through ssh (sshServer)`,
      { cause: cause.cause, code: 'HOST_NOT_FOUND' },
    );
  }
  // ZeroMQ resolves a name to IPv4 unless the socket has IPv6 enabled, so a name without IPv4 is replaced here.
  return addresses.some((address) => isIPv4(address)) ? host : (addresses[0] ?? host);
}

async function lookUp(name: string, machine: Machine, deadline: Deadline): Promise<string[]> {
  const lookup = machine.lookUp(name).then(
    (addresses) => ({ addresses }),
    (cause: unknown) => ({ cause }),
  );
  const found = await withinDeadline(deadline, lookup, (waited) =>
    timeoutError(`the host name ${name} was not resolved`, waited),
  );
  if ('addresses' in found && found.addresses.length > 0) return found.addresses;
  const cause = 'cause' in found ? found.cause : undefined;
  const { code } = (cause ?? {}) as NodeJS.ErrnoException;
  throw new TransportError(`this name cannot be resolved${code === undefined ? '' : ` (${code})`}`, {
    cause,
  });
}

function withoutBrackets(host: string): string {
  return /^\[.*\]$/.test(host) ? host.slice(1, -1) : host;
}

/**
 * Determines the interface to connect to: `tcp://` and a reachable host, or an ipc interface unchanged.
 * @throws {ConnectionFileError} when the interface has no valid host
 * @throws {TransportError} when the name cannot be resolved
 */
export async function reachableInterface(
  info: { readonly interface: string; readonly location: string },
  path: string,
  machine: Machine,
  deadline: Deadline,
): Promise<string> {
  const listening = listeningHost(info, path);
  if (listening === undefined) return info.interface;
  return `tcp://${withBrackets(await reachableHost(listening, path, machine, deadline))}`;
}
