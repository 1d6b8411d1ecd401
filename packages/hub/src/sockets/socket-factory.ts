import { UsageError } from '@ipyparallel-js/protocol';
import { type Logger, MessageSocket } from '@ipyparallel-js/wire';
import { Dealer, Publisher, Router, Subscriber } from 'zeromq';

/** The address and security of bound sockets. */
export interface BindOptions {
  /** For example `tcp://127.0.0.1` or `tcp://*`. */
  readonly interface: string;
  /** Returns the port for a socket by its name; 0 for any free port. */
  readonly nextPort: (name: string) => number;
  /** Z85 secret key of a CURVE server; any client with the public key may connect. */
  readonly curveSecretKey?: string;
  readonly log: Logger;
}

/** A bound socket and its port. */
export interface BoundSocket {
  readonly socket: MessageSocket;
  readonly port: number;
}

// Unlimited queues, and half a second to send queued messages when a socket closes.
const SEND_OPTIONS = { sendHighWaterMark: 0, linger: 500 };
const SEND_RECEIVE_OPTIONS = { ...SEND_OPTIONS, receiveHighWaterMark: 0 };

const SOCKETS = {
  // Never `mandatory`: a send to an unknown peer would then be pending indefinitely.
  router: (routingId?: string) =>
    new Router({ ...SEND_RECEIVE_OPTIONS, ...(routingId === undefined ? {} : { routingId }) }),
  dealer: (routingId?: string) =>
    new Dealer({ ...SEND_RECEIVE_OPTIONS, ...(routingId === undefined ? {} : { routingId }) }),
  pub: () => new Publisher(SEND_OPTIONS),
  sub: () => {
    const socket = new Subscriber({ receiveHighWaterMark: 0, linger: 0 });
    socket.subscribe();
    return socket;
  },
} as const;

export type SocketType = keyof typeof SOCKETS;

/**
 * Binds a new socket.
 * @throws {UsageError} when the address is in use or not an address of this machine
 */
export async function bindSocket(
  name: string,
  type: SocketType,
  options: BindOptions,
  routingId?: string,
): Promise<BoundSocket> {
  const socket = SOCKETS[type](routingId);
  if (options.curveSecretKey !== undefined) {
    socket.curveServer = true;
    socket.curveSecretKey = options.curveSecretKey;
  }
  const requestedPort = options.nextPort(name);
  const address = `${options.interface}:${requestedPort === 0 ? '*' : requestedPort}`;
  try {
    await socket.bind(address);
  } catch (cause) {
    socket.close();
    throw new UsageError(
      `cannot bind ${name} to ${address}: the port is in use, or the address is not one of this machine`,
      {
        cause,
      },
    );
  }
  const port = Number(/:(\d+)$/.exec(socket.lastEndpoint ?? '')?.[1]);
  return {
    socket: new MessageSocket(name, socket, {
      onFailure: (operation, error) => options.log.error(`${operation} failed`, error),
    }),
    port,
  };
}
