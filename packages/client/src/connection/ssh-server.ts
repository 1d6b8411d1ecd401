import { isIP } from 'node:net';
import { isHost, withPort } from '@ipyparallel-js/wire';

/** The parts of `user@host:port`. */
export interface SshServer {
  readonly user: string | undefined;
  /** A host name, an alias of the ssh configuration, or an address without brackets. */
  readonly host: string;
  readonly port: number | undefined;
}

/** Characters that a shell of a ProxyCommand would interpret: the ssh configuration may pass `%r` and `%h` to one. */
const UNSAFE_USER_CHARACTER = /[\s\p{Cc}'"`;&<>|(){}$]/u;

/**
 * Parses `user@host[:port]`. User and port are optional; an IPv6 address with a port is written in brackets. Calls `fail`,
 * which throws, for invalid servers, in particular for parts that ssh would interpret as options.
 */
export function parseSshServer(text: string, fail: (problem: string) => never): SshServer {
  const at = text.lastIndexOf('@');
  const user = at < 0 ? undefined : text.slice(0, at);
  if (user !== undefined && (user === '' || user.startsWith('-') || UNSAFE_USER_CHARACTER.test(user))) {
    return fail(
      `${JSON.stringify(text)} must have a user before the @ that does not begin with - and has no spaces or shell characters`,
    );
  }
  const address = text.slice(at + 1);
  const match =
    /^\[(.*)\](?::(.*))?$/.exec(address) ?? (isIP(address) !== 0 ? [address, address] : splitPort(address));
  const host = match[1] ?? '';
  if (!isHost(host))
    return fail(`${JSON.stringify(text)} must have a valid host, as in user@host or user@host:port`);
  if (match[2] === undefined) return { user, host, port: undefined };
  const port = /^\d{1,5}$/.test(match[2]) ? Number(match[2]) : 0;
  if (port < 1 || port > 65_535)
    return fail(`${JSON.stringify(text)} must have a port from 1 to 65535 after the colon`);
  return { user, host, port };
}

/** Formats a server for error messages. */
export function formatSshServer({ user, host, port }: SshServer): string {
  return `${user === undefined ? '' : `${user}@`}${port === undefined ? host : withPort(host, port)}`;
}

function splitPort(address: string): readonly (string | undefined)[] {
  const colon = address.indexOf(':');
  return colon < 0 ? [address, address] : [address, address.slice(0, colon), address.slice(colon + 1)];
}
