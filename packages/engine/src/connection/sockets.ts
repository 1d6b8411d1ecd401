import type { CurveKeys } from '@ipyparallel-js/wire';
import { Dealer, Subscriber, XPublisher } from 'zeromq';

/** How long what was sent may take to leave after a socket is closed, in ms. */
const LINGER = 1000;

/** How long one attempt to connect may take, in ms: the system's own patience outlasts a network that was cut. */
const CONNECT_TIMEOUT = 3000;

/** The CURVE keys of a socket; empty without CURVE. */
type CurveOptions = {
  readonly curveServerKey?: string;
  readonly curvePublicKey?: string;
  readonly curveSecretKey?: string;
};

/** Makes the sockets of one engine: no high-water mark, its uuid as routing id, CURVE when the controller has it. */
export class SocketFactory {
  readonly #routingId: string;
  /** What any socket to this controller needs. */
  readonly curve: CurveOptions;
  readonly #common: CurveOptions & {
    readonly linger: number;
    readonly connectTimeout: number;
    readonly ipv6: boolean;
  };

  constructor(uuid: string, keys: CurveKeys | null, ipv6: boolean) {
    this.#routingId = uuid;
    this.curve =
      keys === null
        ? {}
        : { curveServerKey: keys.serverKey, curvePublicKey: keys.publicKey, curveSecretKey: keys.secretKey };
    this.#common = { linger: LINGER, connectTimeout: CONNECT_TIMEOUT, ipv6, ...this.curve };
  }

  /** A dealer under the engine's routing id. */
  dealer(): Dealer {
    const dealer = this.anonymous();
    dealer.routingId = this.#routingId;
    return dealer;
  }

  anonymous(): Dealer {
    return new Dealer({ ...this.#common, sendHighWaterMark: 0, receiveHighWaterMark: 0 });
  }

  /** Receives everything. */
  subscriber(): Subscriber {
    const socket = new Subscriber({ ...this.#common, receiveHighWaterMark: 0 });
    socket.subscribe('');
    return socket;
  }

  /** A publisher that receives its subscribers' subscriptions. */
  publisher(): XPublisher {
    return new XPublisher({ ...this.#common, sendHighWaterMark: 0, receiveHighWaterMark: 0 });
  }
}
