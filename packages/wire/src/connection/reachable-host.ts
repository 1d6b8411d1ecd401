import { isIP, isIPv4, isIPv6 } from 'node:net';
import { ConnectionFileError, TransportError } from '@ipyparallel-js/protocol';
import { type Deadline, timeoutError, withinDeadline } from '../waiting/wait.js';
import { isLoopback, isOwnAddress, isOwnName, type Machine } from './machine.js';

/** Where a controller's TCP sockets listen, as its connection file says. */
export interface ListeningHost {
  /** Without brackets; undefined when it listens on every address (`tcp://*`). */
  readonly host: string | undefined;
  /** The controller's machine; empty when the file does not say. */
  readonly location: string;
}

/** The TCP host of a connection file; undefined for ipc. @throws ConnectionFileError for what is no host */
export function listeningHost(
  info: { readonly interface: string; readonly location: string },
  path: string,
): ListeningHost | undefined {
  if (info.interface.startsWith('ipc://')) return undefined;
  const host = withoutBrackets(info.interface.replace(/^tcp:\/\//, ''));
  const location = withoutBrackets(info.location);
  const anywhere = ['*', '0.0.0.0', '::'].includes(host);
  if (!anywhere && !isHost(host)) {
    throw new ConnectionFileError(path, `field "interface" has no host: ${JSON.stringify(info.interface)}`);
  }
  return { host: anywhere ? undefined : host, location };
}

/** Whether the controller is known to run on this machine; asks the resolver for a name that is not ours. */
export async function isOnThisMachine(
  location: string,
  machine: Machine,
  deadline: Deadline,
): Promise<boolean> {
  if (location === '') return false;
  if (isIP(location) !== 0) return isOwnAddress(location, machine);
  if (isOwnName(location, machine)) return true;
  // A name that nobody knows here is not this machine's.
  const addresses = await lookUp(location, machine, deadline).catch((error: unknown) => {
    if (error instanceof TransportError) return [];
    throw error;
  });
  return addresses.some((address) => isOwnAddress(address, machine));
}

/**
 * The host to connect to: the one that the controller listens on, or, when it listens on all, 127.0.0.1 on its own
 * machine and its location elsewhere (mirrors ipyparallel's disambiguate_ip_address).
 * @throws TransportError for a name that cannot be resolved
 */
export async function reachableHost(
  place: ListeningHost,
  path: string,
  machine: Machine,
  deadline: Deadline,
): Promise<string> {
  const { location } = place;
  if (place.host !== undefined) return await resolvable(place.host, 'interface', path, machine, deadline);
  if (location === '' || (await isOnThisMachine(location, machine, deadline))) return '127.0.0.1';
  return await resolvable(checkedLocation(location, path), 'location', path, machine, deadline);
}

/**
 * The host as it can be written into `-L`: names are resolved by the ssh server, which may know others than we do.
 */
export async function hostBehindTunnel(
  place: ListeningHost,
  path: string,
  machine: Machine,
  deadline: Deadline,
): Promise<string> {
  const { host, location } = place;
  if (host !== undefined) return host;
  if (location === '' || (await isOnThisMachine(location, machine, deadline))) return '127.0.0.1';
  return checkedLocation(location, path);
}

/** Only checked where it is needed: controllers write whatever their machine calls itself. */
function checkedLocation(location: string, path: string): string {
  if (isHost(location)) return location;
  throw new ConnectionFileError(path, `field "location" is not a host: ${JSON.stringify(location)}`);
}

/** Why a controller that does not answer may be out of reach; empty when nothing speaks for it. */
export function unreachableHint(place: ListeningHost, path: string, machine: Machine): string {
  const { host, location } = place;
  if (host === undefined || !isLoopback(host) || location === '') return '';
  if (isOwnName(location, machine) || isOwnAddress(location, machine)) return '';
  return (
    `${path} says that the controller listens on ${host} of ${location}, which does not seem to be this machine: ` +
    `connect with sshServer: 'user@${location}', or start it with --ip='*'`
  );
}

/** `host:port` with the brackets that IPv6 needs. */
export function withPort(host: string, port: number): string {
  return `${withBrackets(host)}:${port}`;
}

/** An IPv6 address in brackets; everything else as it is. */
export function withBrackets(host: string): string {
  return isIPv6(host) ? `[${host}]` : host;
}

/** An address or a name, and nothing that a URL or a command line would take for something else. */
export function isHost(text: string): boolean {
  return isIP(text) !== 0 || /^[a-z0-9_](?:[a-z0-9_.-]{0,252})$/i.test(text);
}

async function resolvable(
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
      `the controller of connection file ${path} is on ${host} (its field "${field}"), and ${cause.message}; ` +
        `start it with --location=ADDRESS or --ip=ADDRESS, or connect through ssh (sshServer)`,
      { cause: cause.cause, code: 'HOST_NOT_FOUND' },
    );
  }
  // A socket that is not told to use IPv6 resolves names to IPv4 only.
  return addresses.some((address) => isIPv4(address)) ? host : (addresses[0] ?? host);
}

async function lookUp(name: string, machine: Machine, deadline: Deadline): Promise<string[]> {
  const answer = machine.lookUp(name).then(
    (addresses) => ({ addresses }),
    (cause: unknown) => ({ cause }),
  );
  const found = await withinDeadline(deadline, answer, (waited) =>
    timeoutError(`the host name ${name} was not resolved`, waited),
  );
  if ('addresses' in found && found.addresses.length > 0) return found.addresses;
  const cause = 'cause' in found ? found.cause : undefined;
  const { code } = (cause ?? {}) as NodeJS.ErrnoException;
  throw new TransportError(`this name has no address here${code === undefined ? '' : ` (${code})`}`, {
    cause,
  });
}

function withoutBrackets(host: string): string {
  return /^\[.*\]$/.test(host) ? host.slice(1, -1) : host;
}

/**
 * A connection file's interface with a host that can be reached from here: `tcp://host`, or the ipc path as it is.
 * @throws ConnectionFileError for what is no host, TransportError for a name that cannot be resolved
 */
export async function reachableInterface(
  info: { readonly interface: string; readonly location: string },
  path: string,
  machine: Machine,
  deadline: Deadline,
): Promise<string> {
  const place = listeningHost(info, path);
  if (place === undefined) return info.interface;
  return `tcp://${withBrackets(await reachableHost(place, path, machine, deadline))}`;
}
