import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { hostname, networkInterfaces } from 'node:os';

/** What has to be known of the machine that a client runs on, to tell whether a controller is on it too. */
export interface Machine {
  hostname(): string;
  /** The addresses of its network interfaces. */
  addresses(): string[];
  /** All addresses of a name; rejects when it has none. */
  lookUp(name: string): Promise<string[]>;
}

/** The machine that this process runs on. */
export const thisMachine: Machine = {
  hostname,
  addresses: () =>
    Object.values(networkInterfaces()).flatMap((entries) => (entries ?? []).map(({ address }) => address)),
  lookUp: async (name) => (await lookup(name, { all: true })).map(({ address }) => address),
};

/** Whether an address is one of this machine's, without asking anybody. */
export function isOwnAddress(address: string, machine: Machine): boolean {
  const wanted = plain(address);
  return isLoopback(wanted) || machine.addresses().some((own) => plain(own) === wanted);
}

/** `localhost`, 127.0.0.0/8, `::1`. */
export function isLoopback(host: string): boolean {
  const name = plain(host);
  return name === 'localhost' || name === '::1' || (isIP(name) === 4 && name.startsWith('127.'));
}

/** Whether a name is this machine's own, without asking anybody. */
export function isOwnName(name: string, machine: Machine): boolean {
  const plainName = plain(name).replace(/\.$/, '');
  return plainName === 'localhost' || plainName === plain(machine.hostname()).replace(/\.$/, '');
}

/** Lower case, without the zone of a link-local address, IPv4 as IPv4. */
function plain(host: string): string {
  return host
    .toLowerCase()
    .replace(/%.*$/, '')
    .replace(/^::ffff:(?=\d+\.)/, '');
}
