import type { CurveKeys } from '@ipyparallel-js/wire';
import { Dealer, Subscriber, XPublisher } from 'zeromq';

/** How long a closed socket may take to send its queue, in ms (`ZMQ_LINGER`). */
const LINGER = 1000;

/**
 * How long one connection attempt may take, in ms (`ZMQ_CONNECT_TIMEOUT`). The system's default is longer than most
 * network outages.
 */
const CONNECT_TIMEOUT = 3000;

/** The CURVE options of a socket; empty without CURVE. */
type CurveOptions = {
  readonly curveServerKey?: string;
  readonly curvePublicKey?: string;
  readonly curveSecretKey?: string;
};

/** Creates the sockets of one engine: no high-water mark, its uuid as routing id, CURVE if the controller uses it. */
export class SocketFactory {
  readonly #routingId: string;
  readonly curve: CurveOptions;
  readonly #commonOptions: CurveOptions & {
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
    this.#commonOptions = { linger: LINGER, connectTimeout: CONNECT_TIMEOUT, ipv6, ...this.curve };
  }

  /** A dealer with the engine's routing id. */
  dealer(): Dealer {
    const dealer = this.anonymous();
    dealer.routingId = this.#routingId;
    return dealer;
  }

  anonymous(): Dealer {
    return new Dealer({ ...this.#commonOptions, sendHighWaterMark: 0, receiveHighWaterMark: 0 });
  }

  /** A subscriber to all topics. */
  subscriber(): Subscriber {
    const socket = new Subscriber({ ...this.#commonOptions, receiveHighWaterMark: 0 });
    socket.subscribe('');
    return socket;
  }

  /** A publisher that receives its subscribers' subscriptions. */
  publisher(): XPublisher {
    return new XPublisher({ ...this.#commonOptions, sendHighWaterMark: 0, receiveHighWaterMark: 0 });
  }
}
