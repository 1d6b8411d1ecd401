import { UsageError } from '@ipyparallel-js/protocol';
import { type Logger, MessageSocket } from '@ipyparallel-js/wire';
import { Dealer, Publisher, Router, Subscriber } from 'zeromq';

/** Where sockets are bound and how they are secured. */
export interface BindOptions {
  /** `tcp://127.0.0.1`, `tcp://*`. */
  readonly interface: string;
  /** Gives the port of the next socket, by its name; 0 for any free one. */
  readonly nextPort: (name: string) => number;
  /** Z85 secret key of a CURVE server; any client that knows the public key may connect. */
  readonly curveSecretKey?: string;
  readonly log: Logger;
}

/** A socket that is bound, and its port. */
export interface BoundSocket {
  readonly socket: MessageSocket;
  readonly port: number;
}

// Unlimited queues, and half a second for what is still to be sent when a socket closes.
const COMMON = { sendHighWaterMark: 0, linger: 500 };
const BOTH = { ...COMMON, receiveHighWaterMark: 0 };

const SOCKETS = {
  // Never `mandatory`: a send to an unknown peer would then be pending for ever.
  router: (routingId?: string) => new Router({ ...BOTH, ...(routingId === undefined ? {} : { routingId }) }),
  dealer: (routingId?: string) => new Dealer({ ...BOTH, ...(routingId === undefined ? {} : { routingId }) }),
  pub: () => new Publisher(COMMON),
  sub: () => {
    const socket = new Subscriber({ receiveHighWaterMark: 0, linger: 0 });
    socket.subscribe();
    return socket;
  },
} as const;

/** What can be bound. */
export type SocketType = keyof typeof SOCKETS;

/** Binds a new socket. @throws UsageError naming the address, when it is in use or not of this machine */
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
  const wanted = options.nextPort(name);
  const address = `${options.interface}:${wanted === 0 ? '*' : wanted}`;
  try {
    await socket.bind(address);
  } catch (cause) {
    socket.close();
    throw new UsageError(
      `cannot bind ${name} to ${address}: is the port in use, or the address not this machine's?`,
      {
        cause,
      },
    );
  }
  const port = Number(/:(\d+)$/.exec(socket.lastEndpoint ?? '')?.[1]);
  return {
    socket: new MessageSocket(name, socket, {
      onFailure: (doing, error) => options.log.error(`${doing} failed`, error),
    }),
    port,
  };
}
