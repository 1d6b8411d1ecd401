import { hostname, networkInterfaces } from 'node:os';

/**
 * The address at which a controller's interface can be reached: a wildcard (`tcp://*`, `tcp://0.0.0.0`) becomes this
 * machine when `location` names it or nothing, and `location` otherwise. Others stay as they are.
 */
export function reachableInterface(interfaceUrl: string, location: string): string {
  const wildcard = /^tcp:\/\/(?:\*|0\.0\.0\.0|\[::\])$/.test(interfaceUrl);
  if (!wildcard) return interfaceUrl;
  return `tcp://${location === '' || isThisMachine(location) ? '127.0.0.1' : location}`;
}

function isThisMachine(location: string): boolean {
  const name = location.toLowerCase();
  const own = hostname().toLowerCase();
  if (name === 'localhost' || name === own || name.split('.')[0] === own.split('.')[0]) return true;
  return Object.values(networkInterfaces()).some((addresses) =>
    addresses?.some(({ address }) => address === location),
  );
}
