import type { EngineConnectionInfo } from '@ipyparallel-js/protocol';
import { curveKeyPair, Dealer, Subscriber, XPublisher } from 'zeromq';
import type { ResolvedEngineOptions } from './options.js';

/** How long what was sent may take to leave after a socket is closed, in ms. */
const LINGER = 1000;

interface CommonOptions {
  linger: number;
  curveServerKey?: string;
  curvePublicKey?: string;
  curveSecretKey?: string;
}

/** Makes the sockets of one engine: no high-water mark, its uuid as routing id, CURVE when the controller has it. */
export class SocketFactory {
  readonly #routingId: string;
  readonly #common: CommonOptions;

  constructor(uuid: string, info: EngineConnectionInfo, curve: ResolvedEngineOptions['curve']) {
    this.#routingId = uuid;
    this.#common = { linger: LINGER, ...curveOptions(info.curve_serverkey ?? curve.serverKey, curve) };
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
): Omit<CommonOptions, 'linger'> {
  if (serverKey === undefined) return {};
  const own = publicKey !== undefined && secretKey !== undefined ? { publicKey, secretKey } : curveKeyPair();
  return { curveServerKey: serverKey, curvePublicKey: own.publicKey, curveSecretKey: own.secretKey };
}
