import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { hostname, networkInterfaces } from 'node:os';

/** The host name, addresses and resolver of a machine; determines whether a controller runs on the same machine. */
export interface Machine {
  hostname(): string;
  /** The addresses of the machine's network interfaces. */
  addresses(): string[];
  /** Resolves a host name to all its addresses; rejects when it has none. */
  lookUp(name: string): Promise<string[]>;
}

/** The machine of this process. */
export const thisMachine: Machine = {
  hostname,
  addresses: () =>
    Object.values(networkInterfaces()).flatMap((entries) => (entries ?? []).map(({ address }) => address)),
  lookUp: async (name) => (await lookup(name, { all: true })).map(({ address }) => address),
};

/** Whether an address belongs to the machine; sends no network request. */
export function isAddressOf(machine: Machine, address: string): boolean {
  const normalized = normalize(address);
  return isLoopback(normalized) || machine.addresses().some((local) => normalize(local) === normalized);
}

/** Whether a host is `localhost`, in 127.0.0.0/8 or `::1`. */
export function isLoopback(host: string): boolean {
  const name = normalize(host);
  return name === 'localhost' || name === '::1' || (isIP(name) === 4 && name.startsWith('127.'));
}

/** Whether a name is `localhost` or the host name of the machine; sends no network request. */
export function isNameOf(machine: Machine, name: string): boolean {
  const normalized = normalize(name).replace(/\.$/, '');
  return normalized === 'localhost' || normalized === normalize(machine.hostname()).replace(/\.$/, '');
}

/** Converts to lower case, removes the zone of a link-local address and unwraps an IPv4-mapped address. */
function normalize(host: string): string {
  return host
    .toLowerCase()
    .replace(/%.*$/, '')
    .replace(/^::ffff:(?=\d+\.)/, '');
}
