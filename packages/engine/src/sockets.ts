import type { EngineConnectionInfo } from '@ipyparallel-js/protocol';
import { curveKeyPair, Dealer, Subscriber, XPublisher } from 'zeromq';
import type { ResolvedEngineOptions } from './options.js';

/** How long what was sent may take to leave after a socket is closed, in ms. */
const LINGER = 1000;

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
  readonly #common: CurveOptions & { readonly linger: number };

  constructor(uuid: string, info: EngineConnectionInfo, curve: ResolvedEngineOptions['curve']) {
    this.#routingId = uuid;
    this.curve = curveOptions(info.curve_serverkey ?? curve.serverKey, curve);
    this.#common = { linger: LINGER, ...this.curve };
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

function curveOptions(
  serverKey: string | undefined,
  { publicKey, secretKey }: ResolvedEngineOptions['curve'],
): CurveOptions {
  if (serverKey === undefined) return {};
  const own = publicKey !== undefined && secretKey !== undefined ? { publicKey, secretKey } : curveKeyPair();
  return { curveServerKey: serverKey, curvePublicKey: own.publicKey, curveSecretKey: own.secretKey };
}
